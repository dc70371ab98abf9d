"""The provider's side of the wire: one pool of connections, one request at a time on each, failures told apart.

Theory of operation
-------------------
aiohttp's connector dials, checks certificates and keeps connections; its protocol parses and applies backpressure. What
lies between in ``ClientSession`` (cookies, redirects, proxies from the environment, retries, payload kinds) is all that a
gateway must not do, and costs more than the rest, so it is not used: a request is written in one piece and its head awaited.

A shell: sends what it is given to the address it is given. Must not know why a request goes where it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self

from aiohttp import ClientTimeout, TCPConnector
from aiohttp.client_exceptions import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientSSLError,
    ConnectionTimeoutError,
    ServerTimeoutError,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from actors.gateway.moves import Problem
from actors.gateway.providers import Upstream

BUFFER: Final = 64 * 1024
_HEAD: Final = 32 * 1024
_IDLE_CONNECTION: Final = 15.0
_DNS_KEPT: Final = 60
_BODILESS: Final = ("GET", "HEAD", "OPTIONS")
_SWITCHING, _FINAL = 101, 200


class UpstreamError(Exception):
    """A provider that did not answer; ``detail`` is of our own wording and holds nothing that it sent."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(f"{problem} {detail}".strip())
        self.problem: Problem = problem
        self.detail = detail


class SilentUpstreamError(Exception):
    """Set on a stream that has been silent for too long."""


class _Protocol(ResponseHandler):
    """aiohttp's protocol, which also tells at once when something has come or ended, and parses nothing in vain."""

    on_change: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        """Parse, then tell; without data it is called from inside a read that makes room, and the reader reads on."""
        super().data_received(data)
        if data and self.on_change is not None:
            self.on_change()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what was not complete, then tell."""
        super().connection_lost(exc)
        if self.on_change is not None:
            self.on_change()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Resume only what was paused: a stream that never was needs no parsing after each chunk that is read of it."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


class UpstreamAnswer:
    """A provider's answer: its head, and its body as it comes."""

    __slots__ = ("_connection", "_protocol", "content", "headers", "reason", "status")

    def __init__(self, message: RawResponseMessage, content: StreamReader, connection: Connection) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.headers: CIMultiDictProxy[str] = message.headers
        self.content = content
        self._connection: Connection | None = connection
        self._protocol = connection.protocol
        content.on_eof(self._release)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call when something has come or ended, in the moment that it does; until ``unwatch``."""
        if isinstance(self._protocol, _Protocol):
            self._protocol.on_change = on_change

    def unwatch(self, on_change: Callable[[], None]) -> None:
        """Call no more. The connection may serve another answer by now, whose watch stays."""
        if isinstance(self._protocol, _Protocol) and self._protocol.on_change == on_change:
            self._protocol.on_change = None

    def close(self) -> None:
        """Close the connection, unless the answer is complete and it has gone back to the pool."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _release(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.release()


class _Place:
    """One provider's address in the forms that sending needs."""

    __slots__ = ("host", "loop", "path", "template", "timeout")

    def __init__(self, upstream: Upstream) -> None:
        url = URL(upstream.base)
        self.host = url.host_port_subcomponent or ""
        self.path = url.raw_path.rstrip("/")
        self.loop = asyncio.get_running_loop()  # kept, since each asking is a system call
        # What the connector asks: origin, TLS and proxy (none). Never sent itself.
        self.template = ClientRequest("GET", url, loop=self.loop)
        self.timeout = ClientTimeout(total=None, connect=None, sock_connect=upstream.connect_timeout)


