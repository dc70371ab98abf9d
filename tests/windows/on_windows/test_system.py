"""The whole system on Windows: started, used by the real ``codex.exe`` from a Windows Terminal tab, stopped, killed."""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import sys

assert sys.platform == "win32"

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.probe import choose_probe
from actors.runtime.exits import OK
from tests.ports import free_port

CODEX = Path(r"Z:\w\codex\vendor\x86_64-pc-windows-msvc\bin\codex.exe")
TAB = "0f8fad5b-d9cb-469f-a165-70867728950e"
NOT_RUNNING = 3
ACTORS = len(("broker", "registry", "rollout", "discovery", "gateway", "bridges", "echo"))
pytestmark = pytest.mark.timeout(240)  # a start of everything takes Wine ten times as long as Windows


@dataclass(frozen=True)
class System:
    """One Tabwire with a home of its own."""

    home: Path
    port: int

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
        ours = {"TABWIRE_HOME": str(self.home), "CODEX_HOME": str(self.home / "codex"), "WT_SESSION": TAB, "RUST_LOG": "error"}
        return {**kept, **ours, "PATH": f"{CODEX.parent};{kept.get('PATH', '')}"}

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environ(),
            cwd=self.home / "project",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    def tabwire(self, *arguments: str, code: int = OK) -> str:
        done = self.run(sys.executable, "-I", "-m", "actors.cli", *arguments)
        assert done.returncode == code, done.stdout
        return done.stdout

    def row_of(self, pid: int) -> dict[str, Any]:
        """Wait for the row of a process."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for row in self.sessions().values():
                if row["process"] and row["process"]["pid"] == pid:
                    return row
        raise AssertionError(f"no row of process {pid}: {self.tabwire('sessions', '--all')}")

    def sessions(self) -> dict[str, dict[str, Any]]:
        rows = json.loads(self.tabwire("sessions", "--all", "--json"))["sessions"]
        return {row["session"]: row for row in rows}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    port = free_port()
    system = System(tmp_path, port)
    (tmp_path / "config.toml").write_text(f'default_provider = "echo"\n[gateway]\nport = {port}\n')
    for folder in ("codex", "project"):
        (tmp_path / folder).mkdir()
    try:
        yield system
    finally:
        system.run(sys.executable, "-I", "-m", "actors.cli", "down")


def test_a_real_codex_in_a_tab_of_windows_terminal_is_verified_and_its_tab_is_named(system: System) -> None:
    assert "is up" in system.tabwire("up")
    assert "already running" in system.tabwire("up")
    provider = {"name": '"mine"', "base_url": f'"http://127.0.0.1:{system.port}/v1"', "wire_api": '"responses"'}
    pointed = [word for key, value in provider.items() for word in ("-c", f"model_providers.mine.{key}={value}")]
    said = system.run(
        CODEX, "exec", "--skip-git-repo-check", "-c", 'model_provider="mine"', *pointed, "-m", "echo", "say hi"
    ).stdout
    assert "You said: say hi" in said
    banner = next(line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("session id:"))
    row = system.sessions()[f"codex-{banner}"]
    assert (row["verdict"], row["terminal"], row["agent"]) == ("verified", f"wt:{TAB}", "codex")
    assert Path(row["cwd"]) == system.home / "project"
    assert row["process"]["started"] > 0
    assert banner in system.tabwire("history", "--json")

    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [CODEX, "app-server"], env=system.environ(), stdin=subprocess.PIPE, stdout=quiet, stderr=quiet
    ) as server:
        waiting = system.row_of(server.pid)
        ourselves = HTTPConnection("127.0.0.1", system.port)  # a caller that the gateway watches, and that lives on
        ourselves.request("GET", "/v1/models")
        assert ourselves.getresponse().status == HTTPStatus.OK
        assert "stopped: " in (down := system.tabwire("down"))
        ourselves.close()
        assert down.count("(stopped (0))") == ACTORS, down
        server.kill()
    system.tabwire("up")
    assert (waiting["verdict"], waiting["terminal"], waiting["process_kind"]) == ("unverified", f"wt:{TAB}", "app_server")
    assert waiting["requests"] == 0

    launched = system.tabwire("run", "--", "codex", "exec", "--skip-git-repo-check", 'say "hi" again')
    assert 'You said: say "hi" again' in launched
    rows = [row for session, row in system.sessions().items() if session != f"codex-{banner}" and not row["provisional"]]
    assert [(row["verdict"], row["terminal"], bool(row["launch"])) for row in rows] == [("verified", f"wt:{TAB}", True)]

    assert "stopped: " in system.tabwire("down")
    assert "not running" in system.tabwire("status", code=NOT_RUNNING)


def test_when_the_supervisor_is_killed_nothing_outlives_it_and_the_next_one_starts(system: System) -> None:
    system.tabwire("up")
    status = json.loads(system.tabwire("status", "--json"))
    probe = choose_probe()
    actors = [probe.exit_watch(probe.identify(row["pid"])) for row in status["actors"]]
    assert len(actors) == ACTORS
    psutil.Process(status["pid"]).kill()
    for watch in actors:
        assert select.select([watch.fileno()], [], [], 20)[0]
        watch.close()
    system.tabwire("status", code=NOT_RUNNING)
    assert "is up" in system.tabwire("up")
