"""A log file that is bounded: one file and one before it, each at most ``limit`` bytes, readable by its owner only."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from bus.into_place import BINARY

LIMIT = 5 * 1024 * 1024


class LogFile:
    """Lines go in; when the file is full it becomes ``<name>.1`` in place of the one before. Any thread may write.

    A disk that refuses costs lines, which are counted and told in the log when it takes lines again, and nothing else.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.RLock()
        self._descriptor = -1
        self._size = 0
        self.dropped = 0

    @property
    def idle(self) -> bool:
        """Tell whether everything written so far has left this process, which is always so."""
        return True

    def write(self, line: bytes) -> bool:
        """Write a line, newline included; False when the disk would not take it."""
        with self._lock:
            try:
                self._write(line)
            except OSError:
                self.dropped += 1
                self._close()
                return False
            return True

    def close(self) -> None:
        """Bring everything to the disk and let go; a later write opens the file again."""
        with self._lock:
            if self._descriptor >= 0:
                os.fsync(self._descriptor)
                self._close()

    def _write(self, line: bytes) -> None:
        if self._descriptor < 0:
            self._open()
        if self._size and self._size + len(line) > self._limit:
            self._close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._open()
        view = memoryview(line)
        while view:
            written = os.write(self._descriptor, view)
            self._size += written
            view = view[written:]

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | BINARY
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
