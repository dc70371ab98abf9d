"""What the registry owes the bus: ``session.*`` facts that follow from a state and were not said yet.

Theory of operation
-------------------
An effect is owed while what follows from the statements differs from what was announced, and announced means: read back
from the journal. Its id is derived from the journal alone, so whoever computes it again after a crash computes the same
event, and the journal keeps it once. Gone and returned alternate, and a status follows a status: the id of each is derived
from the one before.

Most facts about requests change a session's status and nothing else; then nothing else is looked at.

Pure. Must not know how effects are published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from actors.registry.judgement import canonical, conflicts, gone, only_starter, proof, shared
from actors.registry.links import links
from actors.registry.state import Session, State
from actors.registry.status import doing
from schemas.envelope import subject
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
from schemas.ids import derived


@dataclass(frozen=True, slots=True)
class Effect:
    """A fact to be published: ``cause`` is the id of the event that it follows from (None when that is not kept)."""

    id: str
    subject: str
    data: Any
    cause: str | None = None


NOTHING: tuple[Effect, ...] = ()
_ORDER: Final[dict[type[Any], int]] = {
    cls: place for place, cls in enumerate((SessionSeen, SessionIdentified, SessionVerified, SessionLinked, SessionConflicted))
}


def owed(state: State, sessions: Mapping[SessionId, bool]) -> tuple[Effect, ...]:
    """Return what is owed for some sessions, those that were first seen first and sightings before conclusions.

    A session that comes with False may have changed its status and nothing else.
    """
    found: list[Effect] = []
    for name, more in sessions.items():
        session = state.sessions.get(name)
        if session is not None:
            found += _owed(state, session) if more else _status(state, session)
    if len(found) > 1:
        found.sort(key=lambda effect: _ORDER.get(type(effect.data), len(_ORDER)))
    return tuple(found) if found else NOTHING


def pending(state: State) -> tuple[Effect, ...]:
    """Return everything that is owed: what a registry publishes when it has caught up."""
    state.dirty.clear()
    return owed(state, dict.fromkeys(sorted(state.sessions, key=lambda name: state.sessions[name].at.position), True))


def _owed(state: State, session: Session) -> list[Effect]:
    said = session.announced
    found: list[Effect] = []
    if shared(state, session) or (session.unheard and not said.seen and session.identified_as is not None):
        return found
    if not said.seen and only_starter(state, session) is not None:
        return found
    if not said.seen:
        seen = SessionSeen(session=session.id, agent=session.agent[:64], provisional=session.provisional)
        found.append(_effect(state, session, seen, "", session.at.id))
    if session.identified_as is not None:
        if not said.identified:
            identified = SessionIdentified(session=session.identified_as, provisional=session.id)
            cause = None if session.identified_at is None else session.identified_at.id
            found.append(_effect(state, session, identified, "", cause))
        if canonical(state, session.id) != session.id:
            return found
    found += _verified(state, session)
    found += _linked(state, session)
    found += _conflicted(state, session)
    found += _lifecycle(state, session)
    return found + _status(state, session)


def _verified(state: State, session: Session) -> list[Effect]:
    if session.announced.verified or (proved := proof(session)) is None:
        return []
    verified = SessionVerified(session=session.id, request=proved.request, rank=proved.rank)
    return [_effect(state, session, verified, "", proved.at.id)]


def _linked(state: State, session: Session) -> list[Effect]:
    return [
        _effect(state, session, SessionLinked(session=session.id, relation=relation, to=to), f"{relation}\0{to}", None)
        for relation, to in links(state, session)
        if (relation, to) not in session.announced.links
    ]


def _conflicted(state: State, session: Session) -> list[Effect]:
    return [
        _effect(state, session, SessionConflicted(session=session.id, evidence=evidence), "\0".join(key), cause)
        for key, (cause, evidence) in conflicts(state, session).items()
        if key not in session.announced.conflicts
    ]


def _lifecycle(state: State, session: Session) -> list[Effect]:
    reason = gone(state, session)
    was_gone = session.announced.lifecycle == "gone"
    if bool(reason) == was_gone:
        return []
    previous = session.announced.lifecycle_id
    if reason:
        return [_effect(state, session, SessionGone(session=session.id, reason=reason[:300]), previous, None)]
    return [_effect(state, session, SessionReturned(session=session.id), previous, None)]


def _status(state: State, session: Session) -> list[Effect]:
    said = session.announced
    if session.provisional and (canonical(state, session.id) != session.id or shared(state, session)):
        return []
    now = doing(state, session)
    if said.status is not None and now.status == said.status.status:
        return []
    changed = SessionStatusChanged(
        session=session.id, status=now.status, since=now.since[:64], source=now.source, reason=now.reason[:300]
    )
    return [_effect(state, session, changed, said.status_id, None)]


def _effect(state: State, session: Session, data: Any, detail: str, cause: str | None) -> Effect:
    name = derived(data.TYPE, state.epoch, session.id, str(session.at.position), detail)
    return Effect(name, subject("session", session.id), data, cause)
