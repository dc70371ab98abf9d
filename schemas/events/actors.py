"""Facts of our own processes and of the journal.

Must not know who acts upon them.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from schemas.events.values import (
    Count,
    Milliseconds,
    Path,
    event,
)
from schemas.evidence import Line, Word

# Subject: actor/<name>. Published by the supervisor, except actor.dropped.


@event
class ActorStarted(Struct, frozen=True, kw_only=True, gc=False):
    """The supervisor started an actor's process."""

    TYPE: ClassVar[str] = "actor.started"
    actor: Word
    incarnation: Word
    pid: Count
    restarts: Count


@event
class ActorReady(Struct, frozen=True, kw_only=True, gc=False):
    """An actor said that it is ready to work."""

    TYPE: ClassVar[str] = "actor.ready"
    actor: Word
    incarnation: Word
    pid: Count
    start_ms: Milliseconds


@event
class ActorExited(Struct, frozen=True, kw_only=True, gc=False):
    """An actor's process ended; ``code`` is its exit code, negative for a signal."""

    TYPE: ClassVar[str] = "actor.exited"
    actor: Word
    incarnation: Word
    pid: Count
    code: int
    reason: Line


@event
class ActorFailed(Struct, frozen=True, kw_only=True, gc=False):
    """An actor is not started again until somebody acts: it crashed too often, or its configuration is bad."""

    TYPE: ClassVar[str] = "actor.failed"
    actor: Word
    reason: Line


@event
class ActorDropped(Struct, frozen=True, kw_only=True, gc=False):
    """An actor's outbox was full and facts were lost; said when the bus took facts again."""

    TYPE: ClassVar[str] = "actor.dropped"
    actor: Word
    count: Count
    since: Word
    until: Word
    types: dict[Word, Count] = {}
    reason: Line = "outbox full"


# Subject: bus/journal. Published by the broker.


@event
class JournalOpened(Struct, frozen=True, kw_only=True, gc=False):
    """The broker opened its journal and serves from here on."""

    TYPE: ClassVar[str] = "bus.journal_opened"
    epoch: Word
    first: Count
    head: Count
    recovered_ms: Milliseconds


@event
class JournalDamaged(Struct, frozen=True, kw_only=True, gc=False):
    """A range of the journal could not be read; it was set aside, and nothing else was lost."""

    TYPE: ClassVar[str] = "bus.journal_damaged"
    first: Count
    last: Count
    reason: Line
    kept_at: Path


@event
class JournalTrimmed(Struct, frozen=True, kw_only=True, gc=False):
    """Events below ``first`` were removed by the retention rule."""

    TYPE: ClassVar[str] = "bus.journal_trimmed"
    first: Count
    removed: Count
    reason: Line
