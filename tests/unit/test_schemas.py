"""The vocabulary by example: errors that name the field, topics, keys, upcasting, bounds that no prompt fits into."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import orjson
import pytest

from schemas.codec import InvalidMessageError, decode_envelope, decode_head, decode_stamp, encode, encode_envelope
from schemas.envelope import ROOTS, Envelope, segment, subject, topic
from schemas.events import EVENTS, ActorFailed, LaunchEnded, ProcessExited, RequestCompleted, Usage
from schemas.generate import FOLDER, asyncapi, documents
from schemas.identity import (
    IdentityError,
    LaunchId,
    ProcessKey,
    conversation_key,
    is_provisional,
    process_id,
    process_session,
    session_of,
    terminal_key,
)
from schemas.ids import derived
from schemas.launch import TOKEN_FORM, redact_token, token_digest
from schemas.upcast import upcast

KEY = ProcessKey("host", "boot", 41233, 998877, 5)
GOOD = {
    "specversion": "1.0",
    "id": "1",
    "source": "/actor/gateway/1",
    "type": "process.exited",
    "subject": "process/41233-x",
    "time": "2026-11-21T01:00:00Z",
    "data": {"process": {"host": "h", "boot": "b", "pid": 1, "started": 2}},
}


def changed(**more: Any) -> bytes:
    return orjson.dumps({key: value for key, value in {**GOOD, **more}.items() if value is not ...})


# ------------------------------------------------------------------------------------------------ codec


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (b"", "", "not JSON"),
        (b"[]", "", "expected a JSON object"),
        (b"7", "", "expected a JSON object"),
        (changed(id=...), "id", "missing"),
        (changed(data=...), "data", "missing"),
        (changed(data=None), "data", "Expected `object`, got `null`"),
        (changed(data={}), "data.process", "missing"),
        (changed(data={"process": {"host": "h"}}), "data.process.boot", "missing"),
        (changed(data={"process": {"host": "h", "boot": "b", "pid": "1", "started": 2}}), "data.process.pid", "Expected `int`"),
        (
            changed(data={"process": {"host": "h" * 129, "boot": "b", "pid": 1, "started": 2}}),
            "data.process.host",
            "length <= 128",
        ),
        (changed(type="launch.ended", data={"launch": "l" * 65}), "data.launch", "length <= 64"),
    ],
)
def test_an_invalid_envelope_names_the_field(raw: bytes, field: str, reason: str) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        decode_envelope(raw)
    assert raised.value.field == field
    assert reason in raised.value.reason
    assert str(raised.value).startswith(field)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"specversion":"\x80"}', ""),
        (b"[" * 100_000, ""),
        (changed(source=...), "source"),
        (changed(time=7), "time"),
        (changed(specversion="2.0"), "specversion"),
    ],
)
def test_a_head_that_is_none_names_the_field(raw: bytes, field: str) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        decode_head(raw)
    assert raised.value.field == field


@pytest.mark.parametrize("raw", [b'{"epoch":"\x80","position":1,"recordedtime":""}', b"{", b'{"x":' + b"[" * 100_000])
def test_a_stamp_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decode_stamp(raw)


def test_an_envelope_leaves_out_what_it_does_not_have() -> None:
    envelope = Envelope(
        id="1", source="/actor/x/1", type="launch.ended", subject="launch/l", time="t", data=LaunchEnded(launch=LaunchId("l"))
    )
    assert set(orjson.loads(encode(envelope))) == {"specversion", "id", "source", "type", "subject", "time", "data"}
    assert orjson.loads(encode_envelope(envelope))["data"] == {"launch": "l", "reason": "process exited"}


def test_an_upcaster_leads_to_the_current_type() -> None:
    upcasters = {
        "a.was": lambda data: ("b.was", {**data, "b": 1}),
        "b.was": lambda data: ("process.exited", {**data, "c": 2}),
    }
    assert upcast("a.was", {}, upcasters) == ("process.exited", {"b": 1, "c": 2})
    with pytest.raises(ValueError, match="circle"):
        upcast("a", {}, {"a": lambda data: ("b", data), "b": lambda data: ("a", data)})


# ------------------------------------------------------------------------------------------------ subjects and topics


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("codex-01a1", "codex-01a1"),
        ("a.b", "a%2Eb"),
        ("a/b", "a%2Fb"),
        ("wt:{1}", "wt%3A%7B1%7D"),
        ("é ", "%C3%A9%20"),
        ("~_-", "~_-"),
    ],
)
def test_segments_are_encoded(name: str, written: str) -> None:
    assert segment(name) == written


def test_topics_end_in_a_dot_so_that_prefixes_are_exact() -> None:
    assert topic(subject("session", "codex-01a1"), "request.completed") == b"session.codex-01a1.request.completed."
    assert not topic(subject("session", "codex-01a10"), "x").startswith(b"session.codex-01a1.")


def test_every_event_type_is_a_root_and_what_happened() -> None:
    sources = {*ROOTS, "hook", "budget", "bridge"}  # these are about a session, so that the session is their subject
    for type_ in EVENTS:
        root, _, verb = type_.partition(".")
        assert root in sources
        assert verb.rpartition("_")[2].endswith(("ed", "seen", "gone", "byte", "needed", "ready", "found", "lost"))


# ------------------------------------------------------------------------------------------------ identity


def test_session_ids_are_computable_by_every_actor() -> None:
    assert session_of(conversation_key("codex", "01a1fb07-1234")) == "codex-01a1fb07-1234"
    assert process_session(KEY) == f"proc-{process_id(KEY)}"
    assert process_id(KEY).startswith("41233-")
    assert is_provisional("launch-12")
    assert is_provisional(process_session(KEY))
    assert not is_provisional("codex-launch-1")


@pytest.mark.parametrize(
    "other",
    [
        ProcessKey("other", "boot", 41233, 998877, 5),
        ProcessKey("host", "other", 41233, 998877, 5),
        ProcessKey("host", "boot", 41233, 998878, 5),
        ProcessKey("host", "boot", 41233, 998877, 6),
        ProcessKey("host", "boot", 41233, 998877, None),
    ],
)
def test_each_part_of_a_process_key_counts(other: ProcessKey) -> None:
    assert process_id(other) != process_id(KEY)
    assert process_id(other).startswith("41233-")


@pytest.mark.parametrize(
    ("agent", "own"), [("", "x"), ("launch", "x"), ("proc", "x"), ("other", "x"), ("Codex", "x"), ("codex", "")]
)
@pytest.mark.parametrize("bad", ["", "../x"])
def test_what_cannot_be_a_conversation_is_refused(agent: str, own: str, bad: str) -> None:
    with pytest.raises(IdentityError):
        conversation_key(agent, own + bad if own else bad)


@pytest.mark.parametrize(("scheme", "value"), [("", "x"), ("WT", "x"), ("wt", ""), ("wt", "a\nb"), ("wt", "x" * 257)])
def test_what_cannot_be_a_terminal_is_refused(scheme: str, value: str) -> None:
    with pytest.raises(IdentityError):
        terminal_key(scheme, value)
    assert terminal_key("tmux", "/tmp/s,1:%3") == "tmux:/tmp/s,1:%3"


def test_a_token_is_kept_as_a_digest_and_never_printed() -> None:
    token = "A" * 43
    assert TOKEN_FORM.fullmatch(token)
    assert token not in token_digest(token)
    assert redact_token(f"/s/{token}/v1/responses") == "/s/…/v1/responses"
    assert redact_token("/v1/responses") == "/v1/responses"
    assert redact_token(f"/s/{token}") == "/s/…"


def test_derived_ids_are_uuids_of_version_8() -> None:
    assert derived("session.seen", "codex-1")[14] == "8"
    assert derived("a", "b") != derived("ab")


# ------------------------------------------------------------------------------------------------ generated documents


@pytest.mark.parametrize("name", sorted(documents()))
def test_generated_documents_are_what_the_types_say(name: str) -> None:
    assert (FOLDER / name).read_bytes() == documents()[name], "run: python -m schemas.generate"


def test_the_asyncapi_document_describes_every_event_by_a_reference_that_exists() -> None:
    document = asyncapi()
    schema = orjson.loads((FOLDER / "events.schema.json").read_bytes())
    assert set(document["channels"]) == set(EVENTS)
    for message in document["components"]["messages"].values():
        assert message["payload"]["$ref"].rpartition("/")[2] in schema["$defs"]
    assert all(channel["description"] for channel in document["channels"].values())


# ------------------------------------------------------------------------------------------------ content is not state


CANARY = "the user's prompt " * 400


def strings(schema: dict[str, Any], definitions: dict[str, Any], where: str) -> list[str]:
    """Return the places of a JSON Schema that accept a text of any length."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return strings(definitions[name], definitions, where)
    found = []
    if schema.get("type") == "string" and "maxLength" not in schema and "enum" not in schema:
        found.append(where)
    if not schema or (schema.get("type") == "object" and schema.get("additionalProperties") is True):
        found.append(f"{where}: anything")
    for name, part in schema.get("properties", {}).items():
        found += strings(part, definitions, f"{where}.{name}")
    for part in (*schema.get("anyOf", ()), *schema.get("prefixItems", ())):
        found += strings(part, definitions, where)
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            found += strings(schema[key], definitions, where)
    return found


