"""The upstream of the gateway's benchmark: prepared bytes on an asyncio.Protocol. ``python -m tests.bench.stub``.

Prints its port, serves until its stdin ends. What it answers is chosen by the header ``x-bench``:

``json``   one JSON document of 1.2 KB
``sse``    200 events of about 165 B, each written by itself, as fast as they go
``paced``  the same, one every 5 ms, each with the time (CLOCK_MONOTONIC, ns) at which it was written
``flood``  events without end, as fast as they are taken, at most 64 MiB
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

EVENTS = 200
PACE = 0.005
JSON_BYTES = 1_200
EVENT_BYTES = 165
FLOOD_BYTES = 64 * 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MODE = re.compile(rb"\r\nx-bench: *(\w+)", re.IGNORECASE)
_USAGE = b'{"input_tokens":5000,"input_tokens_details":{"cached_tokens":0},"output_tokens":199,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":5199}'  # noqa: E501
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def _event(kind: bytes, rest: bytes) -> bytes:
    return b'event: %s\ndata: {"type":"%s",%s}\n\n' % (kind, kind, rest)


def _delta(rest: bytes) -> bytes:
    bare = _event(b"response.output_text.delta", rest + b',"delta":""')
    return _event(b"response.output_text.delta", rest + b',"delta":"' + b"w" * max(0, EVENT_BYTES - len(bare)) + b'"')


def _document() -> bytes:
    message = b'{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"%s"}]}'  # noqa: E501
    whole = b'{"id":"resp_1","object":"response","created_at":1,"status":"completed","error":null,"model":"bench","output":[%s],"parallel_tool_calls":false,"tool_choice":"auto","tools":[],"usage":%s}'  # noqa: E501
    bare = whole % (message % b"", _USAGE)
    body = whole % (message % (b"w" * (JSON_BYTES - len(bare))), _USAGE)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


_DOCUMENT = _document()
_DELTA = _chunk(_delta(b'"item_id":"msg_1"'))
_COMPLETED = _event(
    b"response.completed", b'"response":{"id":"resp_1","status":"completed","model":"bench","usage":%s}' % _USAGE
)
_END = _chunk(_COMPLETED) + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection; requests one after the other."""

    def __init__(self) -> None:
        self._received = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._flood: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._gone = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._gone = True
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        length = _LENGTH.search(received, 0, end) if end >= 0 else None
        if length is None or len(received) < end + 4 + int(length[1]):
            self._received = received
            return
        self._received = b""
        mode = _MODE.search(received, 0, end)
        self._answer(mode[1] if mode else b"json")

    def _answer(self, mode: bytes) -> None:
        write = self._transport.write
        if mode == b"json":
            write(_DOCUMENT)
            return
        write(_STREAM_HEAD)
        if mode == b"sse":
            for _ in range(EVENTS - 1):
                write(_DELTA)
            write(_END)
        elif mode == b"paced":
            loop = asyncio.get_running_loop()
            self._paced(loop, loop.time(), 0)
        else:
            self._flood = asyncio.get_running_loop().create_task(self._flow())

    def _paced(self, loop: asyncio.AbstractEventLoop, begun: float, number: int) -> None:
        if self._gone:
            return
        last = number == EVENTS - 1
        content = _END if last else _chunk(_delta(b'"at":%d' % time.monotonic_ns()))
        self._transport.write(content)
        if not last:
            loop.call_at(begun + PACE * (number + 1), self._paced, loop, begun, number + 1)

    async def _flow(self) -> None:
        many = _DELTA * 100
        for _ in range(FLOOD_BYTES // len(many)):
            if self._gone:
                return
            self._transport.write(many)
            await self._writable.wait()
        self._transport.write(_END)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
