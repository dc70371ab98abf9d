"""Drives the Codex adapter against the real app-server, without bridge and hub: its process, its lines, a record of both.

Owns the process, the order of inputs and how a test waits: for what the adapter says. ``record`` keeps all inputs, so that
``tests/unit/test_bridge_codex.py`` can play them again without Codex.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from actors.bridge.adapter import (
    Ask,
    Beginning,
    Change,
    Clear,
    Decide,
    Fail,
    Greeted,
    Input,
    Interrupt,
    LineCame,
    Output,
    Passed,
    Prompt,
    Say,
    Spawned,
    Wait,
    Write,
)
from actors.bridge.adapters import codex
from actors.launch.plan import Door
from actors.launch.start import mint_token, record_launch
from actors.probe import choose_probe
from actors.runtime.paths import Paths
from schemas.content import Piece, TextAdded, TurnEnded
from tests.e2e.codex import BINARY
from tests.e2e.system import System

DEADLINE = 30.0
CONFIG = 'model = "gpt-5.1-codex"'


class Driven:
    """One app-server with the adapter in front of it."""

    def __init__(self, home: Path, system: System, config: str = CONFIG, origin: str = "", **wishes: Any) -> None:
        self.work = home / "project"
        self.home = home / "codex-home"
        for folder in (self.work, self.home):
            folder.mkdir(exist_ok=True)
        (self.home / "config.toml").write_text(f"check_for_update_on_startup = false\n{config}\n[analytics]\nenabled = false\n")
        environ = system.environ({"HOME": str(self.home), "CODEX_HOME": str(self.home)})
        self.token, self.launch = launched(system, self.work)
        beginning = Beginning(
            cwd=self.work,
            door=Door(origin or f"http://127.0.0.1:{system.gateway_port}", self.token),
            program=str(BINARY),
            environ=environ,
            launch=self.launch,
            read=lambda file: file.read_text() if file.exists() else None,
            **wishes,
        )
        command = codex.plan(beginning)
        changed = {name: value for name, value in command.environ.items() if value is not None}
        self.process = subprocess.Popen(
            command.argv,
            env={**{k: v for k, v in environ.items() if k not in command.environ}, **changed},
            cwd=self.work,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.state = codex.begin(beginning)
        self.said: list[Output] = []
        self.record: list[dict[str, Any]] = []
        self.due: dict[str, float] = {}
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.give(Spawned())

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip(b"\n"))
        self._lines.put(None)

    def give(self, input_: Input) -> list[Output]:
        """Give the adapter one input and do what it says."""
        self.record.append(_written(input_))
        self.state, outputs = codex.step(self.state, input_)
        assert self.process.stdin is not None
        for output in outputs:
            self.said.append(output)
            if isinstance(output, Write):
                self.process.stdin.write(output.line)
                self.process.stdin.flush()
            elif isinstance(output, Wait):
                self.due.pop(output.name, None)
                if output.seconds is not None:
                    self.due[output.name] = time.monotonic() + output.seconds
        return list(outputs)

    def until(self, seen: Callable[[Output], bool]) -> Output:
        """Take lines until the adapter says what is waited for; return that."""
        end = time.monotonic() + DEADLINE
        while True:
            now = time.monotonic()
            assert now < end, f"not said within {DEADLINE} s; the last: {self.said[-8:]}"
            try:
                line = self._lines.get(timeout=max(0.0, min([end, *self.due.values()]) - now))
            except queue.Empty:
                passed = [name for name, due in self.due.items() if due <= time.monotonic()]
                outputs = [output for name in passed for output in (self.due.pop(name), self.give(Passed(name=name)))[1]]
            else:
                assert line is not None, f"Codex ended with {self.process.wait()}; the last: {self.said[-8:]}"
                outputs = self.give(LineCame(line))
            for output in outputs:
                if seen(output):
                    return output

    def ready(self) -> Greeted:
        """Wait for the greeting."""
        said = self.until(lambda output: isinstance(output, Greeted | Fail))
        assert isinstance(said, Greeted), said
        return said

    def prompt(self, turn: str, text: str) -> None:
        self.give(Prompt(turn=turn, text=text))

    def ended(self) -> TurnEnded:
        """Wait for the end of the turn."""
        said = self.until(lambda output: isinstance(output, Say) and isinstance(output.piece, TurnEnded))
        assert isinstance(said, Say)
        assert isinstance(said.piece, TurnEnded)
        return said.piece

    def asked(self) -> Ask:
        """Wait for a question."""
        said = self.until(lambda output: isinstance(output, Ask))
        assert isinstance(said, Ask)
        return said

    def says(self, kind: type[Piece]) -> Any:
        """Wait for a piece of a kind."""
        said = self.until(lambda output: isinstance(output, Say) and isinstance(output.piece, kind))
        assert isinstance(said, Say)
        return said.piece

    def pieces(self, turn: str) -> list[Piece]:
        """Return what was said of a turn."""
        return [one.piece for one in self.said if isinstance(one, Say) and getattr(one.piece, "turn", "") == turn]

    def reply(self, turn: str) -> str:
        """Return the texts of a turn's replies."""
        return "".join(one.text for one in self.pieces(turn) if isinstance(one, TextAdded) and one.channel == "reply")

    def kill(self) -> None:
        """End it as kill -9 does, with all that npm's wrapper started."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def close(self) -> int:
        """End it as an app-server is ended: by the end of its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(DEADLINE)


@contextlib.contextmanager
def driven(home: Path, system: System, **wishes: Any) -> Iterator[Driven]:
    """Run an app-server for the length of a block."""
    one = Driven(home, system, **wishes)
    try:
        yield one
    finally:
        one.kill()


def launched(system: System, cwd: Path) -> tuple[str, str]:
    """Record a launch of this process, as a bridge does; return its token and id."""
    token = mint_token()
    paths = Paths.default({"TABWIRE_HOME": str(system.home)})
    process = choose_probe().process(os.getpid()).key
    recorded = record_launch(
        paths, token, agent="codex", process=process, terminal=None, cwd=str(cwd), provider=None, model=None
    )
    return token, recorded.launch


def _written(input_: Input) -> dict[str, Any]:
    match input_:
        case LineCame(line=line):
            return {"line": json.loads(line)}
        case Prompt(turn=turn, text=text):
            return {"prompt": turn, "text": text}
        case Decide(approval=approval, option=option):
            return {"decide": approval, "option": option}
        case Change(model=model, mode=mode):
            return {"model": model, "mode": mode}
        case Passed(name=name):
            return {"passed": name}
        case Clear() | Interrupt() | Spawned():
            return {"do": type(input_).__name__}
        case _:
            raise TypeError(input_)
