"""What an id stands for: a process or launch becomes the conversation that it is proven to have, once, and aliases stay.

Theory of operation
-------------------
A process that may have one conversation at a time stands for the *first* that it had, in its own order: by the earliest time
at which any source told of the pair. What counts as proven, best first:

1. the kernel's word (rank 2): it holds the conversation's rollout or lock open;
2. its own word through the gateway: a request or a hook in the conversation's name, from a process that the kernel names. The
   name is a header's (rank 4), believed for the process's own requests while nothing better gives the conversation to another;
3. a declaration alone (rank 3: an argument, a file about itself, its daemon's account of who opened what) decides which row
   the process is shown in, as long as nobody else has that conversation. It is never announced as identified, since it may
   have to be taken back.

A launch stands for the first conversation of its processes, or for what its bridge said; and its process, until one is known,
for the launch. What serves many (daemon, app-server, mcp) stands for none. Once ``session.identified`` is in the journal the
alias is fixed for ever. Later conversations of the process are sessions of their own (``links``).

A thread that requests or files name as inside a conversation (sub-agent, review, title) is an alias of it, unless requests
have it as a conversation of its own.

Pure: the writing half of ``judgement`` for aliases and claims.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.registry.claims import Claim
from actors.registry.contests import judged, sole
from actors.registry.judgement import canonical
from actors.registry.state import NO_SESSION, OTHER, SERVES_MANY, Launch, Process, Session, State
from actors.registry.statements import at
from actors.registry.tables import attach_process, session_of
from schemas.envelope import Recorded
from schemas.identity import SessionId


def settle_all(state: State, event: Recorded) -> None:
    """Settle every conversation of which a claim, or the standing of one who makes it, has changed."""
    while state.unsettled:
        session = state.sessions.get(state.unsettled.popitem()[0])
        if session is not None:
            settle(state, session, event)


def settle(state: State, session: Session, event: Recorded) -> None:
    """Judge the claims on a session again, and what those who make them stand for."""
    if len(session.claims) > 1:
        for claim, reason, conflict in list(judged(state, session)):
            if reason != claim.rejected or conflict != claim.conflicting:
                _set_aside(state, session, claim, reason, event, conflict=conflict)
    root = state.inside.get(session.id)
    if root is not None:
        if any(claim.spoken for claim in session.claims.values()):
            free(state, session.id)
        else:
            point(state, session.id, root, event, proven=True)
    for claim in list(session.claims.values()):
        process = None if claim.process is None else state.processes.get(claim.process)
        if process is not None:
            identify(state, process, event)
        elif claim.launch is not None and (launch := state.launches.get(claim.launch)) is not None:
            identify_launch(state, launch, event)


def _set_aside(state: State, session: Session, claim: Claim, reason: str, event: Recorded, *, conflict: bool) -> None:
    """Let a claim count for the process that made it and not for the conversation that it named, or the other way round."""
    process = None if claim.process is None else state.processes.get(claim.process)
    if process is None:
        return
    claim.rejected, claim.conflicting = reason, conflict
    if reason:
        own = session_of(state, process.session, process.agent, event)
        own.disputes[session.id] = claim
        attach_process(state, own, process)
    else:
        if (standing := state.sessions.get(process.session)) is not None:
            standing.disputes.pop(session.id, None)
        attach_process(state, session, process)
    state.stir(session.id, process.session)


def conversations(state: State, process: Process) -> list[Claim]:
    """Return what a process has had and nobody took from it, in the process's own order."""
    found = []
    for name in process.sessions:
        session = state.sessions.get(name)
        if session is None or session.provisional or name in state.inside:
            continue
        claim = session.claims.get(process.key)
        if claim is not None and not claim.rejected:
            found.append(claim)
    return sorted(found, key=_order) if len(found) > 1 else found


