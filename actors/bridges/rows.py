"""Driven sessions as they are answered, and found by the beginning of a name: pure."""

from __future__ import annotations

from collections.abc import Iterable

from actors.bridges.terms import LIVING, Session
from schemas.bridge_rows import BridgeRow, BridgeTable, Pending


class UnknownBridgeError(LookupError):
    """No driven session has an id that begins like that."""


class AmbiguousBridgeError(LookupError):
    """Several have; the text lists them."""


def resolve(sessions: Iterable[Session], prefix: str) -> Session:
    """Find the one session that a prefix of any of its ids names; a whole id, and one that has not ended, come first.

    Raises:
        UnknownBridgeError: none has.
        AmbiguousBridgeError: several have.

    """
    everyone = tuple(sessions)
    found: list[Session] = []
    if prefix:
        living = [one for one in everyone if one.phase in LIVING]
        for among, whole in ((living, True), (living, False), (everyone, True), (everyone, False)):
            found = [one for one in among if any(name == prefix if whole else name.startswith(prefix) for name in _names(one))]
            if found:
                break
    if not found:
        raise UnknownBridgeError(f"{prefix!r}: no driven session's id begins with it; `tabwire bridges` lists them")
    if len(found) > 1:
        listed = ", ".join(one.session for one in found[:8])
        raise AmbiguousBridgeError(f"{prefix!r} names {len(found)} driven sessions: {listed}")
    return found[0]


def row_of(session: Session) -> BridgeRow:
    """Return the row of a session."""
    return BridgeRow(
        launch=session.launch,
        session=session.session,
        agent=session.wish.agent,
        cwd=session.wish.cwd,
        status=session.status,
        status_since=session.status_since,
        status_reason=session.status_reason,
        created=session.created,
        last_used=session.last_used,
        initialised=session.initialised,
        conversation=session.conversation,
        provider=session.provider,
        model=session.model,
        mode=session.mode,
        turns=session.turns,
        queued=len(session.messages),
        approvals=len(session.questions),
        can=session.can,
        version=session.version,
        process=session.process,
        restarts=session.restarts,
        parent=session.parent,
        relation=session.relation,
        note=session.note,
        attached=None if session.wish.attach is None else session.wish.attach.channel,
    )


def table_of(sessions: Iterable[Session]) -> BridgeTable:
    """Return the table of sessions, last used first."""
    return BridgeTable(bridges=tuple(row_of(one) for one in sorted(sessions, key=lambda one: one.last_used, reverse=True)))


def pending_of(session: Session) -> Pending:
    """Return what is under way in a session."""
    running = session.running
    row = row_of(session)
    if running is None:
        return Pending(bridge=row, run=session.run, sequence=session.sequence)
    return Pending(
        bridge=row,
        run=session.run,
        sequence=session.sequence,
        turn=running.turn,
        pieces=running.pieces,
        cut=running.cut,
        usage=running.usage,
    )


def _names(session: Session) -> tuple[str, ...]:
    return (session.launch, session.session, *session.aliases)
