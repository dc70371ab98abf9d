"""One supervisor a state folder: a lock that the kernel lets go when its holder ends, however it ends.

Taken before anything else is touched. The holder's pid stands in the file so that a loser can name it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

_PATIENCE = 0.5


class AlreadyRunningError(Exception):
    """Another supervisor holds this state folder; ``pid`` is None if it has not said its pid."""

    def __init__(self, lock_file: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "a process that has not written its pid"
        super().__init__(
            f"Tabwire is already running here: {who} holds {lock_file} (tabwire status shows it, tabwire down stops it)"
        )
        self.pid = pid


@contextmanager
def only_one(lock_file: Path) -> Iterator[None]:
    """Hold the lock for the length of a block.

    Raises:
        AlreadyRunningError: somebody else holds it; nothing was touched.

    """
    lock = filelock.FileLock(lock_file, mode=0o600, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise AlreadyRunningError(lock_file, _holder(lock_file)) from None
    try:
        with lock_file.open("r+b") as file:
            file.truncate()
            file.write(b"%d\n" % os.getpid())
        yield
    finally:
        lock.release()


def _holder(lock_file: Path) -> int | None:
    """Read the holder's pid; one that took the lock this very moment gets time to write it."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            text = lock_file.read_text()
        except OSError:  # a system that also locks reading
            return None
        if text.strip().isdigit():
            return int(text)
        if time.monotonic() >= end:
            return None
        time.sleep(0.01)
