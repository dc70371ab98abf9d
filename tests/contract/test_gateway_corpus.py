"""Requests that are not HTTP, or not only one, or not for us: each is refused, its connection ends, and nothing follows.

Every case is sent with a sound request right behind it, which must never be answered: who cannot say where a message ends
cannot say where the next begins.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.contract.gateway_scene import Line, Request, Scene, chunk, says, scene

pytestmark = pytest.mark.e2e
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
GET = b"GET /v1/models HTTP/1.1\r\n"
POST = b"POST /v1/responses HTTP/1.1\r\n"
HOST = b"host: {host}\r\n"
HIDDEN = b"POST /v1/responses HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = POST + HOST + b"transfer-encoding: chunked\r\n\r\n"

MALFORMED = {
    # lines
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "http/0.9": b"GET /v1/models\r\n\r\n",
    "http/0.9 with a version": b"GET /v1/models HTTP/0.9\r\n" + HOST + b"\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/9.9": b"GET /v1/models HTTP/9.9\r\n" + HOST + b"\r\n",
    "http/1.2": b"GET /v1/models HTTP/1.2\r\n" + HOST + b"\r\n",
    "lower-case http": b"GET /v1/models http/1.1\r\n" + HOST + b"\r\n",
    "unknown method": b"BREW /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower-case method": b"get /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "tab in the line": b"GET\t/v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "nul in the target": b"GET /v1/mo\x00dels HTTP/1.1\r\n" + HOST + b"\r\n",
    "blank in the target": b"GET /v1/mo dels HTTP/1.1\r\n" + HOST + b"\r\n",
    "long line": b"GET /v1/" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    # forms of the target
    "absolute form": b"GET http://evil.example/v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute form of us": b"GET http://{host}/v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority form": b"GET evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "connect": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "trace": b"TRACE /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /v1/models#x HTTP/1.1\r\n" + HOST + b"\r\n",
    # fields
    "no host": GET + b"\r\n",
    "two hosts": GET + HOST + b"host: evil.example\r\n\r\n",
    "the same host twice": GET + HOST + HOST + b"\r\n",
    "bare lf": b"GET /v1/models HTTP/1.1\nhost: {host}\n\n",
    "bare lf behind a field": GET + b"host: {host}\nx: 1\r\n\r\n",
    "bare cr": GET + HOST + b"x: a\rb\r\n\r\n",
    "space before colon": POST + HOST + b"content-length : 2\r\n\r\n{}",
    "space before a name": GET + b" host: {host}\r\n\r\n",
    "folded field": GET + HOST + b"x: a\r\n b\r\n\r\n",
    "folded length": POST + HOST + b"content-length:\r\n 2\r\n\r\n{}",
    "no colon": GET + HOST + b"nonsense\r\n\r\n",
    "no name": GET + HOST + b": x\r\n\r\n",
    "nul in a field": GET + HOST + b"x: a\x00b\r\n\r\n",
    "nul in a name": GET + HOST + b"x\x00y: 1\r\n\r\n",
    "not a token": GET + HOST + b"x(y): 1\r\n\r\n",
    "long field": GET + HOST + b"x: " + b"a" * 40_000 + b"\r\n\r\n",
    "long name": GET + HOST + b"x" * 40_000 + b": 1\r\n\r\n",
    "400 fields": GET + HOST + b"x: 1\r\n" * 400 + b"\r\n",
    "10,000 fields": GET + HOST + b"".join(b"x%d: 1\r\n" % n for n in range(10_000)) + b"\r\n",
    "1 MB of fields": GET + HOST + b"".join(b"x%d: %b\r\n" % (n, b"a" * 8000) for n in range(128)) + b"\r\n",
    "large fields": GET + HOST + b"".join(b"x%d: %b\r\n" % (n, b"a" * 8000) for n in range(6)) + b"\r\n",
    # lengths
    "length and chunked": POST + HOST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked and length": POST + HOST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": POST + HOST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "the same length twice": POST + HOST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "two lengths in one": POST + HOST + b"content-length: 2, 2\r\n\r\n{}",
    "negative length": POST + HOST + b"content-length: -2\r\n\r\n{}",
    "signed length": POST + HOST + b"content-length: +2\r\n\r\n{}",
    "hexadecimal length": POST + HOST + b"content-length: 0x2\r\n\r\n{}",
    "length with an underscore": POST + HOST + b"content-length: 1_0\r\n\r\n{}",
    "empty length": POST + HOST + b"content-length: \r\n\r\n",
    "endless length": POST + HOST + b"content-length: 99999999999999999999999\r\n\r\n{}",
    "length beyond the bound": POST + HOST + b"content-length: 68157440\r\n\r\n",
    "length, and again with an underscore": POST + HOST + b"content-length: 2\r\ncontent_length: 90\r\n\r\n{}",
    "coding with an underscore": POST + HOST + b"content-length: 2\r\ntransfer_encoding: chunked\r\n\r\n{}",
    # codings
    "chunked twice": POST + HOST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two fields": POST + HOST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "not chunked last": POST + HOST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "gzip and chunked": POST + HOST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + HOST + b"transfer-encoding: identity\r\ncontent-length: 2\r\n\r\n{}",
    "almost chunked": POST + HOST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a control character": POST + HOST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in http/1.0": b"POST /v1/responses HTTP/1.0\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    # chunks
    "chunk size that is none": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "prefixed chunk size": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size with a blank before": CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    "endless chunk size": CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"2\r\n{}{}\r\n0\r\n\r\n",
    "chunk that ends in bare lf": CHUNKED + b"2\n{}\n0\n\n",
    "chunk extension without an end": CHUNKED + b"2;" + b"x" * 600_000 + b"\r\n{}\r\n0\r\n\r\n",
    "3 MB of chunk extensions": CHUNKED + (b"1;" + b"x" * 8000 + b"\r\na\r\n") * 384 + b"0\r\n\r\n",
    "trailers without an end": CHUNKED + b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
    "trailer that is folded": CHUNKED + b"2\r\n{}\r\n0\r\nx: y\r\n z\r\n\r\n",
}
LARGE = {"long line", "long field", "long name", "400 fields", "10,000 fields", "1 MB of fields", "large fields"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give one gateway to all cases: whatever one of them does to it, the next one sees."""
    with scene(tmp_path_factory.mktemp("corpus")) as subject:
        subject.provider.plays(Line.rest)  # there is no part for a second one, and a first one breaks the test below
        subject.start(bus=False)
        yield subject


