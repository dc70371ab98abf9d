"""Which form of the feed is made: only one that somebody has subscribed to."""

from __future__ import annotations

import pytest

from bus.subscriptions import Subscriptions

COME, GONE = b"\x01", b"\x00"


@pytest.mark.parametrize(
    ("prefix", "singly", "batches"),
    [
        (b"", True, True),
        (b"b", True, True),
        (b"bus.", True, False),
        (b"bus.beat.", False, False),
        (b"bus.journal.", True, False),
        (b"batch.", False, True),
        (b"bat", True, True),
        (b"stream.launch-1.", False, False),
        (b"s", True, False),
        (b"session.codex-1.", True, False),
    ],
)
def test_a_prefix_wants_what_it_could_bring(prefix: bytes, *, singly: bool, batches: bool) -> None:
    heard = Subscriptions()
    heard.hear(COME + prefix)
    assert (heard.singly, heard.batches) == (singly, batches)
    heard.hear(GONE + prefix)
    assert (heard.singly, heard.batches) == (False, False)


def test_a_form_is_wanted_until_the_last_prefix_has_gone() -> None:
    heard = Subscriptions()
    for frame in (COME + b"batch.", COME + b"session.", COME + b"request.", GONE + b"session.", GONE + b"batch."):
        heard.hear(frame)
    assert (heard.singly, heard.batches) == (True, False)


@pytest.mark.parametrize("frame", [b"", b"\x02batch.", b"batch."])
def test_a_peers_own_message_is_no_subscription(frame: bytes) -> None:
    heard = Subscriptions()
    heard.hear(frame)
    assert (heard.singly, heard.batches) == (False, False)
