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
from actors.gateway.head import read_head, read_target
from actors.gateway.peek import Seen, look
from actors.gateway.route_terms import Listing, Table
from actors.gateway.usage import Reading, StreamMeter
from actors.runtime.http.fields import Fields
from schemas import events as e
from schemas.codec import convert, encode, parse
from schemas.config import Failover, Pin
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
ALL = ("openai.responses", "openai.chat", "anthropic.messages")
LISTINGS = st.builds(
    Listing,
    problem=st.sampled_from(["", "", "", "is disabled"]),
    dialects=st.just(ALL),
    aliases=st.sampled_from([{}, {"m": "own-m"}]),
    group=st.sampled_from(["", "g"]),
    account=st.sampled_from(["one", "two"]),
    passthrough=st.booleans(),
)
FAILOVERS = st.builds(
    Failover,
    attempts=st.integers(1, 4),
    retry_timeouts=st.booleans(),
    encrypted_content=st.sampled_from(["strip", "keep", "refuse"]),
)
TABLES = st.builds(
    lambda listings, pins, rules: Table({"echo": Listing(dialects=ALL, account="echo"), **listings}, pins, "echo", rules),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), LISTINGS),
    st.lists(
        st.builds(
            Pin,
            provider=st.sampled_from(["a", "b"]),
            terminal=st.just("wt:1"),
            on_failure=st.sampled_from(["fallback", "fail", "ask"]),
        ),
        max_size=1,
    ).map(tuple),
    FAILOVERS,
)
SEEN = st.builds(Seen, model=st.sampled_from([None, "m"]), encrypted=st.integers(0, 1), compaction=st.booleans())
PROBLEMS = st.sampled_from(["refused", "cut", "malformed", "idle_timeout", "first_byte_timeout", "connect_timeout"])
REFUSALS = st.sampled_from([b"", b"{}", b'{"error":{"code":"invalid_encrypted_content"}}', b'{"error":{"type":"overloaded"}}'])
INPUTS: dict[type[Any], st.SearchStrategy[Any]] = {
    moves.Identified: st.builds(
        lambda caller, standing, throttled: moves.Identified(2.0, attribute(caller, standing, Claims()), standing, throttled),
        CALLERS,
        STANDINGS,
        st.sampled_from(["", "", "", "too many"]),
    ),
    moves.BodyRead: st.builds(
        moves.BodyRead, st.just(3.0), st.integers(0, 9), SEEN, TABLES, owner=st.sampled_from(["", "one", "two", "*"])
    ),
    moves.BodyFailed: st.builds(
        moves.BodyFailed, st.just(3.0), st.sampled_from(["too_large", "too_slow", "malformed", "busy"])
    ),
    moves.Rewritten: st.builds(moves.Rewritten, st.just(3.5), problem=st.sampled_from(["", "", "not JSON"])),
    moves.HeadCame: st.builds(
        moves.HeadCame,
        st.just(4.0),
        st.sampled_from([200, 200, 204, 302, 400, 401, 429, 500, 503]),
        st.sampled_from(["text/event-stream", "application/json", ""]),
    ),
    moves.Collected: st.builds(
        moves.Collected,
        st.just(4.5),
        st.just(Fields.of({"retry-after": "3"})),
        REFUSALS,
        whole=st.booleans(),
        error=st.booleans(),
        cut=st.booleans(),
    ),
    moves.Released: st.just(moves.Released(4.5)),
    moves.FirstByte: st.just(moves.FirstByte(5.0)),
    moves.Ended: st.builds(moves.Ended, st.just(6.0), st.integers(0, 9), READING),
    moves.UpstreamFailed: st.builds(moves.UpstreamFailed, st.just(6.0), PROBLEMS, st.just(""), st.just(1), READING),
    moves.CallerLeft: st.builds(moves.CallerLeft, st.just(7.0), st.integers(0, 9), READING),
    moves.TurnedAway: st.just(moves.TurnedAway(7.0, "one too many")),
    moves.Broke: st.just(moves.Broke(7.0, 0)),
}
ANY = st.one_of(*INPUTS.values())
# What a shell can tell the machine next, by what it was asked for last; something unexpected may come at any moment.
NEXT: dict[type[Any], tuple[type[Any], ...]] = {
    moves.Identify: (moves.Identified,),
    moves.ReadBody: (moves.BodyRead,),
    moves.Rewrite: (moves.Rewritten,),
    moves.Send: (moves.HeadCame, moves.HeadCame, moves.UpstreamFailed),
    moves.Collect: (moves.Collected,),
    moves.HoldBack: (moves.Collected, moves.Released, moves.UpstreamFailed),
    moves.Relay: (moves.FirstByte, moves.Ended, moves.UpstreamFailed),
}
OUTCOMES = {"request.completed", "request.failed", "request.cancelled"}


