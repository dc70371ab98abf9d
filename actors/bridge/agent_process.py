"""One agent as a process: its start, its pipes, its end.

Theory of operation
-------------------
Four threads wait: for a line on its stdout, for noise on its stderr, for its stdin to take something, for its end. What they
see goes to ``tell`` in their own threads. stderr is read at any rate and only its end is kept.

``end`` is a ladder, ``LADDER`` seconds in all: the end of stdin, which every agent understands; SIGTERM to all that descends
from it; SIGKILL; then the sweep (``survivors``). A process that was stopped is continued, so that it can end.

If the bridge itself dies of a sudden, the kernel kills the agent (Linux), and the hub looks for the rest.
Must not know what its lines say.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from actors.bridge.pipes import Lines, Outlet, TooLong, Valve, read_chunks
from actors.bridge.survivors import signal_all, sweep
from actors.launch.shim import is_batch_file, script_of
from actors.runtime.hardening import die_with_parent

MAX_LINE: Final = 16_777_216
MAX_UNDER_WAY: Final = 1_048_576
TAIL: Final = 8_192
EOF_GRACE: Final = 0.6
TERM_GRACE: Final = 0.5
KILL_GRACE: Final = 0.3
SWEEP_GRACE: Final = 0.4
LADDER: Final = EOF_GRACE + TERM_GRACE + KILL_GRACE + SWEEP_GRACE
_LAST_LINES: Final = 0.3
# What a new session is elsewhere; and no console window of its own.
_APART: Final = int(getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)) | int(getattr(subprocess, "CREATE_NO_WINDOW", 0))


@dataclass(frozen=True, slots=True)
class Output:
    """A line of its stdout, which holds ``size`` bytes of the valve until they are given back."""

    line: bytes | TooLong = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True)
class OutputEnded:
    """Nothing more comes from its stdout."""


@dataclass(frozen=True, slots=True)
class Died:
    """Its process has ended; lines of its stdout may still come."""

    code: int


Event = Output | OutputEnded | Died


class AgentProcess:
    """The agent: started when this is made, by the main thread, with which the kernel ends it; ``listen`` listens to it."""

    def __init__(self, argv: Sequence[str], *, environ: Mapping[str, str], cwd: str) -> None:
        self.valve = Valve(MAX_UNDER_WAY)
        self._process = subprocess.Popen(  # noqa: S603 - the user's agent
            _words(argv, environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            cwd=cwd,
            bufsize=0,
            start_new_session=True,
            creationflags=_APART,
            preexec_fn=None if sys.platform == "win32" else _die_with_bridge,  # noqa: PLW1509 - there is no other thread yet
        )
        self.pid = self._process.pid
        self._ended = threading.Event()
        self._tail = bytearray()
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._stdin, self._stdout, self._stderr = (os.dup(pipe.fileno()) for pipe in pipes if pipe is not None)
        for pipe in pipes:
            if pipe is not None:
                pipe.close()
        self.stdin = Outlet(self._stdin, "agent stdin")

    def listen(self, tell: Callable[[Event], None]) -> None:
        """Begin to hand on what it says."""
        self.stdin.start()
        for target, name in ((self._read_output, "agent stdout"), (self._wait, "agent exit")):
            threading.Thread(target=target, args=(tell,), name=name, daemon=True).start()
        self._noise = threading.Thread(target=self._read_errors, name="agent stderr", daemon=True)
        self._noise.start()

    @property
    def code(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr."""
        if self._ended.is_set():
            self._noise.join(_LAST_LINES)
        return bytes(self._tail).decode(errors="replace")

    def end(self) -> int:
        """End it and all that it started, whatever it does; return how many processes would not."""
        self.valve.open()
        self.stdin.close(hurry=True)
        if not self._ended.wait(EOF_GRACE):
            self._ask(signal.SIGTERM)
            if not self._ended.wait(TERM_GRACE):
                self._process.kill()
                self._ended.wait(KILL_GRACE)
        return sweep(self.pid, SWEEP_GRACE)

    def _ask(self, number: int) -> None:
        """Ask all of them to end; on Windows there is no signal that only asks."""
        if sys.platform != "win32":
            signal_all(self.pid, number)
            signal_all(self.pid, signal.SIGCONT)

    # ------------------------------------------------------------------------------------------------ threads

    def _read_output(self, tell: Callable[[Event], None]) -> None:
        lines = Lines(MAX_LINE)
        for chunk in read_chunks(self._stdout):
            for line in lines.feed(chunk):
                self._hand_on(line, tell)
        for line in lines.close():
            self._hand_on(line, tell)
        os.close(self._stdout)
        tell(OutputEnded())

    def _hand_on(self, line: bytes | TooLong, tell: Callable[[Event], None]) -> None:
        size = len(line.head) if isinstance(line, TooLong) else len(line)
        if self.valve.enter(size):
            tell(Output(line, size))

    def _read_errors(self) -> None:
        for chunk in read_chunks(self._stderr):
            self._tail += chunk
            del self._tail[:-TAIL]
        os.close(self._stderr)

    def _wait(self, tell: Callable[[Event], None]) -> None:
        code = self._process.wait()
        self._ended.set()
        tell(Died(code))


def _die_with_bridge() -> None:
    die_with_parent()


def _words(argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the command; behind one of npm's batch files (Windows) the program that it would start.

    Raises:
        PermissionError: it is another batch file, which cannot be given arguments safely.

    """
    if not is_batch_file(argv[0]):
        return list(argv)
    import shutil  # noqa: PLC0415 - on Windows only

    script = script_of(argv[0], Path(argv[0]).read_text(errors="replace"))
    node = shutil.which("node", path=environ.get("PATH"))
    if script is None or node is None:
        raise PermissionError(f"{argv[0]} is a batch file, which cannot be given arguments safely; name the program behind it")
    return [node, script, *argv[1:]]
