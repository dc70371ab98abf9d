"""Reads a provider's answer from its bytes: interim answers passed over, the head whole, the body as it comes, the end known.

An answer ends as its framing says: by its length, by its last chunk, by having no body, or, with neither length nor coding,
by the orderly end of the connection (``ends_with_connection``). Whatever else comes to an end is ``broken`` or cut. llhttp
reads strictly; what it leaves unbounded, a head's bytes and its number of fields, is bounded here.

Sans-IO. Must not know connections, nor what an answer means.
"""

from __future__ import annotations

from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from actors.runtime.http.fields import Fields

_HEAD: Final = 64 * 1024  # all heads of one answer together, interim ones too
_FIELD: Final = 32 * 1024
_FIELDS: Final = 128
_FINAL: Final = 200
_BODILESS: Final = (204, 304)


class Answer:
    """The head of an answer."""

    __slots__ = ("fields", "reason", "status")

    def __init__(self, status: int, reason: str, fields: Fields) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields


class AnswerReader:
    """One answer from one connection's bytes; ``answer`` is None until its head is whole.

    ``keep_alive``: the connection may serve another request once ``ended``, unless there was ``excess``: bytes behind the end.
    """

    __slots__ = (
        "_bodiless",
        "_came",
        "_interim",
        "_parser",
        "_raw",
        "_reason",
        "_size",
        "answer",
        "broken",
        "ended",
        "ends_with_connection",
        "excess",
        "keep_alive",
        "on_body",
    )

    def __init__(self, *, bodiless: bool) -> None:
        self._bodiless = bodiless  # the answer to HEAD, whose length is of a body that does not come
        self._came: list[bytes] = []
        self._raw: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._size = 0
        self._interim = False
        self.answer: Answer | None = None
        self.broken = False
        self.ended = False
        self.ends_with_connection = False
        self.excess = False
        self.keep_alive = False
        self.on_body: Any = self._came.append
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            if self.ended:
                self.excess = True
            else:
                self.broken = True
        if self.answer is None:
            self._size += len(data)
            self.broken = self.broken or self._size > _HEAD

    def take(self) -> bytes:
        """Return what has come of the body."""
        came = self._came
        if not came:
            return b""
        if self._bodiless:
            self.excess = True
            body = b""
        else:
            body = came[0] if len(came) == 1 else b"".join(came)
        came.clear()
        return body

    def close(self) -> None:
        """Let go of the parser, which holds this reader as this holds it."""
        self._parser = None

    # ------------------------------------------------------------------------------------------------ llhttp's calls

    def on_message_begin(self) -> None:
        """Expect a head, unless the answer is over."""
        self.excess = self.excess or self.ended

    def on_status(self, data: bytes) -> None:
        """Keep the reason phrase, or the next piece of it."""
        self._reason += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field; behind the head it is a trailer, and only counted."""
        self._raw.append((name, value))
        if len(self._raw) > _FIELDS or len(name) + len(value) > _FIELD:
            raise ValueError("too many or too large header fields")

    def on_headers_complete(self) -> None:
        """Take the head of the final answer; the others say nothing that a caller needs."""
        parser = self._parser
        if parser is None or self.ended:
            return
        status = parser.get_status_code()
        raw, self._raw, reason, self._reason = self._raw, [], self._reason, b""
        self._interim = status < _FINAL
        if self._interim:
            return
        fields = Fields.read(raw)
        coding = fields.get("transfer-encoding")
        if coding and coding.lower() != "chunked":
            raise ValueError("a transfer coding that nobody asked for")
        self.answer = Answer(status, reason.decode("utf-8", "surrogateescape"), fields)
        self.keep_alive = parser.should_keep_alive()
        self.ended = self._bodiless or status in _BODILESS
        self.ends_with_connection = not (coding or "content-length" in fields or self.ended)

    def on_message_complete(self) -> None:
        """Take note of the end."""
        self.ended = self.ended or not self._interim
