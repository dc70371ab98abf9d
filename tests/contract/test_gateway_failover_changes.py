"""Failover where a pin has a say, where a request must be changed for who stands in, and where a kept connection had ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.failover_scene import BODY, Pair, answers, hangs_up, two_providers, well
from tests.contract.gateway_scene import COMPLETED, CREATED, DEADLINE, DELTA, SSE, Line, chunk, error_of

pytestmark = pytest.mark.e2e


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with two_providers(tmp_path) as given:
        yield given


# ------------------------------------------------------------------------------------------------ pins


def pin(on_failure: str, *, provider: str = "own", model: str = "") -> str:
    return f'[[pins]]\nproject = "/"\nprovider = "{provider}"\nmodel = "{model}"\non_failure = "{on_failure}"\n'


def test_a_pin_that_falls_back_does_so_and_one_that_fails_does_not(pair: Pair) -> None:
    pair.configure(pin("fallback", provider="gone"))
    pair.stage.start()
    pair.one.plays(well)
    assert pair.stage.post().answer()[0] == 200
    routed = pair.stage.fact("request.routed")
    assert (routed.provider, routed.pin) == ("own", "project:/")
    assert "passed over gone: no provider 'gone' is configured" in routed.reason


def test_a_pin_that_fails_gives_its_provider_s_own_failure(pair: Pair) -> None:
    pair.configure(pin("fail"))
    pair.stage.start(bus=False)
    pair.one.plays(answers("503 Service Unavailable"))
    assert pair.stage.post().answer()[0] == 503
    assert pair.two.parts.empty()


def test_a_pin_that_asks_refuses_and_says_so_once(pair: Pair) -> None:
    pair.configure(pin("ask"), enabled=False)
    file = pair.stage.place.paths.config_file
    file.write_text(file.read_text().replace('default_provider = "own"', 'default_provider = "two"'))
    pair.stage.start()
    status, _, body = pair.stage.post().answer()
    assert (status, error_of(body)["reason"]) == (400, "pin_undecided")
    assert "`tabwire pin / two`" in error_of(body)["message"]
    needed = [one.data for one in pair.stage.facts("request.failed") if one.type == "pin.decision_needed"]
    assert [(one.provider, one.alternatives) for one in needed] == [("own", ("two",))]


# ------------------------------------------------------------------------------------------------ what is changed


def test_a_pinned_model_is_written_and_its_alternative_gets_the_caller_s_bytes(pair: Pair) -> None:
    pair.configure(pin("fallback", model="deep"))
    pair.stage.start()
    bodies: list[bytes] = []

    def first(line: Line) -> None:
        bodies.append(line.request()[2])
        answers_now = b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n"
        line.send(answers_now)

    def second(line: Line) -> None:
        bodies.append(line.request()[2])
        line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")

    pair.one.plays(first)
    pair.two.plays(second)
    assert pair.stage.post("/v1/responses", BODY).answer()[0] == 200
    assert bodies == [BODY.replace(b'"asked"', b'"deep"'), BODY]
    routed = [one.data for one in pair.stage.facts("request.completed") if one.type == "request.routed"]
    assert [(one.sent_model, one.changes) for one in routed] == [("deep", ("model deep",)), ("asked", ())]


def test_reasoning_that_its_provider_cannot_read_is_left_out_once(pair: Pair) -> None:
    pair.stage.configure()
    pair.stage.start()
    item = b'{"type":"reasoning","id":"rs_1","encrypted_content":"abc"}'
    message = b'{"role":"user","content":"hi"}'
    bodies: list[bytes] = []

    def second(line: Line) -> None:
        bodies.append(line.request()[2])
        line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")

    pair.one.plays(answers("400 Bad Request", b'{"error":{"code":"invalid_encrypted_content","message":"no"}}'))
    pair.one.plays(second)
    body = b'{"model":"m","input":[' + item + b"," + message + b"]}"
    assert pair.stage.post("/v1/responses", body).answer()[0] == 200
    assert bodies == [b'{"model":"m","input":[' + message + b"]}"]
    assert pair.stage.fact("request.retried").code == "encrypted_content"


# ------------------------------------------------------------------------------------------------ a connection that was kept


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(pair: Pair) -> None:
    pair.stage.configure()
    pair.stage.start()
    ready = threading.Event()

    def first(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")
        ready.set()
        line.until(b"\r\n\r\n")  # the next request reaches a provider that is just closing the connection

    pair.one.plays(first)
    pair.one.plays(well)
    assert pair.stage.post().answer()[0] == 200
    assert ready.wait(DEADLINE)
    status, fields, body = pair.stage.post(body=BODY).answer()
    assert (status, body) == (200, CREATED + DELTA + COMPLETED)
    assert "x-tabwire-attempts" not in fields
    told = [one.type for one in pair.stage.facts("request.completed", 2)]
    assert "request.retried" not in told


def test_what_ends_on_a_new_connection_was_cut(pair: Pair) -> None:
    pair.stage.configure()
    pair.stage.start(bus=False)
    pair.one.plays(hangs_up)
    status, _, body = pair.stage.post().answer()
    assert (status, error_of(body)["code"]) == (424, "upstream_cut")
    assert pair.one.parts.empty()
