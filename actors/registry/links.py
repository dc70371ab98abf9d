"""What a session comes from: what it forked, what its process had before it, or the agent that started its process.

Theory of operation
-------------------
``forks`` and ``reviews`` are what the bridge was started for that drives the session (its first conversation, not one begun
in that one's place); ``forks`` is also what the conversation's own file says. ``succeeds`` follows from a process that may
have one conversation at a time (``/new``, ``/clear``): the later one, in the process's own order (``identity``), comes after
the one before it, whether or not that one was closed; a bridge says so itself. Without any, the parent is the session of the
nearest agent above its process, when that one has exactly one conversation; how it relates to its parent is then not known.
Sub-agents, and reviews that an agent makes of itself, are no sessions.

Pure: questions about a state.
"""

from __future__ import annotations

from typing import Literal

from actors.registry import files
from actors.registry.identity import conversations
from actors.registry.judgement import canonical, counted, current
from actors.registry.state import SERVES_MANY, Bridge, Session, State
from schemas.identity import SessionId, is_provisional

Relation = Literal["forks", "reviews", "succeeds"]


def links(state: State, session: Session) -> tuple[tuple[Relation, SessionId], ...]:
    """Return what a session is linked to, the most telling relation first."""
    if session.provisional:
        return ()
    found: dict[SessionId, Relation] = {}
    bridge = _bridge(state, session)
    if bridge is not None and (asked := _asked(state, session, bridge)) is not None:
        found[asked[1]] = asked[0]
    origin = files.forked_from(state, session) if session.id in state.transcripts else None
    if origin is not None:
        found.setdefault(origin, "forks")
    before = None if bridge is None else bridge.began.get(session.id)
    before = before or _before(state, session)
    if before is not None:
        found.setdefault(before, "succeeds")
    found.pop(session.id, None)
    return tuple((relation, to) for to, relation in found.items() if not is_provisional(to))


def parent(state: State, session: Session) -> tuple[Relation | None, SessionId | None]:
    """Return the session that a session comes from, and how (None: it was started by an agent that has that one)."""
    for relation, origin in links(state, session):
        return relation, origin
    bridge = _bridge(state, session)
    if bridge is not None and (asked := _asked(state, session, bridge)) is not None:
        return asked  # before one of the two is known by its conversation
    return None, _starter(state, session)


def _bridge(state: State, session: Session) -> Bridge | None:
    launch = state.driven.get(session.id)
    return None if launch is None else state.bridges.get(launch)


def _asked(state: State, session: Session, bridge: Bridge) -> tuple[Relation, SessionId] | None:
    """Return what a bridge was started for, if this is the conversation that it was started with."""
    if bridge.relation is None or bridge.parent is None or bridge.began.get(session.id) is not None:
        return None
    origin = canonical(state, bridge.parent)
    return None if origin == session.id else (bridge.relation, origin)


def _before(state: State, session: Session) -> SessionId | None:
    """Return the conversation that the process which had this one first had just before it."""
    claims = [claim for claim in counted(session) if claim.session == session.id and claim.process is not None]
    if not claims:
        return None
    first = min(claims, key=lambda claim: (claim.began, str(claim.process)))
    process = None if first.process is None else state.processes.get(first.process)
    if process is None or process.kind in SERVES_MANY or len(process.sessions) < 2:  # noqa: PLR2004 - one has no order
        return None
    order = [claim.session for claim in conversations(state, process)]
    place = order.index(session.id) if session.id in order else 0
    return order[place - 1] if place else None


def _starter(state: State, session: Session) -> SessionId | None:
    process = current(state, session)
    if process is None or process.parent is None or process.kind in SERVES_MANY:
        return None  # whoever happened to start a shared daemon started none of its conversations
    above = state.processes.get(process.parent)
    if above is None:
        return None
    held = {canonical(state, claim.session) for claim in conversations(state, above)} - {session.id}
    if len(held) == 1:
        return held.pop()
    own = canonical(state, above.session)
    return own if not held and own in state.sessions and own != session.id else None
