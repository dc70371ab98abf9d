"""One incarnation of one child: its process, its pipes, its log.

Theory of operation
-------------------
Three threads a child, none of which does anything but wait: one reads stdout and hands on contract lines, one reads
stderr into the log, one waits for the end. Threads rather than the event loop's own pipes and child watchers, because
they are the same on every operating system, and a slow disk under the log then stops nobody. What they have to say they
hand to ``tell``, which blocks while the supervisor is busy: then the pipe fills, and the child is the one that holds back.

Must not know supervision.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

import orjson

from actors.runtime.contract import MAX_LINE, Bootstrap, ContractError, Line, decode_line, encode_bootstrap
from actors.runtime.logging import redact
from actors.supervisor.log_file import LogFile

MAX_LOG_LINE = 64 * 1024
_LAST_LINES = 0.5
# What a new session is elsewhere; and no console window of its own.
_APART = int(getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)) | int(getattr(subprocess, "CREATE_NO_WINDOW", 0))

Tell = Callable[["Process", "Line | int"], None]


class Started(Protocol):
    """A process of our own with three pipes, whoever brought it about; ``subprocess.Popen`` is one."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def wait(self) -> int:
        """Wait for its end; return its exit code, or negative the signal that ended it."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it."""


Start = Callable[[Sequence[str], Mapping[str, str], str], Started]
"""Starts a command with an environment in a folder; raises OSError."""


def execute(command: Sequence[str], environ: Mapping[str, str], folder: str) -> subprocess.Popen[bytes]:
    """Start a process in the way that every operating system has.

    Raises:
        OSError: it could not be started.

    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environ),
        cwd=folder,
        bufsize=0,
        start_new_session=True,  # a Ctrl-C in our terminal is for us alone: children stop in their order
        creationflags=_APART,
    )


class Process:
    """A child: started when this is made, and told who it is by ``begin``.

    In between it loads its code, so that a child which has to wait for another one is ready the sooner. ``tell`` is called
    in other threads, with each line it says and at last with its exit code.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        actor: str,
        name: str,
        folder: str,
        environ: Mapping[str, str],
        log: LogFile,
        tell: Tell,
        start: Start,
    ) -> None:
        self.actor = actor
        self.name = name
        self.incarnation = 0
        self._log = log
        self._tell = tell
        self._process = start(command, environ, folder)
        self.pid = self._process.pid
        self._handle = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else -1

    def begin(self, bootstrap: Bootstrap, incarnation: int) -> None:
        """Tell it who it is, and begin to listen; a child that died before is told of by its exit."""
        self.incarnation = incarnation
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(encode_bootstrap(bootstrap))
        output = threading.Thread(target=self._read_output, name=f"{self.actor} stdout", daemon=True)
        errors = threading.Thread(target=self._read_errors, name=f"{self.actor} stderr", daemon=True)
        output.start()
        errors.start()
        threading.Thread(target=self._wait, args=(output, errors), name=f"{self.actor} exit", daemon=True).start()

    def discard(self) -> None:
        """End a child that was never told who it is."""
        self.kill()
        self._process.wait()
        self.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def terminate(self) -> None:
        """End its stdin and ask it to end; a process that was stopped is continued so that it can.

        On Windows the end of stdin is all: there is no signal that only asks.
        """
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if sys.platform == "win32":
            return
        self._signal(signal.SIGTERM)
        if hasattr(signal, "SIGCONT"):
            self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it."""
        if sys.platform == "win32":
            self._process.kill()
        else:
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of what belongs to a process that has ended."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "linux" and self._handle >= 0:
                signal.pidfd_send_signal(self._handle, number)
            else:
                self._process.send_signal(number)

    # ------------------------------------------------------------------------------------------------ threads

    def _read_output(self) -> None:
        for line in lines(self._process.stdout, MAX_LINE):
            try:
                said = decode_line(line)
            except ContractError as error:
                self._note("a line on stdout that is not of the contract", str(error))
            else:
                self._tell(self, said)

    def _read_errors(self) -> None:
        for line in lines(self._process.stderr, MAX_LOG_LINE):
            if line.startswith(b"{") and line.endswith(b"}"):
                self._log.write(line + b"\n")
            else:
                self._note("stray output", line.decode(errors="replace"))

    def _wait(self, output: threading.Thread, errors: threading.Thread) -> None:
        code = self._process.wait()
        output.join(_LAST_LINES)  # its last lines come before its end; a grandchild may hold the pipe for longer
        errors.join(_LAST_LINES)
        self._tell(self, code)

    def _note(self, event: str, text: str) -> None:
        entry = {"event": event, "level": "error", "actor": self.actor, "text": redact(text)}
        self._log.write(orjson.dumps(entry) + b"\n")


def lines(pipe: IO[bytes] | None, limit: int) -> Iterator[bytes]:
    """Yield lines without their newlines until the pipe ends; what is longer than ``limit`` is cut and says so."""
    if pipe is None:
        return
    pending = bytearray()
    skipping = False
    with pipe:
        while chunk := os.read(pipe.fileno(), 65536):
            *whole, rest = chunk.split(b"\n")
            for part in whole:
                if not skipping:
                    pending += part
                    yield _bounded(bytes(pending), limit)
                pending.clear()
                skipping = False
            if not skipping:
                pending += rest
            if len(pending) > limit:
                yield _bounded(bytes(pending), limit)
                pending.clear()
                skipping = True
        if pending:
            yield _bounded(bytes(pending), limit)


def _bounded(line: bytes, limit: int) -> bytes:
    return line if len(line) <= limit else line[:limit] + " … (cut)".encode()


def log_path(logs: Path, actor: str) -> Path:
    """Return where the log of an actor lies."""
    return logs / f"{actor}.log"