class UpstreamPool:
    """Connections to providers, kept between requests."""

    def __init__(self) -> None:
        self._connector: TCPConnector | None = None
        self._places: dict[str, _Place] = {}

    async def __aenter__(self) -> Self:
        self._connector = TCPConnector(limit=0, ttl_dns_cache=_DNS_KEPT, keepalive_timeout=_IDLE_CONNECTION)
        self._connector._factory = partial(_Protocol, loop=asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001 - no public way
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connector is not None:
            await self._connector.close()

    async def send(
        self, upstream: Upstream, method: str, rest: str, fields: list[tuple[str, str]], body: bytes
    ) -> UpstreamAnswer:
        """Send a request and return when the answer's head is here.

        Raises:
            UpstreamError: it is not to come.

        """
        if self._connector is None:
            raise RuntimeError("the pool is not open")
        place = self._places.get(upstream.base)
        if place is None:
            place = self._places[upstream.base] = _Place(upstream)
        headers = CIMultiDict((("host", place.host), *fields))
        if body or method not in _BODILESS:
            headers["content-length"] = str(len(body))
        try:
            connection = await self._connector.connect(place.template, [], place.timeout)
        except (ClientError, TimeoutError, OSError) as error:
            raise told(error, upstream) from error
        try:
            line = f"{method} {place.path}{rest} HTTP/1.1"
            return await _converse(connection, upstream, line, headers, body, loop=place.loop)
        except (ClientError, HttpProcessingError, TimeoutError, OSError, ValueError) as error:
            connection.close()
            raise told(error, upstream) from error
        except BaseException:
            connection.close()
            raise


async def _converse(
    connection: Connection,
    upstream: Upstream,
    line: str,
    headers: CIMultiDict[str],
    body: bytes,
    *,
    loop: asyncio.AbstractEventLoop,
) -> UpstreamAnswer:
    """Write a request and wait for the head of its answer."""
    protocol = connection.protocol
    if protocol is None or protocol.transport is None:
        raise ConnectionResetError("the pooled connection is gone")
    protocol.set_response_params(
        skip_payload=line.startswith("HEAD "),
        read_until_eof=True,
        auto_decompress=False,
        read_timeout=upstream.first_byte_timeout,
        read_bufsize=BUFFER,
        max_line_size=_HEAD,
        max_field_size=_HEAD,
    )
    writer = StreamWriter(protocol, loop)
    await writer.write_headers(line, headers)
    # Not awaited until it is flushed: a provider may answer, and refuse, before it has read everything.
    if body:
        await writer.write(body, drain=False)
    else:
        writer.send_headers()
    protocol.start_timeout()
    message, content = await _read_head(protocol)
    # From here on silence is watched by the sweep, not by a timer that each chunk sets anew.
    protocol.read_timeout = None
    protocol.start_timeout()
    return UpstreamAnswer(message, content, connection)


async def _read_head(protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader]:
    while True:
        message, content = await protocol.read()
        if message.code == _SWITCHING:
            raise HttpProcessingError(message="switched protocols")
        if message.code >= _FINAL:
            return message, content


def told(error: Exception, upstream: Upstream) -> UpstreamError:  # noqa: PLR0911 - one line for each way to fail
    """Tell failures apart, in words of ours."""
    where = f"at {upstream.shown}"
    if isinstance(error, ConnectionTimeoutError):
        return UpstreamError("connect_timeout", f"{where}, {upstream.connect_timeout:g} s")
    if isinstance(error, ServerTimeoutError):
        return UpstreamError("first_byte_timeout", f"{upstream.first_byte_timeout:g} s")
    if isinstance(error, ClientConnectorDNSError):
        return UpstreamError("unreachable", f"{where}: its name cannot be resolved")
    if isinstance(error, ClientConnectorCertificateError | ClientSSLError):
        return UpstreamError("tls", where)
    if isinstance(error, ClientConnectorError):
        if isinstance(error.os_error, ConnectionRefusedError):
            return UpstreamError("refused", where)
        return UpstreamError("unreachable", f"{where}: {error.os_error.strerror or type(error.os_error).__name__}")
    if isinstance(error, HttpProcessingError):
        return UpstreamError("malformed", where)
    if isinstance(error, ValueError):
        return UpstreamError("unreachable", f"{where}: a header field cannot be sent")
    return UpstreamError("cut", where)


READ_ERRORS: Final = (ClientError, HttpProcessingError, OSError)
