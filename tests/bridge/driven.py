"""An adapter alone with its real agent: what was given to it, what it wrote and what it read is kept, to be played again.

For recording the tapes of ``tests/bridge/tapes`` (``python -m tests.bridge.claude_scenes``); tests play them without the agent.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from actors.bridge import adapter as seam

DEADLINE = 60.0
TAPES = Path(__file__).parent / "tapes"
_O = TypeVar("_O")


class Driven:
    """One agent, spoken to by its adapter."""

    def __init__(self, adapter: seam.Adapter, beginning: seam.Beginning) -> None:
        self.adapter = adapter
        self.beginning = beginning
        self.tape: list[dict[str, Any]] = []
        self.outputs: list[seam.Output] = []
        self._seen = 0
        self._state = adapter.begin(beginning)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        command = self.adapter.plan(self.beginning)
        environ = {name: value for name, value in {**self.beginning.environ, **command.environ}.items() if value is not None}
        self.process = subprocess.Popen(
            command.argv,
            env=environ,
            cwd=self.beginning.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.give(seam.Spawned())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            self._thread.join(DEADLINE)

    def give(self, input_: seam.Input) -> None:
        self.tape.append({"give": type(input_).__name__, **asdict(input_)})
        self._step(input_)

    def until(self, found: Callable[[seam.Output], _O | None]) -> _O:
        """Take lines until the adapter says the wanted thing; what was looked at is not looked at again."""
        while True:
            while self._seen < len(self.outputs):
                self._seen += 1
                if (wanted := found(self.outputs[self._seen - 1])) is not None:
                    return wanted
            line = self._lines.get(timeout=DEADLINE)
            assert line is not None, f"the agent ended; last: {self.outputs[-3:]}"
            self.tape.append({"read": line.decode()})
            self._step(seam.LineCame(line))

    def output(self, kind: type[_O]) -> _O:
        return self.until(lambda output: output if isinstance(output, kind) else None)

    def piece(self, kind: type[_O], **fields: Any) -> _O:
        def found(output: seam.Output) -> _O | None:
            piece = output.piece if isinstance(output, seam.Say) else None
            wanted = isinstance(piece, kind) and all(getattr(piece, name) == value for name, value in fields.items())
            return piece if wanted else None  # type: ignore[return-value]

        return self.until(found)

    def _step(self, input_: seam.Input) -> None:
        self._state, outputs = self.adapter.step(self._state, input_)
        assert self.process.stdin is not None
        for output in outputs:
            self.outputs.append(output)
            if isinstance(output, seam.Write):
                self.tape.append({"wrote": output.line.decode().rstrip("\n")})
                self.process.stdin.write(output.line)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe, os.fdopen(os.dup(pipe.fileno()), "rb") as lines:
            for raw in lines:
                self._lines.put(raw.rstrip(b"\n"))
        self._lines.put(None)


def save(name: str, tape: Iterable[dict[str, Any]]) -> None:
    """Keep a tape."""
    TAPES.mkdir(exist_ok=True)
    (TAPES / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in tape))


def load(name: str) -> list[dict[str, Any]]:
    """Take a tape from where it is kept."""
    return [json.loads(line) for line in (TAPES / f"{name}.jsonl").read_text().splitlines()]


def play(adapter: seam.Adapter, state: Any, tape: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, seam.Output]]:
    """Play a tape to an adapter, which has to write what it wrote then; yield its state and what else it says."""
    awaited: list[str] = []
    for entry in tape:
        if (wrote := entry.get("wrote")) is not None:
            assert json.loads(awaited.pop(0)) == json.loads(wrote)
            continue
        assert awaited == []
        state, outputs = adapter.step(state, _input(entry))
        for output in outputs:
            if isinstance(output, seam.Write):
                awaited.append(output.line.decode())
            else:
                yield state, output
    assert awaited == []


def _input(entry: dict[str, Any]) -> seam.Input:
    if "read" in entry:
        return seam.LineCame(entry["read"].encode())
    fields = {name: value for name, value in entry.items() if name != "give"}
    given: seam.Input = getattr(seam, entry["give"])(**fields)
    return given
