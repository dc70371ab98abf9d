"""One actor as its supervisor sees it: a process with three pipes, spoken to in the contract's words.

Owns how these tests wait: for lines and for ends of processes, always with a deadline, never for time to pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import zmq

from actors.runtime.contract import Anchor, Bootstrap, Line, Ready, Status, decode_line, encode_bootstrap
from actors.runtime.paths import Paths
from tests.ports import free_port

DEADLINE = 20.0
ROOT = Path(__file__).resolve().parents[2]
_L = TypeVar("_L", bound=Line)


def actor_names() -> list[str]:
    """Find every actor: each folder whose ``__main__`` lives by the contract."""
    mains = sorted((ROOT / "actors").glob("*/__main__.py"))
    return [main.parent.name for main in mains if re.search(r"\brun_actor\(", main.read_text())]


def ended(pid: int, deadline: float = DEADLINE) -> bool:
    """Wait until a process has ended; True when it has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], deadline)[0])
    finally:
        os.close(handle)


class ActorProcess:
    """A started actor."""

    def __init__(self, command: list[str], bootstrap: Bootstrap | None, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **environ},
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.said: list[bytes] = []
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._errors: list[bytes] = []
        self._threads = [threading.Thread(target=self._read_output), threading.Thread(target=self._read_errors)]
        for thread in self._threads:
            thread.start()
        if bootstrap is not None:
            self.tell(encode_bootstrap(bootstrap))

    def tell(self, raw: bytes) -> None:
        """Write to its stdin."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(raw)
            self.process.stdin.flush()

    def end_stdin(self) -> None:
        """Tell it to stop, as every supervisor does, also a dead one."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def until(self, kind: type[_L], deadline: float = DEADLINE) -> _L:
        """Wait for a line of this kind."""
        end = time.monotonic() + deadline
        while True:
            raw = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            assert raw is not None, f"ended before it said {kind.__name__}: {self.said}\n{self.log_text()}"
            line = decode_line(raw)
            if isinstance(line, kind):
                return line
            assert not (isinstance(line, Status) and line.state == "failed"), f"{line.note}\n{self.log_text()}"

    def exit_code(self, deadline: float = DEADLINE) -> int:
        """Wait for its end and for all that it said."""
        code = self.process.wait(deadline)
        for thread in self._threads:
            thread.join(deadline)
            assert not thread.is_alive(), "something still holds its pipes"
        return code

    def lines(self) -> list[Line]:
        """Read everything that it said on stdout."""
        return [decode_line(raw) for raw in self.said]

    def log_text(self) -> str:
        """Return what it wrote on stderr so far."""
        return b"".join(self._errors).decode()

    def log(self) -> list[dict[str, Any]]:
        """Read its log; every line must be a JSON object."""
        entries = [json.loads(line) for line in self.log_text().splitlines()]
        assert all(isinstance(entry, dict) for entry in entries)
        return entries

    def close(self) -> None:
        """End it if nobody else has."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.send_signal(signal.SIGCONT)
        self.exit_code()
        self.end_stdin()

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            for raw in pipe:
                self.said.append(raw)
                self._lines.put(raw)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            self._errors.extend(pipe)


@dataclass
class Place:
    """A home for actors under test: folders, free ports, key pairs; ends what was started in it."""

    home: Path
    config: str = ""
    anchor: Anchor | None = None
    started: list[ActorProcess] = field(default_factory=list)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # by actor, as the supervisor gives them

    def __post_init__(self) -> None:
        self.paths = Paths(self.home / "config.toml", self.home / "state")
        self.paths.create()
        self.ports = {"gateway": free_port(), "echo": free_port()}
        self.keys = {name: tuple(key.decode() for key in zmq.curve_keypair()) for name in [*actor_names(), "probe"]}
        ports = "\n".join(f"[{name}]\nport = {port}" for name, port in self.ports.items())
        self.configure(f"{self.config}\n{ports}\n")

    def configure(self, text: str) -> None:
        """Write the configuration."""
        self.paths.config_file.write_text(text)
        self.paths.config_file.chmod(0o600)

    def bootstrap(self, name: str) -> Bootstrap:
        """Return what a supervisor would give this actor."""
        allow = {public: actor for actor, (public, _) in self.keys.items()}
        public, secret = self.keys[name]
        return Bootstrap(
            actor=name,
            incarnation="0123456789ab",
            config_file=str(self.paths.config_file),
            state=str(self.paths.state),
            public_key=public,
            secret_key=secret,
            anchor=self.anchor,
            settings={"allow": allow} if name == "broker" else self.settings.get(name, {}),
        )

    def start(self, name: str) -> ActorProcess:
        """Start an actor as the supervisor does."""
        homes = {"CODEX_HOME": str(self.home / "codex"), "CLAUDE_CONFIG_DIR": str(self.home / "claude")}  # never the user's own
        return self._keep(ActorProcess([sys.executable, "-I", "-m", f"actors.{name}"], self.bootstrap(name), homes))

    def start_script(self, script: str, *, bootstrap: bool = True) -> ActorProcess:
        """Start an actor named ``probe`` whose ``main`` this text defines."""
        given = self.bootstrap("probe") if bootstrap else None
        text = (
            f"import anyio, os, sys, threading\nfrom actors.runtime.actor import run_actor\n{script}\nrun_actor('probe', main)"
        )
        return self._keep(ActorProcess([sys.executable, "-I", "-c", text], given, {}))

    def _keep(self, actor: ActorProcess) -> ActorProcess:
        self.started.append(actor)
        return actor


@contextlib.contextmanager
def place(home: Path, config: str = "") -> Iterator[Place]:
    """Give a place for the length of a block."""
    subject = Place(home, config)
    try:
        yield subject
    finally:
        for actor in reversed(subject.started):
            actor.close()


@contextlib.contextmanager
def place_with_bus(home: Path, config: str = "") -> Iterator[Place]:
    """Give a place whose broker runs for the length of a block."""
    with place(home, config) as subject:
        subject.start("broker").until(Ready)
        yield subject


def memory(pid: int) -> int:
    """Return how many bytes of memory a process has in use."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024
