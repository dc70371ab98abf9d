"""The broker's end of the feed: committed rows, in the forms that somebody has subscribed to, and beats.

One thread at a time may use it: the writer's, or the loop while the writer has nothing to do (``bus.worker``). A beat is a job
of the writer's too, so the head that it tells is on the feed before it. Must not know where rows come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from bus.frames import encode_batches, encode_beat
from bus.protocol import Row
from bus.sockets import Socket
from bus.subscriptions import Subscriptions


class Publisher:
    """Puts things on the feed; libzmq drops what a subscriber does not take."""

    def __init__(self, feed: Socket) -> None:
        self._feed = feed
        self._subscriptions = Subscriptions()

    def put_rows(self, rows: Sequence[Row]) -> None:
        """Publish rows that follow each other and were recorded at one time."""
        self._listen()
        if self._subscriptions.batches:
            self._feed.send_all(encode_batches(rows))
        if self._subscriptions.singly:
            self._feed.send_all((row.topic, row.stamp, row.envelope) for row in rows)

    def put_beat(self, epoch: str, head: int, time: str) -> None:
        """Publish a beat."""
        self._listen()
        self._feed.send(encode_beat(epoch, head, time))

    def _listen(self) -> None:
        """Learn who came and went. Before rows go out, so that whoever has seen a beat misses nothing behind it."""
        while self._feed.has_message() and (said := self._feed.receive()) is not None:
            self._subscriptions.hear(said[0])
