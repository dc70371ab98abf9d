"""Entries of the registry's tables: made on first mention, tied to each other, forgotten at a bound.

The writing half of ``state``: ``fold`` says what happened, this says what is kept of it. Pure. Must not know event types.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from actors.registry.judgement import canonical, contests, ended, rejected
from actors.registry.state import (
    OTHER,
    SERVES_MANY,
    Claim,
    Flight,
    Launch,
    Line,
    Process,
    Session,
    State,
    at,
    note,
)
from schemas.envelope import Recorded
from schemas.evidence import Evidence, Rank
from schemas.identity import LaunchId, ProcessKey, RequestId, SessionId, TerminalKey, is_provisional, process_id

_SWEEP_EVERY = 1024
_SPARE = 20  # one in so many goes at once when the table of sessions is full, so that the search for them is rare


def session_of(state: State, name: SessionId, agent: str, event: Recorded) -> Session:
    """Return a session, new if it was not known.

    One that is born as an alias (the conversation of its process was known before) is never announced on its own.
    """
    session = state.sessions.get(name)
    if session is None:
        if len(state.sessions) >= state.limits.sessions:
            _make_room(state)
        session = state.sessions[name] = Session(name, agent, at(event), provisional=is_provisional(name))
        target = state.aliases.get(name)
        if target is not None:
            session.identified_as, session.identified_at = target, session.at
            session.announced.seen = session.announced.identified = True
        state.dirty[name] = None
    return session


def touch(session: Session, event: Recorded) -> None:
    """Remember that a session was heard of."""
    session.last_position = event.stamp.position
    session.last_time = event.stamp.recordedtime


def process_of(state: State, key: ProcessKey, event: Recorded) -> Process:
    """Return a process, new if it was not known. A new boot of its host ends every process of the boots before it."""
    process = state.processes.get(key)
    if process is None:
        process = state.processes[key] = Process(key, at(event))
        if len(state.strays) >= state.limits.strays:
            oldest = next(iter(state.strays))
            del state.strays[oldest]
            state.processes.pop(oldest, None)
            state.count("processes forgotten")
        state.strays[key] = None
        boots = state.boots.setdefault(key.host, [])
        if key.boot not in boots:
            boots.append(key.boot)
            del boots[: -state.limits.terminals]
            for older in state.processes.values():
                if older.key.host == key.host and older.key.boot != key.boot:
                    exit_process(state, older, event, "ended with its boot of the host")
        elif boots[-1] != key.boot:
            exit_process(state, process, event, "belongs to an earlier boot of the host")
    return process


def launch_of(state: State, name: LaunchId, event: Recorded) -> Launch:
    """Return a launch, new if it was not known."""
    launch = state.launches.get(name)
    if launch is None:
        if len(state.launches) >= state.limits.sessions:
            del state.launches[next(iter(state.launches))]
            state.count("launches forgotten")
        launch = state.launches[name] = Launch(name, at(event))
    return launch


def exit_process(state: State, process: Process, event: Recorded, reason: str) -> None:
    """Remember that a process exited: once, and for ever."""
    if process.exited is None:
        process.exited = (at(event), reason)
        state.dirty.update(process.sessions)


def name_agent(entry: Session | Process, agent: str, rank: int) -> None:
    """Let the best-ranked statement name the agent; a known agent before ``other``."""
    order = (rank, agent == OTHER, agent)
    if (order[1], order[0], order[2]) < (entry.agent_order[1], entry.agent_order[0], entry.agent_order[2]):
        entry.agent_order = order
        entry.agent = agent


def attach_process(state: State, session: Session, process: Process) -> None:
    """Make a process one of a session's."""
    if process.key not in session.processes:
        session.processes[process.key] = None
        process.sessions[session.id] = None
        state.strays.pop(process.key, None)
        state.dirty[session.id] = None


def attach_launch(state: State, session: Session, launch: Launch, event: Recorded) -> None:
    """Make a session one of a launch's, and the launched process one of the session's."""
    if launch.id not in session.launches:
        session.launches[launch.id] = None
        launch.sessions[session.id] = None
        state.dirty[session.id] = None
        if launch.root is not None:
            attach_process(state, session, process_of(state, launch.root, event))


