"""What an answer's documents say of themselves, in every dialect: tokens, response id, served model, ending, error.

A document is a whole answer, an event of a stream or a line of one. Each dialect reads it into a ``Told``; ``merged`` adds that
to what was known before. Pure. Must not know how documents are cut out of an answer, nor what an ending means to a caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

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


class _Details(Struct, frozen=True):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Tokens(Struct, frozen=True):
    """Counts as OpenAI and Anthropic name them."""

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
    status: str | None = None


class Told(Struct, frozen=True):
    """What one document said; None and empty where it said nothing."""

    tokens: Tokens | None = None
    response: str | None = None
    model: str | None = None
    ending: Ending | None = None
    error: str = ""


def merged(old: Reading, told: Told, counts: dict[str, Any]) -> Reading:
    """Add what a document said; ``counts`` holds the counts so far, since some are said early and some late."""
    usage = old.usage
    if told.tokens is not None:
        counts.update({name: value for name, value in msgspec.structs.asdict(told.tokens).items() if value is not None})
        usage = _usage(Tokens(**counts)) or usage
    return Reading(
        usage,
        _text(told.response, _ID) or old.response,
        _text(told.model, _MODEL) or old.model,
        told.ending or old.ending,
        told.error or old.error,
    )


# ------------------------------------------------------------------------------------------------- OpenAI and Anthropic


class _Answer(Struct, frozen=True):
    """A response object, wherever it stands: a whole body, or under ``response`` or ``message`` of an event."""

    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None
    error: _Problem | str | None = None
    type: str | None = None
    status: str | int | None = None


class _Event(Struct, frozen=True):
    type: str = ""
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None
    response: _Answer | None = None
    message: _Answer | str | None = None
    error: _Problem | str | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_EVENT: Final = msgspec.json.Decoder(_Event)
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


def _response_event(data: bytes) -> Told | None:
    event = _EVENT.decode(data)
    if event.type not in _RESPONSES:
        return None
    answer = event.response or _Answer()
    return Told(answer.usage, answer.id, answer.model, _RESPONSES[event.type], _code(answer.error))


def _message_event(data: bytes) -> Told | None:
    event = _EVENT.decode(data)
    if event.type not in _MESSAGES:
        return None
    answer = event.message if isinstance(event.message, _Answer) else _Answer(usage=event.usage)
    return Told(answer.usage, answer.id, answer.model, _MESSAGES[event.type], _code(event.error))


def _chat_event(data: bytes) -> Told | None:
    event = _EVENT.decode(data)
    failed = event.error is not None and event.usage is None
    return Told(event.usage, event.id, event.model, "failed" if failed else None, _code(event.error))


def _document(data: bytes) -> Told:
    """Read a whole answer of OpenAI's or Anthropic's; its status says success even where it is an error."""
    answer = _ANSWER.decode(data)
    failed = answer.error is not None or answer.type == "error" or answer.status == "failed"
    return Told(answer.usage, answer.id, answer.model, "failed" if failed else None, _code(answer.error))


# -------------------------------------------------------------------------------------------------------------- Gemini


class _Counts(Struct, frozen=True, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None


class _Candidate(Struct, frozen=True, rename="camel"):
    finish_reason: str | None = None


class _Feedback(Struct, frozen=True, rename="camel"):
    block_reason: str | None = None


class _Generated(Struct, frozen=True, rename="camel"):
    candidates: list[_Candidate] = []
    usage_metadata: _Counts | None = None
    response_id: str | None = None
    model_version: str | None = None
    prompt_feedback: _Feedback | None = None
    error: _Problem | str | None = None


_GENERATED: Final = msgspec.json.Decoder(_Generated)
_ALL_GENERATED: Final = msgspec.json.Decoder(list[_Generated])


def _generated(data: bytes) -> Told:
    return _of_gemini(_GENERATED.decode(data))


def _of_gemini(given: _Generated) -> Told:
    counts, tokens = given.usage_metadata, None
    if counts is not None and counts.prompt_token_count is not None:
        tokens = Tokens(
            input_tokens=counts.prompt_token_count + (counts.tool_use_prompt_token_count or 0),
            output_tokens=(counts.candidates_token_count or 0) + (counts.thoughts_token_count or 0),
            total_tokens=counts.total_token_count,
            input_tokens_details=_Details(cached_tokens=counts.cached_content_token_count),
            output_tokens_details=_Details(reasoning_tokens=counts.thoughts_token_count),
        )
    blocked = given.prompt_feedback is not None and given.prompt_feedback.block_reason is not None
    ended = blocked or any(candidate.finish_reason for candidate in given.candidates)
    ending: Ending | None = "failed" if given.error is not None else "completed" if ended else None
    return Told(tokens, given.response_id, given.model_version, ending, _code(given.error))


# -------------------------------------------------------------------------------------------------------------- Auggie


class _Node(Struct, frozen=True):
    token_usage: Tokens | None = None


class _Line(Struct, frozen=True):
    nodes: list[_Node] | None = None
    stop_reason: int | None = None
    error: str | _Problem | None = None


_LINE: Final = msgspec.json.Decoder(_Line)
_AUGGIE_ERROR: Final = 7


def _auggie_line(data: bytes) -> Told | None:
    line = _LINE.decode(data)
    tokens = next((node.token_usage for node in line.nodes or () if node.token_usage is not None), None)
    if line.error is not None or line.stop_reason == _AUGGIE_ERROR:
        return Told(tokens, ending="failed", error=_code(line.error) or "stop_reason_error")
    return Told(tokens, ending="completed" if line.stop_reason else None)


# --------------------------------------------------------------------------------------------------------------- parts

EVENTS: Final[dict[Dialect, Callable[[bytes], Told | None]]] = {
    "openai.responses": _response_event,
    "openai.chat": _chat_event,
    "openai.other": _chat_event,
    "anthropic.messages": _message_event,
    "gemini.generate": _generated,
    "auggie": _auggie_line,
}


def read_document(dialect: Dialect, data: bytes) -> Reading:
    """Read an answer that is one document; Gemini's may be a list of what would be events."""
    counts: dict[str, Any] = {}
    reading = Reading()
    if dialect == "openai.other":  # an object may well tell of an error elsewhere
        answer = _ANSWER.decode(data)
        return merged(reading, Told(answer.usage, answer.id, answer.model), counts)
    if dialect != "gemini.generate":
        return merged(reading, _document(data), counts)
    several = data.lstrip()[:1] == b"["
    for told in map(_of_gemini, _ALL_GENERATED.decode(data)) if several else (_generated(data),):
        reading = merged(reading, told, counts)
    return reading


def _usage(tokens: Tokens) -> Usage | None:
    """Bring any dialect's counts to ours; counts that no provider could mean are no counts."""
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


def _code(problem: _Problem | str | None) -> str:
    if problem is None:
        return ""
    text = problem if isinstance(problem, str) else str(problem.status or problem.code or problem.type or "")
    return text if _CODE.fullmatch(text) else "unnamed"
