"""The gateway's reading of HTTP, both ways and without a socket: what is a message, what is none, and what is held of it."""

from __future__ import annotations

import pytest

from actors.gateway.answers import AnswerReader
from actors.gateway.upstream import Origin, request_head
from actors.runtime.http import bounds
from actors.runtime.http.fields import Fields
from actors.runtime.http.framing import HEAD, write_head
from actors.runtime.http.intake import Intake, Request
from actors.runtime.http.replying import reply_head

GET = b"GET /v1/models HTTP/1.1\r\nhost: h\r\n\r\n"
CHUNKED = b"POST /v1/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"


def took(*pieces: bytes) -> Intake:
    intake = Intake()
    for piece in pieces:
        intake.feed(piece)
    return intake


def only(intake: Intake) -> Request:
    (request,) = intake.requests
    return request


# ------------------------------------------------------------------------------------------------ requests


def test_a_request_is_its_head_and_its_body() -> None:
    request = only(took(b"POST /v1/x?a=1&b HTTP/1.1\r\nHost: h\r\nX-Two:  a b \t\r\ncontent-length: 5\r\n\r\nab", b"cde"))
    assert (request.method, request.target, request.version) == ("POST", "/v1/x?a=1&b", "1.1")
    assert request.fields.items() == [("Host", "h"), ("X-Two", "a b"), ("content-length", "5")]
    assert (request.whole, request.size, b"".join(request.take()), request.waiting) == (True, 5, b"abcde", 0)
    assert request.keep_alive


def test_chunks_are_joined_and_trailers_dropped() -> None:
    request = only(took(CHUNKED + b"2;x=y\r\nab\r\n", b"1\r\nc\r\n0\r\nx-forged: 1\r\nhost: evil\r\n\r\n"))
    assert (b"".join(request.take()), request.whole) == (b"abc", True)
    assert request.fields.items() == [("host", "h"), ("transfer-encoding", "chunked")]


