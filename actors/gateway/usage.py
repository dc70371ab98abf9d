"""Reads the tokens, the response id, the served model and the end from an answer that passes by, without delaying it.

Theory of operation
-------------------
An answer goes on to the caller chunk by chunk, exactly as it came; ``feed`` looks at each chunk and keeps only what is
not yet a whole event. An event is parsed only when it carries one of its dialect's marks (a search in C over the bytes),
which is true of two or three events of a stream of hundreds; a mark inside generated text costs one vain parse and means
nothing, because the parsed type decides. Events are cut at blank lines first, so where the chunks were cut is of no
consequence. An event beyond its bound is passed over: its tokens are then unknown, and the stream is not harmed. Auggie's
answers are lines instead of events, whatever content type they are given.

A meter is a fold with one owner and is updated in place. Must not know sockets, time or what an ending means to a caller.
"""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import msgspec
import sseclient

from actors.gateway import limits
from actors.gateway.readings import EVENTS, Reading, merged, read_document
from schemas.events import Dialect

__all__ = ("BodyMeter", "LineMeter", "Meter", "NoMeter", "Reading", "StreamMeter", "meter_for")


class Meter(Protocol):
    """Looks at an answer in passing."""

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes."""

    def reading(self) -> Reading:
        """Return what is known so far; after the last byte, what is known."""


_CHAT: Final = re.compile(rb'"usage"\s*:\s*\{')
_MARKS: Final[dict[Dialect, re.Pattern[bytes]]] = {
    "openai.responses": re.compile(rb"response\.(?:c(?:reated|ompleted)|incomplete|failed)"),
    "anthropic.messages": re.compile(rb"message_(?:start|delta|stop)"),
    "openai.chat": _CHAT,
    "openai.other": _CHAT,
    "gemini.generate": re.compile(rb'"(?:usageMetadata|finishReason|blockReason)"'),
    "auggie": re.compile(rb'"(?:token_usage|stop_reason)"'),
}
_ERROR: Final = b'"error"'
_BLANKS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_BLANK: Final = re.compile(b"|".join(_BLANKS))
_EDGE: Final = 3  # a blank line may begin this many bytes before a chunk
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def meter_for(dialect: Dialect, content_type: str, encoding: str) -> Meter:
    """Choose how to look at an answer by its head; one that cannot be read is passed on unread."""
    if dialect not in _MARKS or (encoding and encoding != "identity"):
        return NoMeter()
    if dialect == "auggie":
        return LineMeter()
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return StreamMeter(dialect)
    return BodyMeter(dialect) if kind == "application/json" else NoMeter()


class NoMeter:
    """Looks at nothing."""

    __slots__ = ()

    def feed(self, chunk: bytes) -> None:
        """Look away."""

    def reading(self) -> Reading:
        """Return that nothing is known."""
        return Reading()


class BodyMeter:
    """Looks at an answer that is one JSON document, once it is whole."""

    __slots__ = ("_chunks", "_dialect", "_size")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Keep the next bytes, up to the bound."""
        self._size += len(chunk)
        if self._size <= limits.JSON_ANSWER:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    def reading(self) -> Reading:
        """Read the document."""
        try:
            return read_document(self._dialect, b"".join(self._chunks))
        except _UNREADABLE:
            return Reading()


class StreamMeter:
    """Looks at a stream of events."""

    __slots__ = ("_edge", "_mark", "_pieces", "_read", "_reading", "_size", "_tokens")

    def __init__(self, dialect: Dialect) -> None:
        self._read = EVENTS[dialect]
        self._mark = _MARKS[dialect]
        self._pieces: list[bytes] = []
        self._edge = b""
        self._size = 0
        self._tokens: dict[str, Any] = {}
        self._reading = Reading()

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes; the usual chunk is whole events without a mark and costs two searches."""
        if not self._size and chunk.endswith(b"\n\n"):
            self._look(chunk)
            return
        if self._size > limits.EVENT:
            chunk = self._pass_over(chunk)
        if end := self._last_blank(chunk):
            self._pieces.append(chunk[:end])
            self._flush()
            chunk = chunk[end:]
        if chunk:
            self._size += len(chunk)
            self._edge = (self._edge + chunk)[-_EDGE:]
            if self._size > limits.EVENT:
                self._pieces.clear()
            else:
                self._pieces.append(chunk)

    def reading(self) -> Reading:
        """Return what is known; bytes after the last blank line are an event too once the stream has ended."""
        if self._pieces:
            self._flush()
        return self._reading

    def _last_blank(self, chunk: bytes) -> int:
        """Find where the last whole event ends, in this chunk's own offsets; 0 when none ends in it."""
        window = self._edge + chunk
        last = max((place + len(blank) for blank in _BLANKS if (place := window.rfind(blank)) >= 0), default=0)
        return max(0, last - len(self._edge))

    def _pass_over(self, chunk: bytes) -> bytes:
        """Return what follows the event that is too large, if it ends here."""
        window = self._edge + chunk
        if (blank := _BLANK.search(window)) is None:
            self._edge = window[-_EDGE:]
            return b""
        self._size, self._edge = 0, b""
        return window[blank.end() :]

    def _flush(self) -> None:
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._size, self._edge = 0, b""
        self._look(whole)

    def _look(self, events: bytes) -> None:
        if self._mark.search(events) is None and _ERROR not in events:
            return
        for one in _BLANK.split(events):
            if self._mark.search(one) is None and _ERROR not in one:
                continue
            try:
                for event in sseclient.SSEClient(iter((one,))).events():
                    if (told := self._read(event.data.encode())) is not None:
                        self._reading = merged(self._reading, told, self._tokens)
            except _UNREADABLE:
                continue  # generated text that looks like a mark, or an event that is none: passed on all the same


class LineMeter:
    """Looks at an answer of lines, each a JSON document; one that is too large is passed over."""

    __slots__ = ("_held", "_mark", "_over", "_read", "_reading", "_size", "_tokens")

    def __init__(self) -> None:
        self._read = EVENTS["auggie"]
        self._mark = _MARKS["auggie"]
        self._held: list[bytes] = []
        self._size = 0
        self._over = False  # within a line that is too large
        self._tokens: dict[str, Any] = {}
        self._reading = Reading()

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        *lines, rest = chunk.split(b"\n")
        if lines:
            if not self._over:
                self._look(b"".join((*self._held, lines[0])))
            for line in lines[1:]:
                self._look(line)
            self._held, self._size, self._over = [], 0, False
        if rest and not self._over:
            self._held.append(rest)
            self._size += len(rest)
            if self._size > limits.EVENT:
                self._held, self._over = [], True

    def reading(self) -> Reading:
        """Return what is known; what follows the last end of a line is a line too once the answer has ended."""
        if self._held:
            self._look(b"".join(self._held))
            self._held, self._size = [], 0
        return self._reading

    def _look(self, line: bytes) -> None:
        if self._mark.search(line) is None and _ERROR not in line:
            return
        try:
            told = self._read(line)
        except _UNREADABLE:
            return
        if told is not None:
            self._reading = merged(self._reading, told, self._tokens)
