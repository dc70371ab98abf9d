"""What is said to which agent for a failure of its provider, so that the agent does the right thing.

``failure_table`` holds what is right for whom; here a failure is given its name in it, and its answer is written. ``adapt``
answers for a refusal, ``told`` for a failure of our own finding. A stream that has begun cannot be answered otherwise any more:
its row says what ``dialect.stream_error`` makes of it.

Pure. Must not know which providers there are, or who is tried next.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from actors.gateway import dialect as dialects
from actors.gateway.failure_table import PAUSE, ROWS
from actors.gateway.fault_reading import LONGEST_PAUSE, Fault, Kind, read_fault
from actors.gateway.health import Outcome, shown_time
from actors.runtime.http.fields import Pair
from schemas.events import Dialect

__all__ = ["Adapted", "Fault", "Kind", "Told", "adapt", "outcome_of", "outcome_of_problem", "read_fault", "told"]


class Adapted(Struct, frozen=True):
    """What the caller is sent instead; ``fields`` beside the content type and length."""

    status: int
    fields: tuple[Pair, ...]
    body: bytes


class Told(Struct, frozen=True):
    """How the caller is told of a failure of our own finding: the status, and fields beside it."""

    status: int
    fields: tuple[Pair, ...] = ()


_ROWS: Final = {row.failure: row for row in ROWS}
_SERVERS: Final = {500: "server", 504: "gateway_timeout", 524: "gateway_timeout"}
_CODEX_KNOWS: Final = ("usage_limit_reached", "insufficient_quota")
_OF_PROBLEM: Final = {
    "refused": "unreachable",
    "unreachable": "unreachable",
    "tls": "unreachable",
    "connect_timeout": "connect_timeout",
    "first_byte_timeout": "first_byte_timeout",
    "idle_timeout": "first_byte_timeout",  # an answer that had begun, and held nothing yet
    "cut": "cut",
    "malformed": "cut",
    "redirect": "redirect",
}
_WHOLE_PROVIDER: Final = ("refused", "unreachable", "tls", "connect_timeout", "redirect")
_BAD: Final = 400
_NOT_FOUND: Final = 404
_UNPROCESSABLE: Final = 422
_TOO_MANY: Final = 429
_BROKEN: Final = 500


def adapt(dialect: Dialect, fault: Fault, status: int, *, provider: str, passthrough: bool, body: bytes) -> Adapted | None:
    """Return what the caller is sent instead of a provider's refusal; None: as it came."""
    if status < _BAD:
        return None  # an error event: it stands in the stream
    failure = _failure(fault, status, passthrough=passthrough)
    if failure == "login":
        return None
    if failure == "rate":
        return _with_pause(dialect, fault, status, body)
    row = _ROWS[failure]
    way = row.way(dialect)
    if way.status is None and way.words == "theirs":
        return None
    answer = way.status or status
    text = _named(provider, fault, status, row.todo)
    code = way.code or fault.code or f"upstream_{status}"
    kept = tuple(pair for pair in fault.kept if not (way.fields and pair[0].lower() == way.fields[0][0]))
    # Claude Code takes a 503 of the type that goes with it for an overload, and hides the words; it must be an overload.
    kind = _BROKEN if fault.kind == "server" else answer
    return Adapted(answer, (*kept, *way.fields), dialects.error_body(dialect, kind, code, text))


def told(dialect: Dialect, problem: str) -> Told:
    """Return how a caller is told that its provider could not be reached or broke off, before any of its answer was sent."""
    way = _ROWS[_OF_PROBLEM[problem]].way(dialect)
    return Told(way.status or _BAD, way.fields)


def outcome_of(fault: Fault, provider: str, model: str, at: float, *, passthrough: bool = False) -> Outcome:
    """Return what a refusal says about the provider's health; one of the caller's own login says nothing."""
    reason = fault.code or (f"status {fault.status}" if fault.status else fault.kind)
    if fault.kind == "auth":
        return Outcome(provider, "", "neutral" if passthrough else "failed", f"refused the key ({reason})")
    if fault.kind == "quota":
        return Outcome(provider, model if fault.one_model else "", "quota", reason, fault.resets_at)
    if fault.kind == "rate":
        return Outcome(provider, model, "limited", reason, None if fault.retry_after is None else at + fault.retry_after)
    failed = fault.kind in ("server", "overloaded")
    if failed and fault.retry_after is not None:
        return Outcome(provider, model, "limited", reason, at + fault.retry_after)
    return Outcome(provider, model, "failed" if failed else "neutral", f"status {fault.status} {fault.code}".rstrip())


def outcome_of_problem(problem: str, provider: str, model: str) -> Outcome:
    """Return what a connection that failed says about the provider's health."""
    return Outcome(provider, "" if problem in _WHOLE_PROVIDER else model, "failed", problem.replace("_", " "))


# ------------------------------------------------------------------------------------------------------------ parts


def _failure(fault: Fault, status: int, *, passthrough: bool) -> str:
    """Name the row."""
    kind, codex_knows = fault.kind, fault.code in _CODEX_KNOWS and status == _TOO_MANY
    if passthrough and kind in ("auth", "quota"):
        return "login"
    if kind in ("bad_request", "encrypted_content") or (status == _BAD and kind in ("quota", "unknown_model")):
        return "unprocessable" if status == _UNPROCESSABLE else "bad_request"
    if kind in ("server", "overloaded") and (fault.retry_after or 0.0) > PAUSE:
        return "long_pause" if (fault.retry_after or 0.0) > LONGEST_PAUSE else "pause"
    return {
        "quota": "quota_known" if codex_knows else "quota",
        "server": _SERVERS.get(status, "gateway"),
        "overloaded": "capacity" if fault.code == "server_is_overloaded" else "overloaded",
        "other": "not_found" if status == _NOT_FOUND else "other",
    }.get(kind, kind)


def _with_pause(dialect: Dialect, fault: Fault, status: int, body: bytes) -> Adapted | None:
    if dialect != "openai.responses" or any(name.lower() == "retry-after" for name, _ in fault.kept):
        return None
    pause = PAUSE if fault.retry_after is None else max(1, math.ceil(fault.retry_after))
    return Adapted(status, (*fault.kept, ("retry-after", str(pause))), body)


def _named(provider: str, fault: Fault, status: int, todo: str) -> str:
    said = f": {fault.message.rstrip('.')}" if fault.message else f" ({fault.code})" if fault.code else ""
    until = f"; it resets at {shown_time(fault.resets_at)}" if fault.kind == "quota" and fault.resets_at else ""
    pause = fault.retry_after if fault.kind in ("server", "overloaded") else None
    asks = "" if pause is None else f"; it asks for a pause of {pause:.0f} s"
    return f"provider {provider!r} answered {status}{said}{until}{asks}{f'; {todo}' if todo else ''}"
