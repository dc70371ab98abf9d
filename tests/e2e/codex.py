"""The real Codex CLI in a home of its own, and what it left on disk: rollouts are read as Codex wrote them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.system import System
from tests.e2e.terminal import Tmux

BINARY = os.environ.get("TABWIRE_CODEX") or shutil.which("codex")
needs_codex = pytest.mark.skipif(
    BINARY is None, reason="the real Codex CLI is not installed (npm install -g @openai/codex@0.169.0)"
)


PROMPT = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


def prompt(tmux: Tmux, pane: str, text: str) -> None:
    """Type a prompt; Enter goes apart from the text, since Codex takes one burst of both for a paste."""
    tmux.wait_for(pane, PROMPT)
    tmux.type(pane, text)
    tmux.wait_for(pane, text)
    tmux.press(pane, "Enter")


@dataclass(frozen=True)
class Rollout:
    """One rollout file."""

    file: Path

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().split("\n") if line]

    @property
    def meta(self) -> dict[str, Any]:
        return next(line["payload"] for line in self.lines if line["type"] == "session_meta")

    @property
    def usage(self) -> dict[str, dict[str, int]]:
        """Return the usage that Codex recorded, by the provider's response id."""
        records = [line["payload"] for line in self.lines if line["type"] == "token_usage_record"]
        return {record["response_id"]: record["usage"] for record in records}


class Codex:
    """A Codex installation whose config.toml points at a Tabwire, or at nothing."""

    def __init__(self, home: Path, system: System, config: str | None = None) -> None:
        assert BINARY is not None
        self.binary = BINARY
        self.system = system
        self.home = home / "codex-home"
        self.home.mkdir()
        self.work = home / "project"
        self.work.mkdir()
        base = f'openai_base_url = "{system.base_url}"\n' if config is None else config
        trust = f'[projects."{self.work}"]\ntrust_level = "trusted"\n'
        (self.home / "config.toml").write_text(
            f'model = "gpt-5.1-codex"\ncheck_for_update_on_startup = false\n{base}\n[analytics]\nenabled = false\n{trust}'
        )

    def environ(self, terminal: str | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        tab = {} if terminal is None else {"WT_SESSION": terminal}
        return self.system.environ({"CODEX_HOME": str(self.home), "HOME": str(self.home), **tab, **(extra or {})})

    def start(self, *arguments: str, terminal: str | None = None, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start ``codex …`` (behind ``prefix``, as ``tabwire run --``) without waiting for it."""
        return subprocess.Popen(
            [*prefix, self.binary, *arguments],
            env=self.environ(terminal),
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def exec(
        self, prompt: str, *arguments: str, terminal: str | None = None, prefix: tuple[str, ...] = (), code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run one ``codex exec`` to its end."""
        process = self.start("exec", "--skip-git-repo-check", *arguments, prompt, terminal=terminal, prefix=prefix)
        out, err = process.communicate(timeout=90)
        assert code is None or process.returncode == code, f"codex exec: {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def login(self) -> None:
        """Give it a key that nobody checks: without one a TUI asks for it before anything else."""
        subprocess.run(
            [self.binary, "login", "--with-api-key"],
            env=self.environ(),
            input="dummy-key-0001",
            text=True,
            check=True,
            capture_output=True,
            timeout=60,
        )

    def end_daemon(self) -> None:
        """End the shared daemon and its update loop, which outlive every TUI: all that runs from this home's own copy."""
        own = [process for process in psutil.process_iter(["exe"]) if (process.info["exe"] or "").startswith(f"{self.home}/")]
        for process in own:
            process.kill()
        psutil.wait_procs(own, timeout=10)

    def rollouts(self) -> dict[str, Rollout]:
        """Return the rollouts by thread id."""
        files = sorted(self.home.glob("sessions/**/rollout-*.jsonl"))
        return {Rollout(file).meta["id"]: Rollout(file) for file in files}


def wishes(folder: Path) -> dict[str, Any]:
    """Return how a Codex with a project and a home of its own is asked for."""
    work, home = folder / "project", folder / "codex-home"
    for place in (work, home):
        place.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        'model = "gpt-5.1-codex"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n'
    )
    environ = {"CODEX_HOME": str(home), "HOME": str(home)}
    return {"agent": "codex", "cwd": str(work), "program": BINARY, "environ": environ}
