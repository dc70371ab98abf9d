"""The gateway as a process, on real sockets: what passes, who is refused, and what it does without a bus."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.contract import Ready, Status
from tests.contract.actor_process import memory
from tests.contract.gateway_scene import COMPLETED, DEADLINE, DELTA, SSE, Line, Scene, chunk, error_of, scene

pytestmark = pytest.mark.e2e


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


def stream(line: Line) -> None:
    line.request()
    line.send(SSE + chunk(DELTA) + chunk(COMPLETED) + b"0\r\n\r\n")


# ------------------------------------------------------------------------------------------------ what passes


def test_a_request_passes_byte_for_byte_without_the_caller_s_credentials(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "sk-canary-0123456789")
    stage.configure(auth="key", key="env:OWN_KEY", headers={"x-extra": "1"})
    stage.start()
    seen: list[tuple[str, dict[str, str], bytes]] = []

    def part(line: Line) -> None:
        seen.append(line.request())
        line.send(SSE.replace(b"\r\n\r\n", b"\r\nx-request-id: up-1\r\nset-cookie: a=b\r\nx-new: yes\r\n\r\n"))
        for at in range(len(DELTA)):
            line.send(chunk(DELTA[at : at + 1]))
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    stage.provider.plays(part)
    body = b'{"model":"asked", "unknown": [1,  2], "text": "\\u00e4"}'
    line = stage.post(
        "/v1/responses?gw=1&a=%2F",
        body,
        authorization="Bearer mine",
        x_api_key="mine",
        cookie="c=1",
        connection="keep-alive, x-hop",
        x_hop="1",
        x_codex_window_id="w:0",
        x_tabwire_session="forged",
    )
    status, fields, answer = line.answer()
    assert (status, answer) == (200, DELTA + COMPLETED)
    assert (fields["x-request-id"], fields["x-new"], fields["x-tabwire-provider"]) == ("up-1", "yes", "own")
    assert "set-cookie" not in fields
    first, sent, passed = seen[0]
    assert (first, passed) == ("POST /api/responses?gw=1&a=%2F HTTP/1.1", body)
    assert (sent["authorization"], sent["x-extra"], sent["x-codex-window-id"]) == ("Bearer sk-canary-0123456789", "1", "w:0")
    assert (sent["host"], sent["accept-encoding"]) == (f"127.0.0.1:{stage.provider.port}", "identity")
    assert not {"x-api-key", "cookie", "x-hop", "x-tabwire-session"} & sent.keys()
    facts = stage.facts("request.completed")
    completed = facts[-1].data
    assert (completed.usage.total, completed.response, completed.served_model) == (11, "resp_1", "served")
    assert (completed.requested_model, completed.bytes_in, completed.bytes_out) == ("asked", len(body), len(answer))
    assert fields["x-tabwire-session"] == completed.session
    assert fields["x-tabwire-request"] == completed.request
    assert stage.gateway is not None
    everything = b"".join(path.read_bytes() for path in stage.place.paths.state.rglob("*") if path.is_file())
    assert b"sk-canary" not in everything
    assert "sk-canary" not in stage.gateway.log_text()


def test_a_provider_that_says_so_gets_the_caller_s_own_login(stage: Scene) -> None:
    stage.configure(auth="passthrough")
    stage.start(bus=False)
    seen: list[dict[str, str]] = []

    def part(line: Line) -> None:
        seen.append(line.request()[1])
        line.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    stage.provider.plays(part)
    line = stage.post(authorization="Bearer mine", chatgpt_account_id="acc")
    assert line.answer()[2] == b"ok"
    assert (seen[0]["authorization"], seen[0]["chatgpt-account-id"]) == ("Bearer mine", "acc")


def test_connections_are_kept_on_both_sides(stage: Scene) -> None:
    stage.start()

    def part(line: Line) -> None:
        for _ in range(3):
            line.request()
            line.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    stage.provider.plays(part)
    line = stage.call()
    for _ in range(3):
        line.send(stage.head("/v1/responses", b"{}") + b"{}")
        assert line.answer()[0] == 200
    facts = stage.facts("request.completed", 3)
    assert len([one for one in facts if one.type == "process.seen"]) == 1
    assert len({one.data.session for one in facts if one.type == "request.attributed"}) == 1


def test_large_and_chunked_bodies_and_expect_continue(stage: Scene) -> None:
    stage.start(bus=False)
    bodies: list[bytes] = []

    def part(line: Line) -> None:
        for _ in range(2):
            bodies.append(line.request()[2])
            line.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    stage.provider.plays(part)
    big = os.urandom(3_000_000)
    line = stage.call()
    line.send(stage.head("/v1/responses", big, expect="100-continue"))
    assert line.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.send(big)
    assert line.answer()[0] == 200
    line.send(
        f"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        + b"".join(chunk(big[at : at + 50_000]) for at in range(0, len(big), 50_000))
        + b"0\r\n\r\n"
    )
    assert line.answer()[0] == 200
    assert bodies == [big, big]


def test_a_first_chunk_arrives_before_the_stream_goes_on(stage: Scene) -> None:
    stage.start(bus=False)
    go_on = threading.Event()

    def part(line: Line) -> None:
        line.request()
        line.send(SSE)
        assert go_on.wait(DEADLINE)
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    stage.provider.plays(part)
    line = stage.post()
    line.until(b"\r\n\r\n")
    go_on.set()
    assert COMPLETED in line.until(b"0\r\n\r\n")


@pytest.mark.parametrize("framing", ["chunked", "length", "until the end"])
def test_large_answers_are_the_same_bytes_however_they_come_and_are_taken(stage: Scene, framing: str) -> None:
    gateway = stage.start(bus=False)
    blocks = [os.urandom(size) for size in (1, 2, 3, 70_000, 1, 300_000, 16, 1_000_000, 5) * 3]
    whole = b"".join(blocks)

    def part(line: Line) -> None:
        line.request()
        head = {"chunked": "transfer-encoding: chunked", "length": f"content-length: {len(whole)}", "until the end": "x: y"}
        line.send(f"HTTP/1.1 200 OK\r\n{head[framing]}\r\n\r\n".encode())
        for block in blocks:
            line.send(chunk(block) if framing == "chunked" else block)
        if framing == "chunked":
            line.send(b"0\r\n\r\n")

    stage.provider.plays(part)
    status, _, body = stage.post().answer()
    assert status == 200
    assert hashlib.sha256(body).digest() == hashlib.sha256(whole).digest()
    assert "Traceback" not in gateway.log_text()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_other_methods_pass(stage: Scene, method: str) -> None:
    stage.start(bus=False)
    seen: list[str] = []

    def part(line: Line) -> None:
        seen.append(line.request()[0])
        body = b"" if method == "HEAD" else b"okay"
        line.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n" + body)

    stage.provider.plays(part)
    line = stage.call()
    line.send(f"{method} /v1/files HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\nconnection: close\r\n\r\n".encode())
    assert line.rest().endswith(b"\r\n\r\n" if method == "HEAD" else b"okay")
    assert seen == [f"{method} /api/files HTTP/1.1"]


# ------------------------------------------------------------------------------------------------ who is refused


def test_health_and_unknown_paths(stage: Scene) -> None:
    stage.start(bus=False)
    for path in ("/health", "/health/live", "/health/ready"):
        line = stage.call()
        line.send(f"GET {path} HTTP/1.1\r\nhost: localhost:{stage.port}\r\n\r\n".encode())
        assert line.answer()[0] == 200
        line.send(f"GET {path} HTTP/1.1\r\nhost: rebound.example:{stage.port}\r\n\r\n".encode())
        assert line.answer()[0] == 403
    status, _, body = stage.post("/nothing").answer()
    assert (status, error_of(body)["code"]) == (404, "not_found")


def test_what_a_web_page_could_send_reaches_no_provider(stage: Scene) -> None:
    stage.start()
    for fields in ({"origin": "https://evil.example"}, {"host": "evil.example"}, {"sec_fetch_site": "cross-site"}):
        status, given, _ = stage.post("/v1/responses", b"{}", **fields).answer()
        assert status == 403
        assert not [name for name in given if name.startswith("access-control")]
    told = stage.facts("request.failed", 3)
    assert {one.data.phase for one in told if one.type == "request.failed"} == {"admission"}
    assert "request.received" not in {one.type for one in told}


def test_a_websocket_upgrade_is_426_at_once(stage: Scene) -> None:
    stage.start(bus=False)
    line = stage.call()
    line.send(
        f"GET /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert line.rest().startswith(b"HTTP/1.1 426 ")


def test_a_body_beyond_the_bound_is_413_and_the_connection_is_closed(stage: Scene) -> None:
    stage.start(bus=False)
    line = stage.call()
    line.send(stage.head("/v1/responses", b"", content_length=str(65 * 1024 * 1024)))
    answer = line.rest()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_unknown_tokens_are_refused_in_the_caller_s_dialect(stage: Scene) -> None:
    stage.start(bus=False)
    token = "t" * 43
    status, _, body = stage.post(f"/s/{token}/v1/responses").answer()
    assert (status, error_of(body)["reason"]) == (400, "unknown_launch")
    status, _, body = stage.post(f"/s/{token}/v1/messages", anthropic_version="2023-06-01").answer()
    assert (status, json.loads(body)["type"]) == (424, "error")
    assert stage.post("/s/short/v1/responses").answer()[0] == 400


# ------------------------------------------------------------------------------------------------ without a bus


def test_requests_go_on_without_a_bus_and_its_facts_come_later(stage: Scene) -> None:
    gateway = stage.start(bus=False)
    status = gateway.until(Status)
    assert status.state == "degraded"
    assert "the bus is away" in status.note
    stage.provider.plays(stream)
    assert stage.post().answer()[0] == 200
    stage.place.start("broker").until(Ready)
    while gateway.until(Status).state != "ready":
        pass
    told = [one.type for one in stage.facts("request.completed")]
    assert told.count("request.received") == 1
    assert gateway.process.poll() is None


def test_a_taken_port_is_78_and_names_the_key(stage: Scene) -> None:
    with socket.create_server(("127.0.0.1", stage.port)):
        gateway = stage.place.start("gateway")
        assert gateway.exit_code() == 78
    last = gateway.lines()[-1]
    assert isinstance(last, Status)
    assert f"gateway.port: port {stage.port}" in last.note


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ({"auth": "key", "key": "env:NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ({"auth": "key", "key": "file:/no/such/file"}, "/no/such/file cannot be read"),
        ({"headers": {"bad name": "x"}}, "cannot be a header field"),
    ],
)
def test_a_default_provider_that_cannot_be_used_is_78_with_its_line(stage: Scene, provider: dict[str, Any], said: str) -> None:
    stage.configure(**provider)
    gateway = stage.place.start("gateway")
    assert gateway.exit_code() == 78
    last = gateway.lines()[-1]
    assert isinstance(last, Status)
    assert said in last.note
    assert "config.toml:" in last.note
    assert "providers.own." in last.note


def test_the_process_loads_no_more_than_it_needs(stage: Scene) -> None:
    gateway = stage.start(bus=False)
    mapped = Path(f"/proc/{gateway.pid}/maps").read_text()
    assert "httptools" in mapped
    assert memory(gateway.pid) < 64 * 1024 * 1024
