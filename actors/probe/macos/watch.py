"""The exit of a process on macOS: a kernel queue that becomes readable when it happens."""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for macOS
from __future__ import annotations

import sys

assert sys.platform == "darwin", "kernel queues for processes exist on macOS; actors.probe.choose_probe() chooses"  # noqa: S101

import select
from types import TracebackType
from typing import Self

from actors.probe.contract import ProbeError, ProcessGoneError
from schemas.identity import ProcessKey


class QueueWatch:
    """An ``ExitWatch``. Whoever makes one checks afterwards that the pid is still that process's."""

    def __init__(self, process: ProcessKey) -> None:
        """Begin to watch.

        Raises:
            ProcessGoneError: there is no such process, or only its exit status.
            ProbeError: we have no descriptor left.

        """
        self._process = process
        self._exited = False
        try:
            self._queue = select.kqueue()
        except OSError as error:
            raise ProbeError(f"process {process.pid} cannot be watched: {error.strerror}") from error
        wish = select.kevent(process.pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT)
        try:
            self._queue.control([wish], 0, 0)
        except ProcessLookupError as error:
            self._queue.close()
            raise ProcessGoneError(process.pid, "has exited") from error
        except OSError as error:
            self._queue.close()
            raise ProbeError(f"process {process.pid} cannot be watched: {error.strerror}") from error

    @property
    def process(self) -> ProcessKey:
        """The watched process."""
        return self._process

    def fileno(self) -> int:
        """Return the queue, which is readable once the process has exited, until ``exited`` has told so."""
        return self._queue.fileno()

    def exited(self) -> bool:
        """Tell whether the process has exited, without waiting."""
        self._exited = self._exited or bool(self._queue.control(None, 1, 0))
        return self._exited

    def close(self) -> None:
        """Give the queue back; closing twice does nothing."""
        self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
