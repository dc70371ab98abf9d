"""How each API says things: which dialect a path speaks, how a refusal, a failure or a cut stream sounds, what is output.

Pure. The statuses are those that make the agent do the right thing: Codex shows a 400 at once and tries a 424 six times,
Claude Code sends a 400 up to five times more, takes a 424 for an answer and a 403 for a failed login; Codex reads
``response.failed`` and ignores ``error`` events, Claude Code the other way round. Must not know requests or providers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal

import orjson

from schemas.events import Dialect

JSON: Final = "application/json"
Api = Literal["v1", "v1beta", "auggie"]

_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_GEMINI_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
SHOWN_PLAINLY: Final = "invalid_prompt"
"""Of a 400 Codex 0.169 shows the whole body, JSON and all; with this code, the message alone."""
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403
_FAILED_DEPENDENCY: Final = 424
_SERVER_ERROR: Final = 500
_AUGGIE_ERROR: Final = 7  # a reason to stop
_AUGGIE_SHOWS_403: Final = 11  # the one code with which Auggie 0.36 shows the message of a 403


def dialect_of(rest: str, api: Api = "v1", *, anthropic: bool) -> Dialect:
    """Tell the dialect of a path below its API's prefix; ``anthropic`` is whether the caller sent ``anthropic-version``."""
    if api == "v1beta":
        return "gemini.generate"
    if api == "auggie":
        return "auggie"
    path = rest.partition("?")[0]
    if path == "/responses" or path.startswith("/responses/"):
        return "openai.responses"
    if path == "/chat/completions" or path.startswith("/chat/completions/"):
        return "openai.chat"
    if anthropic or path == "/messages" or path.startswith("/messages/"):
        return "anthropic.messages"
    return "openai.other"


def policy_status(dialect: Dialect) -> int:
    """Return the status of a refusal that no repetition can change, such that the agent shows it and stops."""
    return _FAILED_DEPENDENCY if dialect == "anthropic.messages" else _BAD_REQUEST


def error_body(dialect: Dialect, status: int, code: str, message: str, request: str = "") -> bytes:
    """Write an error as the caller's API writes errors; where its agent needs a ``code`` of its own, ours is the ``reason``."""
    if dialect == "anthropic.messages":
        kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= _SERVER_ERROR else "invalid_request_error")
        body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
        if request:
            body["request_id"] = request
        return orjson.dumps(body)
    if dialect == "gemini.generate":
        word = _GEMINI_STATUSES.get(status, "INTERNAL" if status >= _SERVER_ERROR else "FAILED_PRECONDITION")
        return orjson.dumps({"error": {"code": status, "message": message, "status": word}})
    if dialect == "auggie":
        details = {"code": _AUGGIE_SHOWS_403 if status == _FORBIDDEN else 0, "message": message, "detail": ""}
        return orjson.dumps({"error": code, "error_details": details})
    kind = "server_error" if status >= _SERVER_ERROR else "invalid_request_error"
    body = {"message": message, "type": kind, "param": None, "code": code}
    if dialect == "openai.responses" and status == _BAD_REQUEST and code != SHOWN_PLAINLY:
        body |= {"code": SHOWN_PLAINLY, "reason": code}
    return orjson.dumps({"error": body})


# Codex 0.169 shows the message of `response.failed` only when the stream ends behind it as HTTP says it must; torn, it shows
# "error decoding response body" instead. Gemini CLI 0.61 asks again, three times, and shows the message; torn, it gives up at
# once and shows "terminated". Claude Code 2.1 asks once more, without streaming; torn, it overlooks the event and streams up to
# ten times more, each of which is paid for. Elsewhere the torn framing is what tells a cut answer from a whole one.
ERROR_ENDS_STREAM: Final = ("openai.responses", "gemini.generate", "anthropic.messages")


