"""A gateway between providers that fail and callers that leave: what the other side sees of it, and what is told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.actor_process import memory
from tests.contract.gateway_scene import (
    COMPLETED,
    DEADLINE,
    DELTA,
    SSE,
    Line,
    Scene,
    chunk,
    error_of,
    event,
    says,
    scene,
    silent,
)

pytestmark = pytest.mark.e2e


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


# ------------------------------------------------------------------------------------------------ providers that fail


def test_a_provider_that_is_down_is_502_and_says_what_to_do(stage: Scene) -> None:
    stage.configure(base_url="http://127.0.0.1:1/v1")
    stage.start()
    status, fields, body = stage.post().answer()
    assert status == 502
    assert "'own' refused the connection" in error_of(body)["message"]
    assert "default_provider" in error_of(body)["message"]
    failed = stage.fact("request.failed")
    assert (failed.code, failed.phase, failed.provider) == ("upstream_refused", "connect", "own")
    assert fields["x-request-id"] == failed.request


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (b"", 424, "upstream_cut"),
        (b"nonsense\r\n\r\n", 424, "upstream_malformed"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 424, "upstream_malformed"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://evil.example/\r\ncontent-length: 0\r\n\r\n", 400, "upstream_redirect"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", 424, "upstream_malformed"),
    ],
)
def test_a_provider_that_answers_no_http(stage: Scene, said: bytes, status: int, code: str) -> None:
    stage.start(bus=False)
    stage.provider.plays(says(said))
    answered, _, body = stage.post().answer()
    error = error_of(body)
    assert (answered, error.get("reason", error["code"])) == (status, code)


def test_codex_shows_at_once_that_a_provider_never_answers(stage: Scene) -> None:
    stage.configure(first_byte_timeout=0.3)
    stage.start()
    stage.provider.plays(silent)
    status, _, body = stage.post().answer()
    assert (status, error_of(body)["reason"]) == (400, "upstream_first_byte_timeout")
    assert stage.fact("request.failed").phase == "connect"


@pytest.mark.parametrize("how", ["close", "reset", "silence", "half an event", "no last event"])
def test_a_stream_that_breaks_ends_with_response_failed_as_its_last_event(stage: Scene, how: str) -> None:
    stage.configure(idle_timeout=0.3)
    stage.start()

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(DELTA))
        if how == "reset":
            line.reset()
        elif how == "silence":
            line.rest()
        elif how == "half an event":
            line.send(b"%x\r\n" % 500 + COMPLETED[:40])
        elif how == "no last event":
            line.send(b"0\r\n\r\n")

    stage.provider.plays(part)
    line = stage.post()
    answer = line.rest()
    assert DELTA in answer
    assert b"event: response.failed\ndata: {" in answer
    assert answer.endswith(b"\n\n\r\n0\r\n\r\n")  # Codex shows the failure's message only behind a whole body
    assert b"response.completed" not in answer.partition(b"response.failed")[2]
    failed = stage.fact("request.failed")
    assert (failed.phase, failed.status) == ("stream", 200)
    assert failed.code in ("upstream_cut", "upstream_idle_timeout", "stream_truncated")


def test_a_document_that_breaks_is_not_ended_cleanly(stage: Scene) -> None:
    stage.start(bus=False)
    said = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    stage.provider.plays(says(said))
    assert stage.post().rest().endswith(b"\r\n\r\n{")


def test_an_error_status_passes_as_it_came(stage: Scene) -> None:
    stage.start()
    said = b"HTTP/1.1 429 Slow Down\r\nretry-after: 7\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nslow!"
    stage.provider.plays(says(said))
    status, fields, body = stage.post().answer()
    assert (status, fields["retry-after"], body) == (429, "7", b"slow!")
    assert stage.fact("request.failed").upstream_status == 429


# ------------------------------------------------------------------------------------------------ callers that leave


def test_a_caller_who_stops_reading_holds_little_and_may_still_leave(stage: Scene) -> None:
    gateway = stage.start()
    block = event(type="response.output_text.delta", delta="x" * 60_000)
    sent = []

    def part(line: Line) -> None:
        line.request()
        line.send(SSE)
        with contextlib.suppress(ConnectionError):
            while True:
                line.send(chunk(block))
                sent.append(len(block))

    done = stage.provider.plays(part)
    before = memory(gateway.pid)
    line = stage.post()
    line.until(b"\r\n\r\n")
    stage.fact("request.first_byte")
    wait_until_stalled(sent)
    assert memory(gateway.pid) - before < 4 * 1024 * 1024
    line.until(DELTA[:10])
    while len(line.received) < 20_000_000:  # it reads again, and everything goes on
        line.received += line.socket.recv(1 << 20)
    line.reset()
    assert done.wait(DEADLINE)
    assert stage.fact("request.cancelled").phase == "stream"
    assert "Traceback" not in gateway.log_text()


def wait_until_stalled(sent: list[int]) -> None:
    """Wait until nothing more is taken for a second."""
    count = -1
    while count != len(sent):
        count = len(sent)
        threading.Event().wait(1.2)
