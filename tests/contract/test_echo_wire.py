"""The echo server's end of the wire: bodies however they come, connections that go on or end, and callers who do not read."""

from __future__ import annotations

import anyio
import httpx
import pytest

from actors.echo.call import MAX_BODY
from actors.runtime.http import bounds
from tests.contract.echo_scene import ask, drain, finished, kinds, talk, with_echo

COUNT = b"POST /v1/messages/count_tokens HTTP/1.1\r\nHost: 127.0.0.1\r\n"
MODEL = b"GET /v1/models/echo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
COUNTED = b'{"input_tokens":1}'
BODY = b'{"messages":[{"role":"user","content":"abcd"}]}'


def test_a_body_is_read_however_it_comes() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        async with talk(client, COUNT + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)) as stream:
            assert await stream.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
            for at in range(0, len(BODY), 7):
                await stream.send(BODY[at : at + 7])
            assert (await stream.receive()).endswith(COUNTED)
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (BODY[:9], BODY[9:]))
            await stream.send(COUNT + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
            assert (await stream.receive()).endswith(COUNTED)
        one, other = await finished(client, 2)
        assert (one["body_bytes"], other["body_bytes"]) == (len(BODY), len(BODY))

    with_echo(test)


def test_requests_behind_each_other_are_answered_in_turn() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        async with talk(client, MODEL + COUNT + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + MODEL) as stream:
            received = b""
            while received.count(b"owned_by") < 2:
                received += await stream.receive()
        assert received.index(b"owned_by") < received.index(COUNTED) < received.rindex(b"owned_by")
        assert (await client.head("/v1/models/echo")).headers["content-length"] == "63"

    with_echo(test)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"hello\r\n\r\n", b"400", b"malformed"),
        (MODEL.replace(b"Host", b"x: " + b"a" * bounds.HEADER_FIELD + b"\r\nHost"), b"431", b"headers_too_large"),
        (COUNT + b"Content-Length: %d\r\n\r\n{" % (MAX_BODY + 1), b"413", b"may have"),
        (COUNT + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n", b"400", b"not framed"),
        (b"POST /v1/zzz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{", b"404", b"not_found"),
    ],
)
def test_what_cannot_be_read_is_answered_and_ends_the_connection(sent: bytes, status: bytes, code: bytes) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        async with talk(client, sent) as stream:
            received = await drain(stream)
        assert received.startswith(b"HTTP/1.1 " + status)
        assert code in received
        assert b"connection: close" in received

    with_echo(test)


def test_a_caller_who_does_not_read_is_waited_for() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        body = b'{"model":"echo","stream":true,"input":"[echo bytes=4000000]"}'
        head = b"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with talk(client, head + body) as stream:
            assert kinds(await ask(client, "meanwhile"))[-1] == "response.completed"
            first, second = (await client.get("/control/requests")).json()["requests"]
            assert (first["state"], second["state"]) == ("open", "completed")
            received = len(await drain(stream))
        (seen,) = [each for each in await finished(client, 2) if each["number"] == first["number"]]
        assert seen["state"] == "completed"
        assert seen["events_sent"] > 60_000
        assert received > seen["bytes_sent"]

    with_echo(test)


def test_any_bytes_that_a_header_may_hold_can_be_shown() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        odd = MODEL.replace(b"\r\n\r\n", b"\r\nx-odd: caf\xe9\r\nauthorization: caf\xe9\r\n\r\n")
        async with talk(client, odd) as stream:
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")
        (seen,) = await finished(client)
        shown = dict(seen["headers"])
        assert shown["x-odd"] == "caf?"
        assert shown["authorization"].startswith("sha256:")

    with_echo(test)


def test_a_caller_who_leaves_in_the_middle_of_its_body_is_recorded() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        async with talk(client, COUNT + b"Content-Length: 9\r\n\r\n{"):
            with anyio.fail_after(10):
                (open_,) = (await client.get("/control/requests", params={"count": 1, "wait": 9})).json()["requests"]
        (seen,) = await finished(client)
        assert (open_["state"], seen["state"], seen["body_bytes"]) == ("open", "cancelled", 0)

    with_echo(test)
