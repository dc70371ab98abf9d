"""What is kept of driven sessions so that they can be taken up again: ``state/bridges/<launch>.json``, 0600, written whole.

No content: what was said is in the agent's own transcript. The variables that a session was given are here, since its agent
needs them again. Must not know when anything is written or why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from actors.bridges.terms import Moment, Relation, Session, Wish
from actors.runtime.atomic import write_atomic
from actors.runtime.paths import Paths
from schemas.bridge_rows import Ability
from schemas.codec import InvalidMessageError, decode, encode
from schemas.identity import LaunchId, ProcessKey, SessionId

_NAME: Final = re.compile(r"(launch-[0-9a-f]{1,64})\.json")
_MOST: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One session as it is written down; ``turn`` ran and ``waiting`` messages waited when it was."""

    launch: LaunchId
    wish: Wish
    session: SessionId
    created: str
    last_used: str
    aliases: tuple[SessionId, ...] = ()
    conversation: str = ""
    transcript: str = ""
    process: ProcessKey | None = None
    parent: SessionId | None = None
    relation: Relation | None = None
    provider: str = ""
    model: str = ""
    mode: str = ""
    can: tuple[Ability, ...] = ()
    ever: bool = False
    turns: int = 0
    turn: str = ""
    waiting: int = 0
    known: tuple[str, ...] = field(default=())
    restarts: int = 0


def record_of(session: Session) -> Record:
    """Return what is written down of a session."""
    return Record(
        launch=session.launch,
        wish=session.wish,
        session=session.session,
        created=session.created,
        last_used=session.last_used,
        aliases=session.aliases,
        conversation=session.conversation,
        transcript=session.transcript,
        process=session.process,
        parent=session.parent,
        relation=session.relation,
        provider=session.provider,
        model=session.model,
        mode=session.mode,
        can=session.can,
        ever=session.ever,
        turns=session.turns,
        turn="" if session.running is None else session.running.turn,
        waiting=len(session.messages),
        known=session.known,
        restarts=session.restarts,
    )


def session_of(record: Record, *, run: str, now: Moment, unused: float, patience: float) -> Session:
    """Return a session at rest as it was written down; it was last used so many seconds ago."""
    begun = record.turns > 0 or record.wish.resume
    wish = Wish(
        agent=record.wish.agent,
        cwd=record.wish.cwd,
        provider=record.wish.provider,
        model=record.wish.model,
        mode=record.wish.mode,
        resume=(record.conversation or record.wish.resume) if begun else "",
        fork=record.wish.fork and not record.conversation,
        program=record.wish.program,
        arguments=record.wish.arguments,
        environ=record.wish.environ,
        attach=record.wish.attach,
    )
    return Session(
        launch=record.launch,
        wish=wish,
        run=run,
        created=record.created,
        last_used=record.last_used,
        used=now.steady - unused,
        session=record.session,
        patience=patience,
        aliases=record.aliases,
        conversation=record.conversation,
        transcript=record.transcript,
        parent=record.parent,
        relation=record.relation,
        can=record.can,
        ever=record.ever,
        provider=record.provider,
        model=record.model,
        mode=record.mode,
        turns=record.turns,
        known=record.known,
        restarts=record.restarts + 1,
        status_since=now.text,
        status_reason="Tabwire was started again",
        note=_lost(record),
    )


def _lost(record: Record) -> str:
    """Say what a stop of Tabwire cost a session."""
    parts = []
    if record.turn:
        parts.append("the turn that ran was cut off")
    if record.waiting:
        parts.append(f"{record.waiting} {'message' if record.waiting == 1 else 'messages'} that waited were not sent")
    return f"when Tabwire ended, {' and '.join(parts)}" if parts else ""


def write(paths: Paths, record: Record) -> None:
    """Write a record, durable when this returns.

    Raises:
        OSError: the folder is missing or the disk refused.

    """
    write_atomic(_path(paths, record.launch), encode(record))


def remove(paths: Paths, launch: LaunchId) -> None:
    """Remove a record; one that is gone already is fine."""
    _path(paths, launch).unlink(missing_ok=True)


def read(paths: Paths) -> tuple[list[Record], list[str]]:
    """Read all records, the oldest session first; return why any could not be read, too. Such a file stays for inspection."""
    found: list[Record] = []
    bad: list[str] = []
    for path in sorted(paths.bridges.glob("*.json")):
        try:
            record = _read(path)
        except (InvalidMessageError, OSError, ValueError) as error:
            bad.append(f"{path.name}: {error}")
        else:
            found.append(record)
    return sorted(found, key=lambda one: one.created), bad


def _read(path: Path) -> Record:
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise ValueError("not the name of a record")
    if path.stat().st_size > _MOST:
        raise ValueError(f"more than {_MOST} bytes")
    record = decode(path.read_bytes(), Record)
    if record.launch != named[1]:
        raise ValueError(f"says that it is {record.launch!r}")
    return record


def _path(paths: Paths, launch: LaunchId) -> Path:
    name = f"{launch}.json"
    if not _NAME.fullmatch(name):
        raise ValueError(f"launch id {launch!r}: expected launch- and hexadecimal digits")
    return paths.bridges / name
