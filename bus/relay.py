"""Past the journal: what is told in streams goes to the feed and nowhere else.

Theory of operation
-------------------
One thread at a time may use the feed's socket: the writer's, or the loop while the writer has nothing to do
(``bus.worker``). So what is told gathers here and leaves as a job among the writer's, one at a time: at once when nothing is
being committed, and all that has gathered behind a commit when one is. What finds the gathering full is dropped; the stream's
numbers show that to whoever listens. With nobody telling, none of this runs. Must not know what is told, nor who may.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.frames import encode_told
from bus.journal import Journal
from bus.protocol import Tell
from bus.sockets import Socket
from bus.worker import Worker

MAX_GATHERED = 4096
MAX_GATHERED_BYTES = 8 * 1024 * 1024


class Relay:
    """Takes what is told in the loop's thread and puts it on the feed, in order."""

    def __init__(self, *, journal: Journal, writer: Worker, feed: Socket, now: Callable[[], str]) -> None:
        self._journal = journal
        self._writer = writer
        self._feed = feed
        self._now = now
        self._gathered: list[Tell] = []
        self._bytes = 0
        self._leaving = False

    def take(self, tell: Tell) -> bool:
        """Take one; tell whether there was room for it."""
        size = len(tell.body)
        if len(self._gathered) >= MAX_GATHERED or self._bytes + size > MAX_GATHERED_BYTES:
            return False
        self._gathered.append(tell)
        self._bytes += size
        if not self._leaving:
            self._leave()
        return True

    def _leave(self) -> None:
        batch, self._gathered, self._bytes = self._gathered, [], 0
        self._leaving = True
        self._writer.at_once(lambda: self._put(batch), self._left)

    def _put(self, batch: list[Tell]) -> None:
        """Put them on the feed: a job of the writer's, so the head that their stamps tell is on the feed before them."""
        epoch, head, time = self._journal.epoch, self._journal.head, self._now()
        self._feed.send_all([encode_told(tell, epoch, head, time) for tell in batch])

    def _left(self, outcome: Exception | None) -> None:
        if outcome is not None:
            raise outcome
        self._leaving = False
        if self._gathered:
            self._leave()
