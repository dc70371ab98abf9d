"""One supervisor a state folder: a lock that the kernel lets go when its holder ends, however it ends.

Taken before anything else is touched. The holder's pid is written down (``holder_file``) so that a loser can name it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import psutil

from actors.runtime.paths import holder_file

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
    _acquire(lock, lock_file)
    try:
        _write_holder(lock_file, b"%d\n" % os.getpid())
        yield
        _write_holder(lock_file, b"")
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock, lock_file: Path) -> None:
    """Take the lock, or give up as soon as a living holder has said who it is.

    One that does not say so is given a moment: it has only just taken the lock, or is a command that looks whether anybody
    holds it and lets go at once.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            lock.acquire()
        except filelock.Timeout:
            holder = _holder(lock_file)
            if (holder is not None and psutil.pid_exists(holder)) or time.monotonic() >= end:
                raise AlreadyRunningError(lock_file, holder) from None
            time.sleep(0.01)
        else:
            return


def _holder(lock_file: Path) -> int | None:
    try:
        text = holder_file(lock_file).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _write_holder(lock_file: Path, content: bytes) -> None:
    file = holder_file(lock_file)
    with file.open("r+b" if file == lock_file else "wb") as opened:
        opened.truncate()
        opened.write(content)