def say(stage: Scene, raw: bytes) -> bytes:
    """Send a case and a sound request behind it; return everything that comes back until the connection ends."""
    line = stage.call()
    sound = f"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\n\r\n".encode()
    with contextlib.suppress(ConnectionError):  # refused and closed while there was more to send
        line.send(raw.replace(b"{host}", f"127.0.0.1:{stage.port}".encode()) + sound)
    answer = line.rest()
    line.close()
    return answer


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_sound_is_refused_once_and_its_connection_ends(stage: Scene, name: str) -> None:
    answer = say(stage, MALFORMED[name])
    statuses = STATUS.findall(answer)
    assert len(statuses) == 1, answer[:1000]
    assert statuses[0].startswith(b"4") or statuses[0] in (b"501", b"505")
    assert (statuses[0] == b"431") == (name in LARGE)
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"connection: close" in head or b"connection: upgrade, close" in head
    assert stage.gateway is not None
    assert "Traceback" not in stage.gateway.log_text()


def test_none_of_them_reached_the_provider_and_the_gateway_serves_on(stage: Scene) -> None:
    assert not stage.provider.parts.empty()
    stage.provider.parts.get()
    body = b"".join(chunk(part) for part in (b"{", b"}")) + b"0\r\nx: trailer\r\n\r\n"
    seen: list[Request] = []
    stage.provider.plays(says(b"HTTP/1.1 204 No Content\r\n\r\n", seen))
    line = stage.call()
    line.send(CHUNKED.replace(b"{host}", f"127.0.0.1:{stage.port}".encode()) + body)
    assert line.until(b"\r\n\r\n").startswith(b"HTTP/1.1 204 ")
    assert [body for _, _, body in seen] == [b"{}"]


def test_a_head_in_single_bytes_is_as_sound_as_one_in_one_piece(stage: Scene) -> None:
    line = stage.call()
    for byte in f"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\n\r\n".encode():
        line.send(bytes((byte,)))
    assert line.answer()[2] == b'{"status":"live"}'
