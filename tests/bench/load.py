"""The callers of the gateway's benchmark. ``python -m tests.bench.load`` reads jobs, one JSON object a line, and answers each.

A job is a bounded number of requests over a number of connections, each sending its next request when its last answer is
complete; ``fresh`` takes a new connection for every request, as Codex does. Answers: how long all took, and quantiles of the
time to the end of an answer and of the delay of paced events, in microseconds; those of the first requests of connections that
are kept, which pay for them, once more by themselves (``opening``).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

BODY_BYTES = 20_000
PACE = 0.005
JOB_SECONDS = 120.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_AT = re.compile(rb'"at":(\d+)')
_LAST = b"0\r\n\r\n"


def request(port: int, mode: str) -> bytes:
    """Return the bytes of a request of 20 KB."""
    stream = "false" if mode == "json" else "true"
    body = b'{"model":"bench-%s","stream":%s,"input":"%%s"}' % (mode.encode(), stream.encode())
    body %= b"w" * (BODY_BYTES - len(body) + 2)
    head = f"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\nx-bench: {mode}\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


@dataclass
class Job:
    """What is to be done and what has been measured of it."""

    port: int
    mode: str
    connections: int
    requests: int
    fresh: bool = False
    started: int = 0
    done: int = 0
    took: list[int] = field(default_factory=list)
    opening: list[int] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)
    problem: str = ""


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, job: Job, finished: asyncio.Event, content: bytes) -> None:
        self._job = job
        self._finished = finished
        self._content = content
        self._watch = job.mode == "paced"
        self._left: int | None = 0  # None: chunked, the end is the last chunk
        self._opening = not job.fresh

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._left != 0 and not self._finished.is_set():
            self._fail(f"the connection was lost in the middle of an answer: {exc}")

    def _next(self) -> None:
        job = self._job
        if job.started == job.requests:
            self._left = 0
            self._transport.close()
            return
        job.started += 1
        self._head = b""
        self._left = None
        self._in_head = True
        self._tail = b""
        self._begun = time.monotonic_ns()
        self._transport.write(self._content)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._head.startswith(b"HTTP/1.1 200"):
                self._fail(f"not a 200: {self._head[:300]!r}")
                return
            length = _LENGTH.search(self._head, 0, end)
            data = self._head[end + 4 :]
            self._left = int(length[1]) if length else None
            self._in_head = False
        if self._watch:
            now = time.monotonic_ns()
            self._job.delays.extend(now - int(at) for at in _AT.findall(data))
        if self._left is None:
            self._tail = (self._tail + data[-5:])[-5:]
            if self._tail == _LAST:
                self._complete()
            return
        self._left -= len(data)
        if self._left == 0:
            self._complete()

    def _complete(self) -> None:
        job = self._job
        took = time.monotonic_ns() - self._begun
        job.took.append(took)
        if self._opening:
            job.opening.append(took)
            self._opening = False
        job.done += 1
        if job.done == job.requests:
            self._finished.set()
        if job.fresh:
            self._left = 0
            self._transport.close()
            if job.started < job.requests:
                loop = asyncio.get_running_loop()
                task = loop.create_task(_connect(loop, job, self._finished, self._content))
                _TASKS.add(task)
                task.add_done_callback(_TASKS.discard)
            return
        self._next()

    def _fail(self, problem: str) -> None:
        self._job.problem = self._job.problem or problem
        self._left = 0
        self._finished.set()
        self._transport.close()


class Staller(asyncio.Protocol):
    """One connection that asks for a flood and reads nothing of it after the first bytes."""

    def __init__(self, content: bytes, begun: asyncio.Event) -> None:
        self._content = content
        self._begun = begun

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._content)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002
        self._transport.pause_reading()
        self._begun.set()


_TASKS: set[asyncio.Task[None]] = set()


async def _connect(loop: asyncio.AbstractEventLoop, job: Job, finished: asyncio.Event, content: bytes) -> None:
    await loop.create_connection(lambda: Caller(job, finished, content), "127.0.0.1", job.port)


async def _run(job: Job) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    content = request(job.port, job.mode)
    begun = time.monotonic()
    for _ in range(min(job.connections, job.requests)):
        await _connect(loop, job, finished, content)
        if job.mode == "paced":  # agents' streams are not in step: each begins at its own moment between two events
            await asyncio.sleep(PACE / job.connections)
    async with asyncio.timeout(JOB_SECONDS):
        await finished.wait()
    return {
        "seconds": time.monotonic() - begun,
        "done": job.done,
        "problem": job.problem,
        "took": _quantiles(job.took),
        "opening": _quantiles(job.opening),
        "delay": _quantiles(job.delays),
    }


def _quantiles(nanoseconds: list[int]) -> dict[str, float]:
    values = sorted(nanoseconds)
    if not values:
        return {}
    at = {"p50": 0.5, "p99": 0.99}
    return {name: values[min(len(values) - 1, int(len(values) * share))] / 1000 for name, share in at.items()}


async def _stall(port: int, connections: int) -> None:
    """Hold stalled streams until the next line of stdin."""
    loop = asyncio.get_running_loop()
    content = request(port, "flood")
    held = []
    for _ in range(connections):
        begun = asyncio.Event()
        transport, _protocol = await loop.create_connection(partial(Staller, content, begun), "127.0.0.1", port)
        async with asyncio.timeout(JOB_SECONDS):
            await begun.wait()
        held.append(transport)
    print(json.dumps({"held": len(held)}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    for transport in held:
        transport.abort()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = json.loads(line)
        if job["mode"] == "stall":
            await _stall(job["port"], job["connections"])
            print("{}", flush=True)
        else:
            print(json.dumps(await _run(Job(**job))), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
