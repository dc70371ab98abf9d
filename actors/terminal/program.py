"""One program in a terminal of its own: its start, what it is told, its end.

Must not know what it shows, nor who looks at it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Final

from actors.runtime.hardening import die_with_parent

MAX_WAITING: Final = 4_194_304
_CHUNK: Final = 16_384
_WRITTEN: Final = 1_024
_OTHERS: Final = (
    "COLUMNS",
    "LINES",
    "TMUX",
    "TMUX_PANE",
    "STY",
    "WINDOW",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "WT_SESSION",
)
"""What other terminals are called and how large they are: of this one it would be wrong."""
_SIZE: Final = struct.Struct("HHHH")


class Program:
    """A program, started when this is made; ``fileno`` is its terminal's other end, which never blocks."""

    def __init__(self, argv: Sequence[str], columns: int, rows: int, terminal: str) -> None:
        self._master, slave = os.openpty()
        self._waiting = bytearray()
        self.unheld = False
        try:
            self.resize(columns, rows)
            self._process = subprocess.Popen(  # noqa: S603 - the user's program
                list(argv),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**{name: value for name, value in os.environ.items() if name not in _OTHERS}, "TERM": terminal},
                start_new_session=True,
                preexec_fn=_take_terminal,  # noqa: PLW1509 - there is no other thread
            )
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        os.set_blocking(self._master, False)
        self.pid = self._process.pid

    def fileno(self) -> int:
        """Return the other end of its terminal."""
        return self._master

    @property
    def waiting(self) -> bool:
        """Tell whether something is to be written that it has not read yet."""
        return bool(self._waiting)

    @property
    def gathers_lines(self) -> bool:
        """Tell whether the system gathers lines for it."""
        try:
            return bool(termios.tcgetattr(self._master)[3] & termios.ICANON)
        except termios.error:
            return False

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def read(self) -> bytes:
        """Return what it wrote; nothing when there is nothing, or (``unheld``) nobody has the terminal open."""
        self.unheld = False
        try:
            return os.read(self._master, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError:  # EIO
            self.unheld = True
            return b""

    def write(self, data: bytes) -> bool:
        """Type something; False when it reads nothing and too much waits already."""
        if len(self._waiting) + len(data) > MAX_WAITING:
            return False
        self._waiting += data
        self.flush()
        return True

    def flush(self) -> None:
        """Write what waits, as far as it is taken."""
        with contextlib.suppress(OSError):
            while self._waiting:
                del self._waiting[: os.write(self._master, bytes(self._waiting[:_WRITTEN]))]

    def resize(self, columns: int, rows: int) -> None:
        """Give its terminal another size; the system tells it."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, _SIZE.pack(rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Send a signal to all of its session that stayed in its first group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end, reading on, since it may wait for its terminal; tell whether it came."""
        until = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < until:
            readable, _, _ = select.select([self._master], [], [], 0.02)
            if readable and not self.read():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(max(0.0, until - time.monotonic()))
        return self.poll() is not None

    def close(self) -> None:
        """Let go of the terminal."""
        os.close(self._master)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    die_with_parent()
