"""What must hold of the gateway's reading of HTTP wherever the bytes are cut, and whatever they are."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gateway.answers import AnswerReader
from actors.runtime.http import bounds
from actors.runtime.http.intake import Intake

BODY = st.binary(max_size=60)
PLACES = st.lists(st.integers(0, 4000), max_size=12)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


def framed(body: bytes, size: int) -> bytes:
    if size == 0:
        return b"content-length: %d\r\n\r\n" % len(body) + body
    return b"transfer-encoding: chunked\r\n\r\n" + chunked(body, size)


REQUEST = st.builds(lambda body, size: b"POST /v1/x HTTP/1.1\r\nhost: h\r\n" + framed(body, size), BODY, st.integers(0, 9))
ANSWER = st.builds(lambda body, size: b"HTTP/1.1 200 OK\r\n" + framed(body, size), BODY, st.integers(0, 9))
NOISE = st.sampled_from(
    [b"", b"\r\n", b"\n", b"GET", b"x: y\r\n", b"0\r\n\r\n", b"\x00", b"HTTP/1.1 200 OK\r\n\r\n"]
) | st.binary(max_size=9)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(edges)]


Read = tuple[list[tuple[str, str, bytes, bool, bool]], str, bool]


def read_requests(pieces: list[bytes]) -> Read:
    intake = Intake()
    for piece in pieces:
        intake.feed(piece)
    found = [(one.method, one.target, b"".join(one.take()), one.whole, one.broken) for one in intake.requests]
    return found, "" if intake.refusal is None else intake.refusal.code, intake.deaf


@settings(deadline=None)
@given(st.lists(REQUEST, min_size=1, max_size=5), st.lists(NOISE, max_size=3), PLACES)
def test_where_a_caller_s_bytes_are_cut_changes_nothing(requests: list[bytes], noise: list[bytes], places: list[int]) -> None:
    stream = b"".join((*requests, *noise))
    whole = read_requests([stream])
    assert read_requests(cut(stream, places)) == whole
    assert read_requests([stream[at : at + 1] for at in range(len(stream))]) == whole
    assert len(whole[0]) >= len(requests)
    assert len(whole[0]) <= bounds.PIPELINED


@settings(deadline=None)
@given(st.lists(NOISE | REQUEST.map(lambda raw: raw[:40]), max_size=8))
def test_no_bytes_make_more_of_a_broken_request_or_raise(pieces: list[bytes]) -> None:
    intake = Intake()
    for piece in pieces:
        before = len(intake.requests), intake.deaf
        intake.feed(piece)
        assert not before[1] or len(intake.requests) == before[0]
    assert intake.refusal is None or intake.deaf
    assert all(not one.broken or one is intake.requests[-1] for one in intake.requests)


@settings(deadline=None)
@given(ANSWER, NOISE, PLACES)
def test_where_a_provider_s_bytes_are_cut_changes_nothing(answer: bytes, noise: bytes, places: list[int]) -> None:
    def read(pieces: list[bytes]) -> tuple[bytes, bool, bool]:
        reader, body = AnswerReader(bodiless=False), b""
        for piece in pieces:
            reader.feed(piece)
            body += reader.take()
            if reader.ended or reader.broken:
                break
        return body, reader.ended, reader.broken

    whole = read([answer])
    assert whole[1:] == (True, False)
    assert read(cut(answer, places)) == whole
    assert read([answer + noise]) == whole
    assert read(cut(answer[:-1], places))[1:] == (False, False)
