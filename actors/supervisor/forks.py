"""The supervisor's end of its fork server (``fork_server`` tells how that works): asks for children, and replaces it.

Theory of operation
-------------------
Children may come from here, but none depends on it: whatever goes wrong is a ``ForkFailedError`` after a deadline at most,
upon which the supervisor executes the child. A server that does not answer is killed, and what it may have forked unasked
for ends with its stdin, whose other end is closed here. The next server is started by ``renew``: after ``FIRST_PAUSE``
seconds, then twice as long each time until one has answered.

A process starts its first server before it loads anything else, so that both load at the same time; hence nothing but small
parts of the standard library here. To be called by the main thread only: the server dies with the thread that starts it.

Must not know supervision, the log.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Final

from actors.supervisor.fork_words import MAX_PACKET, decode_answer, encode_command, encode_surroundings
from actors.supervisor.owner import OWNER_VARIABLE, owner_mark

SERVER: Final = "actors.supervisor.fork_server"
LOADING: Final = 5.0
"""Seconds until the first answer, which waits until the server has loaded."""
ANSWER: Final = 1.0
FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 300.0

# What an interpreter needs to begin as its supervisor did; a provider's key is in none of these.
_PASSED_ON: Final = (
    *("HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX", "PATH", "TZ"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONUTF8"),
)
_ROOM_FOR_A_MARK: Final = 64


def begin_forks(*flags: str) -> Forks | None:
    """Start the first server where there can be one; ``flags`` are the interpreter's."""
    return Forks(flags) if sys.platform == "linux" else None


class ForkFailedError(Exception):
    """There is no child by fork; the message says why."""


class Forked:
    """A child by fork: of ``subprocess.Popen``, what a supervisor needs."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self.stderr: IO[bytes] | None = stderr

    def wait(self) -> int:
        """Wait for its end; return its exit code, or negative the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """Children by fork, as long as a server answers; for commands that begin as its own: this interpreter, ``flags``, -m."""

    def __init__(self, flags: Sequence[str]) -> None:
        self.run = os.urandom(16).hex()  # the name of the supervisor's run, which marks the server too
        self._beginning = [sys.executable, *flags, "-m"]
        self._server: _Server | None = None
        self._pause = FIRST_PAUSE
        self._due = 0.0
        with contextlib.suppress(OSError):  # it is tried again, by one who can say so
            self.renew()

    @property
    def pid(self) -> int | None:
        """The server's, while there is one."""
        return self._server.pid if self._server is not None else None

    def fork(self, command: Sequence[str], environ: Mapping[str, str], folder: str) -> Forked:
        """Start a child.

        Raises:
            ForkFailedError: there is none, nor will there be one of this attempt.

        """
        if list(command[: len(self._beginning)]) != self._beginning:
            raise ForkFailedError(f"a fork server runs what begins with {' '.join(self._beginning)}")
        if self._server is None:
            raise ForkFailedError("there is no fork server at the moment")
        try:
            child = self._server.fork(command, environ, folder)
        except OSError as error:
            self._give_up()
            raise ForkFailedError(f"the fork server was given up: {error.strerror or error}") from error
        self._pause = FIRST_PAUSE
        return child

    def renew(self) -> bool:
        """Start another server in place of one that has ended, when it is time to; tell whether one was started.

        Raises:
            OSError: none could be started.

        """
        if self._server is not None and not self._server.lives():
            self._give_up()
        if self._server is not None or time.monotonic() < self._due:
            return False
        try:
            self._server = _Server([*self._beginning, SERVER], self._environ())
        except OSError:
            self._put_off()
            raise
        return True

    def end(self) -> None:
        """End the server. What it has forked lives on."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def _give_up(self) -> None:
        self.end()
        self._put_off()

    def _put_off(self) -> None:
        self._due = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _environ(self) -> dict[str, str]:
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # Last, and with room for the mark of any child: see ``nameplate``.
        return {**passed_on, OWNER_VARIABLE: owner_mark(self.run, "fork_server", "0" * _ROOM_FOR_A_MARK)}


class _Server:
    """One server: its process, and our end of its channel."""

    def __init__(self, command: Sequence[str], environ: dict[str, str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(LOADING)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what it has to say in the worst case goes where the supervisor's own would
                env=environ,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.pid = self._process.pid

    def lives(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def fork(self, command: Sequence[str], environ: Mapping[str, str], folder: str) -> Forked:
        """Ask for a child and tell it its surroundings.

        Raises:
            ForkFailedError: the server said that it cannot.
            OSError: it said nothing in time, or has ended.

        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            stdin, to_child = _pipe(theirs, ours)
            from_child, stdout = _pipe(ours, theirs)
            errors, stderr = _pipe(ours, theirs)
            streams = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(self._channel, [encode_command([os.fsencode(word) for word in command])], streams)
            pid = self._answer()
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # fails if it is not ours
            _tell(to_child, encode_surroundings(os.fsencode(folder), _encoded(environ)))
            ours.pop_all()
        return Forked(pid, to_child, from_child, errors)

    def end(self) -> None:
        """End it, and what it has not told of."""
        self._channel.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # then it is reaped with the orphans
            self._process.wait(ANSWER)

    def _answer(self) -> int:
        packet = self._channel.recv(MAX_PACKET)
        if not packet:
            raise ConnectionResetError(errno.ECONNRESET, "it has ended")
        self._channel.settimeout(ANSWER)
        answer = decode_answer(packet)
        if isinstance(answer, str):
            raise ForkFailedError(answer)
        return answer


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Make a pipe, each end of which belongs to somebody."""
    reading, writing = os.pipe()
    return (
        reader.enter_context(os.fdopen(reading, "rb", buffering=0)),
        writer.enter_context(os.fdopen(writing, "wb", buffering=0)),
    )


def _tell(child: IO[bytes], words: bytes) -> None:
    """Write to a child that is waiting for it.

    Raises:
        TimeoutError: it takes too long to read.

    """
    left, due = memoryview(words), time.monotonic() + ANSWER
    os.set_blocking(child.fileno(), False)
    while left:
        try:
            left = left[os.write(child.fileno(), left) :]
        except BlockingIOError:
            if not select.select([], [child], [], max(0.0, due - time.monotonic()))[1]:
                raise TimeoutError(errno.ETIMEDOUT, "a child does not read its environment") from None
        except BrokenPipeError:  # it was ended already, which is heard of as every end is
            break
    os.set_blocking(child.fileno(), True)


def _encoded(environ: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in environ.items()}
