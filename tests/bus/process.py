"""Start, stop and kill a standalone broker from a test."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bus.connection import Connection, read_connection
from bus.sockets import new_key_pair

DEADLINE = 20.0


class BrokerProcess:
    """A broker in a process of its own; the context's end stops it and expects a clean exit unless it was killed."""

    def __init__(self, state: Path, *names: str, **settings: Any) -> None:
        self.state = state
        self.keys = {name: new_key_pair() for name in names}
        self.settings = settings
        self.lines: list[str] = []
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        (state / "run").mkdir(mode=0o700, exist_ok=True, parents=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> dict[str, Any]:
        """Start it and wait until it serves; return what it said of itself."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bus.standalone_broker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._said = queue.SimpleQueue()
        self._reader = threading.Thread(target=_pass_on, args=(self._process.stdout, self._said), daemon=True)
        self._reader.start()
        allow = {public: name for name, (public, _) in self.keys.items()}
        asked = {"state": str(self.state), "allow": allow, **self.settings}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        return dict(json.loads(self.line("READY").partition(" ")[2]))

    def line(self, verb: str) -> str:
        """Wait for a line that starts with ``verb``."""
        assert self._process is not None
        end = time.monotonic() + DEADLINE
        while True:
            try:
                line = self._said.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {verb} within {DEADLINE} s: {self.lines}") from None
            self.lines.append(line)
            if line.startswith(verb):
                return line
            assert line, f"the broker ended with {self._process.wait()} before {verb}: {self.lines}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def connection(self, name: str = "client") -> Connection:
        """Return how to connect under a name."""
        connection = read_connection(self.state / "run" / "bus.json")
        return connection if name == "client" else connection.with_keys(*self.keys[name])

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self.gone()

    def gone(self) -> int:
        """Wait until it has ended; return its exit code."""
        assert self._process is not None
        code = self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        return code

    def stop(self) -> None:
        """Ask it to stop, and expect that it does."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            assert self.gone() == 0


def _pass_on(pipe: IO[bytes] | None, said: queue.SimpleQueue[str]) -> None:
    """Queue each line, and at last the end; in a thread, as nothing else can wait for a pipe everywhere."""
    assert pipe is not None
    with pipe:
        for line in pipe:
            said.put(line.decode())
    said.put("")
