"""A gateway under test between real callers and a provider that does what a test says, byte by byte.

Owns how these tests wait: for bytes, for ends of connections and for facts on the bus, always with a deadline.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from actors.runtime.contract import Ready
from bus.client import connect
from bus.connection import read_connection
from schemas.envelope import Envelope, Recorded
from tests.contract.actor_process import ActorProcess, Place, place

DEADLINE = 20.0
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
Request = tuple[str, dict[str, str], bytes]
Play = Callable[["Line"], object]


def chunk(data: bytes) -> bytes:
    """Frame bytes as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(**data: Any) -> bytes:
    """Write one event of a stream."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


CREATED = event(type="response.created", response={"id": "resp_1", "model": "served"})
DELTA = event(type="response.output_text.delta", delta="hi")
COMPLETED = event(
    type="response.completed",
    response={"id": "resp_1", "model": "served", "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}},
)


def error_of(body: bytes) -> dict[str, Any]:
    """Return the error that an answer holds."""
    found: dict[str, Any] = json.loads(body)["error"]
    return found


class Line:
    """One end of a TCP connection, read and written in bytes."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(DEADLINE)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Read up to and including a mark; what follows stays."""
        while mark not in self.received:
            more = self.socket.recv(65536)
            assert more, f"closed before {mark!r}: {self.received!r}"
            self.received += more
        found, _, self.received = self.received.partition(mark)
        return found + mark

    def exactly(self, size: int) -> bytes:
        while len(self.received) < size:
            more = self.socket.recv(65536)
            assert more, f"closed before {size} bytes: {self.received!r}"
            self.received += more
        found, self.received = self.received[:size], self.received[size:]
        return found

    def rest(self) -> bytes:
        """Read to the end of the connection, orderly or not."""
        with contextlib.suppress(ConnectionResetError):
            while more := self.socket.recv(65536):
                self.received += more
        found, self.received = self.received, b""
        return found

    def request(self) -> Request:
        """Read one request: its first line, its header, its body."""
        head = self.until(b"\r\n\r\n").decode()
        first, *lines = head.strip().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return first, fields, self.exactly(int(fields.get("content-length", "0")))

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: its status, its header, its body."""
        head = self.until(b"\r\n\r\n").decode()
        first, *lines = head.strip().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b""
        if fields.get("transfer-encoding") == "chunked":
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                self.exactly(2)
            self.exactly(2)
        else:
            body = self.exactly(int(fields.get("content-length", "0")))
        return int(first.split(" ")[1]), fields, body

    def reset(self) -> None:
        """End the connection with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def says(said: bytes, seen: list[Request] | None = None) -> Play:
    """Return the part that reads one request, keeps it in ``seen``, and says these bytes."""

    def part(line: Line) -> None:
        request = line.request()
        if seen is not None:
            seen.append(request)
        line.send(said)

    return part


def silent(line: Line) -> None:
    """Play the part that reads one request and says nothing until its caller has gone."""
    line.request()
    line.rest()


class Provider:
    """A server that plays one part for each connection, in order; what a part raises is in ``failures``."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.parts: queue.SimpleQueue[Play] = queue.SimpleQueue()
        self.failures: list[BaseException] = []
        self._lines: list[Line] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def plays(self, part: Play) -> threading.Event:
        """Play a part for the next connection; the event is set when it has been played."""
        done = threading.Event()

        def play(line: Line) -> None:
            try:
                part(line)
            except BaseException as error:  # noqa: BLE001 - told to the test
                self.failures.append(error)
            finally:
                line.close()
                done.set()

        self.parts.put(play)
        return done

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(DEADLINE)
        for line in self._lines:
            line.close()
        assert not self.failures, self.failures

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            line = Line(connection)
            self._lines.append(line)
            threading.Thread(target=self.parts.get(timeout=DEADLINE), args=(line,), daemon=True).start()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {json.dumps(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)


@dataclass
class Scene:
    """A place with a gateway, perhaps a broker, and a provider of the test's own."""

    place: Place
    provider: Provider
    gateway: ActorProcess | None = None
    broker: ActorProcess | None = None
    lines: list[Line] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.place.ports["gateway"]

    def configure(self, more: str = "", **provider: Any) -> None:
        """Write a configuration whose default provider is the test's own."""
        given = {"base_url": f"http://127.0.0.1:{self.provider.port}/api", "auth": "none", **provider}
        table = "\n".join(f"{name} = {_toml(value)}" for name, value in given.items())
        ports = "\n".join(f"[{name}]\nport = {port}" for name, port in self.place.ports.items())
        self.place.configure(f'default_provider = "own"\n[providers.own]\n{table}\n{ports}\n{more}\n')

    def start(self, *, bus: bool = True) -> ActorProcess:
        if bus:
            self.broker = self.place.start("broker")
            self.broker.until(Ready)
        self.gateway = self.place.start("gateway")
        self.gateway.until(Ready)
        return self.gateway

    def call(self) -> Line:
        """Connect as a caller."""
        line = Line(socket.create_connection(("127.0.0.1", self.port), DEADLINE))
        self.lines.append(line)
        return line

    def post(self, path: str = "/v1/responses", body: bytes = b'{"model":"asked"}', **fields: str) -> Line:
        """Connect and send a request."""
        line = self.call()
        line.send(self.head(path, body, **fields) + body)
        return line

    def head(self, path: str, body: bytes, **fields: str) -> bytes:
        given = {"host": f"127.0.0.1:{self.port}", "content-type": "application/json", "content-length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in fields.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()

    def facts(self, last: str, count: int = 1) -> list[Envelope]:
        """Read the gateway's facts from the journal until ``last`` was told ``count`` times."""
        return anyio.run(self._facts, last, count)

    def fact(self, type_: str) -> Any:
        """Return the data of the first fact of a type."""
        return next(one.data for one in self.facts(type_) if one.type == type_)

    async def _facts(self, last: str, count: int) -> list[Envelope]:
        found: list[Envelope] = []
        connection = read_connection(self.place.paths.connection_file)
        with anyio.fail_after(DEADLINE):
            async with connect(connection) as client, client.feed(0) as feed:
                async for told in feed:
                    if isinstance(told, Recorded) and told.envelope.source.startswith("/actor/gateway/"):
                        found.append(told.envelope)
                        if [one.type for one in found].count(last) == count:
                            return found
        raise AssertionError("the feed ended")


@contextlib.contextmanager
def scene(home: Path) -> Iterator[Scene]:
    """Give a scene for the length of a block."""
    with place(home) as found:
        provider = Provider()
        subject = Scene(found, provider)
        subject.configure()
        try:
            yield subject
        finally:
            for line in subject.lines:
                line.close()
            provider.close()
