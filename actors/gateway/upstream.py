"""The provider's side of the wire: one pool of connections, one request at a time on each, failures told apart.

A shell: sends what it is given to the address it is given, follows no redirect, keeps no cookie, asks no environment for a
proxy, undoes no coding. Must not know why a request goes where it goes.
"""

from __future__ import annotations

import io
from types import TracebackType
from typing import Final, Self

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.client_exceptions import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponseError,
    ClientSSLError,
    ConnectionTimeoutError,
    InvalidURL,
    ServerTimeoutError,
)
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from actors.gateway.moves import Problem
from actors.gateway.providers import Upstream

BUFFER: Final = 64 * 1024
_AUTOMATIC: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_INLINE_BODY: Final = 1024 * 1024
_IDLE_CONNECTION: Final = 15.0


class UpstreamError(Exception):
    """A provider that did not answer; ``detail`` is of our own wording and holds nothing that it sent."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(f"{problem} {detail}".strip())
        self.problem: Problem = problem
        self.detail = detail


class SilentUpstreamError(Exception):
    """Set on a stream that has been silent for too long."""


class UpstreamPool:
    """Connections to providers, kept between requests."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._timeouts: dict[tuple[float, float], ClientTimeout] = {}

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=_IDLE_CONNECTION),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_AUTOMATIC,
            read_bufsize=BUFFER,
            max_line_size=32 * 1024,
            max_field_size=32 * 1024,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, upstream: Upstream, method: str, rest: str, fields: list[tuple[str, str]], body: bytes
    ) -> ClientResponse:
        """Send a request and return when the answer's head is here.

        Raises:
            UpstreamError: it is not to come.

        """
        if self._session is None:
            raise RuntimeError("the pool is not open")
        timing = (upstream.connect_timeout, upstream.first_byte_timeout)
        timeout = self._timeouts.get(timing)
        if timeout is None:
            timeout = ClientTimeout(total=None, connect=None, sock_connect=timing[0], sock_read=timing[1])
            self._timeouts[timing] = timeout
        try:
            response = await self._session._request(  # noqa: SLF001 - what `request` wraps in a context; 2 µs of each request
                method,
                URL(upstream.base + rest, encoded=True),
                headers=CIMultiDict(fields),
                data=None if not body else body if len(body) <= _INLINE_BODY else io.BytesIO(body),
                allow_redirects=False,
                timeout=timeout,
            )
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise told(error, upstream) from error
        if (connection := response.connection) is not None and connection.protocol is not None:
            # From here on silence is watched by the sweep, not by a timer that each chunk sets anew.
            connection.protocol.read_timeout = None
            connection.protocol.start_timeout()
        return response


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
    if isinstance(error, ClientResponseError | HttpProcessingError):
        return UpstreamError("malformed", where)
    if isinstance(error, InvalidURL | ValueError):
        return UpstreamError("unreachable", f"{where}: the address or a header field cannot be sent")
    return UpstreamError("cut", where)


READ_ERRORS: Final = (ClientPayloadError, ClientError, HttpProcessingError, ConnectionError, OSError)
