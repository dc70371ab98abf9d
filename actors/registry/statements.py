"""Statements as the registry keeps them: once each, with the place in the journal where they were made first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.envelope import Recorded
from schemas.evidence import Evidence


@dataclass(frozen=True, slots=True)
class At:
    """Where in the journal something was said, by whom, and when by the publisher's clock (``told``).

    Commands of users are not on the clock of the run (``actors.runtime.clock``): for theirs it is the time of recording.
    """

    position: int
    time: str
    type: str
    source: str
    id: str
    told: str


class Line:
    """One statement, where it was made first, and how often."""

    __slots__ = ("evidence", "position", "repeated", "source", "time", "type")

    def __init__(self, event: Recorded, evidence: Evidence) -> None:
        self.position = event.stamp.position
        self.time = event.stamp.recordedtime
        self.type = event.envelope.type
        self.source = event.envelope.source
        self.evidence = evidence
        self.repeated = 1


Lines = dict[tuple[str, str, str, str], Line]


def at(event: Recorded) -> At:
    """Return where an event stands."""
    stamp, envelope = event.stamp, event.envelope
    return At(stamp.position, stamp.recordedtime, envelope.type, envelope.source, envelope.id, told(event))


def told(event: Recorded) -> str:
    """Return when something was said, by a clock that all actors of a run share."""
    return event.stamp.recordedtime if event.envelope.source.startswith("/client/") else event.envelope.time


def note(lines: Lines, evidence: Evidence, event: Recorded, limit: int) -> bool:
    """Keep a statement, once; tell whether it is new. In a full table it replaces the worst, or is only known as new."""
    key = (evidence.kind, evidence.proves, evidence.value, evidence.rejected)
    line = lines.get(key)
    if line is not None:
        line.repeated += 1
        return False
    if len(lines) >= limit:
        worst = max(lines, key=lambda held: (lines[held].evidence.rank, lines[held].position))
        if evidence.rank >= lines[worst].evidence.rank:
            return True
        del lines[worst]
    lines[key] = Line(event, evidence)
    return True


def rejected(evidence: Evidence, reason: str, *, conflict: bool = True) -> Evidence:
    """Return a statement as one that is contradicted, or merely not believed."""
    return Evidence(
        rank=evidence.rank,
        kind=evidence.kind,
        proves=evidence.proves,
        value=evidence.value,
        note=evidence.note,
        rejected=reason[:300],
        conflict=conflict,
    )


def moment(text: str) -> datetime | None:
    """Read an RFC 3339 time; None when it is not one."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
