"""What must hold of the gateway's pure parts whatever comes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gateway import moves
from actors.gateway.admission import Door, Kernel
from actors.gateway.attribution import (
    NO_LAUNCH,
    Caller,
    Standing,
    attribute,
    caller_of,
    unknown_caller,
)
from actors.gateway.claims import Claims, read_claims
from actors.gateway.exchange import begin, step
from actors.gateway.fields import Fields
from actors.gateway.head import read_head, read_target
from actors.gateway.peek import requested_model
from actors.gateway.routing import Preference, route
from actors.gateway.routing import Standing as ProviderStanding
from actors.gateway.usage import Reading, StreamMeter
from schemas import events as e
from schemas.codec import convert, encode, parse
from schemas.events import Dialect
from schemas.evidence import Rank
from schemas.identity import LaunchId, ProcessKey, RequestId, TerminalKey
from schemas.launch import LaunchRecord

PROCESS = ProcessKey("host", "boot", 41, 1000, 7)
DIALECTS = st.sampled_from(["openai.responses", "openai.chat", "anthropic.messages"])

# ------------------------------------------------------------------------------------------------ the meter

TEXT = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["response.completed", '"usage":{', '"error"', "message_stop", "\n\n", "data: x", "\u2028"]
)
COUNT = st.integers(0, 10_000)
OPENAI = st.fixed_dictionaries({"input_tokens": COUNT, "output_tokens": COUNT})
CHAT = st.fixed_dictionaries({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT})
DATA = st.one_of(
    st.builds(lambda text: {"type": "response.output_text.delta", "delta": text}, TEXT),
    st.builds(lambda text: {"type": "content_block_delta", "delta": {"text": text}}, TEXT),
    st.builds(lambda usage: {"type": "response.completed", "response": {"id": "resp_1", "model": "m", "usage": usage}}, OPENAI),
    st.builds(lambda: {"type": "response.created", "response": {"id": "resp_1", "usage": None}}),
    st.builds(lambda: {"type": "response.failed", "response": {"id": "resp_1", "error": {"code": "overloaded"}}}),
    st.builds(lambda usage: {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": usage}}, OPENAI),
    st.builds(lambda count: {"type": "message_delta", "usage": {"output_tokens": count}}, COUNT),
    st.just({"type": "message_stop"}),
    st.builds(lambda usage: {"id": "chat-1", "model": "g", "choices": [], "usage": usage}, CHAT),
    st.just({"error": {"type": "overloaded_error", "message": "no"}}),
    st.just({"type": "error", "error": {"type": "overloaded_error"}}),
)
BLANK = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\n\n"])
EVENT = st.one_of(
    st.builds(lambda data, blank: b"data: " + orjson.dumps(data) + blank, DATA, BLANK),
    st.builds(lambda data, blank: b"event: x\ndata:" + orjson.dumps(data) + blank, DATA, BLANK),
    st.builds(lambda raw, blank: raw + blank, st.binary(max_size=20), BLANK),
    st.sampled_from([b": keepalive\n\n", b"data: [DONE]\n\n", b"\xef\xbb\xbfdata: {}\n\n", b"data: response.completed\n\n"]),
)
STREAM = st.lists(EVENT, max_size=12).map(b"".join)


def read(dialect: Dialect, chunks: list[bytes]) -> Reading:
    meter = StreamMeter(dialect)
    for chunk in chunks:
        meter.feed(chunk)
    return meter.reading()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(edges)]


@settings(max_examples=400, deadline=None)
@given(STREAM, DIALECTS, st.lists(st.integers(0, 4000), max_size=20))
def test_where_chunks_are_cut_changes_nothing_that_is_read(stream: bytes, dialect: Dialect, places: list[int]) -> None:
    whole = read(dialect, [stream])
    assert read(dialect, cut(stream, places)) == whole
    assert read(dialect, [stream[at : at + 1] for at in range(len(stream))]) == whole


@given(st.lists(st.builds(lambda text: {"type": "response.output_text.delta", "delta": text}, TEXT)), OPENAI)
def test_generated_text_is_never_taken_for_an_ending(deltas: list[dict[str, Any]], usage: dict[str, int]) -> None:
    stream = b"".join(b"data: " + orjson.dumps(delta) + b"\n\n" for delta in deltas)
    assert read("openai.responses", [stream]) == Reading()
    last = {"type": "response.completed", "response": {"id": "r", "usage": usage}}
    found = read("openai.responses", [stream, b"data: " + orjson.dumps(last) + b"\n\n"])
    assert found.ending == "completed"
    assert found.usage is not None
    assert (found.usage.input, found.usage.output) == (usage["input_tokens"], usage["output_tokens"])


# ------------------------------------------------------------------------------------------------ the exchange

HEAD = st.builds(
    lambda raw, fields: read_head("POST", raw, Fields.of({"host": "127.0.0.1:1", **fields})),
    st.sampled_from(["/v1/responses", "/v1/messages", "/v1/chat/completions", "/v1/models", "/s/x/v1/responses", "/nothing"]),
    st.dictionaries(st.sampled_from(["session-id", "thread-id", "origin", "expect", "x-openai-subagent"]), TEXT, max_size=3),
)
READING = st.builds(Reading, ending=st.sampled_from([None, "completed", "failed"]), response=st.sampled_from([None, "resp_1"]))
CALLERS = st.sampled_from(
    [
        caller_of(PROCESS, "codex", "exec", terminal=TerminalKey("wt:1")),
        caller_of(PROCESS, "other", "other"),
        caller_of(PROCESS, "codex", "daemon", terminal=TerminalKey("wt:1")),
        unknown_caller("not found"),
    ]
)
RECORD = LaunchRecord(
    launch=LaunchId("launch-0123456789ab"),
    agent="codex",
    token_sha256="0" * 64,
    process=PROCESS,
    created="2026-01-01T00:00:00Z",
)
STANDINGS = st.one_of(
    st.just(NO_LAUNCH),
    st.builds(
        lambda worth, relation: Standing(worth, RECORD, relation),
        st.sampled_from(["unknown", "ended", "living"]),
        st.sampled_from(["same", "descendant", "stranger", "unknown"]),
    ),
)
PROVIDERS = st.dictionaries(st.sampled_from(["a", "b", "echo"]), st.sampled_from(["", "is disabled"]).map(ProviderStanding))
INPUTS = st.one_of(
    st.builds(moves.Identified, st.just(2.0), CALLERS, STANDINGS),
    st.builds(moves.BodyRead, st.just(3.0), st.integers(0, 9), st.sampled_from([None, "m"]), PROVIDERS, st.just("echo")),
    st.builds(moves.BodyFailed, st.just(3.0), st.sampled_from(["too_large", "too_slow", "malformed", "busy"])),
    st.builds(
        moves.HeadCame, st.just(4.0), st.sampled_from([200, 204, 302, 429, 500]), st.sampled_from(["text/event-stream", ""])
    ),
    st.builds(moves.FirstByte, st.just(5.0)),
    st.builds(moves.Ended, st.just(6.0), st.integers(0, 9), READING),
    st.builds(
        moves.UpstreamFailed,
        st.just(6.0),
        st.sampled_from(["cut", "refused", "idle_timeout"]),
        st.just(""),
        st.just(1),
        READING,
    ),
    st.builds(moves.CallerLeft, st.just(7.0), st.integers(0, 9), READING),
)
OUTCOMES = {"request.completed", "request.failed", "request.cancelled"}


@settings(max_examples=400, deadline=None)
@given(HEAD, st.sampled_from([True, False, None]), st.lists(INPUTS, max_size=8))
def test_every_exchange_has_one_outcome_and_facts_that_keep_their_types(head: Any, same_user: Any, happened: list[Any]) -> None:
    state, outputs = begin(RequestId("r"), 1.0, Door(1), head, Kernel(same_user), peer="127.0.0.1:2")
    facts = [output.event for output in outputs if isinstance(output, moves.Publish)]
    for one in [*happened, moves.CallerLeft(9.0)]:
        state, outputs = step(state, one)
        facts += [output.event for output in outputs if isinstance(output, moves.Publish)]
    told = [fact.TYPE for fact in facts]
    assert state.over
    assert len([name for name in told if name in OUTCOMES]) == 1
    assert told[-1] in OUTCOMES
    assert told.count("request.received") <= 1
    for fact in facts:
        assert convert(parse(encode(fact)), e.EVENTS[fact.TYPE]) == fact


# ------------------------------------------------------------------------------------------------ attribution

CLAIMS = st.builds(
    lambda fields: read_claims(Fields.of(fields)),
    st.dictionaries(
        st.sampled_from(["session-id", "thread-id", "x-codex-turn-metadata", "x-openai-subagent", "x-claude-code-session-id"]),
        st.sampled_from(["01a1fb07-5b0e", '{"thread_source":"thread_title"}', "review", "../x", ""]) | TEXT,
    ),
)


@settings(max_examples=400, deadline=None)
@given(CALLERS, STANDINGS, CLAIMS)
def test_headers_alone_never_make_a_session(caller: Caller, standing: Standing, claims: Claims) -> None:
    found = attribute(caller, standing, claims)
    believed = [one for one in found.evidence if not one.rejected and one.rank <= Rank.KERNEL]
    if found.session is not None:
        assert believed, "a session without proof of rank 1 or 2"
    if found.launch is not None:
        assert standing.worth == "living"
        assert standing.relation in ("same", "descendant")
    if caller.kind == "daemon":
        assert found.terminal is None
    if claims.agent and not found.conversation:
        assert any(one.rejected for one in found.evidence if one.proves == "conversation")


# ------------------------------------------------------------------------------------------------ the rest


@given(st.lists(st.builds(Preference, st.sampled_from(["a", "b", "c"]), st.just("wanted"))), PROVIDERS)
def test_routing_takes_the_first_that_can_and_explains_every_other(wishes: list[Preference], providers: Any) -> None:
    decision = route(wishes, providers)
    names = list(dict.fromkeys(wish.provider for wish in wishes))
    usable = [name for name in names if name in providers and not providers[name].problem]
    assert decision.provider == (usable[0] if usable else None)
    assert [one.provider for one in decision.candidates] == names[: len(decision.candidates)]
    assert all(bool(one.skipped) == (one.provider != decision.provider) for one in decision.candidates)


@given(st.text(max_size=60))
def test_a_target_is_read_or_unknown_and_shows_no_token(raw: str) -> None:
    target = read_target(f"/s/{raw}/v1/responses?key={raw}")
    if target.place == "api" and len(raw) > 12:
        assert raw not in target.shown


@given(st.binary(max_size=200), st.sampled_from(["", "zstd", "gzip", "deflate", "br", "ZSTD"]))
def test_any_body_is_peeked_at_without_harm(body: bytes, encoding: str) -> None:
    assert requested_model(body, encoding) is None or body


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40))
def test_the_model_is_found_in_plain_and_in_compressed_bodies(model: str) -> None:
    body = orjson.dumps({"input": "x" * 100, "model": model, "stream": True})
    assert requested_model(body, "") == model
    assert requested_model(zstandard.compress(body), "zstd") == model
