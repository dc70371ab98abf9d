"""The gateway's HTTP on real sockets: what keeps a connection, what ends it, and what is still read when it does."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.runtime.http import bounds
from tests.contract.gateway_scene import COMPLETED, DEADLINE, DELTA, SSE, Line, Request, Scene, chunk, says, scene

pytestmark = pytest.mark.e2e
OKAY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


def serve(stage: Scene, count: int, seen: list[bytes]) -> None:
    """Answer so many requests on one connection."""

    def part(line: Line) -> None:
        for _ in range(count):
            seen.append(line.request()[2])
            line.send(OKAY)

    stage.provider.plays(part)


def health(stage: Scene, version: str = "1.1", **fields: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET /health/live HTTP/{version}\r\nhost: 127.0.0.1:{stage.port}\r\n{lines}\r\n".encode()


def test_requests_behind_each_other_are_answered_in_order(stage: Scene) -> None:
    stage.start(bus=False)
    seen: list[bytes] = []
    serve(stage, 3, seen)
    bodies = [b'{"n":%d}' % n for n in range(3)]
    line = stage.call()
    line.send(b"".join(stage.head("/v1/responses", body) + body for body in bodies) + health(stage))
    assert [line.answer()[::2] for _ in bodies] == [(200, b"ok")] * 3
    assert line.answer()[2] == b'{"status":"live"}'
    assert seen == bodies


def test_more_requests_behind_each_other_than_are_taken_end_the_connection_in_good_order(stage: Scene) -> None:
    stage.start(bus=False)
    line = stage.call()
    line.send(health(stage) * (bounds.PIPELINED + 4))
    answers = line.rest()
    assert STATUS.findall(answers) == [b"200"] * bounds.PIPELINED
    assert answers.count(b"connection: close") == 1


def test_what_is_sent_ahead_of_its_turn_waits_for_it(stage: Scene) -> None:
    stage.start(bus=False)
    here, go_on = threading.Event(), threading.Event()
    big = b"x" * 500_000
    seen: list[bytes] = []

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(DELTA))
        here.set()
        assert go_on.wait(DEADLINE)
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")
        seen.append(line.request()[2])
        line.send(OKAY)

    stage.provider.plays(part)
    line = stage.post()
    assert here.wait(DEADLINE)
    sender = threading.Thread(target=line.send, args=(stage.head("/v1/responses", big) + big,))
    sender.start()
    go_on.set()
    assert COMPLETED in line.answer()[2]
    assert line.answer()[2] == b"ok"
    sender.join(DEADLINE)
    assert seen == [big]


def test_a_caller_of_http_1_0_gets_what_it_understands(stage: Scene) -> None:
    stage.start(bus=False)

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(DELTA) + chunk(COMPLETED) + b"0\r\n\r\n")

    stage.provider.plays(part)
    line = stage.call()
    line.send(f"POST /v1/responses HTTP/1.0\r\nhost: 127.0.0.1:{stage.port}\r\ncontent-length: 2\r\n\r\n{{}}".encode())
    head, _, body = line.rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert b"transfer-encoding" not in head
    assert body == DELTA + COMPLETED
    line = stage.call()
    for _ in range(2):
        line.send(health(stage, "1.0", connection="keep-alive"))
        assert line.answer()[1]["connection"] == "keep-alive"
    line.send(health(stage, "1.0"))
    assert line.rest().endswith(b'{"status":"live"}')


def test_connection_close_is_kept(stage: Scene) -> None:
    stage.start(bus=False)
    line = stage.call()
    line.send(health(stage, connection="close") + health(stage))
    answer = line.rest()
    assert len(STATUS.findall(answer)) == 1
    assert b"connection: close" in answer


def test_an_answer_before_the_body_is_whole_can_be_read_by_one_who_sends_on(stage: Scene) -> None:
    stage.start(bus=False)
    line = stage.call()
    line.send(stage.head("/nothing", b"", content_length="30000000"))
    line.send(b"x" * 3_000_000)  # more than fits into the sockets: it is read, though for nobody
    answer = line.rest()
    assert STATUS.findall(answer) == [b"404"]
    assert answer.endswith(b'"code":"not_found"}}')


def test_a_body_that_breaks_its_framing_is_refused_in_the_caller_s_dialect_and_reaches_no_provider(stage: Scene) -> None:
    stage.start()
    line = stage.call()
    line.send(
        f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}".encode()
    )
    line.send(b"2\r\n{}\r\nzz\r\n")
    line.send(health(stage))
    answer = line.rest()
    assert STATUS.findall(answer) == [b"400"]
    assert b'"type":"error"' in answer
    assert stage.fact("request.failed").code == "body_malformed"


def test_a_kept_connection_that_its_provider_closed_is_not_used_again(stage: Scene) -> None:
    stage.start(bus=False)
    seen: list[Request] = []
    line = stage.call()
    for _ in range(2):
        done = stage.provider.plays(says(OKAY, seen))
        line.send(stage.head("/v1/responses", b"{}") + b"{}")
        assert line.answer()[2] == b"ok"
        assert done.wait(DEADLINE)
        line.send(health(stage))  # by its answer the end of the provider's connection was seen
        assert line.answer()[0] == 200
    assert [body for _, _, body in seen] == [b"{}"] * 2


@pytest.mark.parametrize("behind", [b"x", OKAY])
def test_bytes_behind_an_answer_reach_no_other_request(stage: Scene, behind: bytes) -> None:
    stage.start(bus=False)
    line = stage.call()

    def part(provider: Line) -> None:
        says(OKAY + behind)(provider)
        provider.rest()

    stage.provider.plays(part)
    line.send(stage.head("/v1/responses", b"{}") + b"{}")
    assert line.answer()[2] == b"ok"
    serve(stage, 1, [])
    line.send(stage.head("/v1/responses", b"{}") + b"{}")
    assert line.answer()[2] == b"ok"


def test_a_provider_that_refuses_before_it_has_read_everything_is_heard(stage: Scene) -> None:
    stage.configure(dialects=["openai.chat"])  # toward Codex a 413 is given as a 400
    stage.start(bus=False)

    def part(provider: Line) -> None:
        provider.until(b"\r\n\r\n")
        provider.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig")
        provider.rest()

    stage.provider.plays(part)
    status, _, body = stage.post("/v1/chat/completions", body=b"x" * 20_000_000).answer()
    assert (status, body) == (413, b"big")


def test_interim_answers_of_a_provider_stay_with_us(stage: Scene) -> None:
    stage.start(bus=False)
    said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OKAY
    stage.provider.plays(says(said))
    line = stage.post()
    assert line.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert line.exactly(2) == b"ok"


def test_an_answer_that_ends_with_its_connection_is_cut_by_a_reset(stage: Scene) -> None:
    stage.start()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

    def part(line: Line) -> None:
        line.request()
        line.send(head + DELTA)
        assert read.wait(DEADLINE)
        line.reset()

    read = threading.Event()
    stage.provider.plays(part)
    line = stage.post()
    line.until(DELTA)
    read.set()
    assert b"response.failed" in line.rest()
    assert stage.fact("request.failed").code == "upstream_cut"


def test_a_gateway_that_stops_tells_what_it_cut_and_lets_the_rest_end(stage: Scene) -> None:
    gateway = stage.start()
    here = threading.Event()

    def part(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(DELTA))
        here.set()
        line.rest()

    done = stage.provider.plays(part)
    idle, line = stage.call(), stage.post()
    idle.send(health(stage))
    assert idle.answer()[0] == 200
    assert here.wait(DEADLINE)
    line.until(DELTA)
    gateway.process.terminate()
    assert gateway.exit_code() == 0
    assert done.wait(DEADLINE)
    assert idle.rest() == b""
    assert stage.fact("request.cancelled").phase == "stream"


def test_small_writes_do_not_wait_for_acknowledgements(stage: Scene) -> None:
    stage.start(bus=False)
    pace = threading.Event()

    def part(line: Line) -> None:
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.request()
        line.send(SSE)
        for _ in range(50):
            line.send(chunk(DELTA))
            pace.wait(0.002)
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    stage.provider.plays(part)
    line = stage.post()
    sizes = []
    while not line.received.endswith(b"0\r\n\r\n"):
        more = line.socket.recv(65536)
        assert more
        sizes.append(len(more))
        line.received += more
    # Nagle's algorithm holds what is written behind an unacknowledged write for some 40 ms: 20 events in one read.
    assert max(sizes[1:]) < 10 * len(DELTA)
