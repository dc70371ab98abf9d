"""Process descriptors: a hold on one process that no later process with its pid can inherit.

Owns opening, naming and watching. Must not know what is read while one is held.
"""

from __future__ import annotations

import errno
import os
import select
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import Self

from actors.probe.contract import ProbeError, ProcessGoneError
from schemas.identity import ProcessKey


def open_pidfd(pid: int) -> int:
    """Open a process.

    Raises:
        ProcessGoneError: there is no such process, or the number is a thread's.
        ProbeError: the system has no descriptor left, or no such call.

    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise ProcessGoneError(pid, "no such process") from error
        if error.errno in (errno.EINVAL, errno.ENOENT):
            raise ProcessGoneError(pid, "the number of no process") from error
        raise ProbeError(f"process {pid} cannot be held by a descriptor: {error.strerror}") from error


@contextmanager
def held(pid: int) -> Iterator[int]:
    """Open a process for the length of a block."""
    descriptor = open_pidfd(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def has_exited(descriptor: int) -> bool:
    """Tell whether the process of a descriptor has exited, a zombie included."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def unique_inode(descriptor: int) -> int | None:
    """Return the number that names this process for the whole boot; None where all process descriptors share one."""
    return os.fstat(descriptor).st_ino if inodes_are_unique() else None


@cache
def inodes_are_unique() -> bool:
    """Tell by behaviour (Linux 6.9 has it, distributions backport it): older kernels give every anonymous file one inode."""
    own, parent = os.pidfd_open(os.getpid()), os.eventfd(0, os.EFD_CLOEXEC)
    try:
        one, other = os.fstat(own), os.fstat(parent)
        return (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino)
    finally:
        os.close(own)
        os.close(parent)


class PidfdWatch:
    """An ``ExitWatch`` over a process descriptor, which it owns."""

    def __init__(self, process: ProcessKey, descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self._closing = weakref.finalize(self, os.close, descriptor)

    @property
    def process(self) -> ProcessKey:
        """The watched process."""
        return self._process

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the process exits."""
        return self._descriptor

    def exited(self) -> bool:
        """Tell whether the process has exited, without waiting."""
        return has_exited(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back; closing twice does nothing."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