class Run:
    """One request that is told things until it is over; holds at every step what must hold of its outputs."""

    def __init__(self, head: Any, kernel: Kernel) -> None:
        self.facts: list[Any] = []
        self.given = 0  # answers that were begun
        self.sent: list[str] = []
        self.observed = 0
        self.asked: type[Any] = type(None)
        self.state, outputs = begin(RequestId("r"), 1.0, Door(1), head, kernel, peer="127.0.0.1:2")
        self.take(outputs)

    def take(self, outputs: tuple[moves.Output, ...]) -> None:
        for output in outputs:
            if isinstance(output, moves.Publish):
                self.facts.append(output.event)
            elif isinstance(output, moves.Send):
                assert not self.given, "sent again after a byte was given"
                self.sent.append(output.provider)
            elif isinstance(output, moves.Relay | moves.Answer):
                self.given += 1
            elif isinstance(output, moves.Observe):
                self.observed += 1
            if type(output) in NEXT:
                self.asked = type(output)

    def told(self, one: moves.Input) -> None:
        self.state, outputs = step(self.state, one)
        self.take(outputs)


@settings(max_examples=600, deadline=None)
@given(HEAD, st.sampled_from([True, True, False, None]), st.data())
def test_every_exchange_has_one_outcome_and_facts_that_keep_their_types(head: Any, same_user: Any, data: Any) -> None:
    run = Run(head, Kernel(same_user))
    for _ in range(data.draw(st.integers(0, 24))):
        expected = NEXT.get(run.asked, ())
        likely = st.one_of(*(INPUTS[each] for each in expected)) if expected else ANY
        run.told(data.draw(ANY if data.draw(st.integers(0, 9)) == 0 else likely))
    run.told(moves.CallerLeft(9.0))
    told = [fact.TYPE for fact in run.facts]
    assert run.state.over
    throttled = not told and run.given == 1
    assert len([name for name in told if name in OUTCOMES]) == (0 if throttled else 1)
    assert throttled or told[-1] in OUTCOMES
    assert told.count("request.received") <= 1
    assert run.given <= 1
    assert run.observed == len(run.sent)
    routed = [fact for fact in run.facts if fact.TYPE == "request.routed" and fact.provider != "none"]
    assert [fact.provider for fact in routed] == run.sent
    assert [fact.attempt for fact in routed] == list(range(1, len(routed) + 1))
    assert len(run.sent) - 1 <= told.count("request.retried") <= len(run.sent)
    for fact in run.facts:
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


@given(st.text(max_size=60))
def test_a_target_is_read_or_unknown_and_shows_no_token(raw: str) -> None:
    target = read_target(f"/s/{raw}/v1/responses?key={raw}")
    if target.place == "api" and len(raw) > 12:
        assert raw not in target.shown


@given(st.binary(max_size=200), st.sampled_from(["", "zstd", "gzip", "deflate", "br", "ZSTD"]))
def test_any_body_is_peeked_at_without_harm(body: bytes, encoding: str) -> None:
    assert look(body, encoding, "unknown", "").model is None or body


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40))
def test_the_model_is_found_in_plain_and_in_compressed_bodies(model: str) -> None:
    body = orjson.dumps({"input": "x" * 100, "model": model, "stream": True})
    assert look(body, "", "unknown", "").model == model
    assert look(zstandard.compress(body), "zstd", "unknown", "").model == model
