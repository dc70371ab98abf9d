"""Callers that leave and providers that break off, at every moment: who is closed, what is told, what is said last.

That the provider's connection is closed is seen at the provider; that nothing else becomes of the request by its one outcome.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.gateway_scene import COMPLETED, DEADLINE, DELTA, SSE, Line, Scene, chunk, event, says, scene

pytestmark = pytest.mark.e2e
CREATED = event(type="response.created", response={"id": "resp_1"})
ANTHROPIC_START = (
    b"event: message_start\ndata: "
    b'{"type":"message_start","message":{"id":"msg_1","model":"served","usage":{"input_tokens":42,"output_tokens":1}}}\n\n'
)
ANTHROPIC_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
)
CHAT_DELTA = b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
GEMINI_DELTA = b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"hi"}]}}]}\r\n\r\n'
REFUSAL = b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n" + b'{"error":{'
OUTCOMES = {"request.completed", "request.failed", "request.cancelled"}

# What the provider says before the caller leaves, and what the caller waits to see of it; None: nothing can be seen of it.
MOMENTS: dict[str, tuple[bytes, bytes | None]] = {
    "connect": (b"", None),
    "response_head": (SSE, b"\r\n\r\n"),
    "stream": (SSE + chunk(DELTA), DELTA),
    "inside an event": (SSE + chunk(DELTA[:20]), DELTA[:20]),
    "inside a chunk": (SSE + b"%x\r\n" % 500 + DELTA, DELTA),
    "collecting a refusal": (REFUSAL, None),
}
PHASES = {"connect": "connect", "collecting a refusal": "response_head", "response_head": "response_head"}
LEAVING: dict[str, Callable[[Line], None]] = {
    "close": Line.close,
    "reset": Line.reset,
    "half-close": lambda line: line.socket.shutdown(socket.SHUT_WR),
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


class Held:
    """A provider's part that says something, waits until it is left alone, and knows how that came."""

    def __init__(self, stage: Scene, said: bytes) -> None:
        self.here = threading.Event()
        self.ends: list[bytes] = []
        self._said = said
        self.done = stage.provider.plays(self._play)

    def _play(self, line: Line) -> None:
        line.request()
        line.send(self._said)
        self.here.set()
        self.ends.append(line.rest())


def outcomes(stage: Scene) -> list[str]:
    """Return every outcome that was told until the gateway ended."""
    assert stage.gateway is not None
    stage.gateway.process.terminate()
    assert stage.gateway.exit_code() == 0
    assert "Traceback" not in stage.gateway.log_text()
    return [one.type for one in stage.facts("request.cancelled") if one.type in OUTCOMES]


# ------------------------------------------------------------------------------------------------ callers that leave


@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_caller_who_leaves_closes_the_provider_s_connection(stage: Scene, moment: str, how: str) -> None:
    stage.start()
    said, seen = MOMENTS[moment]
    held = Held(stage, said)
    line = stage.post()
    assert held.here.wait(DEADLINE)
    if seen is not None:
        line.until(seen)
    LEAVING[how](line)
    assert held.done.wait(DEADLINE), "the provider goes on"
    assert held.ends == [b""]
    cancelled = stage.fact("request.cancelled")
    assert (cancelled.phase, cancelled.provider) == (PHASES.get(moment, "stream"), "own")
    assert outcomes(stage) == ["request.cancelled"]


@pytest.mark.parametrize("how", LEAVING)
def test_a_caller_who_leaves_while_a_beginning_is_held_back_closes_it(stage: Scene, how: str) -> None:
    other = f'[providers.other]\nbase_url = "http://127.0.0.1:{stage.provider.port}/other"\nauth = "none"\ngroup = "g"\n'
    stage.configure(other, group="g")
    stage.start()
    held = Held(stage, SSE + chunk(CREATED))
    line = stage.post()
    assert held.here.wait(DEADLINE)
    LEAVING[how](line)
    assert held.done.wait(DEADLINE), "the provider goes on"
    assert line.socket.fileno() == -1 or not line.rest()  # nothing of it had been passed on
    assert stage.fact("request.cancelled").provider == "own"
    assert outcomes(stage) == ["request.cancelled"]


@pytest.mark.parametrize("how", LEAVING)
def test_a_caller_who_leaves_before_its_body_is_whole_reaches_no_provider(stage: Scene, how: str) -> None:
    stage.start()
    line = stage.call()
    line.send(stage.head("/v1/responses", b"", content_length="1000", expect="100-continue"))
    line.until(b"\r\n\r\n")
    line.send(b"x" * 500)
    LEAVING[how](line)
    cancelled = stage.fact("request.cancelled")
    assert (cancelled.phase, cancelled.provider) == ("routing", None)
    assert outcomes(stage) == ["request.cancelled"]


