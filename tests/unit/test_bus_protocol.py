"""The frames of the wire: what is written is read back, and what is wrong is named."""

from __future__ import annotations

import pytest

from bus.errors import Refusal
from bus.frames import (
    UnknownVerbError,
    decode_answered,
    decode_asked,
    decode_feed,
    encode_answered,
    encode_asked,
    encode_beat,
    encode_stamp_fast,
)
from bus.protocol import (
    MAX_COMMAND,
    MAX_PUBLISH_EVENTS,
    Answered,
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
    Welcome,
)
from schemas.codec import InvalidMessageError, encode_stamp
from schemas.envelope import Stamp
from tests.bus.values import TIME, row, rows


@pytest.mark.parametrize(
    "message",
    [
        Hello(protocol=1, role="test", serves=("registry.list_sessions",)),
        Publish((b"{}", b"[]")),
        Read(after=7, limit=10, prefixes=("session.", "bus.")),
        Request(to="registry", type="registry.list_sessions", deadline_ms=2000, command=b'{"a":1}'),
        Reply(ok=True, answer=b"{}"),
        Reply(ok=False, code="busy", message="later"),
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
    assert decode_feed([event.topic, event.stamp, event.envelope]) == ("e1", event)
    assert decode_feed(encode_beat("e1", 17, TIME)) == Beat("e1", 17)


@pytest.mark.parametrize("frames", [[], [b"a", b"b"], [b"a", b"not json", b"{}"], [b"a", b"{}", b"{}"]])
def test_a_frame_that_is_no_event_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(InvalidMessageError):
        decode_feed(frames)


def test_a_stamp_is_written_as_the_codec_writes_it() -> None:
    assert encode_stamp_fast("e1", 12, TIME) == encode_stamp(Stamp("e1", 12, TIME))