def bind(state: State, entry: Process | Launch, conversation: SessionId, event: Recorded) -> None:
    """Let the first proven conversation identify a process or launch, unless it serves many."""
    if entry.conversation is not None or (isinstance(entry, Process) and entry.kind in SERVES_MANY):
        return
    entry.conversation = conversation
    alias(state, entry.session if isinstance(entry, Process) else SessionId(entry.id), conversation, event)


def alias(state: State, name: SessionId, target: SessionId, event: Recorded) -> None:
    """Make one id an alias of another, once and for ever."""
    if name in state.aliases or name == target or canonical(state, target) == name:
        return
    if len(state.aliases) >= state.limits.aliases:
        del state.aliases[next(iter(state.aliases))]
        state.count("aliases forgotten")
    state.aliases[name] = target
    held = state.sessions.get(name)
    if held is not None:
        held.identified_as, held.identified_at = target, at(event)
    state.dirty[name] = state.dirty[target] = None


def name_terminal(state: State, process: Process, key: TerminalKey, evidence: Evidence, event: Recorded) -> None:
    """Keep a statement about a process's terminal, and count what it contradicts."""
    line = process.terminals.get(key)
    if line is not None:
        if evidence.rank >= line.evidence.rank:
            return
        line.evidence = evidence
    elif len(process.terminals) >= state.limits.terminals:
        state.count("terminals omitted")
        return
    else:
        process.terminals[key] = Line(event, evidence)
    if len(process.terminals) > 1:
        state.dirty.update(process.sessions)


def contradiction(state: State, session: Session, evidence: Evidence, event: Recorded) -> None:
    """Keep a contradiction, once for what it is about."""
    key = (str(evidence.proves), evidence.value)
    if key in session.conflicts:
        return
    if len(session.conflicts) >= state.limits.conflicts:
        session.conflicts_omitted += 1
        return
    session.conflicts[key] = (at(event), evidence)
    state.dirty[session.id] = None


def settle(state: State, session: Session, event: Recorded) -> None:
    """Set aside claims on a conversation that another living process holds better, and restore those that caught up."""
    for claim in list(session.claims.values()):
        if claim.rejected and claim.rank <= Rank.KERNEL and claim.process is not None:
            process = process_of(state, claim.process, event)
            claim.rejected = ""
            attach_process(state, session, process)
            if (own := state.sessions.get(process.session)) is not None:
                own.disputes.pop(session.id, None)
                state.dirty[own.id] = None
    for holder, claim in list(contests(state, session)):
        if not claim.rejected and claim.process is not None and holder.process is not None:
            reason = f"process {process_id(holder.process)} holds it with rank {int(holder.rank)}"
            _set_aside(state, session, claim, reason, event)


def _set_aside(state: State, session: Session, claim: Claim, reason: str, event: Recorded) -> None:
    """Let a claim count for the process that made it, and not for the conversation that it named."""
    if claim.process is None:
        return
    process = process_of(state, claim.process, event)
    claim.rejected = reason
    own = session_of(state, process.session, process.agent, event)
    own.disputes[session.id] = claim
    attach_process(state, own, process)
    process.sessions.pop(session.id, None)
    session.processes.pop(process.key, None)
    value = session.conversation or session.id
    said = rejected(Evidence(rank=Rank(claim.rank), kind="request", proves="conversation", value=value), reason)
    contradiction(state, own, said, event)
    note(own.lines, said, event, state.limits.statements)
    state.dirty[own.id] = state.dirty[session.id] = None


def claim_of(state: State, session: Session, process: ProcessKey | None) -> Claim:
    """Return the claim of a process on a session, new if it was not known."""
    claim = session.claims.get(process)
    if claim is None:
        claim = session.claims[process] = Claim(session.id, process)
        if len(session.claims) > state.limits.claims:
            _merge_claims(state, session, claim)
    return claim


