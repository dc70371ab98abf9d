"""The frames of the wire: what is written is read back, and what is wrong is named."""

from __future__ import annotations

import orjson
import pytest

from bus.errors import Refusal
from bus.frames import (
    UnknownVerbError,
    decode_answered,
    decode_asked,
    decode_feed,
    encode_answered,
    encode_asked,
    encode_batches,
    encode_beat,
    encode_stamp_fast,
    encode_told,
    stream_topic,
)
from bus.protocol import (
    BATCH_TOPIC,
    BEAT_TOPIC,
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_COMMAND,
    MAX_PUBLISH_EVENTS,
    MAX_TELL,
    STREAM_TOPIC,
    Answered,
    Arrival,
    Asked,
    Beat,
    Failure,
    Forwarded,
    Hello,
    Page,
    Publish,
    Read,
    Receipt,
    Reply,
    Request,
    StreamFrame,
    Tell,
    Welcome,
)
from schemas.codec import InvalidMessageError, decode_stamp, encode_stamp
from schemas.envelope import ROOTS, Stamp
from tests.bus.values import TIME, arrived, row, rows

TOLD = b'{"epoch":"e1","position":0,"recordedtime":"t","head":3,"sequence":%b}'


@pytest.mark.parametrize(
    "message",
    [
        Hello(protocol=1, role="test", serves=("registry.list_sessions",)),
        Publish((b"{}", b"[]")),
        Read(after=7, limit=10, prefixes=("session.", "bus."), types=("session.seen",)),
        Request(to="registry", type="registry.list_sessions", deadline_ms=2000, command=b'{"a":1}'),
        Reply(ok=True, answer=b"{}"),
        Reply(ok=False, code="busy", message="later"),
        Tell(stream="launch-1", kind="text_added", sequence=7, body=b"any bytes \x00"),
    ],
)
def test_what_is_asked_is_read_back(message: Asked) -> None:
    assert decode_asked(encode_asked(b"id", message)) == (b"id", message)


@pytest.mark.parametrize(
    "message",
    [
        Welcome(protocol=1, epoch="e1", first=1, head=5, name="gateway", feed="tcp://127.0.0.1:1"),
        Receipt(epoch="e1", positions=(1, None, 2), refused=(Refusal(1, "invalid", "id: missing"),)),
        Page(epoch="e1", first=2, head=9, through=4, more=True, damaged=((3, 3),), rows=(row(2), row(4))),
        Forwarded(sender="client", type="registry.list_sessions", deadline_ms=5, command=b"{}"),
        Reply(ok=True, answer=b"[]"),
        Failure("ahead", "no such position"),
    ],
)
def test_what_is_answered_is_read_back(message: Answered) -> None:
    assert decode_answered(encode_answered(b"id", message)) == (b"id", message)


