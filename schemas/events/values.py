"""What several facts have in common: the forms of their fields, the values in them, and the register of all types.

Must not know any fact.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from schemas.evidence import Line, Word

Id = Annotated[str, Meta(max_length=200)]
Path = Annotated[str, Meta(max_length=4096)]
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0)]

Dialect = Literal[
    "openai.responses", "openai.chat", "anthropic.messages", "gemini.generate", "auggie", "openai.other", "unknown"
]
ThreadKind = Literal["main", "subagent", "review", "title", "compaction", "unknown"]
Status = Literal["starting", "working", "waiting_permission", "waiting_input", "idle", "error", "gone"]
ProcessKind = Literal["tui", "exec", "app_server", "daemon", "mcp", "wrapper", "other"]

EVENTS: dict[str, type[Any]] = {}
_C = TypeVar("_C", bound=type[Any])


def event(cls: _C) -> _C:
    """Register a fact's type.

    Raises:
        TypeError: another one has this name.

    """
    if cls.TYPE in EVENTS:
        raise TypeError(f"event type {cls.TYPE!r} is defined twice")
    EVENTS[cls.TYPE] = cls
    return cls


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one response as its provider counted them; cached input is part of input, reasoning part of output."""

    input: Count = 0
    cached_input: Count = 0
    output: Count = 0
    reasoning: Count = 0
    total: Count = 0

    def __add__(self, other: Usage) -> Usage:
        """Count both."""
        return Usage(
            input=self.input + other.input,
            cached_input=self.cached_input + other.cached_input,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
            total=self.total + other.total,
        )


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """A provider that was considered for a request, and why it was skipped (empty when it was chosen)."""

    provider: Word
    skipped: Line = ""
    model: Line = ""


class Timing(Struct, frozen=True, kw_only=True, gc=False):
    """Where the time of one request went; a phase that was not reached is None."""

    total_ms: Milliseconds
    attribution_ms: Milliseconds | None = None
    upstream_head_ms: Milliseconds | None = None
    first_byte_ms: Milliseconds | None = None


class Endpoint(Struct, frozen=True, kw_only=True, gc=False):
    """Where an agent sends its model requests as far as its arguments, environment and configuration tell.

    ``origin`` is scheme, host and port, never a path or a credential; ``source`` names what says so.
    """

    verdict: Literal["gateway", "other", "unknown"]
    source: Line
    origin: Line = ""
