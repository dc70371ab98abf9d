"""When a descriptor is worth looking at: told by the event loop, which is asked once where it can remember.

Theory of operation
-------------------
``anyio.wait_readable`` tells the loop of a descriptor before each wait and takes it back afterwards: two system calls, a task
switch and a scope, more than all the rest that is done for an event. A loop of asyncio that has ``add_reader`` is told once
instead, and calls a function (``attend``) or wakes the one task that waits (``wait``). It calls for as long as the
descriptor is readable, and a ZeroMQ socket's is until the socket was asked what happened: so every call ends in ``worth``,
which asks, also when nobody waits. Loops without ``add_reader`` (Windows' proactor, trio) are asked through anyio each time.

A deadline costs nothing while it is not reached: one timer goes off at the earliest, and is set again for the rest.
Must not know sockets or messages.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.lowlevel

# Windows' event loop lets a thread of anyio's wait for sockets. A wait that ends just when another is cancelled may take the
# next one with it (the thread removes by descriptor, not by wait), so none lasts long there.
_LONGEST_WAIT = 0.05 if sys.platform.startswith("win") else math.inf


class Readiness(Protocol):
    """Watches one descriptor for one task at a time, in the loop's thread."""

    async def wait(self, until: float) -> bool:
        """Wait until it may be worth to look, at the latest until ``until`` (``anyio.current_time``); tell whether it is."""

    async def attend(self, take: Callable[[], bool]) -> None:
        """Call ``take`` whenever it is worth it, until it returns False; what it raises is raised here."""

    def ring(self) -> None:
        """Say that it is worth to look, although the descriptor may be silent."""

    def close(self) -> None:
        """Watch no longer; before the descriptor is closed."""


def readiness(descriptor: int, worth: Callable[[], bool]) -> Readiness:
    """Watch a descriptor on the running loop; ``worth`` tells whether to wake anybody, and silences what was looked at."""
    try:
        loop = asyncio.get_running_loop()
        return _Remembered(loop, descriptor, worth)
    except (RuntimeError, NotImplementedError):  # not asyncio; its loop cannot
        return _Asked(descriptor, worth)


class _Remembered:
    """On a loop that was told once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, worth: Callable[[], bool]) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._worth = worth
        self._waiter: asyncio.Future[bool] | None = None
        self._take: Callable[[], bool] | None = None
        self._rung = False
        self._closed = False
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None
        loop.add_reader(descriptor, self._stirred)

    async def wait(self, until: float) -> bool:
        self._until = until
        if until < math.inf and (self._timer is None or self._timer.when() > until):
            self._set_timer()
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    async def attend(self, take: Callable[[], bool]) -> None:
        self._waiter = ended = self._loop.create_future()
        self._take = take
        self.ring()
        try:
            await ended
        finally:
            self._take = self._waiter = None

    def ring(self) -> None:
        if self._take is None:
            self._wake(worth=True)
        elif not self._rung:
            self._rung = True
            self._loop.call_soon(self._stirred)

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)

    def _stirred(self) -> None:
        self._rung = False
        if self._closed:
            return
        if self._take is None:
            if self._worth():
                self._wake(worth=True)
            return
        try:
            if not self._take():
                self._take = None
                self._wake(worth=True)
            elif self._worth():
                self.ring()
        except BaseException as error:  # noqa: BLE001 - raised by whoever attends
            self._take = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)

    def _wake(self, *, worth: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(worth)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._waiter is None or self._take is not None or self._until == math.inf:
            return  # nobody waits for a time
        if self._loop.time() < self._until:
            self._set_timer()
        else:
            self._wake(worth=False)


class _Asked:
    """On any loop: asked before each wait."""

    def __init__(self, descriptor: int, worth: Callable[[], bool]) -> None:
        self._descriptor = descriptor
        self._worth = worth
        self._waiting: anyio.CancelScope | None = None

    async def wait(self, until: float) -> bool:
        try:
            with anyio.CancelScope(deadline=min(until, anyio.current_time() + _LONGEST_WAIT)) as self._waiting:
                await anyio.wait_readable(self._descriptor)
        finally:
            self._waiting = None
        return self._worth()

    async def attend(self, take: Callable[[], bool]) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            while not self._worth():
                await self.wait(math.inf)
            if not take():
                return

    def ring(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def close(self) -> None:
        return
