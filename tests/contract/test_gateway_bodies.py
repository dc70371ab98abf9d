"""Bodies come through the gateway as they are, both ways: by their hash, however they are framed and cut into packets."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.gateway_scene import COMPLETED, SSE, Line, Request, Scene, chunk, event, says, scene

pytestmark = pytest.mark.e2e
OKAY = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
MIB = 1024 * 1024
SIZES = (0, 1, 2, 1023, 65_535, 65_536, 65_537, 3 * MIB + 1, 20_000_000)
FRAMINGS = ("length", "chunked", "until the end")
Cut = Callable[[bytes], list[bytes]]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


def noise(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - noise, the same each time


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pieces(data: bytes, seed: int = 1) -> list[bytes]:
    """Cut at places that nothing in the data explains."""
    chance, found, at = random.Random(seed), [], 0  # noqa: S311 - as above
    while at < len(data):
        size = chance.choice((1, 2, 7, 100, 1400, 16_384, 65_536, 300_000))
        found.append(data[at : at + size])
        at += size
    return found


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def send(line: Line, packets: list[bytes]) -> None:
    """Send each piece as a packet of its own, as far as the system goes along."""
    line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for packet in packets:
        line.send(packet)


# ------------------------------------------------------------------------------------------------ to the provider


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_request_s_body_of_any_size_reaches_its_provider_as_it_is(stage: Scene, framing: str) -> None:
    stage.start(bus=False)
    for size in SIZES:
        body = noise(size)
        seen: list[Request] = []
        stage.provider.plays(says(OKAY, seen))
        line = stage.call()
        if framing == "length":
            line.send(stage.head("/v1/responses", body))
            send(line, pieces(body))
        else:
            head = f"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\ntransfer-encoding: chunked\r\n\r\n"
            line.send(head.encode())
            send(line, [*(chunk(piece) for piece in pieces(body)), b"0\r\n\r\n"])
        assert line.answer()[0] == 200
        assert [digest(one) for _, _, one in seen] == [digest(body)]
        line.close()


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
def test_a_compressed_body_is_passed_on_compressed(stage: Scene, coding: str) -> None:
    stage.start(bus=False)
    body = gzip.compress(b'{"model":"asked"}') if coding == "gzip" else noise(5000)  # what cannot be read is passed on too
    seen: list[Request] = []
    stage.provider.plays(says(OKAY, seen))
    assert stage.post(body=body, content_encoding=coding).answer()[0] == 200
    assert (seen[0][1]["content-encoding"], digest(seen[0][2])) == (coding, digest(body))


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_request_in_packets_of_one_byte_is_the_same_request(stage: Scene, framing: str) -> None:
    stage.start(bus=False)
    body = b'{"model":"asked","text":"' + b"\xf0\x9f\xa6\x89" * 40 + b'"}'
    seen: list[Request] = []
    stage.provider.plays(says(OKAY, seen))
    line = stage.call()
    raw = stage.head("/v1/responses", body, x_codex="1") + body
    if framing == "chunked":
        raw = raw.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
        raw = raw.removesuffix(body) + b"".join(chunk(piece) for piece in pieces(body)) + b"0\r\n\r\n"
    send(line, single(raw))
    assert line.answer()[0] == 200
    assert (seen[0][0], seen[0][1]["x-codex"], seen[0][2]) == ("POST /api/responses HTTP/1.1", "1", body)


# ------------------------------------------------------------------------------------------------ to the caller


def answer_in(
    framing: str, body: bytes, more: str = "content-type: application/octet-stream\r\n", cut: Cut = pieces
) -> list[bytes]:
    """Write an answer as packets."""
    framed = {"length": f"content-length: {len(body)}\r\n", "chunked": "transfer-encoding: chunked\r\n", "until the end": ""}
    head = f"HTTP/1.1 200 OK\r\nconnection: close\r\n{framed[framing]}{more}\r\n".encode()
    parts = [piece for piece in cut(body) if piece]
    return [head, *([*(chunk(part) for part in parts), b"0\r\n\r\n"] if framing == "chunked" else parts)]


def part_of(packets: list[bytes]) -> Callable[[Line], None]:
    def part(line: Line) -> None:
        line.request()
        send(line, packets)

    return part


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_answer_s_body_of_any_size_reaches_its_caller_as_it_is(stage: Scene, framing: str, version: str) -> None:
    stage.start(bus=False)
    for size in SIZES:
        body = noise(size)
        stage.provider.plays(part_of(answer_in(framing, body)))
        line = stage.call()
        line.send(
            f"POST /v1/responses HTTP/{version}\r\nhost: 127.0.0.1:{stage.port}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
        )
        if version == "1.1":
            status, _, got = line.answer()
        else:
            head, _, got = line.rest().partition(b"\r\n\r\n")
            status = int(head.split(b" ")[1])
        assert (status, digest(got)) == (200, digest(body)), size
        line.close()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_compressed_answer_is_passed_on_compressed(stage: Scene, framing: str) -> None:
    stage.start()
    body = gzip.compress(b'{"id":"resp_1","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}' + b" " * 100_000)
    more = "content-type: application/json\r\ncontent-encoding: gzip\r\n"
    stage.provider.plays(part_of(answer_in(framing, body, more)))
    status, fields, got = stage.post(accept_encoding="gzip").answer()
    assert (status, fields["content-encoding"], digest(got)) == (200, "gzip", digest(body))
    assert stage.fact("request.completed").bytes_out == len(body)


STREAM = b"".join(
    (
        event(type="response.created", response={"id": "resp_1"}),
        b": a comment\n\n",
        event(type="response.output_text.delta", delta="ü🦉\u2028" * 30),
        b"event: x\r\ndata: {}\r\n\r\n",
        b"data: one\ndata: two\nid: 7\nretry: 10\n\n",
        event(type="response.output_text.delta", delta="a\\nb"),
        COMPLETED,
    )
)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_stream_in_packets_of_one_byte_is_the_same_stream(stage: Scene, framing: str) -> None:
    stage.start()
    packets = answer_in(framing, STREAM, "content-type: text/event-stream\r\n", single)
    stage.provider.plays(part_of([byte for packet in packets for byte in single(packet)]))
    assert digest(stage.post().answer()[2]) == digest(STREAM)
    completed = stage.fact("request.completed")
    assert (completed.usage.total, completed.response, completed.bytes_out) == (11, "resp_1", len(STREAM))


def test_a_stream_split_anywhere_is_the_same_stream(stage: Scene) -> None:
    stage.start()
    places = range(1, len(STREAM), 5)

    def part(line: Line) -> None:
        for at in places:
            line.request()
            send(line, [SSE, chunk(STREAM[:at]), chunk(STREAM[at:]), b"0\r\n\r\n"])

    stage.provider.plays(part)
    line = stage.call()
    for at in places:
        line.send(stage.head("/v1/responses", b"{}") + b"{}")
        assert digest(line.answer()[2]) == digest(STREAM), at
    facts = stage.facts("request.completed", len(places))
    assert {one.data.usage.total for one in facts if one.type == "request.completed"} == {11}


def test_a_stream_that_was_held_back_is_the_same_stream(stage: Scene) -> None:
    other = f'[providers.other]\nbase_url = "http://127.0.0.1:{stage.provider.port}/other"\nauth = "none"\ngroup = "g"\n'
    stage.configure(other, group="g")
    stage.start()
    stage.provider.plays(part_of([SSE, *(chunk(byte) for byte in single(STREAM)), b"0\r\n\r\n"]))
    assert digest(stage.post().answer()[2]) == digest(STREAM)
    assert stage.fact("request.completed").bytes_out == len(STREAM)


@pytest.mark.parametrize("size", [1, 1000, 60_000, 70_000, 3 * MIB])
def test_a_refusal_that_was_collected_is_the_same_refusal(stage: Scene, size: int) -> None:
    stage.configure(dialects=["openai.chat"])
    stage.start(bus=False)
    body = noise(size)
    head = f"HTTP/1.1 422 No\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {size}\r\n\r\n".encode()
    stage.provider.plays(part_of([head, *pieces(body)]))
    status, fields, got = stage.post("/v1/chat/completions").answer()
    assert (status, fields["content-type"], digest(got)) == (422, "text/plain", digest(body))


# ------------------------------------------------------------------------------------------------ no body


@pytest.mark.parametrize(
    ("method", "said", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "4"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 4\r\n\r\n", None),
    ],
)
def test_an_answer_without_a_body_has_none_and_the_connection_goes_on(
    stage: Scene, method: str, said: bytes, length: str | None
) -> None:
    stage.start(bus=False)

    def part(line: Line) -> None:
        line.request()
        line.send(said)

    stage.provider.plays(part)
    line = stage.call()
    line.send(f"{method} /v1/files/x HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\n\r\n".encode())
    head = line.until(b"\r\n\r\n")
    if head.split(b" ")[1] in (b"200", b"204"):
        assert said.split(b"\r\n")[0] == head.split(b"\r\n")[0]
    if length is not None:
        assert f"content-length: {length}".encode() in head
    if b"connection: close" not in head:
        line.send(f"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\n\r\n".encode())
        assert line.answer()[2] == b'{"status":"live"}'


# ------------------------------------------------------------------------------------------------ who does not read


@pytest.mark.parametrize(
    ("framing", "version"), [("length", "1.1"), ("chunked", "1.1"), ("until the end", "1.1"), ("chunked", "1.0")]
)
def test_a_caller_who_does_not_read_holds_little_however_the_answer_is_framed(stage: Scene, framing: str, version: str) -> None:
    gateway = stage.start(bus=False)
    whole, sent = 64 * MIB, [0]
    block = noise(64 * 1024)

    def part(line: Line) -> None:
        line.request()
        line.send(answer_in(framing, b"")[0].replace(b"content-length: 0", b"content-length: %d" % whole))
        with contextlib.suppress(ConnectionError):  # the caller may be gone before the last of it
            while sent[0] < whole:
                line.send(chunk(block) if framing == "chunked" else block)
                sent[0] += len(block)
            if framing == "chunked":
                line.send(b"0\r\n\r\n")

    stage.provider.plays(part)
    before = resident(gateway.pid)
    line = stage.call()
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    line.send(f"POST /v1/responses HTTP/{version}\r\nhost: 127.0.0.1:{stage.port}\r\ncontent-length: 2\r\n\r\n{{}}".encode())
    line.until(b"\r\n\r\n")
    count = -1
    while count != sent[0]:  # until nothing more is taken for a moment
        count = sent[0]
        threading.Event().wait(0.7)
    assert count < whole
    assert resident(gateway.pid) - before < 4 * MIB
    if version == "1.1" and framing != "length":
        return
    got = hashlib.sha256(line.received)
    size = len(line.received)
    while more := line.socket.recv(1 << 20):
        got.update(more)
        size += len(more)
        if size == whole and framing == "length":
            break
    assert (size, got.hexdigest()) == (whole, digest(block * (whole // len(block))))


def resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024