def identify(state: State, process: Process, event: Recorded) -> None:
    """Let a process's own id stand for its first conversation, or else for its launch."""
    name = process.session
    launch = None if process.launch is None else state.launches.get(process.launch)
    held = [] if process.kind in SERVES_MANY else conversations(state, process)
    first = next((claim for claim in held if claim.hard), None)
    if first is not None:
        point(state, name, first.session, event, proven=True)
    elif process.launch is not None and process.kind not in NO_SESSION:
        point(state, name, SessionId(process.launch), event, proven=True)
    elif (declared := _declared(state, held)) is not None:
        point(state, name, declared.session, event, proven=False)
    else:
        free(state, name)
        if held and process.agent != OTHER and process.kind not in NO_SESSION:
            attach_process(state, session_of(state, name, process.agent, event), process)
    if launch is not None:
        identify_launch(state, launch, event)


def identify_launch(state: State, launch: Launch, event: Recorded) -> None:
    """Let a launch stand for what its bridge said, or else for the first conversation of its processes."""
    if launch.stands is not None:
        point(state, SessionId(launch.id), launch.stands, event, proven=True)
        return
    held = sorted(_launched(state, launch), key=_order)
    first = next((claim for claim in held if claim.hard), None)
    if first is not None:
        point(state, SessionId(launch.id), first.session, event, proven=True)
    elif (declared := _declared(state, held)) is not None:
        point(state, SessionId(launch.id), declared.session, event, proven=False)
    else:
        free(state, SessionId(launch.id))


def _launched(state: State, launch: Launch) -> Iterable[Claim]:
    for name in launch.sessions:
        session = state.sessions.get(name)
        if session is None or session.provisional or name in state.inside:
            continue
        for claim in session.claims.values():
            process = None if claim.process is None else state.processes.get(claim.process)
            ours = claim.launch == launch.id or (process is not None and process.launch == launch.id)
            if ours and not claim.rejected and (process is None or process.kind not in SERVES_MANY):
                yield claim


def _declared(state: State, held: list[Claim]) -> Claim | None:
    """Return the declaration that decides for now: one that nobody else makes, and that was not taken back, before others."""
    alone = [claim for claim in held if sole(state, claim)]
    return next((claim for claim in alone if not claim.over), alone[0] if alone else None)


def _order(claim: Claim) -> tuple[str, SessionId]:
    return claim.began, claim.session


def point(state: State, name: SessionId, target: SessionId, event: Recorded, *, proven: bool) -> None:
    """Make one id an alias of another; one that was announced stays what it is."""
    if name in state.named or name == target or canonical(state, target) == name:
        return
    former = state.aliases.get(name)
    if former == target and proven == (name not in state.declared):
        return
    if former is None and len(state.aliases) >= state.limits.aliases:
        _forget_alias(state, next(iter(state.aliases)))
    state.aliases[name] = target
    if proven:
        state.declared.pop(name, None)
    else:
        state.declared[name] = None
    held = state.sessions.get(name)
    if held is not None:
        held.identified_as, held.identified_at = (target, at(event)) if proven else (None, None)
    state.stir(name, target, *(() if former is None else (former,)))


def free(state: State, name: SessionId) -> None:
    """Let an id stand for itself again, unless it was announced otherwise."""
    if name in state.named or name not in state.aliases:
        return
    state.stir(name, state.aliases.pop(name))
    state.declared.pop(name, None)
    held = state.sessions.get(name)
    if held is not None:
        held.identified_as = held.identified_at = None


def fix(state: State, name: SessionId, target: SessionId, event: Recorded) -> None:
    """Make one id an alias of another for ever: it was announced."""
    if name == target or canonical(state, target) == name or name in state.named:
        return
    point(state, name, target, event, proven=True)
    state.named[name] = None


def put_inside(state: State, thread: SessionId, root: SessionId) -> None:
    """Know that a thread is no conversation of its own: it belongs to another, or to a process."""
    known = state.inside.get(thread)
    if thread == root or (known is not None and known <= root):
        return
    if known is None and len(state.inside) >= state.limits.inside:
        del state.inside[next(iter(state.inside))]
        state.count("threads forgotten")
    state.inside[thread] = root
    if thread in state.sessions:
        state.unsettled[thread] = None


def _forget_alias(state: State, name: SessionId) -> None:
    del state.aliases[name]
    state.named.pop(name, None)
    state.declared.pop(name, None)
    state.count("aliases forgotten")
