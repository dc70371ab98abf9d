"""A supervisor as a test sees it: started as a process, watched through its status file, ended at the end.

Owns how such tests wait: for a process through its pidfd, for a status through the file, never for time to pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.runtime.paths import Paths
from actors.runtime.retry import ask_for_retry
from actors.runtime.stop import ask_to_stop

DEADLINE = 30.0
ROOT = Path(__file__).resolve().parents[2]
Rows = dict[str, dict[str, Any]]
WORKS = ("ready", "degraded")  # READY was said; degraded is a word more about how well


@dataclass
class Supervised:
    """One state folder and the supervisors that are started on it."""

    home: Path
    module: str = "tests.faults.stage"
    config: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    intensity: int = 5
    fork: bool = True
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.paths = Paths(self.home / "config.toml", self.home / "state")
        if self.config:
            self.paths.config_file.write_text(self.config)
            self.paths.config_file.chmod(0o600)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start a supervisor process and give it its orders, without waiting for anything."""
        process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "CODEX_HOME": f"{self.home}/codex", "CLAUDE_CONFIG_DIR": f"{self.home}/claude", **self.environ},
            start_new_session=True,
        )
        orders = {
            "config_file": str(self.paths.config_file),
            "state": str(self.paths.state),
            "foreground": True,
            "intensity": self.intensity,
            "fork": self.fork,
        }
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            process.stdin.flush()
        return process

    def start(self) -> Supervised:
        """Start the supervisor and wait until every actor is ready."""
        self.process = self.launch()
        self.until(lambda rows: all(row["state"] in WORKS for row in rows.values()))
        return self

    def act(self, actor: str, *words: str) -> None:
        """Tell an actor of the stage what to do at its next start."""
        self.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.paths.state / f"act.{actor}").write_text(" ".join(words))

    def rows(self) -> Rows:
        """Return the rows of the status file by actor, if it is of this supervisor."""
        try:
            status = json.loads(self.paths.status_file.read_bytes())
        except FileNotFoundError:
            return {}
        if self.process is None or status["pid"] != self.process.pid:
            return {}
        return {row["actor"]: row for row in status["actors"]}

    def until(self, holds: Callable[[Rows], bool], deadline: float = DEADLINE) -> Rows:
        """Wait until the rows are as wanted; return them."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            rows = self.rows()
            if rows and holds(rows):
                return rows
            assert self.process is None or self.process.poll() is None, f"the supervisor ended: {self.last_words()}"
            select.select([], [], [], 0.005)
        raise AssertionError(f"not so within {deadline} s: {self.rows()}")

    def until_ready(self, actor: str, other_than: int) -> Rows:
        """Wait until an actor is ready in another process than this one."""
        return self.until(lambda rows: rows[actor]["state"] in WORKS and rows[actor]["pid"] != other_than)

    def retry(self, *actors: str) -> None:
        """Ask that failed actors are started again."""
        ask_for_retry(self.paths, actors)

    def pids(self) -> dict[str, int]:
        """Return the pid of every actor."""
        return {actor: row["pid"] for actor, row in self.rows().items()}

    def kill(self) -> None:
        """End the supervisor as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)
        self._close()

    def stop(self, *, by_file: bool = False) -> int:
        """Ask the supervisor to stop and return its exit code."""
        assert self.process is not None
        if by_file:
            ask_to_stop(self.paths)
        else:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        finally:
            self._close()

    def last_words(self) -> str:
        """Return what an ended supervisor wrote to stderr."""
        assert self.process is not None
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def log(self, actor: str) -> list[dict[str, Any]]:
        """Read an actor's log; every line must be a JSON object."""
        return [json.loads(line) for line in (self.paths.logs / f"{actor}.log").read_text().splitlines()]

    def _close(self) -> None:
        assert self.process is not None
        for pipe in (self.process.stdin, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def supervised(home: Path, **options: Any) -> Iterator[Supervised]:
    """Give a state folder for the length of a block and end what runs on it."""
    subject = Supervised(home, **options)
    try:
        yield subject
    finally:
        if subject.process is not None and subject.process.poll() is None:
            subject.process.send_signal(signal.SIGCONT)
            subject.stop()
