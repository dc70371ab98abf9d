"""What the gateway sees in a request, and what it changes there: its model, and reasoning that others cannot read."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
import zstandard

from actors.gateway import limits
from actors.gateway.peek import Seen, look
from actors.gateway.rewriting import CannotRewrite, Rewritten, rewrite
from schemas.events import Dialect

RESPONSES: Dialect = "openai.responses"
GENERATE = "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
SECRET = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
OPEN = {"type": "reasoning", "id": "rs_2", "summary": [{"text": "t"}], "encrypted_content": None}
CALL = {"type": "function_call", "call_id": "c", "name": "n", "arguments": '{"encrypted_content":"x"}'}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "compaction"}


def seen(body: object) -> Seen:
    return look(json.dumps(body).encode(), "", RESPONSES, "/responses")


def changed(body: bytes, model: str | None = None, *, strip: bool = False, encoding: str = "") -> Rewritten:
    return rewrite(body, encoding, "/responses", RESPONSES, model=model, strip=strip)


# ------------------------------------------------------------------------------------------------ seen


def test_what_only_one_account_can_read_is_counted() -> None:
    assert seen({"model": "m", "stream": True, "input": [SECRET, OPEN, CALL, OUTPUT, SECRET]}) == Seen(
        "m", stream=True, encrypted=2
    )
    assert seen({"model": "m", "input": [{"type": "compaction", "encrypted_content": "x"}]}) == Seen("m", compaction=True)
    assert seen({"model": "m", "input": "text", "previous_response_id": "resp_1"}) == Seen("m", previous_response=True)
    assert seen({"model": "m", "input": [CALL], "previous_response_id": None}) == Seen("m")
    assert seen({"model": "m", "include": ["reasoning.encrypted_content"], "input": "compaction"}) == Seen("m")


def test_it_is_looked_for_in_responses_alone() -> None:
    body = json.dumps({"model": "m", "input": [SECRET], "previous_response_id": "r"}).encode()
    assert look(body, "", "openai.chat", "/chat/completions") == Seen("m")
    assert look(body, "", "anthropic.messages", "/messages") == Seen("m")


def test_gemini_and_auggie_say_elsewhere_whether_they_stream() -> None:
    assert look(b"{", "zstd", "gemini.generate", GENERATE) == Seen("gemini-2.5-pro", stream=True)
    assert look(b"{}", "", "gemini.generate", "/models/a%20b:generateContent") == Seen("a b")
    assert look(b"{}", "", "gemini.generate", "/models") == Seen()
    assert look(b'{"model":"m"}', "", "auggie", "/chat-stream") == Seen("m", stream=True)
    assert look(b'{"model":""}', "", "auggie", "/get-models") == Seen()


@pytest.mark.parametrize("model", ["", 7, None, ["m"], "x" * 301, "a\nb"])
def test_what_is_no_name_of_a_model_is_none(model: object) -> None:
    assert seen({"model": model, "stream": "yes"}) == Seen()


@pytest.mark.parametrize(
    ("body", "encoding", "told"),
    [
        (b"\xff", "", "not a JSON object"),
        (b"[1]", "", "not a JSON object"),
        (b'{"model":"m"}', "br", "not known here"),
        (b'{"model":"m"}', "gzip", "not gzip"),
        (gzip.compress(b'{"model":"m"}', mtime=0)[:-3], "gzip", "not whole"),
        (zstandard.compress(b'{"model":"m"}' * 99)[:-3], "zstd", "not whole"),
        (gzip.compress(b" " * (limits.PEEK_INFLATED + 1), mtime=0), "gzip", "beyond"),
        (b'{"model":"m","input":{"encrypted_content":1,"type":"compaction"}}', "", "not a list"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(body: bytes, encoding: str, told: str) -> None:
    assert told in look(body, encoding, RESPONSES, "/responses").unread


def test_a_mark_of_byte_order_is_passed_over() -> None:
    assert look(b'\xef\xbb\xbf{"model":"m"}', "", RESPONSES, "/responses") == Seen("m")


# ------------------------------------------------------------------------------------------------ changed


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"old"}', b'{"model":"new"}'),
        (b'{ "model" :\t"old" , "x":1.0}\n', b'{ "model" :\t"new" , "x":1.0}\n'),
        (
            b'{"a":{"model":"old"},"model":"old","b":[{"model":"old"}]}',
            b'{"a":{"model":"old"},"model":"new","b":[{"model":"old"}]}',
        ),
        (b'{"mod\\u0065l":"old"}', b'{"mod\\u0065l":"new"}'),
        (b'{"model":"\\u006f\\"ld\\\\"}', b'{"model":"new"}'),
        (b'{"model":null,"model":"old","model":{"model":"old"}}', b'{"model":"new","model":"new","model":"new"}'),
        (b'\xef\xbb\xbf{"model":"old"}', b'\xef\xbb\xbf{"model":"new"}'),
        ('{"é":"\U0001f600","model":"größe","z":"}\\""}'.encode(), '{"é":"\U0001f600","model":"new","z":"}\\""}'.encode()),
        (b'{"model":"new", "n":1e999999, "big":123456789012345678901234567890}', None),
    ],
)
def test_only_the_outermost_model_changes(body: bytes, expected: bytes | None) -> None:
    told = changed(body, "new")
    assert told.body == (expected or body)
    assert told.changes == (() if expected is None else ("model new",))


def test_a_model_that_json_must_escape_is_escaped() -> None:
    assert json.loads(changed(b'{"model":"old"}', 'a"b\\é').body) == {"model": 'a"b\\é'}


def test_nothing_changes_where_nothing_has_to() -> None:
    body = gzip.compress(b'{"model":"m","input":[]}')
    for told in (
        changed(body, encoding="gzip"),
        changed(body, "m", encoding="gzip"),
        changed(body, strip=True, encoding="gzip"),
        changed(b"", "m"),
        changed(b'{"input":[]}', "m"),
        changed(b"not JSON"),
        changed(b"\x00", encoding="br"),
    ):
        assert told.changes == ()
    assert changed(body, "m", encoding="gzip") == Rewritten(body, "gzip", "/responses")


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate", "x-gzip", " ZSTD "])
def test_a_compressed_body_goes_on_uncompressed_when_it_changes(encoding: str) -> None:
    plain = b'{"model":"old"}'
    packed = gzip.compress(plain)
    if "zstd" in encoding.lower():
        packed = zstandard.compress(plain)
    elif encoding == "deflate":
        packed = zlib.compress(plain)
    assert changed(packed, "new", encoding=encoding) == Rewritten(b'{"model":"new"}', "", "/responses", ("model new",))


@pytest.mark.parametrize(
    ("items", "left"),
    [
        ([SECRET], []),
        ([SECRET, SECRET], []),
        ([CALL, SECRET], [CALL]),
        ([SECRET, CALL], [CALL]),
        ([SECRET, SECRET, CALL, SECRET, OPEN, SECRET, SECRET, OUTPUT, SECRET], [CALL, OPEN, OUTPUT]),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " :  ")])
def test_reasoning_that_is_encrypted_is_left_out(items: list[object], left: list[object], separators: tuple[str, str]) -> None:
    body = json.dumps({"a": [SECRET], "input": items, "z": 1}, separators=separators).encode()
    told = changed(body, strip=True)
    assert json.loads(told.body) == {"a": [SECRET], "input": left, "z": 1}
    number = len(items) - len(left)
    assert told.changes[0].startswith(f"{number} reasoning item")
    assert look(told.body, "", RESPONSES, "").encrypted == 0


def test_a_model_and_reasoning_change_together() -> None:
    told = changed(json.dumps({"input": [SECRET, CALL], "model": "old"}).encode(), "new", strip=True)
    assert json.loads(told.body) == {"input": [CALL], "model": "new"}
    assert told.changes == ("model new", "1 reasoning item left out that only another account can read")


def test_gemini_says_its_model_in_its_path() -> None:
    told = rewrite(b"\x00", "br", GENERATE, "gemini.generate", model="tuned/ä b", strip=True)
    assert told == Rewritten(b"\x00", "br", "/models/tuned%2F%C3%A4%20b:streamGenerateContent?alt=sse", ("model tuned/ä b",))
    for path in ("/models", "/cachedContents"):
        assert rewrite(b"{}", "", path, "gemini.generate", model="m", strip=False) == Rewritten(b"{}", "", path)


@pytest.mark.parametrize(
    ("body", "encoding", "told"),
    [
        (b"[]", "", "not a JSON object"),
        (b"{", "", "not a JSON object"),
        (b'{"model":"m"}x', "", "not a JSON object"),
        (b"{}", "br", "send it without content-encoding"),
        (b"{}", "gzip", "not gzip"),
        (b'{"model":' + b"[" * 2000 + b"]" * 2000 + b"}", "", "nested too deep"),
        (b'{"a":1 "b":2}', "", "not a JSON object"),
        (b'{"a" 1}', "", "not a JSON object"),
        (b'{"a":1,', "", "not a JSON object"),
        (b"\xff\xfe{\x00}\x00", "", "not a JSON object"),
    ],
)
def test_what_cannot_be_changed_is_refused(body: bytes, encoding: str, told: str) -> None:
    with pytest.raises(CannotRewrite, match=told):
        changed(body, "new", encoding=encoding)


def test_a_body_that_inflates_beyond_its_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY", 1000)
    with pytest.raises(CannotRewrite, match="beyond 1000 bytes"):
        changed(gzip.compress(b'{"model":"m","x":"' + b"x" * 1000 + b'"}'), "new", encoding="gzip")
