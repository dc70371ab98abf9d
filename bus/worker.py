"""A thread that does blocking jobs in order, and brings each outcome back to the event loop.

The bus has two: one writes the journal, one reads it, so that no commit and no page ever stalls a handshake. Outcomes come
back through a socket pair that the loop awaits like every other socket, one wake-up for all that is finished.
Must not know what a job does.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

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
        while True:
            await anyio.wait_readable(self._wake)
            self._wake.recv(4096)
            while self._finished:
                job = self._finished.popleft()
                self.waiting -= 1
                job.done(job.outcome)

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
