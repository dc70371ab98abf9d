"""The provider's side of the wire: one pool of connections, one request at a time on each, failures told apart.

Theory of operation
-------------------
A request is written in one piece on a connection that the pool kept, or on one that is dialled for it; what comes is read by
an ``AnswerReader`` and handed to the request's ``Owner`` in the very callback that brought it: its head, its body, its end.
Everything that one read brought is told before ``came`` or ``failed`` ends the account of it, so the owner writes once.
When the answer is over the connection goes back, unless anything about it is in doubt; whatever is said on a connection that
nobody asked on closes it. Nothing is sent twice here; a connection that had been kept and ends without one byte of an answer
says so (``stale``), since its provider has usually closed it before the request came.

A shell: sends what it is given to the address it is given. Must not know why a request goes where it goes.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from typing import Final, Literal, Protocol
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread

from actors.gateway.answers import Answer, AnswerReader
from actors.gateway.moves import Problem
from actors.gateway.providers import Upstream
from actors.runtime.http.fields import Pair
from actors.runtime.http.framing import write_head

_IDLE_CONNECTION: Final = 55.0  # load balancers in front of providers close after 60 s and more
_HAPPY_EYEBALLS: Final = 0.25
_PORTS: Final = {"http": 80, "https": 443}
_BODILESS: Final = ("GET", "HEAD", "OPTIONS")
_ONE_PIECE: Final = 128 * 1024
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")
_NUMBERS: Final = re.compile(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.%]*")
_PATH: Final = "/%:@!$&'()*+,;=~"


class UpstreamError(Exception):
    """A provider that did not answer; ``detail`` is of our own wording and holds nothing that it sent."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(f"{problem} {detail}".strip())
        self.problem: Problem = problem
        self.detail = detail


