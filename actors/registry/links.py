"""What a session comes from: what it forked, what its process had before it, or the agent that started its process.

Theory of operation
-------------------
``forks`` is what the conversation's own file says. ``succeeds`` follows from a process that may have one conversation at a
time (``/new``, ``/clear``): the later one, in the process's own order (``identity``), comes after the one before it, whether
or not that one was closed. Without either, the parent is the session of the nearest agent above its process, when that one
has exactly one conversation; how it relates to its parent is then not known. Sub-agents and reviews are no sessions.

Pure: questions about a state.
"""

from __future__ import annotations

from typing import Literal

from actors.registry import files
from actors.registry.identity import conversations
from actors.registry.judgement import canonical, counted, current
from actors.registry.state import SERVES_MANY, Session, State
from schemas.identity import SessionId

Relation = Literal["forks", "reviews", "succeeds"]


def links(state: State, session: Session) -> tuple[tuple[Relation, SessionId], ...]:
    """Return what a session is linked to, the most telling relation first."""
    if session.provisional:
        return ()
    found: list[tuple[Relation, SessionId]] = []
    origin = files.forked_from(state, session) if session.id in state.transcripts else None
    if origin is not None and origin != session.id:
        found.append(("forks", origin))
    before = _before(state, session)
    if before is not None and before != origin:
        found.append(("succeeds", before))
    return tuple(found)


def parent(state: State, session: Session) -> tuple[Relation | None, SessionId | None]:
    """Return the session that a session comes from, and how (None: it was started by an agent that has that one)."""
    for relation, origin in links(state, session):
        return relation, origin
    return None, _starter(state, session)


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
