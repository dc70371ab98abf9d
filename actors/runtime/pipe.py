"""Writes lines to a pipe without ever waiting for who reads it.

Whoever reads may be stopped or slow; an actor's own work must not be. A line that does not fit into the pipe is kept in a
bounded buffer; when that is full the newest lines are dropped and counted. Where a pipe cannot be told not to block (on
Windows) a thread writes in our stead, and waits. Must not know what the lines say.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import threading
import time
from typing import Final

_BLOCKS: Final = sys.platform.startswith("win")
_AT_ONCE: Final = 4096
_PAUSE: Final = 0.005


class LinePipe:
    """The writing end of a pipe (or of a file or terminal, where writes are simply done)."""

    def __init__(self, descriptor: int, capacity: int = 256 * 1024) -> None:
        self._descriptor = descriptor
        self._capacity = capacity
        self._pending = bytearray()
        self._lock = threading.RLock()  # re-entrant: a signal handler or a finaliser may log while a line is written
        self._closed = False
        self.dropped = 0
        self._wanted: threading.Event | None = None
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return
        if _BLOCKS:
            self._wanted = threading.Event()
            threading.Thread(target=self._write_for_ever, args=(self._wanted,), name="pipe", daemon=True).start()
        else:
            os.set_blocking(descriptor, False)

    @property
    def idle(self) -> bool:
        """Tell whether everything written so far has left this process."""
        return not self._pending

    def write(self, line: bytes) -> bool:
        """Write a line, newline included; False when it was dropped because the buffer is full or nobody reads any more."""
        with self._lock:
            if self._closed or len(self._pending) + len(line) > self._capacity:
                self.dropped += 1
                return False
            self._pending += line
            self.flush()
            return True

    def flush(self) -> None:
        """Give the pipe as much as it takes now."""
        if self._wanted is not None:
            self._wanted.set()
            return
        with self._lock:
            while self._pending and not self._closed:
                try:
                    written = os.write(self._descriptor, self._pending)
                except BlockingIOError:
                    return
                except OSError:  # the reader is gone; what happens now is decided by the end of stdin
                    self._closed = True
                    self._pending.clear()
                    return
                del self._pending[:written]

    def drain(self, deadline: float) -> None:
        """Wait up to ``deadline`` seconds until everything has left: for the last words before an exit."""
        end = time.monotonic() + deadline
        self.flush()
        while self._pending and not self._closed and (left := end - time.monotonic()) > 0:
            if self._wanted is not None:
                time.sleep(_PAUSE)
                continue
            with contextlib.suppress(OSError):
                select.select([], [self._descriptor], [], left)
            self.flush()

    def _write_for_ever(self, wanted: threading.Event) -> None:
        """Write whatever is there, waiting for the reader. Runs in a thread of its own."""
        while not self._closed:
            wanted.wait()
            wanted.clear()
            while some := bytes(self._pending[:_AT_ONCE]):
                try:
                    written = os.write(self._descriptor, some)
                except OSError:  # as in ``flush``
                    with self._lock:
                        self._closed = True
                        self._pending.clear()
                    return
                with self._lock:
                    del self._pending[:written]
