"""What the registry itself has announced, read back from the journal.

The part of ``fold`` for ``session.*``. An announcement of another source is counted and set aside. One about a session of
which the journal holds nothing older any more begins it, so that conclusions outlive the trimming of their evidence. Pure.
"""

from __future__ import annotations

from typing import Final

from actors.registry.claims import Proof
from actors.registry.identity import fix
from actors.registry.requests import agent_of
from actors.registry.state import Session, State
from actors.registry.statements import at
from actors.registry.tables import session_of
from schemas.envelope import Recorded
from schemas.events import (
    SessionConflicted,
    SessionGone,
    SessionIdentified,
    SessionLinked,
    SessionReturned,
    SessionSeen,
    SessionStatusChanged,
    SessionVerified,
)
from schemas.identity import SessionId

_REGISTRY: Final = "/actor/registry/"


def seen(state: State, event: Recorded, data: SessionSeen) -> None:
    """Remember that a session was announced."""
    _announced(state, event, data.session, data.agent)


def identified(state: State, event: Recorded, data: SessionIdentified) -> None:
    """Remember an alias, for ever."""
    if (session := _announced(state, event, data.provisional)) is not None:
        session.announced.identified = True
        fix(state, data.provisional, data.session, event)


def verified(state: State, event: Recorded, data: SessionVerified) -> None:
    """Remember that a session was announced as verified, and by which request."""
    if (session := _announced(state, event, data.session)) is not None:
        session.announced.verified = True
        session.recalled = Proof(at(event), data.request, data.rank)


def conflicted(state: State, event: Recorded, data: SessionConflicted) -> None:
    """Remember that a contradiction was announced."""
    if (session := _announced(state, event, data.session)) is not None:
        session.announced.conflicts.add((data.evidence.proves, data.evidence.value))


def linked(state: State, event: Recorded, data: SessionLinked) -> None:
    """Remember that a link was announced."""
    if (session := _announced(state, event, data.session)) is not None:
        session.announced.links.add((data.relation, data.to))


def status_changed(state: State, event: Recorded, data: SessionStatusChanged) -> None:
    """Remember the status that was announced last."""
    if (session := _announced(state, event, data.session, more=False)) is not None:
        session.announced.status, session.announced.status_id = data, event.envelope.id


def gone(state: State, event: Recorded, data: SessionGone) -> None:
    """Remember that a session was announced as gone; from here on it may be forgotten when it is old."""
    if (session := _announced(state, event, data.session)) is not None:
        session.announced.lifecycle, session.announced.lifecycle_id = "gone", event.envelope.id
        state.departed.pop(data.session, None)
        state.departed[data.session] = None


def returned(state: State, event: Recorded, data: SessionReturned) -> None:
    """Remember that a session was announced as back."""
    if (session := _announced(state, event, data.session)) is not None:
        session.announced.lifecycle, session.announced.lifecycle_id = "returned", event.envelope.id
        state.departed.pop(data.session, None)


def _announced(state: State, event: Recorded, name: SessionId, agent: str = "", *, more: bool = True) -> Session | None:
    if not event.envelope.source.startswith(_REGISTRY):
        state.count("session facts that the registry did not say")
        return None
    session = session_of(state, name, agent or agent_of(name), event)
    session.announced.seen = True
    if more:
        state.stir(name)
    else:
        state.dirty.setdefault(name, False)
    return session
