"""Every API in the gateway's words: its paths, its credentials, its errors, what it counts, and where its output begins."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from actors.gateway.dialect import error_body, first_output, policy_status, stream_error
from actors.gateway.forwarding import request_fields, request_path
from actors.gateway.head import read_head, read_target
from actors.gateway.readings import Reading
from actors.gateway.usage import LineMeter, meter_for
from actors.runtime.http.fields import Fields
from schemas.events import Dialect, Usage

GENERATE = "/models/gemini-2.5-pro:streamGenerateContent"


def sse(*events: object) -> bytes:
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)


# ------------------------------------------------------------------------------------------------ paths and credentials


@pytest.mark.parametrize(
    ("raw", "dialect", "rest", "shown"),
    [
        (f"/v1beta{GENERATE}?alt=sse", "gemini.generate", f"{GENERATE}?alt=sse", f"/v1beta{GENERATE}"),
        (f"/s/tok/v1beta{GENERATE}?key=k", "gemini.generate", f"{GENERATE}?key=k", f"/s/…/v1beta{GENERATE}"),
        ("/v1beta/models", "gemini.generate", "/models", "/v1beta/models"),
        ("/v1beta/models/m:countTokens", "gemini.generate", "/models/m:countTokens", "/v1beta/models/m:countTokens"),
        ("/auggie/chat-stream", "auggie", "/chat-stream", "/auggie/chat-stream"),
        ("/s/tok/auggie/settings/get-mcp-user-configs", "auggie", "/settings/get-mcp-user-configs", None),
        ("/auggie", "auggie", "/", "/auggie"),
        ("/v1/messages/count_tokens?beta=true", "anthropic.messages", "/messages/count_tokens?beta=true", None),
        ("/v1/models", "openai.other", "/models", "/v1/models"),
    ],
)
def test_paths_name_their_api(raw: str, dialect: str, rest: str, shown: str | None) -> None:
    head = read_head("POST", raw, Fields.of({}))
    assert (head.target.place, head.dialect, head.target.rest) == ("api", dialect, rest)
    assert head.target.shown == (shown or raw.partition("?")[0].replace("/s/tok/", "/s/…/"))
    assert "tok/" not in head.target.shown
    assert "key" not in head.target.shown


@pytest.mark.parametrize("raw", ["/v1beta2/models", "/v2/models", "/auggies/x", "/s/a/b/v1/x", "/gemini/v1beta/models"])
def test_other_paths_are_of_no_api(raw: str) -> None:
    assert read_target(raw).place == "unknown"


@pytest.mark.parametrize("path", ["/models/../x", "/models//m:generateContent", "/models/a%2fb:generateContent"])
def test_tricks_are_told_in_every_api(path: str) -> None:
    assert all(read_target(f"/{api}{path}").trick for api in ("v1", "v1beta", "auggie"))


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("?key=secret", ""),
        ("?alt=sse&key=secret", "?alt=sse"),
        ("?key=secret&alt=sse&access_token=t", "?alt=sse"),
        ("?%6bey=secret&alt=sse", "?alt=sse"),
        ("?KEY=secret", ""),
        ("?alt=sse&monkey=1", "?alt=sse&monkey=1"),
        ("", ""),
    ],
)
def test_a_key_in_a_query_is_a_credential(query: str, kept: str) -> None:
    assert request_path("gemini.generate", GENERATE + query, passthrough=False) == GENERATE + kept
    assert request_path("gemini.generate", GENERATE + query, passthrough=True) == GENERATE + query
    assert request_path("openai.responses", "/responses" + query, passthrough=False) == "/responses" + query


@pytest.mark.parametrize("name", ["x-goog-api-key", "X-Api-Key", "Authorization", "x-goog-user-project", "OpenAI-Project"])
def test_credentials_of_every_api_stay_here_unless_they_are_to_pass(name: str) -> None:
    fields = Fields.of([(name, "secret"), ("x-else", "1")])
    assert request_fields(fields, passthrough=False) == [("x-else", "1")]
    assert request_fields(fields, passthrough=True) == fields.items()


# ------------------------------------------------------------------------------------------------ refusals and failures


def test_refusals_are_said_as_each_api_says_them() -> None:
    gemini = orjson.loads(error_body("gemini.generate", 400, "no_provider", "text"))
    assert gemini == {"error": {"code": 400, "message": "text", "status": "INVALID_ARGUMENT"}}
    assert orjson.loads(error_body("gemini.generate", 529, "c", "m"))["error"]["status"] == "UNAVAILABLE"
    assert orjson.loads(error_body("gemini.generate", 418, "c", "m"))["error"]["status"] == "FAILED_PRECONDITION"
    auggie = orjson.loads(error_body("auggie", 400, "no_provider", "text"))
    assert auggie == {"error": "no_provider", "error_details": {"code": 0, "message": "text", "detail": ""}}
    assert orjson.loads(error_body("auggie", 403, "c", "m"))["error_details"]["code"] == 11
    assert [policy_status(name) for name in ("openai.responses", "openai.chat", "gemini.generate", "auggie")] == [400] * 4
    assert policy_status("anthropic.messages") == 424


def test_a_cut_stream_of_gemini_ends_with_what_its_client_takes_for_an_error() -> None:
    last = stream_error("gemini.generate", "upstream_cut", "text", None)
    assert orjson.loads(last)["error"] == {"code": 500, "message": "text", "status": "INTERNAL"}
    assert last.startswith(b"\n\n")
    assert stream_error("auggie", "upstream_cut", "text", None) == b""  # torn, it asks again


# ------------------------------------------------------------------------------------------------ where output begins

CREATED = {"type": "response.created", "response": {}}
ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}


@pytest.mark.parametrize(
    ("dialect", "began", "expected"),
    [
        ("openai.responses", b"", "none"),
        ("openai.responses", sse(CREATED, {"type": "response.in_progress"}), "none"),
        ("openai.responses", sse(CREATED)[:-1], "none"),
        ("openai.responses", b": a comment\n\nevent: response.created\r\ndata: {\r\ndata: }\r\n\r\n", "output"),
        ("openai.responses", sse(CREATED, {"type": "response.output_item.added"}), "output"),
        ("openai.responses", sse(CREATED, {"type": "response.failed", "response": {}}), "error"),
        ("openai.responses", sse(CREATED, {"type": "error", "code": "overloaded"}), "error"),
        ("openai.responses", b"data: what is this\n\n", "unknown"),
        ("openai.responses", b'{"error": {"code": "server_error"}}', "error"),
        ("openai.responses", b'{"id": "resp", "error": null, "output": []}', "output"),
        ("openai.responses", b'{"id": "resp", "err', "none"),
        ("anthropic.messages", sse({"type": "message_start"}, {"type": "ping"}), "none"),
        ("anthropic.messages", sse({"type": "message_start"}, {"type": "content_block_start"}), "output"),
        ("anthropic.messages", sse({"type": "error", "error": {"type": "overloaded_error"}}), "error"),
        ("anthropic.messages", b'{"type": "error", "error": {}}', "error"),
        ("openai.chat", sse(ROLE), "none"),
        ("openai.chat", sse(ROLE, {"choices": [{"delta": {"content": "a"}}]}), "output"),
        ("openai.chat", sse(ROLE, {"choices": [{"delta": {"tool_calls": [{}]}}]}), "output"),
        ("openai.chat", sse(ROLE, {"choices": [{"delta": {}, "finish_reason": "stop"}]}), "output"),
        ("openai.chat", sse({"choices": []}), "none"),
        ("openai.chat", sse({"error": {"message": "m"}}), "error"),
        ("openai.chat", b"data: [DONE]\n\n", "output"),
        ("openai.chat", sse([1]), "unknown"),
        ("gemini.generate", sse({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}), "output"),
        ("gemini.generate", b'data: {"error": {"code": 503}}\r\n\r\n', "error"),
        ("gemini.generate", b'[{"error": {"code": 503}}]', "error"),
        ("gemini.generate", b"[]", "output"),
        ("auggie", b'{"text": ""}\n{"text": "', "none"),
        ("auggie", b'{"text": ""}\n{"text": "a"}\n', "output"),
        ("auggie", b'{"error": "x"}\n', "error"),
        ("auggie", b'{"text": "m", "stop_reason": 7}\n', "error"),
        ("auggie", b"<html>\n", "unknown"),
    ],
)
def test_where_output_begins(dialect: Dialect, began: bytes, expected: str) -> None:
    assert first_output(dialect, began) == expected


# ------------------------------------------------------------------------------------------------ what is counted

COUNTS = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 5,
    "toolUsePromptTokenCount": 3,
    "totalTokenCount": 115,
}
GENERATED: dict[str, Any] = {"usageMetadata": COUNTS, "responseId": "r", "modelVersion": "gemini-2.5-pro"}
COUNTED = Usage(input=103, cached_input=40, output=12, reasoning=5, total=115)


def read(dialect: Dialect, kind: str, *chunks: bytes) -> Reading:
    meter = meter_for(dialect, kind, "")
    for chunk in chunks:
        meter.feed(chunk)
    return meter.reading()


def test_gemini_counts_thoughts_beside_the_answer_and_cached_input_within_the_prompt() -> None:
    begun = {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "responseId": "r"}
    ended = {**GENERATED, "candidates": [{"content": {}, "finishReason": "STOP"}]}
    stream = sse(begun, ended).replace(b"\n", b"\r\n")
    whole = Reading(COUNTED, "r", "gemini-2.5-pro", "completed")
    assert read("gemini.generate", "text/event-stream", stream) == whole
    assert read("gemini.generate", "text/event-stream", *(stream[at : at + 1] for at in range(len(stream)))) == whole
    assert read("gemini.generate", "application/json", orjson.dumps(ended)) == whole
    assert read("gemini.generate", "application/json; charset=UTF-8", orjson.dumps([begun, ended])) == whole


def test_gemini_ends_without_a_reason_when_it_is_cut_and_with_one_when_it_is_blocked() -> None:
    assert read("gemini.generate", "text/event-stream", sse({**GENERATED, "candidates": []})).ending is None
    blocked = read("gemini.generate", "text/event-stream", sse({"promptFeedback": {"blockReason": "SAFETY"}}))
    assert blocked.ending == "completed"
    failed = read("gemini.generate", "text/event-stream", sse({"error": {"code": 503, "status": "UNAVAILABLE"}}))
    assert (failed.ending, failed.error) == ("failed", "UNAVAILABLE")


def test_auggie_tells_its_tokens_in_a_node_of_a_line() -> None:
    tokens = {"input_tokens": 11, "output_tokens": 9, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 5}
    lines = [{"text": "a"}, {"text": "", "nodes": [{"type": 0}, {"type": 10, "token_usage": tokens}], "stop_reason": 1}]
    stream = b"\n".join(map(orjson.dumps, lines))
    whole = Reading(Usage(input=23, cached_input=7, output=9, total=32), None, None, "completed")
    for kind in ("application/x-ndjson", "application/json", "", "text/event-stream"):
        assert read("auggie", kind, stream) == whole
    assert read("auggie", "", *(stream[at : at + 1] for at in range(len(stream)))) == whole
    failed = read("auggie", "", b'{"text":"m","nodes":[],"stop_reason":7}\n')
    assert (failed.ending, failed.error) == ("failed", "stop_reason_error")
    assert read("auggie", "", b'{"text":"token_usage\n{"text": "stop_reason"}\n').ending is None


def test_a_line_that_is_too_large_is_passed_over_and_the_next_one_is_read() -> None:
    meter = LineMeter()
    meter.feed(b'{"text":"')
    for _ in range(40):
        meter.feed(b"x" * 65536)
    meter.feed(b'","stop_reason":7}\n{"stop_reason":1}\n')
    assert meter.reading().ending == "completed"


@pytest.mark.parametrize(
    ("dialect", "document", "error"),
    [
        ("openai.responses", {"id": "r", "status": "failed", "error": {"code": "server_error"}}, "server_error"),
        ("openai.chat", {"error": {"message": "m", "code": 429}}, "429"),
        ("anthropic.messages", {"type": "error", "error": {"type": "overloaded_error"}}, "overloaded_error"),
        ("gemini.generate", {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, "RESOURCE_EXHAUSTED"),
        ("auggie", {"error": "quota", "error_details": {}}, "quota"),
    ],
)
def test_an_error_inside_a_success_is_one(dialect: Dialect, document: dict[str, Any], error: str) -> None:
    reading = read(dialect, "application/json", orjson.dumps(document))
    assert (reading.ending, reading.error) == ("failed", error)


def test_other_apis_are_counted_and_their_objects_may_tell_of_errors() -> None:
    body = orjson.dumps({"id": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}, "error": {"code": "x"}})
    reading = read("openai.other", "application/json", body)
    assert (reading.usage, reading.ending) == (Usage(input=4, total=4), None)
