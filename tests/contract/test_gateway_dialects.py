"""Gemini's API and Auggie's own through a gateway on real sockets: paths, keys, models, tokens, refusals, broken streams."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway_scene import SSE, Line, Scene, chunk, event, scene

pytestmark = pytest.mark.e2e

GENERATE = "/models/gemini-3.8-flash:streamGenerateContent"
COUNTS = {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}
SERVED = "gemini-3.8-flash-001"
BEGUN = event(candidates=[{"content": {"role": "model", "parts": [{"text": "hi"}]}}], modelVersion=SERVED)
ENDED = event(candidates=[{"content": {}, "finishReason": "STOP"}], usageMetadata=COUNTS, responseId="g-1", modelVersion=SERVED)
TOKENS = {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
LINES = [{"text": "hi"}, {"text": "", "nodes": [{"type": 10, "token_usage": TOKENS}], "stop_reason": 1}]
NDJSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


def everywhere(stage: Scene, more: str = "", **provider: Any) -> None:
    """Configure a provider that serves both at addresses of their own."""
    origin = f"http://127.0.0.1:{stage.provider.port}"
    stage.configure(
        more,
        dialects=["openai.responses", "gemini.generate", "auggie"],
        base_urls={"gemini.generate": f"{origin}/google/v1beta", "auggie": f"{origin}/tenant"},
        **provider,
    )


def whole(line: Line) -> None:
    line.send(SSE + chunk(BEGUN) + chunk(ENDED) + b"0\r\n\r\n")


# ------------------------------------------------------------------------------------------------ Gemini


def test_gemini_passes_with_our_key_and_without_the_caller_s(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "canary-of-google-01")
    everywhere(stage, auth="key", key="env:OWN_KEY")
    stage.start()
    seen: list[tuple[str, dict[str, str], bytes]] = []

    def part(line: Line) -> None:
        seen.append(line.request())
        whole(line)

    stage.provider.plays(part)
    body = b'{"contents": [ {"parts":[{"text":"\\u00e4"}]} ]}'
    line = stage.post(f"/v1beta{GENERATE}?alt=sse&key=callers-own", body, x_goog_api_key="callers-too")
    status, _, answer = line.answer()
    assert (status, answer) == (200, BEGUN + ENDED)
    first, fields, passed = seen[0]
    assert first == f"POST /google/v1beta{GENERATE}?alt=sse HTTP/1.1"
    assert (fields["x-goog-api-key"], passed) == ("canary-of-google-01", body)
    assert "authorization" not in fields
    received = stage.fact("request.received")
    assert (received.path, received.dialect) == (f"/v1beta{GENERATE}", "gemini.generate")
    completed = stage.fact("request.completed")
    assert (completed.requested_model, completed.served_model) == ("gemini-3.8-flash", SERVED)
    assert (completed.response, completed.usage.input, completed.usage.output) == ("g-1", 9, 2)
    told = json.dumps([str(one) for one in stage.facts("request.completed")])
    assert "canary" not in told
    assert "callers" not in told


def test_a_passed_through_login_keeps_the_key_in_the_query(stage: Scene) -> None:
    everywhere(stage, auth="passthrough")
    stage.start()
    seen: list[tuple[str, dict[str, str], bytes]] = []

    def part(line: Line) -> None:
        seen.append(line.request())
        whole(line)

    stage.provider.plays(part)
    assert stage.post(f"/v1beta{GENERATE}?key=callers-own&alt=sse", b"{}").answer()[0] == 200
    assert seen[0][0] == f"POST /google/v1beta{GENERATE}?key=callers-own&alt=sse HTTP/1.1"


def test_an_alias_changes_the_path_of_gemini_and_nothing_in_its_body(stage: Scene) -> None:
    everywhere(stage, aliases={"gemini-3.8-flash": "tuned model"})
    stage.start()
    seen: list[tuple[str, dict[str, str], bytes]] = []

    def part(line: Line) -> None:
        seen.append(line.request())
        whole(line)

    stage.provider.plays(part)
    body = gzip.compress(b'{"model":"gemini-3.8-flash"}')
    assert stage.post(f"/v1beta{GENERATE}?alt=sse", body, content_encoding="gzip").answer()[0] == 200
    assert seen[0][0].startswith("POST /google/v1beta/models/tuned%20model:streamGenerateContent?alt=sse ")
    assert seen[0][2] == body
    routed = stage.fact("request.routed")
    assert (routed.requested_model, routed.sent_model) == ("gemini-3.8-flash", "tuned model")
    assert routed.changes == ("model tuned model",)


@pytest.mark.parametrize("tail", [b"0\r\n\r\n", b""])
def test_a_stream_of_gemini_without_a_reason_to_end_is_an_error_for_its_client(stage: Scene, tail: bytes) -> None:
    everywhere(stage)
    stage.start()

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(BEGUN) + tail)

    stage.provider.plays(part)
    answer = stage.post(f"/v1beta{GENERATE}?alt=sse", b"{}").answer()[2]
    said = json.loads(answer.removeprefix(BEGUN))["error"]
    assert (said["code"], said["status"]) == (500, "INTERNAL")
    assert "'own'" in said["message"]
    assert stage.fact("request.failed").code == ("stream_truncated" if tail else "upstream_cut")


# ------------------------------------------------------------------------------------------------ Auggie


def test_auggie_passes_below_its_prefix_and_is_counted(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "canary-of-tenant-01")
    everywhere(stage, auth="key", key="env:OWN_KEY")
    stage.start()
    seen: list[tuple[str, dict[str, str], bytes]] = []

    def part(line: Line) -> None:
        seen.append(line.request())
        line.send(NDJSON + b"".join(chunk(json.dumps(each).encode() + b"\n") for each in LINES) + b"0\r\n\r\n")

    stage.provider.plays(part)
    line = stage.post("/auggie/chat-stream", b'{"model":"butler"}', authorization="Bearer callers-own")
    status, _, answer = line.answer()
    assert (status, [json.loads(each) for each in answer.splitlines()]) == (200, LINES)
    assert seen[0][0] == "POST /tenant/chat-stream HTTP/1.1"
    assert seen[0][1]["authorization"] == "Bearer canary-of-tenant-01"
    completed = stage.fact("request.completed")
    assert (completed.requested_model, completed.usage.input, completed.usage.cached_input) == ("butler", 9, 4)
    assert stage.fact("request.received").dialect == "auggie"


def test_a_torn_stream_of_auggie_stays_torn(stage: Scene) -> None:
    everywhere(stage)
    stage.start()

    def part(line: Line) -> None:
        line.request()
        line.send(NDJSON + chunk(b'{"text":"hi"}\n'))

    stage.provider.plays(part)
    answer = stage.post("/auggie/chat-stream", b"{}").rest()
    assert answer.endswith(chunk(b'{"text":"hi"}\n'))
    assert stage.fact("request.failed").code == "upstream_cut"


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("path", "fields", "status", "place"),
    [
        (f"/v1beta{GENERATE}?alt=sse", {}, 400, ("error", "message")),
        ("/auggie/chat-stream", {}, 400, ("error_details", "message")),
        ("/v1/chat/completions", {}, 400, ("error", "message")),
        ("/v1/messages", {"anthropic_version": "2023-06-01"}, 424, ("error", "message")),
    ],
)
def test_an_api_that_is_not_served_is_refused_in_its_own_words(
    stage: Scene, path: str, fields: dict[str, str], status: int, place: tuple[str, str]
) -> None:
    dialects = '["openai.chat", "anthropic.messages", "gemini.generate", "auggie"]'
    other = f'[providers.other]\nbase_url = "http://127.0.0.1:9"\nauth = "none"\ndialects = {dialects}'
    stage.configure(other)
    stage.start(bus=False)
    answered, _, body = stage.post(path, b'{"model":"m"}', **fields).answer()
    said = json.loads(body)[place[0]][place[1]]
    assert answered == status
    assert "own" in said
    assert "other" in said


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_what_cannot_be_read_passes_unless_it_has_to_change(stage: Scene, encoding: str) -> None:
    stage.configure()
    stage.start(bus=False)
    seen: list[tuple[str, dict[str, str], bytes]] = []

    def part(line: Line) -> None:
        seen.append(line.request())
        line.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    stage.provider.plays(part)
    assert stage.post("/v1/responses", b"\x00not that", content_encoding=encoding).answer()[0] == 200
    assert (seen[0][1]["content-encoding"], seen[0][2]) == (encoding, b"\x00not that")
