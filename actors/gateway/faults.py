"""What a provider's refusal means, and what is said to the caller for it, so that each agent does the right thing.

Pure. Must not know which providers there are, or who is tried next.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from actors.gateway.fields import Fields, Pair
from actors.gateway.health import Outcome
from actors.gateway.moves import Problem
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


class Fault(Struct, frozen=True):
    """A provider's refusal: what it is, its own code and message; ``retry_after`` in seconds, ``resets_at`` by the wall clock."""

    kind: Kind
    code: str = ""
    retry_after: float | None = None
    resets_at: float | None = None
    message: str = ""


class Adapted(Struct, frozen=True):
    """What the caller is sent instead; ``fields`` beside the content type and length."""

    status: int
    fields: tuple[Pair, ...]
    body: bytes


class Told(Struct, frozen=True):
    """How the caller is told of a failure of our own finding: the status, and fields beside it."""

    status: int
    fields: tuple[Pair, ...] = ()


def read_fault(dialect: Dialect, status: int, fields: Fields, body: bytes, at: float) -> Fault:
    """Read a refusal: a status with its header and body, or (status 200) the event of a stream that tells of a failure."""
    del dialect, fields, body, at
    kinds: dict[int, Kind] = {400: "bad_request", 401: "auth", 403: "auth", 404: "unknown_model", 413: "too_large", 429: "rate"}
    return Fault(kinds.get(status, "server" if status >= 500 else "other"))  # noqa: PLR2004 - HTTP's own line


def adapt(dialect: Dialect, fault: Fault, status: int, *, provider: str, passthrough: bool, body: bytes) -> Adapted | None:
    """Return what the caller is sent instead of a provider's refusal; None: as it came."""
    del dialect, fault, status, provider, passthrough, body
    return None


def told(dialect: Dialect, problem: Problem) -> Told:
    """Return how a caller is told that its provider could not be reached or broke off, before any of its answer was sent."""
    del dialect
    return Told(504 if problem in ("connect_timeout", "first_byte_timeout") else 502)


def outcome_of(fault: Fault, provider: str, model: str, at: float) -> Outcome:
    """Return what a refusal says about the provider's health."""
    del at
    return Outcome(provider, model, "failed" if fault.kind in ("server", "overloaded") else "neutral", fault.kind)


def outcome_of_problem(problem: Problem, provider: str, model: str) -> Outcome:
    """Return what a failed connection says about the provider's health."""
    whole = problem in ("refused", "unreachable", "tls", "connect_timeout")
    return Outcome(provider, "" if whole else model, "failed", problem)
