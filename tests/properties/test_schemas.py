"""Properties of the vocabulary: what is written is read back, topics never collide, keys are exact."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.codec import (
    InvalidMessageError,
    decode,
    decode_envelope,
    decode_head,
    decode_recorded,
    decode_stamp,
    encode,
    encode_envelope,
    encode_stamp,
    parse,
)
from schemas.commands import COMMANDS
from schemas.envelope import ROOTS, Envelope, Recorded, Stamp, segment, subject, topic
from schemas.events import EVENTS
from schemas.generate import commands_schema, events_schema
from schemas.identity import (
    IdentityError,
    ProcessKey,
    conversation_key,
    is_provisional,
    process_id,
    process_session,
    session_of,
)
from schemas.ids import RANDOM_BYTES, derived, uuid7
from tests.values import TEXT, values

EVENT_SCHEMA = Draft202012Validator(events_schema())
names = st.text(min_size=1, max_size=30)


def envelope(data: Any, type_: str = "", **more: Any) -> Envelope:
    given_ = {"id": "i", "source": "/actor/gateway/1", "subject": "session/x", "time": "2026-11-21T01:00:00Z", **more}
    return Envelope(type=type_ or data.TYPE, data=data, **given_)


@pytest.mark.parametrize("type_", sorted(EVENTS))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_event_is_read_back_and_keeps_its_json_schema(type_: str, data: st.DataObject) -> None:
    told = envelope(
        data.draw(values(EVENTS[type_])), correlationid=data.draw(st.none() | names), causationid=data.draw(st.none() | names)
    )
    raw = encode_envelope(told)
    assert decode_envelope(raw) == told
    stamp = Stamp("e", 7, "2026-11-21T01:00:00Z")
    assert decode_recorded(encode_stamp(stamp), raw) == Recorded(stamp, told)
    EVENT_SCHEMA.validate(orjson.loads(raw))


@pytest.mark.parametrize("type_", sorted(COMMANDS))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_command_and_answer_is_read_back_and_keeps_its_json_schema(type_: str, data: st.DataObject) -> None:
    schema = commands_schema()
    command = COMMANDS[type_]
    for cls in (command, command.ANSWER):
        value = data.draw(values(cls))
        raw = encode(value)
        assert decode(raw, cls) == value
        Draft202012Validator({"$ref": f"#/$defs/{cls.__name__}", "$defs": schema["$defs"]}).validate(orjson.loads(raw))


@pytest.mark.parametrize("type_", sorted(EVENTS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_unknown_fields_are_tolerated_and_missing_ones_named(type_: str, data: st.DataObject) -> None:
    document = orjson.loads(encode_envelope(envelope(data.draw(values(EVENTS[type_])))))
    document["data"]["of a later version"] = {"any": ["thing"]}
    document["traceparent"] = "00-"
    assert decode_envelope(orjson.dumps(document)).type == type_
    for name in required(EVENTS[type_]):
        broken = {**document, "data": {key: value for key, value in document["data"].items() if key != name}}
        with pytest.raises(InvalidMessageError) as raised:
            decode_envelope(orjson.dumps(broken))
        assert (raised.value.field, raised.value.reason) == (f"data.{name}", "missing")
        wrong = {**document, "data": {**document["data"], name: [[]]}}
        with pytest.raises(InvalidMessageError) as raised:
            decode_envelope(orjson.dumps(wrong))
        assert raised.value.field.startswith(f"data.{name}")


def required(cls: type[Any]) -> list[str]:
    return list(msgspec.json.schema(cls)["$defs"][cls.__name__].get("required", []))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    data=json_values,
    type_=st.text(st.characters(codec="ascii"), min_size=1, max_size=9).filter(lambda name: name not in EVENTS),
)
def test_an_unknown_type_keeps_its_data(data: Any, type_: str) -> None:
    told = envelope(data, type_)
    assert decode_envelope(encode_envelope(told)) == told


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_bytes_are_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    told = envelope(data.draw(values(EVENTS[data.draw(st.sampled_from(sorted(EVENTS)))])))
    raw = bytearray(encode_envelope(told))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    for read in (decode_envelope, decode_head, decode_stamp, parse):
        try:
            read(bytes(raw))
        except InvalidMessageError:
            continue


@given(names)
def test_a_segment_stands_in_subjects_and_topics(name: str) -> None:
    assert not set(segment(name)) & set("./ \n\0")
    assert segment(name).isascii()


@given(st.sampled_from(ROOTS), st.lists(names, max_size=2), st.sampled_from(ROOTS), st.lists(names, max_size=2), st.data())
def test_topics_never_collide_and_prefixes_are_exact(
    root: str, one: list[str], other_root: str, other: list[str], data: st.DataObject
) -> None:
    types = st.sampled_from(sorted(EVENTS))
    left, right = (subject(root, *one), data.draw(types)), (subject(other_root, *other), data.draw(types))
    if left[0] != right[0]:
        assert not topic(*left).startswith(f"{right[0].replace('/', '.')}.".encode()) or left[0].startswith(f"{right[0]}/")
    if left != right and len(one) == len(other):
        assert topic(*left) != topic(*right)
    if (root, *one) != (other_root, *other):
        assert left[0] != right[0]


keys = st.builds(ProcessKey, TEXT, TEXT, st.integers(0, 9), st.integers(0, 9), st.none() | st.integers(1, 9))


@given(keys, keys)
def test_process_sessions_differ_when_their_keys_do(one: ProcessKey, other: ProcessKey) -> None:
    exact = "\0" not in one.host + one.boot + other.host + other.boot
    if exact:
        assert (process_id(one) == process_id(other)) == (one == other)
    assert is_provisional(process_session(one))


@given(TEXT, TEXT)
def test_a_conversation_is_a_key_or_refused(agent: str, own: str) -> None:
    try:
        key = conversation_key(agent, own)
    except IdentityError:
        return
    session = session_of(key)
    assert session == f"{agent}-{own}"
    assert not is_provisional(session)


@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, min_size=1, max_size=3))
def test_derived_ids_repeat_and_differ(one: list[str], other: list[str]) -> None:
    assert derived(*one) == derived(*one)
    if "\0".join(one) != "\0".join(other):
        assert derived(*one) != derived(*other)


@given(st.integers(0, 2**47), st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES), st.integers(1, 2**40))
def test_uuid7_sorts_by_time(milliseconds: int, chance: bytes, later: int) -> None:
    assert uuid7(milliseconds, chance) < uuid7(milliseconds + later, chance)
    assert uuid7(milliseconds, chance)[14] == "7"
