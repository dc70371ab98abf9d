"""Reads the tokens, the response id, the served model and the end from an answer that passes by, without delaying it.

Theory of operation
-------------------
An answer goes on to the caller chunk by chunk, exactly as it came; ``feed`` looks at each chunk and keeps only what is
not yet a whole event. An event is parsed only when it carries one of its dialect's marks (a search in C over the bytes),
which is true of two or three events of a stream of hundreds; a mark inside generated text costs one vain parse and means
nothing, because the parsed type decides. Events are cut at blank lines first, so where the chunks were cut is of no
consequence. An event beyond its bound is passed over: its tokens are then unknown, and the stream is not harmed.

A meter is a fold with one owner and is updated in place. Must not know sockets, time or what an ending means to a caller.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Protocol

import msgspec
import sseclient
from msgspec import Struct

from actors.gateway import limits
from schemas.events import Dialect, Usage

Ending = Literal["completed", "failed"]

_ID: Final = 200
_MODEL: Final = 300
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,48}")
_MAX_COUNT: Final = 1 << 53


class Reading(Struct, frozen=True):
    """What an answer said of itself. ``ending`` is None when it did not say how it ended."""

    usage: Usage | None = None
    response: str | None = None
    model: str | None = None
    ending: Ending | None = None
    error: str = ""


class Meter(Protocol):
    """Looks at an answer in passing."""

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes."""

    def reading(self) -> Reading:
        """Return what is known so far; after the last byte, what is known."""


class _Details(Struct, frozen=True):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Tokens(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Problem(Struct, frozen=True):
    code: str | int | None = None
    type: str | None = None


class _Answer(Struct, frozen=True):
    """A response object, wherever it stands: a whole body, or under ``response`` or ``message`` of an event."""

    id: str | None = None
    model: str | None = None
    usage: _Tokens | None = None
    error: _Problem | None = None


class _Event(Struct, frozen=True):
    type: str = ""
    id: str | None = None
    model: str | None = None
    usage: _Tokens | None = None
    response: _Answer | None = None
    message: _Answer | str | None = None
    error: _Problem | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_EVENT: Final = msgspec.json.Decoder(_Event)
_MARKS: Final[dict[Dialect, re.Pattern[bytes]]] = {
    "openai.responses": re.compile(rb"response\.(?:c(?:reated|ompleted)|incomplete|failed)"),
    "anthropic.messages": re.compile(rb"message_(?:start|delta|stop)"),
    "openai.chat": re.compile(rb'"usage"\s*:\s*\{'),
}
_ERROR: Final = b'"error"'
_RESPONSES: Final[dict[str, Ending | None]] = {
    "response.created": None,
    "response.completed": "completed",
    "response.incomplete": "completed",
    "response.failed": "failed",
}
_MESSAGES: Final[dict[str, Ending | None]] = {
    "message_start": None,
    "message_delta": None,
    "message_stop": "completed",
    "error": "failed",
}
_BLANKS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_BLANK: Final = re.compile(b"|".join(_BLANKS))
_EDGE: Final = 3  # a blank line may begin this many bytes before a chunk


def meter_for(dialect: Dialect, content_type: str, encoding: str) -> Meter:
    """Choose how to look at an answer by its head; one that cannot be read is passed on unread."""
    if encoding and encoding != "identity":
        return NoMeter()
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream" and dialect in _MARKS:
        return StreamMeter(dialect)
    if kind == "application/json" and dialect in _MARKS:
        return BodyMeter()
    return NoMeter()


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

    __slots__ = ("_chunks", "_size")

    def __init__(self) -> None:
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
            answer = _ANSWER.decode(b"".join(self._chunks))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return Reading()
        return Reading(_usage(answer.usage), _text(answer.id, _ID), _text(answer.model, _MODEL))


class StreamMeter:
    """Looks at a stream of events."""

    __slots__ = ("_dialect", "_edge", "_mark", "_pieces", "_reading", "_size", "_tokens")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
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
                    self._note(_EVENT.decode(event.data.encode()))
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                continue  # generated text that looks like a mark, or an event that is none: passed on all the same

    def _note(self, event: _Event) -> None:
        """Take over what an event says, if it is of a type that counts."""
        if self._dialect == "openai.responses":
            if event.type in _RESPONSES:
                problem = None if event.response is None else event.response.error
                self._merge(event.response, _RESPONSES[event.type], problem)
        elif self._dialect == "anthropic.messages":
            if event.type in _MESSAGES:
                answer = event.message if isinstance(event.message, _Answer) else _Answer(usage=event.usage)
                self._merge(answer, _MESSAGES[event.type], event.error)
        else:
            failed = event.error is not None and event.usage is None
            self._merge(_Answer(event.id, event.model, event.usage), "failed" if failed else None, event.error)

    def _merge(self, answer: _Answer | None, ending: Ending | None, problem: _Problem | None) -> None:
        old = self._reading
        usage, response, model = old.usage, old.response, old.model
        if answer is not None:
            if answer.usage is not None:
                self._tokens.update(
                    {name: value for name, value in msgspec.structs.asdict(answer.usage).items() if value is not None}
                )
                usage = _usage(_Tokens(**self._tokens)) or usage
            response = _text(answer.id, _ID) or response
            model = _text(answer.model, _MODEL) or model
        self._reading = Reading(usage, response, model, ending or old.ending, _code(problem) or old.error)


def _usage(tokens: _Tokens | None) -> Usage | None:
    """Bring any dialect's counts to ours; counts that no provider could mean are no counts."""
    if tokens is None:
        return None
    read = tokens.input_tokens if tokens.input_tokens is not None else tokens.prompt_tokens
    written = tokens.output_tokens if tokens.output_tokens is not None else tokens.completion_tokens
    if read is None and written is None:
        return None
    total_in, total_out = read or 0, written or 0
    details_in = tokens.input_tokens_details or tokens.prompt_tokens_details or _Details()
    details_out = tokens.output_tokens_details or tokens.completion_tokens_details or _Details()
    cached, reasoning = details_in.cached_tokens or 0, details_out.reasoning_tokens or 0
    if tokens.cache_read_input_tokens is not None or tokens.cache_creation_input_tokens is not None:
        # Anthropic counts cached input beside the input, not inside it.
        cached = tokens.cache_read_input_tokens or 0
        total_in += cached + (tokens.cache_creation_input_tokens or 0)
    total = tokens.total_tokens if tokens.total_tokens is not None else total_in + total_out
    counts = (total_in, cached, total_out, reasoning, total)
    if any(count < 0 or count > _MAX_COUNT for count in counts):
        return None
    return Usage(input=total_in, cached_input=cached, output=total_out, reasoning=reasoning, total=total)


def _text(value: str | None, bound: int) -> str | None:
    return value if value and len(value) <= bound and value.isprintable() else None


def _code(problem: _Problem | None) -> str:
    if problem is None:
        return ""
    text = str(problem.code or problem.type or "")
    return text if _CODE.fullmatch(text) else "unnamed"
