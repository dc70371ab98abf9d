"""Reads what a provider's refusal means, in the words of OpenAI, Anthropic, Gemini and those who imitate them.

Pure. A body is text of a stranger: every look into it allows for anything to stand there. What it says of a key is dropped,
since some providers repeat the key. Must not know what follows from a refusal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import orjson
from msgspec import Struct

from actors.runtime.http.fields import Fields, Pair
from schemas.events import Dialect

Kind = Literal[
    "rate",
    "quota",
    "auth",
    "overloaded",
    "server",
    "unknown_model",
    "encrypted_content",
    "too_large",
    "bad_request",
    "other",
]

LONGEST_PAUSE: Final = 180.0  # who asks for more than some minutes of patience means a quota
_MESSAGE: Final = 500
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BAD: Final = 400
_NOT_FOUND: Final = 404
_SERVER: Final = 500
_UNAVAILABLE: Final = 503

_QUOTA_CODES: Final = frozenset(
    {
        "usage_limit_reached",
        "usage_not_included",
        "insufficient_quota",
        "quota_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "insufficient_balance",
    }
)
_OVERLOADED: Final = frozenset({"server_is_overloaded", "overloaded_error", "overloaded", "slow_down"})
# Codes and types that mean something whatever the status is; in a stream there is no other word than these.
_MEANT: Final[dict[str, Kind]] = {
    **dict.fromkeys(_QUOTA_CODES, "quota"),
    **dict.fromkeys(_OVERLOADED, "overloaded"),
    "rate_limit_exceeded": "rate",
    "rate_limit_error": "rate",
    "RESOURCE_EXHAUSTED": "rate",
    "authentication_error": "auth",
    "permission_error": "auth",
    "invalid_api_key": "auth",
    "UNAUTHENTICATED": "auth",
    "PERMISSION_DENIED": "auth",
    "model_not_found": "unknown_model",
    "invalid_encrypted_content": "encrypted_content",
    "context_length_exceeded": "bad_request",
    "invalid_prompt": "bad_request",
    "invalid_request_error": "bad_request",
    "INVALID_ARGUMENT": "bad_request",
    "request_too_large": "too_large",
}
_STATUSES: Final[dict[int, Kind]] = {
    400: "bad_request",
    401: "auth",
    402: "quota",
    403: "auth",
    413: "too_large",
    422: "bad_request",
    429: "rate",
    529: "overloaded",
}
# Anthropic says this with a 400 of the type of a wrong request.
_NO_CREDIT: Final = "credit balance is too low"
# Codes that a status of their own does not overrule: a 400 can be any of them.
_IN_ANY_STATUS: Final = ("quota", "unknown_model", "encrypted_content", "overloaded")

_IN_WORDS: Final = re.compile(r"(?:try again|retry) in ((?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|seconds?|minutes?)\s*)+)", re.IGNORECASE)
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|seconds?|minutes?)", re.IGNORECASE)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

# What of a refusal's header goes on to the caller even if the rest is said anew.
_KEPT: Final = ("retry-after", "retry-after-ms", "x-should-retry")
_KEPT_PREFIXES: Final = ("anthropic-ratelimit-", "x-ratelimit-", "x-codex-")


class Fault(Struct, frozen=True):
    """A provider's refusal: what it is, its own code and message, and when it wants to be asked again.

    ``retry_after`` is in seconds from then, ``resets_at`` by the wall clock; ``one_model``: only the model is meant, not the
    whole account. ``kept`` are the fields that the caller may need too.
    """

    kind: Kind
    code: str = ""
    retry_after: float | None = None
    resets_at: float | None = None
    message: str = ""
    status: int = 0
    one_model: bool = False
    kept: tuple[Pair, ...] = ()


def read_fault(dialect: Dialect, status: int, fields: Fields, body: bytes, at: float) -> Fault:
    """Read a refusal: a status with its header and body, or (status 200) the bytes of a stream that tell of a failure."""
    error = _error_of(body)
    code, message = _code(error), _text(error.get("message"))
    pause = _pause(fields, error, message)
    resets = _resets(fields, error, at)
    kind = _kind(status, code, message, error)
    if kind == "rate" and (_is_quota(error, fields) or (pause or 0.0) > LONGEST_PAUSE):
        kind = "quota"
    if kind == "quota" and resets is None and pause is not None:
        resets = at + pause
    return Fault(
        kind,
        code,
        pause,
        resets,
        "" if kind == "auth" and status != 403 else message,  # noqa: PLR2004 - a 401 is about the key, a 403 often is not
        status,
        _of_one_model(dialect, error, fields),
        tuple((name, value) for name, value in fields.items() if _is_kept(name.lower())),
    )


def read_span(text: str) -> float | None:
    """Read a span of time as providers write it: ``6m0s``, ``1.5s``, ``250ms``, or plain seconds."""
    text = text.strip()
    try:
        return _finite(float(text))
    except ValueError:
        parts = _SPAN.findall(text)
        return _finite(sum(float(number) * _unit(unit) for number, unit in parts)) if parts else None


def read_moment(text: str, at: float) -> float | None:
    """Read a time as providers write it: seconds of the epoch, RFC 3339, or a span from now."""
    span = read_span(text)
    if span is not None and text.strip()[4:5] != "-":
        return span if span > at / 2 else at + span
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# ------------------------------------------------------------------------------------------------------------ kinds


def _kind(status: int, code: str, message: str, error: dict[str, Any]) -> Kind:
    words = [code, _text(error.get("type")), _text(error.get("status"))]
    meant = next((_MEANT[word] for word in words if word in _MEANT), None)
    if _NO_CREDIT in message:
        return "quota"
    if status < _BAD:
        return meant or "server"
    if meant in _IN_ANY_STATUS:
        return meant
    if status == _NOT_FOUND:
        return "unknown_model" if "model" in f"{code} {message}".lower() else "other"
    overloaded = status == _UNAVAILABLE and "overloaded" in message.lower()
    return "overloaded" if overloaded else _STATUSES.get(status, "server" if status >= _SERVER else "other")


def _is_quota(error: dict[str, Any], fields: Fields) -> bool:
    """Tell a quota of a day or longer by what the details of a refusal call it."""
    if fields.get("anthropic-ratelimit-unified-status") == "rejected":
        return True
    return any(
        "PerDay" in _text(each.get("quotaId")) for detail in _details(error) for each in _objects(detail.get("violations"))
    )


def _of_one_model(dialect: Dialect, error: dict[str, Any], fields: Fields) -> bool:
    """Gemini counts for each model, unless it names no such dimension; so does Anthropic in some windows of a subscription."""
    if dialect == "gemini.generate":
        told = [each.get("quotaDimensions") for detail in _details(error) for each in _objects(detail.get("violations"))]
        return not told or any(isinstance(each, dict) and "model" in each for each in told)
    return fields.get("anthropic-ratelimit-unified-representative-claim").endswith(("_opus", "_sonnet"))


# ------------------------------------------------------------------------------------------------------------ times


def _pause(fields: Fields, error: dict[str, Any], message: str) -> float | None:
    """Return the first of what is told of a pause, the plainest word first."""
    return next((pause for pause in _pauses(fields, error, message) if pause is not None), None)


def _pauses(fields: Fields, error: dict[str, Any], message: str) -> Iterator[float | None]:
    if (millis := read_span(fields.get("retry-after-ms"))) is not None:
        yield millis / 1000
    told = fields.get("retry-after")
    yield read_span(told) if told[:1].isdigit() else _until_date(told, fields.get("date"))
    for detail in _details(error):
        yield read_span(_text(detail.get("retryDelay")))
    yield _number(error.get("resets_in_seconds"))
    if found := _IN_WORDS.search(message):
        yield read_span(found[1])
    spent = [what for what in ("requests", "tokens") if fields.get(f"x-ratelimit-remaining-{what}") == "0"]
    yield max((read_span(fields.get(f"x-ratelimit-reset-{what}")) or 0.0 for what in spent), default=None)


def _until_date(told: str, now: str) -> float | None:
    """Tell the seconds from a provider's own date to the one it names; without its own, nothing is known."""
    try:
        return max(0.0, (parsedate_to_datetime(told) - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError):
        return None


def _resets(fields: Fields, error: dict[str, Any], at: float) -> float | None:
    told, name = _number(error.get("resets_at")), "anthropic-ratelimit-unified-reset"
    return read_moment(fields.get(name), at) if told is None and name in fields else told


def _number(value: Any) -> float | None:
    return _finite(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0 <= seconds < 1e11 else None  # noqa: PLR2004 - later than any calendar


def _unit(unit: str) -> float:
    return _UNITS.get(unit.lower(), 60.0 if unit.lower().startswith("min") else 1.0)


# ------------------------------------------------------------------------------------------------------------ bodies


def _error_of(body: bytes) -> dict[str, Any]:
    """Return the object that says what went wrong; an empty one if nothing says it."""
    found: dict[str, Any] = {}
    for document in _documents(body):
        if isinstance(document, list):
            document = document[0] if document else None  # noqa: PLW2901 - Gemini puts its error into a list
        if not isinstance(document, dict):
            continue
        inner = document.get("response")
        for holder in (document, inner if isinstance(inner, dict) else {}):
            error = holder.get("error") or holder.get("detail")
            if isinstance(error, dict):
                found = error
            elif isinstance(error, str):
                found = {"message": error, "code": holder.get("code")}
        if not found and ("message" in document or document.get("type") == "error"):
            found = document
    return found


def _documents(body: bytes) -> Iterable[Any]:
    """Read a body that is one JSON document, or each of the events of a stream."""
    pieces = [body] if body.lstrip()[:1] in (b"{", b"[") else [line[5:] for line in body.splitlines() if line[:5] == b"data:"]
    for piece in pieces:
        try:
            yield orjson.loads(piece)
        except orjson.JSONDecodeError:
            continue


def _code(error: dict[str, Any]) -> str:
    """Return the word that says most: the code, else the type or Gemini's status."""
    for name in ("code", "type", "status"):
        word = error.get(name)
        if isinstance(word, str) and _CODE.fullmatch(word):
            return word
    return ""


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    return _objects(error.get("details"))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return " ".join(value.split())[:_MESSAGE] if isinstance(value, str) else ""


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_PREFIXES)