@pytest.mark.parametrize(
    ("raw", "goes_on"),
    [
        (GET, True),
        (b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", False),
    ],
)
def test_whether_the_connection_goes_on(raw: bytes, goes_on: bool) -> None:  # noqa: FBT001
    request = only(took(raw))
    assert request.whole
    assert request.keep_alive is goes_on


def test_behind_an_upgrade_nothing_is_read() -> None:
    intake = took(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + GET, GET)
    assert only(intake).upgrade
    assert intake.deaf
    assert intake.refusal is None


def test_requests_behind_each_other_are_taken_up_to_the_bound() -> None:
    intake = took(GET * (bounds.PIPELINED + 5))
    assert len(intake.requests) == bounds.PIPELINED
    assert intake.deaf
    assert intake.refusal is None
    assert not took(GET * bounds.PIPELINED).deaf


HEADS = {
    "twice content-length": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "list of lengths": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2, 2\r\n\r\n{}",
    "plus length": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +2\r\n\r\n{}",
    "empty length": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length:\r\n\r\n",
    "long length": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    "length, then coding": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
    "coding, then length": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    "gzip, chunked": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "only gzip": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n",
    "identity": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: identity\r\n\r\n",
    "xchunked": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n",
    "vertical tab": b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: \x0bchunked\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: h\r\nHost: h\r\n\r\n",
    "two content types": b"POST / HTTP/1.1\r\nhost: h\r\ncontent-type: a\r\ncontent-type: b\r\n\r\n",
    "two user agents": b"POST / HTTP/1.1\r\nhost: h\r\nuser-agent: a\r\nuser-agent: b\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nhost: h\r\nx\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nhost: h\r\n: x\r\n\r\n",
    "bad name": b"GET / HTTP/1.1\r\nhost: h\r\nx[y]: 1\r\n\r\n",
    "name not ASCII": "GET / HTTP/1.1\r\nhost: h\r\nxä: 1\r\n\r\n".encode(),
    "space in name": b"GET / HTTP/1.1\r\nhost: h\r\nx y: 1\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nhost: h\r\nx : 1\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nhost: h\r\nx: 1\r\n 2\r\n\r\n",
    "folded first": b"GET / HTTP/1.1\r\n x: 1\r\nhost: h\r\n\r\n",
    "bare lf": b"GET / HTTP/1.1\nhost: h\n\n",
    "bare lf in header": b"GET / HTTP/1.1\r\nhost: h\nx: 1\r\n\r\n",
    "bare cr": b"GET / HTTP/1.1\r\nhost: h\r\nx: a\rb\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nhost: h\r\nx: a\x00b\r\n\r\n",
    "escape": b"GET / HTTP/1.1\r\nhost: h\r\nx: a\x1bb\r\n\r\n",
    "delete": b"GET / HTTP/1.1\r\nhost: h\r\nx: a\x7fb\r\n\r\n",
    "version 0.9": b"GET / HTTP/0.9\r\nhost: h\r\n\r\n",
    "version 2.0": b"GET / HTTP/2.0\r\nhost: h\r\n\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\nhost: h\r\n\r\n",
    "version 1.10": b"GET / HTTP/1.10\r\nhost: h\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "other protocol": b"GET / ICE/1.0\r\nhost: h\r\n\r\n",
    "unknown method": b"FETCH / HTTP/1.1\r\nhost: h\r\n\r\n",
    "lower method": b"get / HTTP/1.1\r\nhost: h\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nhost: h\r\n\r\n",
    "control in target": b"GET /\x01 HTTP/1.1\r\nhost: h\r\n\r\n",
    "draft websocket": b"GET / HTTP/1.1\r\nhost: h\r\nsec-websocket-key1: 1\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_head_that_is_not_sound_is_refused_and_nothing_behind_it_is_read(name: str, at_once: bool) -> None:  # noqa: FBT001
    raw = HEADS[name] + GET
    intake = took(raw) if at_once else took(*(raw[at : at + 1] for at in range(len(raw))))
    assert intake.refusal is not None
    assert intake.refusal.code == "malformed"
    assert not intake.requests
    assert intake.deaf


LARGE = {
    "target": b"GET /" + b"a" * bounds.REQUEST_LINE + b" HTTP/1.1\r\nhost: h\r\n\r\n",
    "target without end": b"GET /" + b"a" * bounds.REQUEST_LINE,
    "field": b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"a" * bounds.HEADER_FIELD + b"\r\n\r\n",
    "name": b"GET / HTTP/1.1\r\nhost: h\r\n" + b"a" * bounds.HEADER_FIELD + b": x\r\n\r\n",
    "fields": b"GET / HTTP/1.1\r\nhost: h\r\n" + b"x: 1\r\n" * bounds.HEADERS + b"\r\n",
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("size", [1 << 18, 1000])
def test_a_head_that_is_too_large_is_refused_as_that(name: str, size: int) -> None:
    raw = LARGE[name]
    intake = took(*(raw[at : at + size] for at in range(0, len(raw), size)))
    assert intake.refusal is not None
    assert intake.refusal.code == "headers_too_large"


@pytest.mark.parametrize("endless", [b"GET / HTTP/1.1\r\nhost: h\r\nx: ", b"GET / HTTP/1.1\r\nhost: h\r\nx", b"GET /"])
def test_a_head_without_end_is_not_read_for_ever(endless: bytes) -> None:
    intake = took(endless, *[b"a" * 4096] * (HEAD // 4096 + 2))
    assert intake.refusal is not None
    assert intake.refusal.code == "headers_too_large"


def test_only_what_is_not_whole_counts_against_its_bound() -> None:
    large = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 200000\r\n\r\n" + b"a" * 200_000
    intake = took(large + GET[:20], GET[20:], large + CHUNKED + b"5;", b"x\r\nhello\r\n0\r\n\r\n")
    assert [one.whole for one in intake.requests] == [True] * 4
    assert not intake.deaf


BODIES = {
    "size of no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "space behind size": b"2 \r\n{}\r\n0\r\n\r\n",
    "lf behind size": b"2\n{}\r\n0\r\n\r\n",
    "too long a chunk": b"2\r\n{}}\r\n0\r\n\r\n",
    "lf behind chunk": b"2\r\n{}\n0\r\n\r\n",
    "size beyond 64 bits": b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "bad trailer": b"2\r\n{}\r\n0\r\nx y: 1\r\n\r\n",
    "lf behind last chunk": b"2\r\n{}\r\n0\n\n",
    "many trailers": b"0\r\n" + b"x: 1\r\n" * (bounds.HEADERS + 1) + b"\r\n",
    "large trailer": b"0\r\nx: " + b"a" * bounds.HEADER_FIELD + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_breaks_its_framing_is_broken_and_nothing_behind_it_is_read(name: str) -> None:
    intake = took(CHUNKED, BODIES[name] + GET)
    request = only(intake)
    assert request.broken
    assert not request.whole
    assert intake.deaf
    assert intake.refusal is None


@pytest.mark.parametrize("barren", [b"0\r\nx: ", b"5;", b"5;x="])
def test_bytes_that_bring_a_body_no_further_are_bounded(barren: bytes) -> None:
    intake = took(CHUNKED, barren, *[b"a" * 4096] * 20)
    assert only(intake).broken


# ------------------------------------------------------------------------------------------------ answers


def heard(*pieces: bytes, bodiless: bool = False) -> tuple[AnswerReader, bytes]:
    reader, body = AnswerReader(bodiless=bodiless), b""
    for piece in pieces:
        reader.feed(piece)
        body += reader.take()
    return reader, body


def test_an_answer_with_a_length_ends_by_it() -> None:
    reader, body = heard(b"HTTP/1.1 200 Fine\r\nX-A: 1\r\ncontent-length: 5\r\n\r\nab", b"cde")
    assert reader.answer is not None
    assert (reader.answer.status, reader.answer.reason, body) == (200, "Fine", b"abcde")
    assert isinstance(reader.answer.fields, Fields)
    assert (reader.ended, reader.keep_alive, reader.excess, reader.broken) == (True, True, False, False)


def test_interim_answers_are_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    reader, body = heard(b"HTTP/1.1 100 Continue\r\n\r\n" + early + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert reader.answer is not None
    assert (reader.answer.status, reader.answer.reason, reader.answer.fields.items()) == (200, "OK", [("content-length", "2")])
    assert (body, reader.ended) == (b"ok", True)
    assert heard(early * 2000)[0].broken


def test_an_answer_with_neither_length_nor_coding_ends_with_its_connection() -> None:
    reader, body = heard(b"HTTP/1.1 200 OK\r\n\r\nab", b"c")
    assert (body, reader.ended, reader.ends_with_connection, reader.keep_alive) == (b"abc", False, True, False)
    for framed in (b"content-length: 9", b"transfer-encoding: chunked"):
        assert not heard(b"HTTP/1.1 200 OK\r\n" + framed + b"\r\n\r\n")[0].ends_with_connection


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_that_have_no_body_end_with_their_head(status: bytes) -> None:
    reader, _ = heard(b"HTTP/1.1 " + status + b"\r\n\r\n")
    assert (reader.ended, reader.keep_alive) == (True, True)


def test_the_answer_to_head_ends_with_its_head_whatever_length_it_names() -> None:
    reader, body = heard(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", bodiless=True)
    assert (reader.ended, body, reader.excess) == (True, b"", False)
    reader, body = heard(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nokay", bodiless=True)
    assert (reader.ended, body, reader.excess) == (True, b"", True)


@pytest.mark.parametrize("behind", [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])
def test_bytes_behind_an_answer_are_noticed(behind: bytes) -> None:
    reader, body = heard(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + behind)
    assert (reader.ended, reader.broken, reader.excess, body) == (True, False, True, b"ok")
    assert reader.answer is not None
    assert reader.answer.fields.get("content-length") == "2"


NO_ANSWERS = {
    "nonsense": b"nonsense\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "length and coding": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    "codings": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "control": b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n",
    "large field": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 40_000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"x: 1\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_is_broken(name: str) -> None:
    reader, _ = heard(NO_ANSWERS[name])
    assert reader.broken
    assert not reader.ended


def test_a_chunk_that_is_none_breaks_an_answer_behind_what_was_sound() -> None:
    reader, body = heard(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz")
    assert (body, reader.broken, reader.ended) == (b"ok", True, False)


# ------------------------------------------------------------------------------------------------ what is written


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\x00", "\x1b[2J", "\x7f"])
def test_no_field_becomes_another_one_on_its_way(value: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        write_head("GET / HTTP/1.1", [("x", value)])
    with pytest.raises(ValueError, match="control character"):
        write_head("GET / HTTP/1.1", [(value, "x")])
    with pytest.raises(ValueError, match="control character"):
        write_head(f"GET /{value} HTTP/1.1", [])


def test_values_keep_their_bytes() -> None:
    raw = [(b"x", b"caf\xe9"), (b"y", "é\ttab".encode())]
    head = write_head("HTTP/1.1 200 OK", Fields.read(raw).pairs)
    assert head == b"HTTP/1.1 200 OK\r\nx: caf\xe9\r\ny: \xc3\xa9\ttab\r\n\r\n"


def test_names_answer_in_any_spelling_and_with_their_first_value() -> None:
    fields = Fields.of([("X-A", "1"), ("x-a", "2"), ("B", "3")])
    assert (fields.get("x-a"), fields.getall("x-a"), fields.getall("none"), fields.get("none", "-")) == (
        "1",
        ["1", "2"],
        [],
        "-",
    )
    assert "b" in fields
    assert "c" not in fields


def test_an_answer_says_whether_its_connection_goes_on() -> None:
    assert reply_head("1.1", 200, "", [], keep_alive=True) == b"HTTP/1.1 200 OK\r\n\r\n"
    assert reply_head("1.0", 200, "", [], keep_alive=True) == b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n"
    closed = reply_head("1.1", 426, "", [("connection", "Upgrade")], keep_alive=False)
    assert closed == b"HTTP/1.1 426 Upgrade Required\r\nconnection: Upgrade, close\r\n\r\n"


@pytest.mark.parametrize(
    ("base", "host", "path"),
    [
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000", "/v1"),
        ("http://api.example/v1", "api.example", "/v1"),
        ("https://u:p@api.example:443/a%20b/é/", "api.example", "/a%20b/%C3%A9"),
        ("https://[::1]:8443", "[::1]:8443", ""),
        ("https://bücher.example", "xn--bcher-kva.example", ""),
    ],
)
def test_where_a_request_goes(base: str, host: str, path: str) -> None:
    head = request_head(Origin(base), "POST", "/x?y", [("a", "b")], b"12")
    assert head == f"POST {path}/x?y HTTP/1.1\r\nhost: {host}\r\na: b\r\ncontent-length: 2\r\n\r\n".encode()
    assert b"content-length" not in request_head(Origin(base), "GET", "/", [], b"")