class Owner(Protocol):
    """Whose request is on a connection."""

    def answered(self, answer: Answer) -> None:
        """Take the head; ``came`` or ``failed`` follows at once."""

    def came(self, body: bytes, *, ended: bool) -> None:
        """Take what came of the body; ``ended``: it is whole, and nothing follows."""

    def failed(self, problem: Problem | Literal["stale"]) -> None:
        """Learn that the answer is not to come, or not to its end; nothing follows."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to a provider."""

    __slots__ = ("_owner", "_paused", "_pool", "_reader", "_transport", "_untouched", "idle_since", "kept", "origin")

    _transport: asyncio.Transport

    def __init__(self, pool: UpstreamPool, origin: Origin) -> None:
        self._pool = pool
        self._owner: Owner | None = None
        self._reader: AnswerReader | None = None
        self._paused = False
        self._untouched = True  # nothing has come since the request was sent
        self.origin = origin
        self.kept = False
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Tell whether a request may be written."""
        return not self._transport.is_closing()

    def send(self, owner: Owner, head: bytes, body: bytes, *, bodiless: bool) -> None:
        """Write a request; not awaited until it is flushed: a provider may answer, and refuse, before it has read it all."""
        self._owner = owner
        self._reader = AnswerReader(bodiless=bodiless)
        self._untouched = True
        if len(body) <= _ONE_PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def pause(self) -> None:
        """Read no more for now."""
        if not self._paused and self.usable:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and self.usable:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Close at once, and tell nobody."""
        self._let_go()
        self._pool.forget(self)
        self._transport.abort()

    # ------------------------------------------------------------------------------------------------ asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Tell the owner what this brought, all of it."""
        owner, reader = self._owner, self._reader
        if owner is None or reader is None:
            self.close()
            return
        told = reader.answer is not None
        self._untouched = False
        reader.feed(data)
        if not told and reader.answer is not None:
            owner.answered(reader.answer)
            if self._owner is not owner:
                return  # closed: it is not to be passed on
        body = reader.take()
        if reader.ended:
            self._release(reader)
            owner.came(body, ended=True)
        elif reader.broken:
            if body:
                owner.came(body, ended=False)
            self._fail("malformed")
        elif body or (not told and reader.answer is not None):
            owner.came(body, ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer if this is how it ends; otherwise it was cut."""
        self._pool.forget(self)
        owner, reader = self._owner, self._reader
        self._let_go()
        if owner is None or reader is None:
            return
        if exc is None and reader.ends_with_connection and not reader.broken:
            owner.came(b"", ended=True)
        else:
            owner.failed("stale" if self.kept and self._untouched else "cut")

    def _let_go(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._owner = self._reader = None

    def _fail(self, problem: Problem) -> None:
        owner = self._owner
        if owner is not None:
            self.close()
            owner.failed(problem)

    def _release(self, reader: AnswerReader) -> None:
        """Give the connection back, unless something about it is in doubt."""
        flushed = self.usable and self._transport.get_write_buffer_size() == 0
        if reader.keep_alive and flushed and not reader.excess:
            self._let_go()
            self.resume()
            self._pool.keep(self)
        else:
            self.close()


class Origin:
    """One provider's address in the forms that sending needs; ``key`` is what connections are kept under."""

    __slots__ = ("eyeballs", "host", "key", "path", "port", "secure", "shown")

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS[parts.scheme]
        self.secure = parts.scheme == "https"
        self.key = (self.secure, self.host, self.port)
        self.eyeballs = None if _NUMBERS.fullmatch(self.host) else _HAPPY_EYEBALLS  # a name may have several addresses
        self.path = quote(parts.path.rstrip("/"), safe=_PATH)
        name = f"[{self.host}]" if ":" in self.host else self.host.encode("idna").decode()
        self.shown = name if self.port == _PORTS[parts.scheme] else f"{name}:{self.port}"


class UpstreamPool:
    """Connections to providers, kept between requests."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._origins: dict[str, Origin] = {}
        self._idle: dict[tuple[bool, str, int], list[UpstreamConnection]] = {}
        self._tls: ssl.SSLContext | None = None

    def origin(self, base: str) -> Origin:
        """Return an address of a provider in the forms that sending needs."""
        found = self._origins.get(base)
        if found is None:
            found = self._origins[base] = Origin(base)
        return found

    def take(self, origin: Origin) -> UpstreamConnection | None:
        """Return a connection that was kept, the one used last."""
        idle = self._idle.get(origin.key)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    async def dial(self, upstream: Upstream, origin: Origin) -> UpstreamConnection:
        """Open a connection.

        Raises:
            UpstreamError: it is not to be had.

        """
        try:
            with anyio.fail_after(upstream.connect_timeout):
                context = await self._context() if origin.secure else None
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self, origin),
                    origin.host,
                    origin.port,
                    ssl=context,
                    server_hostname=origin.host if origin.secure else None,
                    happy_eyeballs_delay=origin.eyeballs,
                )
        except (OSError, UnicodeError) as error:
            raise told(error, upstream) from error
        return connection

    def keep(self, connection: UpstreamConnection) -> None:
        """Keep a connection for the next request."""
        connection.idle_since = self._loop.time()
        connection.kept = True
        self._idle.setdefault(connection.origin.key, []).append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Keep a connection no more."""
        idle = self._idle.get(connection.origin.key)
        if idle and connection in idle:
            idle.remove(connection)

    def sweep(self, now: float) -> None:
        """Close what nobody has used for a while."""
        for idle in self._idle.values():
            while idle and now - idle[0].idle_since > _IDLE_CONNECTION:
                idle[0].close()

    def close(self) -> None:
        """Close every connection that is kept."""
        for idle in self._idle.values():
            while idle:
                idle[0].close()

    async def _context(self) -> ssl.SSLContext:
        """Return what certificates are checked with; reading the machine's own takes a while, once."""
        if self._tls is None:
            context = await anyio.to_thread.run_sync(ssl.create_default_context)
            context.set_alpn_protocols(["http/1.1"])
            self._tls = context
        return self._tls


def request_head(origin: Origin, method: str, rest: str, fields: list[Pair], body: bytes) -> bytes:
    """Write a request's head.

    Raises:
        ValueError: a field cannot be sent.

    """
    pairs = [("host", origin.shown), *fields]
    if body or method not in _BODILESS:
        pairs.append(("content-length", str(len(body))))
    return write_head(f"{method} {origin.path}{rest} HTTP/1.1", pairs)


def told(error: Exception, upstream: Upstream) -> UpstreamError:
    """Tell failures apart, in words of ours."""
    where = f"at {upstream.shown}"
    if isinstance(error, ssl.SSLError):
        return UpstreamError("tls", where)
    if isinstance(error, TimeoutError):
        return UpstreamError("connect_timeout", f"{where}, {upstream.connect_timeout:g} s")
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return UpstreamError("unreachable", f"{where}: its name cannot be resolved")
    # Where a name has several addresses and each fails otherwise, the one error names them in its text alone.
    numbers = {error.errno} if error.errno is not None else {int(each) for each in _ERRNO.findall(str(error))}
    if isinstance(error, ConnectionRefusedError) or numbers == {errno.ECONNREFUSED}:
        return UpstreamError("refused", where)
    return UpstreamError("unreachable", f"{where}: {error.strerror or type(error).__name__}")