def stream_error(dialect: Dialect, code: str, message: str, response: str | None) -> bytes:
    """Write the event that ends a stream badly, as bytes to append to it; empty when the dialect has none.

    It starts with a blank line: the stream may have been cut inside an event, and a half event must not swallow this one.
    """
    if dialect == "openai.responses":
        failed = {
            "type": "response.failed",
            "response": {
                "id": response or "resp_unknown",
                "object": "response",
                "status": "failed",
                "error": {"code": code, "message": message},
                "output": [],
                "usage": None,
            },
        }
        return b"\n\nevent: response.failed\ndata: " + orjson.dumps(failed) + b"\n\n"
    if dialect == "anthropic.messages":
        error = {"type": "error", "error": {"type": "api_error", "message": message}}
        return b"\n\nevent: error\ndata: " + orjson.dumps(error) + b"\n\n"
    if dialect == "openai.chat":
        return b"\n\ndata: " + error_body(dialect, _SERVER_ERROR, code, message) + b"\n\n"
    if dialect == "gemini.generate":
        # Its clients take an error for one only when it stands for itself; an event with one is an answer without an end.
        return b"\n\n" + error_body(dialect, _SERVER_ERROR, code, message) + b"\n\n"
    return b""  # Auggie asks again after a torn stream, and takes any line for a part of the answer


First = Literal["none", "output", "error", "unknown"]

_EVENTS_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINES: Final = re.compile(rb"\r\n|\n|\r")
_PRELIMINARY: Final = {
    "openai.responses": ("response.created", "response.in_progress", "response.queued", "keepalive"),
    "anthropic.messages": ("message_start", "ping"),
}
_FAILURES: Final = ("error", "response.failed")


def first_output(dialect: Dialect, began: bytes) -> First:
    """Tell what an answer holds that has begun with these bytes: no output yet, output, an error before any, or neither.

    Read again from its beginning whenever more of it came. A document that is not whole holds nothing yet.
    """
    start = began.lstrip()
    said: Iterable[First]
    if dialect == "auggie":
        said = (_auggie(line) for line in began.split(b"\n")[:-1] if line.strip())
    elif start[:1] in (b"{", b"["):
        said = (_document(start),)
    else:
        *events, _ = _EVENTS_END.split(began)
        said = (_event(dialect, event) for event in events)
    return next((each for each in said if each != "none"), "none")


def _event(dialect: Dialect, event: bytes) -> First:
    data = b"\n".join(line[5:].removeprefix(b" ") for line in _LINES.split(event) if line.startswith(b"data:"))
    if not data or data == b"[DONE]":
        return "output" if data else "none"  # none: a comment, or a name alone
    document = _object(data)
    if document is None:
        return "unknown"
    kind = document.get("type")
    if kind in _FAILURES or (document.get("error") and "candidates" not in document and "choices" not in document):
        return "error"
    if dialect in _PRELIMINARY:
        return "none" if kind in _PRELIMINARY[dialect] else "output"
    return _choices(document.get("choices")) if dialect == "openai.chat" else "output"


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


def _choices(choices: Any) -> First:
    if not isinstance(choices, list):
        return "unknown"
    for choice in choices:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict) or choice.get("finish_reason") or any(delta[name] for name in delta if name != "role"):
            return "output"
    return "none"


def _document(document: bytes) -> First:
    """Tell it of a body that is one JSON document; some APIs answer an error with a status that means success."""
    try:
        told = orjson.loads(document)
    except orjson.JSONDecodeError:
        return "none"
    if isinstance(told, list):
        told = told[0] if told else {}
    if not isinstance(told, dict):
        return "unknown"
    return "error" if told.get("error") or told.get("type") == "error" else "output"


def _auggie(line: bytes) -> First:
    told = _object(line)
    if told is None:
        return "unknown"
    if told.get("error") or told.get("stop_reason") == _AUGGIE_ERROR:
        return "error"
    return "output" if told.get("text") or told.get("nodes") or told.get("stop_reason") else "none"
