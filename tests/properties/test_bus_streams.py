"""A listener's queue: whatever is lost on the way, what is heard is in order and every loss is seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.frames import decode_asked, decode_feed, encode_asked, encode_told
from bus.protocol import MARK, MAX_SEQUENCE, MAX_TELL, Mark, StreamFrame, Tell
from bus.stream_queue import StreamQueue

names = st.from_regex(r"[A-Za-z0-9_~%-]{1,128}", fullmatch=True)
kinds = st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True)
tells = st.builds(
    Tell,
    stream=names,
    kind=kinds,
    sequence=st.integers(1, MAX_SEQUENCE),
    body=st.binary(max_size=200) | st.just(b"x" * MAX_TELL),
)


@given(tells)
def test_a_tell_is_read_back_by_the_broker_and_by_a_listener(tell: Tell) -> None:
    assert decode_asked(encode_asked(b"tell", tell)) == (b"tell", tell)
    heard = decode_feed(encode_told(tell, "e1", 3, "2026-11-21T01:50:01.123456Z"))
    assert heard == StreamFrame(tell.kind, tell.sequence, tell.body)


@st.composite
def journeys(draw: st.DrawFn) -> list[str]:
    """What happens to each of the things told: it arrives, is lost, is marked; and the listener takes one now and then."""
    return draw(st.lists(st.sampled_from(["arrives", "lost", "marked", "mark lost", "taken"]), max_size=80))


@given(journeys(), st.integers(1, 8), st.integers(1, 40))
def test_every_loss_is_seen(journey: list[str], room: int, size: int) -> None:
    queue = StreamQueue(frames=room, size=size)
    told, heard = 0, list[bytes | Mark]()
    for step in journey:
        if step in ("arrives", "lost"):
            told += 1
        if step == "arrives":
            queue.put(StreamFrame("text_added", told, b"%d" % told))
        elif step == "marked" and told:
            queue.put(StreamFrame(MARK, told, b""))
        elif step == "taken" and queue:
            heard.append(queue.take())
    while queue:
        heard.append(queue.take())
    if told:
        queue.put(StreamFrame(MARK, told, b""))  # said again for as long as the stream is known
    while queue:
        heard.append(queue.take())
    numbers = [one.sequence if isinstance(one, Mark) else int(one) for one in heard]
    assert numbers == sorted(set(numbers))  # in order, each once
    assert (numbers[-1] if numbers else 0) == told  # and the end is known
    frames = [one for one in heard if isinstance(one, bytes)]
    if numbers:
        assert queue.lost == told - numbers[0] + isinstance(heard[0], bytes) - len(frames)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30)), max_size=60), st.integers(0, 6), st.integers(0, 60))
def test_the_queue_is_bounded(frames: list[tuple[int, int]], room: int, size: int) -> None:
    queue = StreamQueue(frames=room, size=size)
    for sequence, length in frames:
        queue.put(StreamFrame("text_added", sequence, b"x" * length))
    waiting = []
    while queue:
        waiting.append(queue.take())
    assert len(waiting) <= room
    assert sum(len(one) for one in waiting if isinstance(one, bytes)) <= size


def test_a_teller_that_began_anew_is_heard_and_no_loss() -> None:
    queue = StreamQueue()
    for sequence in (7, 8, 1, 2):
        queue.put(StreamFrame("text_added", sequence, b"%d" % sequence))
    assert [queue.take() for _ in range(4)] == [b"7", b"8", b"1", b"2"]
    assert queue.lost == 0


def test_a_mark_that_is_no_news_is_not_told() -> None:
    queue = StreamQueue()
    for kind, sequence in (("text_added", 1), (MARK, 1), (MARK, 3), (MARK, 3), ("text_added", 4), (MARK, 4), (MARK, 1)):
        queue.put(StreamFrame(kind, sequence, b"body"))
    assert [queue.take() for _ in range(4)] == [b"body", Mark(3), b"body", Mark(1)]
    assert not queue
    assert queue.lost == 2
