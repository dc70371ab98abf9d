"""In which of its two forms the feed is wanted: singly, in batches, in both or in none (pure).

The feed's socket (an XPUB) hears a prefix when its first subscriber comes and when its last one leaves. An event singly costs
two frames more than in a batch, for every one of which memory is moved and encrypted, so neither form is made for nobody. Who
gets what is libzmq's to decide, by the same prefixes. Must not know sockets, nor who subscribes.
"""

from __future__ import annotations

from bus.protocol import BATCH_TOPIC, BEAT_TOPIC, STREAM_TOPIC

_COME = 1
_GONE = 0


class Subscriptions:
    """Counts the prefixes that bring events singly, and those that bring batches."""

    def __init__(self) -> None:
        self._singly = 0
        self._batches = 0

    @property
    def singly(self) -> bool:
        """Tell whether anybody may want an event in a message of its own."""
        return self._singly > 0

    @property
    def batches(self) -> bool:
        """Tell whether anybody wants batches."""
        return self._batches > 0

    def hear(self, frame: bytes) -> None:
        """Take what the socket says: 1 or 0 and a prefix. Anything else is a peer's own message, which means nothing here."""
        if not frame or frame[0] not in {_COME, _GONE}:
            return
        prefix = frame[1:]
        by = 1 if frame[0] == _COME else -1
        if BATCH_TOPIC.startswith(prefix):
            self._batches += by
        if not prefix.startswith((BATCH_TOPIC, BEAT_TOPIC, STREAM_TOPIC)):
            self._singly += by