@pytest.mark.parametrize("type_", sorted(EVENTS))
def test_no_event_field_is_an_unbounded_text(type_: str) -> None:
    cls = EVENTS[type_]
    (_, definitions) = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
    assert strings(definitions[cls.__name__], definitions, type_) == []


@pytest.mark.parametrize("type_", sorted(EVENTS))
def test_no_event_takes_a_prompt_in_any_field(type_: str) -> None:
    schema = msgspec.json.schema(EVENTS[type_])["$defs"][EVENTS[type_].__name__]
    for name in schema["properties"]:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({name: CANARY}, partial(EVENTS[type_], name))


def partial(cls: type[Any], name: str) -> type[Any]:
    """Return a type with one field of another."""
    return msgspec.defstruct("Partial", [(name, get_type_hints(cls, include_extras=True)[name])])


def test_words_for_content_are_no_field_names() -> None:
    names = {name for cls in EVENTS.values() for name in msgspec.json.schema(cls)["$defs"][cls.__name__]["properties"]}
    assert (
        names & {"prompt", "completion", "content", "text", "body", "messages", "headers", "environment", "argv", "api_key"}
        == set()
    )
    assert {ActorFailed, ProcessExited, RequestCompleted} <= set(EVENTS.values())


def test_usages_are_counted_together_field_by_field() -> None:
    one = Usage(input=1, cached_input=2, output=3, reasoning=4, total=5)
    assert one + Usage(input=10, cached_input=20, output=30, reasoning=40, total=50) == Usage(
        input=11, cached_input=22, output=33, reasoning=44, total=55
    )
    assert one + Usage() == Usage() + one == one