def flight_of(state: State, request: RequestId, source: str) -> Flight:
    """Return a request in flight, new if it was not known."""
    flight = state.flights.get(request)
    if flight is None:
        if len(state.flights) >= state.limits.flights:
            oldest = state.flights.pop(next(iter(state.flights)))
            lose(oldest, "not known: more requests are in flight than are kept")
            state.count("requests in flight forgotten")
        flight = state.flights[request] = Flight(source)
    return flight


def lose(flight: Flight, outcome: str) -> None:
    """End a request of which nobody will tell the end; it counts as a failure."""
    if flight.claim is not None:
        flight.claim.in_flight -= 1
        flight.claim.failures += 1
    if flight.choice is not None:
        flight.choice.outcome = outcome


def sweep(state: State, event: Recorded) -> None:
    """Forget sessions that have been gone for long; by recorded times at fixed positions, so that replay does the same."""
    if event.stamp.position < state.next_sweep:
        return
    state.next_sweep = (event.stamp.position // _SWEEP_EVERY + 1) * _SWEEP_EVERY
    now = moment(event.stamp.recordedtime)
    if now is None:
        return
    oldest = now - timedelta(hours=state.limits.gone_hours)
    while state.departed:
        name = next(iter(state.departed))
        session = state.sessions.get(name)
        if session is not None:
            last = moment(session.last_time)
            if last is not None and last > oldest:
                return
            forget(state, session)
        state.departed.pop(name, None)


def forget(state: State, session: Session) -> None:
    """Drop a session, the provisional ones that became it, and the processes and launches that nothing else needs."""
    state.sessions.pop(session.id, None)
    state.departed.pop(session.id, None)
    held = [process for key in session.processes if (process := state.processes.get(key)) is not None]
    for name in (*(process.session for process in held), *(SessionId(launch) for launch in session.launches)):
        former = state.sessions.get(name)
        if former is not None and canonical(state, name) == session.id:
            forget(state, former)
    for process in held:
        process.sessions.pop(session.id, None)
        if not process.sessions:
            state.processes.pop(process.key, None)
    for launch_name in session.launches:
        launch = state.launches.get(launch_name)
        if launch is not None:
            launch.sessions.pop(session.id, None)
            if not launch.sessions:
                del state.launches[launch_name]


def moment(text: str) -> datetime | None:
    """Read an RFC 3339 time; None when it is not one."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def _make_room(state: State) -> None:
    """Drop the sessions that went longest ago, or else those not heard of for longest: a twentieth of the table at once."""
    wanted = max(1, state.limits.sessions // _SPARE)
    order = sorted(state.sessions.values(), key=lambda held: (ended(state, held) == "", held.last_position))
    for session in order[:wanted]:
        if session.id in state.sessions:
            forget(state, session)
            state.count("sessions forgotten")


def _merge_claims(state: State, session: Session, keep: Claim) -> None:
    """Add the oldest claim of a process that exited to those of unknown processes."""
    for key, claim in session.claims.items():
        process = None if key is None else state.processes.get(key)
        if key is None or claim is keep or claim.in_flight or (process is not None and process.exited is None):
            continue
        del session.claims[key]
        session.processes.pop(key, None)
        if process is not None:
            process.sessions.pop(session.id, None)
            if not process.sessions:
                state.strays[key] = None
        if not claim.rejected:
            _add(session.claims.setdefault(None, Claim(session.id, None)), claim)
        return


def _add(total: Claim, claim: Claim) -> None:
    for name in ("requests", "failures", "cancellations", "input", "cached_input", "output", "reasoning", "total"):
        setattr(total, name, getattr(total, name) + getattr(claim, name))
    total.used = total.used or claim.used
    total.best = min(total.best, claim.best)
    if claim.proof is not None and (total.proof is None or claim.proof.at.position < total.proof.at.position):
        total.proof = claim.proof
    if claim.last_position > total.last_position:
        total.last_position = claim.last_position
        total.provider, total.model, total.served_model, total.cwd = claim.provider, claim.model, claim.served_model, claim.cwd
