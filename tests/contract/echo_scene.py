"""An echo server in this process and the client of a test, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import httpx
import orjson

from actors.echo.server import serving

DEADLINE = 20.0
PROMPT = {"model": "echo", "stream": True, "input": "say hi"}


@asynccontextmanager
async def echo() -> AsyncIterator[httpx.AsyncClient]:
    async with serving(0) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE) as client:
        yield client


def with_echo(test: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(DEADLINE):
            async with echo() as client:
                await test(client)

    anyio.run(main)


async def ask(client: httpx.AsyncClient, prompt: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return await client.post("/v1/responses", json={**PROMPT, "input": prompt, **more}, headers=headers)


async def finished(client: httpx.AsyncClient, count: int = 1, after: int = 0) -> list[dict[str, Any]]:
    query = {"after": after, "count": count, "finished": 1, "wait": 15}
    found: list[dict[str, Any]] = (await client.get("/control/requests", params=query)).json()["requests"]
    assert len(found) >= count
    return found


def kinds(response: httpx.Response) -> list[str]:
    return [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]


@asynccontextmanager
async def talk(client: httpx.AsyncClient, sent: bytes) -> AsyncIterator[anyio.abc.ByteStream]:
    """A connection on which something has been sent, to see what no client library shows."""
    async with await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0) as stream:
        await stream.send(sent)
        yield stream


@asynccontextmanager
async def raw(client: httpx.AsyncClient, prompt: str) -> AsyncIterator[anyio.abc.ByteStream]:
    """A connection on which a request has been sent."""
    body = orjson.dumps({**PROMPT, "input": prompt})
    head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    async with talk(client, head.encode() + body) as stream:
        yield stream


async def drain(stream: anyio.abc.ByteStream) -> bytes:
    received = b""
    try:
        while True:
            received += await stream.receive()
    except anyio.EndOfStream:
        return received
