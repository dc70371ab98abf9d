"""The callers' side of the wire: accepts connections, keeps their bounds and deadlines, answers what is not HTTP.

Theory of operation
-------------------
aiohttp parses and frames; nothing else of it is used: no routes, no middlewares, no access log. ``CallerConnection`` adds
what it leaves out: who is at the other end (asked at accept), how long a head may take, that a caller who closes its half
has left, and errors in JSON. Deadlines are not timers but times that one sweep compares a few times a second, so that a
chunk costs an assignment and not a timer.

Must not know providers, nor what a request is worth.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

from actors.gateway import limits
from actors.gateway.identity import Acquaintance, Identity
from schemas.config import ConfigError

_FULL: Final = orjson.dumps(
    {"error": {"message": "too many connections to this gateway", "type": "server_error", "param": None, "code": "busy"}}
)
_REFUSED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_FULL), _FULL)
)
_STATUS_HEADERS_TOO_LARGE: Final = 431


class CallerConnection(RequestHandler):
    """One accepted connection."""

    __slots__ = ("acquaintance", "head_since", "peer_text", "turned_away")

    acquaintance: Acquaintance

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who it is, unless there are too many."""
        self.head_since: float | None = self._loop.time()
        self.turned_away = False
        server = self._manager
        assert isinstance(server, CallerServer)  # noqa: S101 - for the type checker
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        if len(server.connections) >= limits.CONNECTIONS:
            self.turned_away = True
            transport.write(_REFUSED)
            transport.close()
            return
        super().connection_made(transport)
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self.peer_text = f"{remote[0]}:{remote[1]}" if remote else "unknown"
        self.acquaintance = server.identity.accept((local[0], local[1]), (remote[0], remote[1]))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        if not self.turned_away:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note when a head begins and when it is whole."""
        if self.turned_away:
            return
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            self.head_since = None
        elif self.head_since is None and self._current_request is None and not self._messages:
            self.head_since = self._loop.time()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Resume only what was paused: aiohttp parses nothing again after each chunk of a body that is read."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def eof_received(self) -> None:
        """Take a half-closed connection for a caller who has left: what is not written yet is for nobody."""
        if self._request_in_progress and self.transport is not None:
            self.transport.abort()

    def expire(self, now: float) -> None:
        """Close the connection if its head is not whole in time."""
        if self.head_since is not None and now - self.head_since > limits.HEAD_DEADLINE:
            self.force_close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text quotes the caller's bytes
    ) -> StreamResponse:
        """Answer what could not be parsed, or what broke here, and close."""
        if isinstance(exc, HttpProcessingError):
            status, code, text = _malformed(exc)
        else:
            self.log_exception("a request broke the gateway", exc_info=exc)
            code, text = "internal", "the gateway failed; see its log"
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way")
        kind = "server_error" if code == "internal" else "invalid_request_error"
        body = orjson.dumps({"error": {"message": text, "type": kind, "param": None, "code": code}})
        response = Response(status=status, body=body, content_type="application/json")
        response.force_close()
        return response


def _malformed(error: HttpProcessingError) -> tuple[int, str, str]:
    if isinstance(error, LineTooLong) or ("header" in error.message.lower() and "many" in error.message.lower()):
        return (
            _STATUS_HEADERS_TOO_LARGE,
            "headers_too_large",
            "the request line or a header field is too long, or there are too many",
        )
    return 400, "malformed", "this is not valid HTTP/1.1"


class CallerServer(Server):
    """The listening end."""

    def __init__(self, handler: Callable[[BaseRequest], Awaitable[StreamResponse]], identity: Identity) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=limits.KEEP_ALIVE,
            max_line_size=limits.REQUEST_LINE,
            max_field_size=limits.HEADER_FIELD,
            max_headers=limits.HEADERS,
            lingering_time=limits.LINGER,
            auto_decompress=False,
        )
        self.identity = identity

    def __call__(self) -> RequestHandler:
        """Make a connection."""
        return CallerConnection(self, loop=self._loop, **self._kwargs)

    def sweep(self, now: float) -> None:
        """Close what has outlived its deadline."""
        for connection in self.connections:
            if isinstance(connection, CallerConnection):
                connection.expire(now)


def bind(port: int, config_file: str) -> socket.socket:
    """Take the port on loopback.

    Raises:
        ConfigError: it is taken, or not to be had.

    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(512)
        listening.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    except OSError as error:
        listening.close()
        problem = f"port {port} cannot be listened at: {error.strerror}"
        advice = "stop the program that has it, or choose another port and start the agents again"
        raise ConfigError(config_file, 0, "gateway.port", problem, advice) from error
    return listening


def fields_of(request: BaseRequest) -> Any:
    """Return a request's header fields as they are."""
    return request._message.headers  # noqa: SLF001 - `headers` is the same behind a property of a cached mixin
