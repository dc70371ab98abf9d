"""Reads requests from a caller's bytes: heads that are sound, bodies piece by piece, and never more than is held.

Theory of operation
-------------------
llhttp (httptools) parses; its callbacks fill ``Request`` values, which stand in ``requests`` as soon as their head is whole.
Nothing is thrown at the caller of ``feed``: what is wrong with a head is in ``refusal``, what is wrong with a body in that
request's ``broken``, and from then on bytes are ignored (``deaf``), since nobody can say where the next message begins.

llhttp keeps no bounds of its own, so every kind of byte has one here: a head by its bytes until it is whole and then exactly,
trailers (dropped) as header fields are, bytes that bring a body no further (chunk extensions, trailers) as one field is, and
all that frames a body by a multiple of that.
Requests that stand behind each other in one read are at most ``bounds.PIPELINED``; those beyond are not taken, and the
connection ends when the others are answered, as HTTP allows.

Sans-IO. Must not know connections, nor who waits for what.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from actors.runtime.http import bounds
from actors.runtime.http.fields import Fields
from actors.runtime.http.framing import HEAD, FramingError, check_request, check_target

_BARREN: Final = 2 * bounds.HEADER_FIELD
_FRAMING: Final = 8  # what frames a body of chunks of one byte is six times as long as the body


class Request:
    """One request: its head, and what is here of its body.

    ``size`` counts all of the body that came, ``waiting`` what was not taken yet; ``whole`` and ``broken`` say how it ended.
    """

    __slots__ = (
        "_chunks",
        "broken",
        "fields",
        "keep_alive",
        "method",
        "size",
        "target",
        "upgrade",
        "version",
        "waiting",
        "whole",
    )

    def __init__(self, method: str, target: str, version: str, fields: Fields, *, keep_alive: bool, upgrade: bool) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.size = 0
        self.waiting = 0
        self.whole = False
        self.broken = False
        self._chunks: list[bytes] = []

    def add(self, data: bytes) -> None:
        """Keep the next bytes of the body."""
        self._chunks.append(data)
        self.size += len(data)
        self.waiting += len(data)

    def take(self) -> list[bytes]:
        """Return the bytes that wait."""
        chunks, self._chunks, self.waiting = self._chunks, [], 0
        return chunks


class _FullError(Exception):
    """Enough requests stand behind each other."""


class Intake:
    """Requests from one connection's bytes."""

    __slots__ = (
        "_barren",
        "_begun",
        "_came",
        "_head",
        "_moved",
        "_parser",
        "_raw",
        "_request",
        "_url",
        "deaf",
        "refusal",
        "requests",
    )

    def __init__(self) -> None:
        self.requests: deque[Request] = deque()
        self.refusal: FramingError | None = None
        self.deaf = False
        self._request: Request | None = None  # the one whose body is awaited
        self._begun = False  # a head has begun
        self._head = 0
        self._barren = 0
        self._came = 0  # for the body that is awaited
        self._moved = False
        self._url = b""
        self._raw: list[tuple[bytes, bytes]] = []
        self._parser: HttpRequestParser | None = HttpRequestParser(self)

    @property
    def between(self) -> bool:
        """Tell whether no message has begun that is not whole."""
        return not self._begun and self._request is None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._parser is None:
            return
        self._moved = False
        begun = self._begun
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.close()
        except HttpParserError as error:
            self._fail(error.__context__)
        else:
            self._bound(len(data), begun=begun)

    def close(self) -> None:
        """Take no more bytes."""
        self.deaf = True
        self._parser = None

    def _fail(self, cause: BaseException | None) -> None:
        """Take note of what is wrong; a parser that has failed is never asked again."""
        if self._request is not None:
            self._request.broken = True
        elif not isinstance(cause, _FullError):
            self.refusal = cause if isinstance(cause, FramingError) else FramingError("malformed")
        self.close()

    def _bound(self, size: int, *, begun: bool) -> None:
        """Count what came of something that is not whole; ``begun``: nothing else can have come with it."""
        if self._request is not None:
            if self._moved:
                self._barren = 0
            else:
                self._barren += size
            self._came += size
            if self._barren > _BARREN or self._came - _FRAMING * self._request.size > bounds.SLACK:
                self._fail(None)
        elif self._begun and begun:
            self._head += size
            if self._head > HEAD:
                self._fail(FramingError("headers_too_large"))

    # ------------------------------------------------------------------------------------------------ llhttp's calls

    def on_message_begin(self) -> None:
        """Expect a head."""
        if len(self.requests) >= bounds.PIPELINED:
            raise _FullError
        self._begun = True
        self._head = 0
        self._url = b""
        self._raw = []

    def on_url(self, data: bytes) -> None:
        """Keep the target, or the next piece of it."""
        self._url += data
        if len(self._url) > bounds.REQUEST_LINE:
            raise FramingError("headers_too_large")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field; after the head it is a trailer, and only counted."""
        self._raw.append((name, value))
        if len(self._raw) > bounds.HEADERS or len(name) + len(value) > bounds.HEADER_FIELD:
            raise FramingError("headers_too_large")

    def on_headers_complete(self) -> None:
        """Let a sound head in."""
        parser = self._parser
        if parser is None:
            return
        version, fields = parser.get_http_version(), Fields.read(self._raw)
        check_request(fields, version)
        if (method := parser.get_method()) != b"CONNECT":  # which is refused as a method
            check_target(self._url)
        upgrade = parser.should_upgrade()
        self._request = Request(
            method.decode(),
            self._url.decode("utf-8", "surrogateescape"),
            version,
            fields,
            keep_alive=parser.should_keep_alive() and not upgrade,
            upgrade=upgrade,
        )
        self._begun = False
        self._came = 0
        self._moved = True
        self._raw = []
        self.requests.append(self._request)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._moved = True
        if self._request is not None:
            self._request.add(data)

    def on_message_complete(self) -> None:
        """Take note that a body is whole."""
        self._moved = True
        if self._request is not None:
            self._request.whole = True
            self._request = None
