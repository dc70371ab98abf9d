"""Laws of the echo server's pure parts, over arbitrary prompts and modes."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from actors.echo.bodies import BodyError
from actors.echo.coding import decode_body
from actors.echo.directive import parse_mode, read_directives
from actors.echo.mode import Fault, Mode, ModeError
from actors.echo.plan import Asked, Moment, Script, count_tokens, plan_reply, plan_script, sample
from actors.echo.responses import Responses, read_responses

MOMENT = Moment("ab" * 16, 1)
faults = st.builds(
    Fault, st.sampled_from(["cut", "reset", "silence", "end", "garbage"]), st.one_of(st.none(), st.integers(0, 50))
)
modes = st.builds(
    Mode,
    say=st.one_of(st.none(), st.text(max_size=200)),
    deltas=st.one_of(st.none(), st.integers(0, 5)),
    pace=st.sampled_from([0.0, 0.1]),
    tool=st.one_of(st.none(), st.text(max_size=40)),
    fault=st.one_of(st.none(), faults),
    failed=st.one_of(st.none(), st.just("server_error")),
    reasoning=st.integers(0, 100),
    split=st.one_of(st.none(), st.integers(1, 500)),
    join=st.booleans(),
)
asks = st.builds(
    Asked,
    model=st.just("m"),
    stream=st.booleans(),
    text=st.text(max_size=300),
    answered=st.integers(0, 2),
    tool_output=st.text(max_size=50),
    custom_tools=st.booleans(),
    input_tokens=st.integers(0, 10_000),
)


def play(asked: Asked, mode: Mode) -> Script:
    return plan_script(Responses(), asked, mode, plan_reply(asked, mode, MOMENT))


def playable(asked: Asked, mode: Mode) -> bool:
    try:
        plan_reply(asked, mode, MOMENT)
    except ModeError:
        return False
    return True


def quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(st.text())
def test_a_quoted_value_comes_back_as_it_was(text: str) -> None:
    assert parse_mode(f"say={quote(text)}").say == text


@given(st.text(), st.text(), st.text())
def test_a_directive_never_swallows_the_text_around_it(before: str, value: str, after: str) -> None:
    if "[echo" in before + after:
        return
    text, found = read_directives(f"{before} [echo say={quote(value)}] {after}")
    assert text == " ".join(part for part in (before.strip(), after.strip()) if part)
    assert found == (Mode(say=value),)


@given(st.one_of(st.text(), st.text('[]echo ="\\ say', max_size=40).map(lambda text: f"[echo {text}")))
def test_any_prompt_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ModeError):
        read_directives(text)


NAMES = ["input", "type", "role", "content", "text", "format", "schema", "properties", "title", "items", "minItems", "output"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2000) | st.sampled_from(["json_schema", "object", "array", "user", "message"]),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(NAMES), each, max_size=5),
)
requests = st.fixed_dictionaries({"input": st.just("x"), "text": st.fixed_dictionaries({"format": json_values})}) | json_values


@given(st.binary() | requests.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_answered_or_refused(body: bytes) -> None:
    with contextlib.suppress(BodyError, ModeError):
        play(read_responses(body, {})[0], Mode())


@given(json_values)
def test_any_schema_is_sampled_or_refused(schema: object) -> None:
    with contextlib.suppress(ModeError):
        json.dumps(sample(schema, "text"))


@given(asks, modes)
def test_split_and_join_never_change_the_bytes_or_the_time(asked: Asked, mode: Mode) -> None:
    if not playable(asked, mode):
        return
    plain = play(asked, dataclasses.replace(mode, split=None, join=False))
    shaped = play(asked, mode)
    assert b"".join(chunk.content for chunk in shaped.chunks) == b"".join(chunk.content for chunk in plain.chunks)
    assert sum(chunk.events for chunk in shaped.chunks) == sum(chunk.events for chunk in plain.chunks)
    assert abs(sum(chunk.after for chunk in shaped.chunks) - sum(chunk.after for chunk in plain.chunks)) < 1e-9
    assert (shaped.end, shaped.head, shaped.length) == (plain.end, plain.head, plain.length)


@given(asks, modes)
def test_a_stream_is_numbered_and_its_deltas_are_its_text(asked: Asked, mode: Mode) -> None:
    asked, mode = dataclasses.replace(asked, stream=True), dataclasses.replace(mode, fault=None)
    if not playable(asked, mode):
        return
    content = b"".join(chunk.content for chunk in play(asked, mode).chunks)
    events = [json.loads(block.split(b"data: ", 1)[1]) for block in content.split(b"\n\n")[:-1]]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    for event in events:
        if event["type"] == "response.output_text.done":
            assert event["text"] == deltas
    usage = events[-1]["response"]["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"]["cached_tokens"] <= usage["input_tokens"]
    assert usage["output_tokens_details"]["reasoning_tokens"] <= usage["output_tokens"]


@given(st.integers(1, 400), st.integers(1, 400))
def test_exactly_so_many_pieces(deltas: int, size: int) -> None:
    asked = Asked(model="m", stream=True)
    if size < deltas:
        assert not playable(asked, Mode(deltas=deltas, say="x" * size))
        return
    reply = plan_reply(asked, Mode(deltas=deltas, say="x" * size), MOMENT)
    assert len(reply.deltas) == deltas
    assert all(reply.deltas)
    assert reply.text == "x" * size


@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens(text: str, more: str) -> None:
    assert count_tokens(text) <= count_tokens(text + more) <= count_tokens(text, more)


@given(st.binary(max_size=5000))
def test_decoding_undoes_encoding(content: bytes) -> None:
    assert decode_body(gzip.compress(content), "gzip") == content
    assert decode_body(zstandard.compress(content), "zstd") == content