@pytest.mark.parametrize(
    ("frames", "field"),
    [
        ([], ""),
        ([b"HELLO"], ""),
        ([b"HELLO", b""], "request id"),
        ([b"HELLO", b"x" * 33], "request id"),
        ([b"HELLO", b"1"], "HELLO"),
        ([b"HELLO", b"1", b"{"], "HELLO"),
        ([b"HELLO", b"1", b"{}"], "HELLO.protocol"),
        ([b"HELLO", b"1", b'{"protocol":"1"}'], "HELLO.protocol"),
        ([b"HELLO", b"1", b'{"protocol":1,"serves":[1]}'], "HELLO.serves[0]"),
        ([b"HELLO", b"1", b'{"protocol":1}', b""], "HELLO"),
        ([b"PUBLISH", b"1"], "PUBLISH"),
        ([b"PUBLISH", b"1", *[b"{}"] * (MAX_PUBLISH_EVENTS + 1)], "PUBLISH"),
        ([b"PUBLISH", b"1", *[b"x" * 65_536] * 65], "PUBLISH"),
        ([b"READ", b"1", b'{"after":-1}'], "READ.after"),
        ([b"READ", b"1", b'{"after":0,"limit":0}'], "READ.limit"),
        ([b"READ", b"1", b'{"after":0,"limit":1001}'], "READ.limit"),
        ([b"READ", b"1", b'{"after":0,"prefixes":[]}'], "READ.prefixes"),
        ([b"REQUEST", b"1", b'{"to":"a","type":"b","deadline_ms":0}', b"{}"], "REQUEST.deadline_ms"),
        ([b"REQUEST", b"1", b'{"to":"","type":"b","deadline_ms":1}', b"{}"], "REQUEST.to"),
        ([b"REQUEST", b"1", b'{"to":"a","type":"b","deadline_ms":1}', b"x" * (MAX_COMMAND + 1)], "REQUEST.command"),
        ([b"REPLY", b"1", b'{"ok":true}'], "REPLY"),
        ([b"REPLY", b"1", b'{"ok":false}', b"{}"], "REPLY"),
        ([b"TELL", b"1", b'{"stream":"a","kind":"b","sequence":1}'], "TELL"),
        ([b"TELL", b"1", b'{"stream":"a","kind":"b","sequence":1}', b"x" * (MAX_TELL + 1)], "TELL.body"),
        ([b"TELL", b"1", b'{"stream":"","kind":"b","sequence":1}', b""], "TELL.stream"),
        ([b"TELL", b"1", b'{"stream":"a.b","kind":"b","sequence":1}', b""], "TELL.stream"),
        ([b"TELL", b"1", b'{"stream":"a\\n","kind":"b","sequence":1}', b""], "TELL.stream"),
        ([b"TELL", b"1", b'{"stream":"a","kind":"B","sequence":1}', b""], "TELL.kind"),
        ([b"TELL", b"1", b'{"stream":"a","kind":"b","sequence":0}', b""], "TELL.sequence"),
        ([b"TELL", b"1", b'{"stream":"a","kind":"b","sequence":9007199254740993}', b""], "TELL.sequence"),
        ([b"GET / HTTP/1.1", b"1"], "verb"),
    ],
)
def test_an_error_names_its_field(frames: list[bytes], field: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        decode_asked(frames)
    assert caught.value.field == field


def test_an_unknown_verb_is_told_apart() -> None:
    with pytest.raises(UnknownVerbError):
        decode_answered([b"WAT", b"1"])


@pytest.mark.parametrize(
    "frames",
    [[b"PAGE", b"1"], [b"PAGE", b"1", b"{}"], [b"PAGE", b"1", b"{}", b"topic"], [b"RECORDED", b"1", b'{"epoch":1}']],
)
def test_a_wrong_answer_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(InvalidMessageError):
        decode_answered(frames)


def test_a_member_that_nobody_knows_is_ignored() -> None:
    assert decode_asked([b"READ", b"1", b'{"after":3,"newer":true}']) == (b"1", Read(after=3))


def test_the_feed_carries_events_and_beats() -> None:
    event = rows(3, 3)[0]
    assert decode_feed([event.topic, event.stamp, event.envelope]) == arrived(event)
    assert decode_feed(encode_beat("e1", 17, TIME)) == Beat("e1", 17)


@pytest.mark.parametrize("count", [1, 2, MAX_BATCH_EVENTS, MAX_BATCH_EVENTS + 1, 3 * MAX_BATCH_EVENTS])
def test_a_batch_is_its_events(count: int) -> None:
    batches = list(encode_batches(rows(5, 4 + count)))
    assert len(batches) == -(-count // MAX_BATCH_EVENTS)
    assert [one for batch in batches for one in decoded(batch)] == arrived(*rows(5, 4 + count))


def test_a_batch_is_bounded_in_bytes() -> None:
    large = [row(at, envelope=b"x" * (MAX_BATCH_BYTES // 2)) for at in range(1, 4)]
    whole = row(4, envelope=b"x" * MAX_BATCH_BYTES)
    batches = list(encode_batches([*large, whole, row(5)]))
    assert [len(batch) - 2 for batch in batches] == [2, 1, 1, 1]
    assert [one for batch in batches for one in decoded(batch)] == arrived(*large, whole, row(5))
    assert list(encode_batches([])) == []


def decoded(frames: list[bytes]) -> list[Arrival]:
    """Read frames that must be events."""
    heard = decode_feed(frames)
    assert isinstance(heard, list)
    return heard


def test_the_feed_carries_streams_that_are_no_events() -> None:
    tell = Tell(stream="launch-1", kind="text_added", sequence=7, body=b"\xff not json")
    frames = encode_told(tell, "e1", 17, TIME)
    assert frames[0].startswith(stream_topic("launch-1"))
    assert decode_feed(frames) == StreamFrame("text_added", 7, b"\xff not json")


def test_the_stamp_of_a_streams_frame_has_no_place_in_the_journal() -> None:
    _, stamp, _ = encode_told(Tell(stream="launch-1", kind="mark", sequence=7), "e1", 17, TIME)
    assert decode_stamp(stamp) == Stamp("e1", 0, TIME)  # which who knows no streams drops, as it is not behind its place
    assert orjson.loads(stamp) == {"epoch": "e1", "position": 0, "recordedtime": TIME, "head": 17, "sequence": 7}


@pytest.mark.parametrize("topic", [STREAM_TOPIC, BATCH_TOPIC])
def test_no_root_is_the_streams_or_the_batches(topic: bytes) -> None:
    roots = [f"{root}.".encode() for root in ROOTS]
    assert not any(root.startswith(topic) or topic.startswith(root) for root in roots)
    assert any(BEAT_TOPIC.startswith(root) for root in roots)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"a", b"b"],
        [b"a", b"not json", b"{}"],
        [b"a", b"{}", b"{}"],
        [b"stream.", TOLD % b"1", b""],
        [b"stream.a.\xff.", TOLD % b"1", b""],
        [b"stream.a.b.", TOLD % b'"1"', b""],
        [b"stream.a.b.", b"{", b""],
        [b"session.a.b.", TOLD % b"1", b""],
    ],
)
def test_a_frame_that_is_no_event_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(InvalidMessageError):
        decode_feed(frames)


def test_a_stamp_is_written_as_the_codec_writes_it() -> None:
    assert encode_stamp_fast("e1", 12, TIME) == encode_stamp(Stamp("e1", 12, TIME))
