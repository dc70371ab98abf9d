"""A thread that does blocking jobs in order, and brings each outcome back to the event loop.

The bus has two: one writes the journal, one reads it, so that no large or slow commit and no page stalls a handshake.
Outcomes come back through a socket pair that the loop watches like every other socket, one wake-up for all that is finished.
Must not know what a job does.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

from bus.readiness import readiness

_T = TypeVar("_T")
_STOP_SECONDS = 10.0


class Worker:
    """One thread. Give it jobs with ``submit`` or ``call`` from the loop's thread; run ``deliver`` in a task."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._finished: deque[_Job] = deque()
        self._wake, self._signal = socket.socketpair()
        self._wake.settimeout(0)
        self._signal.settimeout(0)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.waiting = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._jobs.put(None)
        self._thread.join(_STOP_SECONDS)
        self._wake.close()
        self._signal.close()

    def submit(self, job: Callable[[], _T], done: Callable[[_T | Exception], None]) -> None:
        """Do ``job`` in the thread after all earlier ones, then call ``done`` in the loop with its result or exception."""
        self.waiting += 1
        self._jobs.put(_Job(job, done))

    def at_once(self, job: Callable[[], _T], done: Callable[[_T | Exception], None]) -> None:
        """Do ``job`` here and now when the thread has nothing to do, since handing it over would take longer; else ``submit``.

        Jobs never overlap, so what they touch needs no lock, whichever thread does them.
        """
        if self.waiting:
            self.submit(job, done)
            return
        outcome: _T | Exception
        try:
            outcome = job()
        except Exception as error:  # noqa: BLE001 - handled or raised by ``done``, as that of any job
            outcome = error
        done(outcome)

    async def call(self, job: Callable[[], _T]) -> _T:
        """Do ``job`` in the thread after all earlier ones, and return its result or raise its exception."""
        finished = anyio.Event()
        outcomes: list[_T | Exception] = []

        def done(outcome: _T | Exception) -> None:
            outcomes.append(outcome)
            finished.set()

        self.submit(job, done)
        await finished.wait()
        outcome = outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def deliver(self) -> None:
        """Call ``done`` of every finished job, for ever; what it raises ends the delivery."""
        watched = readiness(self._wake.fileno(), lambda: bool(self._finished))
        try:
            await watched.attend(self._deliver_finished)
        finally:
            watched.close()

    def _deliver_finished(self) -> bool:
        with suppress(BlockingIOError):
            self._wake.recv(4096)
        while self._finished:
            job = self._finished.popleft()
            self.waiting -= 1
            job.done(job.outcome)
        return True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.outcome = job.job()
            except Exception as error:  # noqa: BLE001 - brought to the loop, where it is handled or raised
                job.outcome = error
            self._finished.append(job)
            try:
                self._signal.send(b"\0")
            except OSError:  # full: the loop is woken already; closed: nobody waits any more
                continue


class _Job:
    __slots__ = ("done", "job", "outcome")

    def __init__(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.job = job
        self.done = done
        self.outcome: Any = None
