"""The gateway between a caller and two providers, on real sockets: what goes elsewhere, unchanged, and what never does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.failover_scene import BODY, Pair, answers, hangs_up, streams, two_providers, well
from tests.contract.gateway_scene import (
    COMPLETED,
    CREATED,
    DEADLINE,
    DELTA,
    SSE,
    Line,
    Play,
    chunk,
    error_of,
    event,
    says,
    silent,
)

pytestmark = pytest.mark.e2e
PROGRESS = event(type="response.in_progress", response={"id": "resp_1"})
FAILED = event(type="response.failed", response={"id": "resp_0", "error": {"code": "server_is_overloaded", "message": "no"}})


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with two_providers(tmp_path) as given:
        yield given


# ------------------------------------------------------------------------------------------------ what goes elsewhere


@pytest.mark.parametrize(
    "first",
    [
        answers("500 Internal Server Error"),
        answers("503 Service Unavailable"),
        answers("529 Overloaded"),
        answers("429 Too Many Requests", b'{"error":{"code":"rate_limit_exceeded"}}', "retry-after: 20"),
        answers("429 Too Many Requests", b'{"error":{"type":"usage_limit_reached"}}'),
        answers("401 Unauthorized"),
        hangs_up,
        streams(FAILED),
        streams(CREATED, PROGRESS, FAILED),
        streams(CREATED),
        says(SSE + chunk(CREATED)),
    ],
    ids=[
        "500", "503", "529", "429 rate", "429 quota", "401", "cut before the head", "an error inside a 200",
        "an error after a beginning", "an end after a beginning", "a cut after a beginning",
    ],
)  # fmt: skip
def test_a_failure_before_any_output_goes_elsewhere_byte_for_byte(pair: Pair, first: Play) -> None:
    pair.stage.start()
    bodies: list[bytes] = []

    def second(line: Line) -> None:
        first_line, fields, body = line.request()
        assert first_line == "POST /other/responses?a=1 HTTP/1.1"
        assert fields["x-own"] == "kept"
        bodies.append(body)
        line.send(SSE + chunk(CREATED) + chunk(DELTA) + chunk(COMPLETED) + b"0\r\n\r\n")

    pair.one.plays(first)
    pair.two.plays(second)
    status, fields, body = pair.stage.post("/v1/responses?a=1", BODY, x_own="kept").answer()
    assert (status, body) == (200, CREATED + DELTA + COMPLETED)
    assert (fields["x-tabwire-provider"], fields["x-tabwire-attempts"]) == ("two", "2")
    assert [hashlib.sha256(one).digest() for one in bodies] == [hashlib.sha256(BODY).digest()]
    facts = pair.stage.facts("request.completed")
    told = [one.type for one in facts if one.type.startswith("request.")]
    assert told == [
        "request.received",
        "request.attributed",
        "request.routed",
        "request.retried",
        "request.routed",
        "request.first_byte",
        "request.completed",
    ]
    assert (facts[-1].data.provider, facts[-1].data.attempts, facts[-1].data.bytes_in) == ("two", 2, len(BODY))


def test_a_refused_connection_goes_elsewhere(pair: Pair) -> None:
    pair.configure(base_url="http://127.0.0.1:1/v1")
    pair.stage.start()
    pair.two.plays(well)
    assert pair.stage.post().answer()[0] == 200
    assert pair.stage.fact("request.retried").code == "upstream_refused"


def test_a_silent_provider_goes_elsewhere_only_where_it_is_allowed(pair: Pair) -> None:
    pair.configure("[failover]\nretry_timeouts = true\n", first_byte_timeout=0.3)
    pair.stage.start(bus=False)
    left = pair.one.plays(silent)
    pair.two.plays(well)
    assert pair.stage.post().answer()[0] == 200
    assert left.wait(DEADLINE)


def test_the_next_request_passes_over_a_provider_whose_circuit_is_open(pair: Pair) -> None:
    pair.configure("[breaker]\nfailures = 1\n")
    pair.stage.start()
    pair.one.plays(answers("500 Internal Server Error"))
    pair.two.plays(well)
    pair.two.plays(well)
    assert pair.stage.post().answer()[0] == 200
    status, fields, _ = pair.stage.post().answer()
    assert (status, fields["x-tabwire-provider"]) == (200, "two")
    assert "x-tabwire-attempts" not in fields


# ------------------------------------------------------------------------------------------------ what never does


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "413 Content Too Large", "422 Unprocessable"])
def test_what_the_caller_did_wrong_passes_at_once(pair: Pair, status: str) -> None:
    pair.stage.start(bus=False)
    pair.one.plays(answers(status, b'{"error":{"message":"mine"}}', "x-request-id: up-1"))
    answered, fields, body = pair.stage.post("/v1/chat/completions").answer()
    assert (answered, body) == (int(status[:3]), b'{"error":{"message":"mine"}}')
    assert fields["x-request-id"] == "up-1"
    assert pair.two.parts.empty()


def test_nothing_goes_elsewhere_after_the_first_byte(pair: Pair) -> None:
    pair.stage.start()
    pair.one.plays(says(SSE + chunk(CREATED) + chunk(DELTA)))
    received = pair.stage.post().rest()
    assert received.count(b"response.created") == 1
    assert b"response.failed" in received
    assert (failed := pair.stage.fact("request.failed")).code == "upstream_cut"
    assert failed.attempts == 1


def test_attempts_are_bounded_and_the_last_answer_is_given_with_its_retry_after(pair: Pair) -> None:
    pair.configure("[failover]\nattempts = 2\n")
    pair.stage.start()
    pair.one.plays(answers("503 Service Unavailable"))
    limited = b'{"error":{"code":"rate_limit_exceeded","message":"slower"}}'
    pair.two.plays(answers("429 Too Many Requests", limited, "retry-after: 7"))
    status, fields, body = pair.stage.post().answer()
    assert (status, fields["retry-after"], body) == (429, "7", limited)
    failed = pair.stage.fact("request.failed")
    assert (failed.attempts, failed.upstream_status, failed.provider) == (2, 429, "two")


def test_no_attempt_begins_when_the_seconds_are_over(pair: Pair) -> None:
    pair.configure("[failover]\nseconds = 0.05\nretry_timeouts = true\n", first_byte_timeout=0.2)
    pair.stage.start()
    pair.one.plays(silent)
    status, _, body = pair.stage.post("/v1/messages").answer()
    assert (status, "sent nothing in time" in error_of(body)["message"]) == (504, True)
    assert pair.two.parts.empty()


def test_a_lone_provider_s_stream_is_not_held_back(pair: Pair) -> None:
    pair.stage.configure()
    pair.stage.start(bus=False)
    seen = threading.Event()

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(CREATED))
        assert seen.wait(DEADLINE)
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    pair.one.plays(part)
    line = pair.stage.post()
    line.until(CREATED)
    seen.set()
    line.until(b"0\r\n\r\n")


# ------------------------------------------------------------------------------------------------ held back


def test_what_was_held_back_is_delivered_unchanged_and_in_order(pair: Pair) -> None:
    pair.stage.start(bus=False)
    begun = CREATED + b": a comment\n\n" + PROGRESS + PROGRESS
    said = begun + DELTA + DELTA + COMPLETED

    def part(line: Line) -> None:
        line.request()
        line.send(SSE)
        for at in range(0, len(said), 7):
            line.send(chunk(said[at : at + 7]))
        line.send(b"0\r\n\r\n")

    pair.one.plays(part)
    status, fields, body = pair.stage.post().answer()
    assert (status, body) == (200, said)
    assert fields["x-tabwire-provider"] == "own"


def test_a_beginning_that_is_too_large_is_let_go(pair: Pair) -> None:
    pair.stage.start(bus=False)
    seen = threading.Event()
    large = event(type="response.created", response={"id": "resp_1", "instructions": "x" * 40_000})

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(large) + chunk(large))
        assert seen.wait(DEADLINE)
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    pair.one.plays(part)
    line = pair.stage.post()
    line.until(b"\r\n\r\n")
    seen.set()
    assert large + large in line.until(b"0\r\n\r\n")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("kept", ["a beginning", "a refusal"])
def test_a_caller_who_leaves_while_an_answer_is_kept_ends_the_provider_s_work(pair: Pair, how: str, kept: str) -> None:
    pair.stage.start()
    held = threading.Event()

    def part(line: Line) -> None:
        line.request()
        refusal = b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        line.send(refusal if kept == "a refusal" else SSE + chunk(CREATED))
        held.set()
        line.rest()

    gone = pair.one.plays(part)
    line = pair.stage.post()
    assert held.wait(DEADLINE)
    leave(line, how)
    assert gone.wait(DEADLINE)
    cancelled = pair.stage.fact("request.cancelled")
    assert (cancelled.provider, cancelled.bytes_out) == ("own", 0)
    assert cancelled.phase in ("connect", "response_head"), "its head may still be on its way here"
    assert pair.two.parts.empty()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_caller_who_leaves_a_second_attempt_ends_it(pair: Pair, how: str) -> None:
    pair.stage.start()
    asked = threading.Event()
    pair.one.plays(answers("503 Service Unavailable"))

    def part(line: Line) -> None:
        line.request()
        asked.set()
        line.rest()

    gone = pair.two.plays(part)
    line = pair.stage.post()
    assert asked.wait(DEADLINE)
    leave(line, how)
    assert gone.wait(DEADLINE)
    cancelled = pair.stage.fact("request.cancelled")
    assert (cancelled.phase, cancelled.provider, cancelled.attempts) == ("connect", "two", 2)


def leave(line: Line, how: str) -> None:
    if how == "reset":
        line.reset()
    else:
        line.close()
