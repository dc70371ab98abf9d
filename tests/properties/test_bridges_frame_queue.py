"""What must hold of the frames that wait for the bus, however many come and however slowly they go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.bridges.frame_queue import FrameQueue
from schemas.content import Frame, StatusTold
from schemas.identity import LaunchId, SessionId

STREAMS = [LaunchId(f"launch-{number}") for number in range(3)]


def frame(stream: LaunchId, sequence: int) -> Frame:
    piece = StatusTold(status="idle")
    return Frame(stream=stream, run="r", sequence=sequence, session=SessionId(stream), time="t", piece=piece)


@given(st.integers(0, 5), st.lists(st.one_of(st.sampled_from(STREAMS), st.none()), max_size=60))
def test_frames_keep_their_order_and_the_last_of_each_stream_always_goes_out(
    capacity: int, course: list[LaunchId | None]
) -> None:
    queue, told = FrameQueue(capacity), dict.fromkeys(STREAMS, 0)
    gone: list[Frame] = []
    for stream in course:
        if stream is not None:
            told[stream] += 1
            queue.put(frame(stream, told[stream]))
        elif queue:
            gone.append(queue.take())
    left = 0
    while queue:
        gone.append(queue.take())
        left += 1
    assert left <= capacity + len(STREAMS)
    for stream, last in told.items():
        numbers = [one.sequence for one in gone if one.stream == stream]
        assert numbers == sorted(set(numbers))
        assert numbers[-1:] == ([last] if last else [])
    assert len(gone) + queue.dropped == sum(told.values())


def test_with_room_enough_nothing_is_lost() -> None:
    queue = FrameQueue(10)
    frames = [frame(STREAMS[number % 2], number) for number in range(1, 11)]
    for one in frames:
        queue.put(one)
    assert [queue.take() for _ in frames] == frames
    assert (bool(queue), queue.dropped) == (False, 0)
