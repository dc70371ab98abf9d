"""Entries of the registry's tables: made on first mention, tied to each other, ended.

The writing half of ``state``: ``fold`` says what happened, this says what is kept of it. What goes at a bound or after a time
stands in ``forgetting``, what an id stands for in ``identity``. Pure. Must not know event types.
"""

from __future__ import annotations

from actors.registry.claims import Claim
from actors.registry.forgetting import make_room, merge_claims
from actors.registry.state import (
    OTHER,
    Flight,
    Launch,
    Process,
    Session,
    State,
    Transcript,
)
from actors.registry.statements import At, Line, at
from schemas.envelope import Recorded
from schemas.evidence import Evidence
from schemas.identity import LaunchId, ProcessKey, RequestId, SessionId, TerminalKey, is_provisional


def session_of(state: State, name: SessionId, agent: str, event: Recorded) -> Session:
    """Return a session, new if it was not known.

    One that is born as an alias (the conversation of its process was known before) is never announced on its own.
    """
    session = state.sessions.get(name)
    if session is None:
        if len(state.sessions) >= state.limits.sessions:
            make_room(state)
        session = state.sessions[name] = Session(name, agent, at(event), provisional=is_provisional(name))
        target = state.aliases.get(name)
        if target is not None:
            session.unheard = True
            if name not in state.declared:
                session.identified_as, session.identified_at = target, session.at
        state.stir(name)
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
            state.daemons.pop(oldest, None)
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
    """Remember that a process exited: once and for ever, and as early as anybody told."""
    end_process(state, process, at(event), reason)


def end_process(state: State, process: Process, where: At, reason: str) -> None:
    """Like ``exit_process``, of what was told before."""
    if process.exited is not None and process.exited[0].told <= where.told:
        return
    process.exited = (where, reason)
    state.stir(*process.sessions)
    state.unsettled.update(process.sessions)


def name_agent(entry: Session | Process, agent: str, rank: int) -> None:
    """Let the best-ranked statement name the agent; a known agent before ``other``."""
    order = (rank, agent == OTHER, agent)
    if (order[1], order[0], order[2]) < (entry.agent_order[1], entry.agent_order[0], entry.agent_order[2]):
        entry.agent_order = order
        entry.agent = agent


def attach_process(state: State, session: Session, process: Process) -> None:
    """Make a process one of a session's."""
    if process.key not in session.processes or session.id not in process.sessions:
        session.processes[process.key] = None
        process.sessions[session.id] = None
        state.strays.pop(process.key, None)
        state.stir(session.id)


def attach_launch(state: State, session: Session, launch: Launch, event: Recorded) -> None:
    """Make a session one of a launch's, and the launched process one of the session's."""
    if launch.id not in session.launches:
        session.launches[launch.id] = None
        launch.sessions[session.id] = None
        state.stir(session.id)
        if launch.root is not None:
            attach_process(state, session, process_of(state, launch.root, event))


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
        state.stir(*process.sessions)


def contradiction(state: State, session: Session, evidence: Evidence, event: Recorded) -> None:
    """Keep a contradiction, once for what it is about."""
    key = (str(evidence.proves), evidence.value)
    if key in session.conflicts:
        return
    if len(session.conflicts) >= state.limits.conflicts:
        session.conflicts_omitted += 1
        return
    session.conflicts[key] = (at(event), evidence)
    state.stir(session.id)


def claim_of(state: State, session: Session, process: ProcessKey | None) -> Claim:
    """Return the claim of a process on a session, new if it was not known."""
    claim = session.claims.get(process)
    if claim is None:
        claim = session.claims[process] = Claim(session.id, process)
        if len(session.claims) > state.limits.claims:
            merge_claims(state, session, claim)
    return claim


def transcript_of(state: State, name: SessionId) -> Transcript:
    """Return what files say of a conversation, new if nothing was known."""
    transcript = state.transcripts.get(name)
    if transcript is None:
        if len(state.transcripts) >= state.limits.transcripts:
            del state.transcripts[next(iter(state.transcripts))]
            state.count("transcripts forgotten")
        transcript = state.transcripts[name] = Transcript()
    return transcript


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
        flight.claim.outcome = outcome
    if flight.choice is not None:
        flight.choice.outcome = outcome