def test_a_caller_who_read_nothing_for_long_may_still_leave(stage: Scene) -> None:
    stage.start()
    gone: list[bool] = []

    def part(line: Line) -> None:
        line.request()
        line.send(SSE)
        try:
            while True:
                line.send(chunk(DELTA * 500))
        except ConnectionError:
            gone.append(True)

    done = stage.provider.plays(part)
    line = stage.post()
    line.until(DELTA)
    line.reset()
    assert done.wait(DEADLINE), "the provider goes on"
    assert gone == [True]
    assert outcomes(stage) == ["request.cancelled"]


def test_what_was_billed_until_then_is_told(stage: Scene) -> None:
    stage.configure(dialects=["anthropic.messages"])
    stage.start()
    held = Held(stage, SSE + chunk(ANTHROPIC_START) + chunk(ANTHROPIC_DELTA))
    line = stage.post("/v1/messages")
    line.until(ANTHROPIC_DELTA)
    line.close()
    assert held.done.wait(DEADLINE)
    cancelled = stage.fact("request.cancelled")
    assert (cancelled.usage.input, cancelled.response, cancelled.served_model) == (42, "msg_1", "served")
    assert cancelled.bytes_out == len(ANTHROPIC_START + ANTHROPIC_DELTA)


def test_a_caller_who_leaves_behind_the_last_event_has_its_answer(stage: Scene) -> None:
    stage.start()
    held = Held(stage, SSE + chunk(DELTA) + chunk(COMPLETED))
    line = stage.post()
    line.until(COMPLETED)
    line.close()
    assert held.done.wait(DEADLINE)
    assert stage.fact("request.completed").usage.total == 11


# ------------------------------------------------------------------------------------------------ providers that break off

DIALECTS = {
    "openai.responses": ("/v1/responses", DELTA, b"event: response.failed\ndata: {", True),
    "anthropic.messages": ("/v1/messages", ANTHROPIC_START + ANTHROPIC_DELTA, b"event: error\ndata: {", True),
    "openai.chat": ("/v1/chat/completions", CHAT_DELTA, b'data: {"error":{', False),
    "gemini.generate": ("/v1beta/models/m:streamGenerateContent?alt=sse", GEMINI_DELTA, b'\n\n{"error":{', True),
}
ENDS = (b"response.completed", b"message_stop", b"[DONE]", b'"finishReason"')


@pytest.mark.parametrize("how", ["close", "reset", "half an event", "half a chunk"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_that_breaks_ends_with_its_dialect_s_error_and_never_cleanly(stage: Scene, dialect: str, how: str) -> None:
    stage.configure(dialects=[dialect])
    stage.start()
    path, said, error, ended = DIALECTS[dialect]
    read = threading.Event()

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(said))
        assert read.wait(DEADLINE)
        if how == "reset":
            line.reset()
        elif how == "half an event":
            line.send(chunk(said[: len(said) // 2]))
        elif how == "half a chunk":
            line.send(b"%x\r\n" % 500 + said[:10])

    stage.provider.plays(part)
    line = stage.post(path)
    line.until(said)
    read.set()
    rest = line.rest()
    assert error in rest
    assert rest.endswith(b"0\r\n\r\n") == ended
    assert not [end for end in ENDS if end in rest]
    failed = stage.fact("request.failed")
    assert (failed.phase, failed.status, failed.code) == ("stream", 200, "upstream_cut")


def test_auggie_s_stream_that_breaks_stays_torn(stage: Scene) -> None:
    stage.configure(dialects=["auggie"])
    stage.start()
    said = b'{"text":"hi"}\n'
    stage.provider.plays(says(SSE.replace(b"event-stream", b"plain") + chunk(said)))
    rest = stage.post("/auggie/chat-stream").rest()
    assert chunk(said) in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert stage.fact("request.failed").code == "upstream_cut"


@pytest.mark.parametrize("framing", ["content-length: 100", "transfer-encoding: chunked"])
def test_a_document_that_breaks_stays_torn(stage: Scene, framing: str) -> None:
    stage.start()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{framing}\r\n\r\n".encode()
    body = b'{"id":' if "length" in framing else b'6\r\n{"id":\r\n'
    stage.provider.plays(says(head + body))
    rest = stage.post().rest()
    assert rest.endswith((b'{"id":', b'6\r\n{"id":\r\n'))
    assert stage.fact("request.failed").code == "upstream_cut"
