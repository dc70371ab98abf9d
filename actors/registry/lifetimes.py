"""What begins and ends: processes, launches, and the actors that report on them.

The part of ``fold`` for ``process.seen``, ``process.exited``, ``launch.*`` and ``actor.*``. Pure.
"""

from __future__ import annotations

from actors.registry.identity import identify
from actors.registry.state import NO_SESSION, OTHER, SERVES_MANY, Launch, Process, State
from actors.registry.statements import at, note
from actors.registry.tables import (
    attach_launch,
    attach_process,
    end_process,
    exit_process,
    launch_of,
    lose,
    name_agent,
    name_terminal,
    process_of,
    session_of,
    touch,
)
from schemas.envelope import Recorded
from schemas.events import ActorExited, ActorStarted, LaunchEnded, LaunchStarted, ProcessExited, ProcessKind, ProcessSeen
from schemas.evidence import Evidence, Rank
from schemas.identity import SessionId, TerminalKey, process_id


def process_seen(state: State, event: Recorded, data: ProcessSeen) -> None:
    """Know a process; an agent's, of which no conversation is known yet, is a provisional session.

    Its account is said again whole when it changes: what can change (folder, endpoint, parent) is then what it says.
    """
    process = process_of(state, data.process, event)
    name_agent(process, data.agent, Rank.KERNEL)
    know_kind(state, process, data.kind)
    process.cwd = data.cwd or process.cwd
    process.started = data.started or process.started
    process.parent = data.parent or process.parent
    process.endpoint = data.endpoint or process.endpoint
    process.unreadable = data.unreadable
    for evidence in data.evidence:
        note_about(state, process, evidence, event)
    note_process(state, process, data.terminal_missing or data.unreadable)
    if data.terminal is not None:
        said = terminal_statement(data.terminal, data.evidence, "process")
        if said not in data.evidence:
            note_about(state, process, said, event)
        name_terminal(state, process, data.terminal, said, event)
    if data.launch is not None:
        launch = launch_of(state, data.launch, event)
        for name in (SessionId(data.launch), *launch.sessions):
            if (launched := state.sessions.get(name)) is not None and (launched.provisional or not launched.claims):
                attach_process(state, launched, process)
        join_launch(state, process, launch, event)
    elif process.kind == "wrapper":
        identify(state, process, event)
    state.stir(*process.sessions)
    if data.agent == OTHER or data.kind in NO_SESSION or process.session in state.aliases:
        return
    if process.session not in state.sessions and process.sessions:
        return
    session = session_of(state, process.session, data.agent, event)
    name_agent(session, data.agent, Rank.KERNEL)
    touch(session, event)
    attach_process(state, session, process)


def process_exited(state: State, event: Recorded, data: ProcessExited) -> None:
    """Know that a process is gone, also one that nobody spoke of before."""
    exit_process(state, process_of(state, data.process, event), event, "exited")


def launch_started(state: State, event: Recorded, data: LaunchStarted) -> None:
    """Know a launch: told by us, so its process and terminal are of the first rank."""
    launch = launch_of(state, data.launch, event)
    launch.agent = data.agent
    launch.root = launch.root or data.process
    launch.terminal = data.terminal or launch.terminal
    launch.cwd = data.cwd or launch.cwd
    launch.provider = data.provider or launch.provider
    launch.model = data.model or launch.model
    process = process_of(state, data.process, event)
    name_agent(process, data.agent, Rank.TOLD_BY_US)
    said = Evidence(rank=Rank.TOLD_BY_US, kind="launch", proves="process", value=process_id(data.process))
    note_about(state, process, said, event)
    if data.terminal is not None:
        said = Evidence(rank=Rank.TOLD_BY_US, kind="launch", proves="terminal", value=data.terminal)
        note_about(state, process, said, event)
        name_terminal(state, process, data.terminal, said, event)
    if launch.ended is not None:
        exit_process(state, process, event, f"ended with its launch ({launch.ended[1]})")
    session = session_of(state, SessionId(data.launch), data.agent, event)
    name_agent(session, data.agent, Rank.TOLD_BY_US)
    touch(session, event)
    attach_launch(state, session, launch, event)
    for name in launch.sessions:
        if (tied := state.sessions.get(name)) is not None:
            attach_process(state, tied, process)
    join_launch(state, process, launch, event)


def launch_ended(state: State, event: Recorded, data: LaunchEnded) -> None:
    """Know that the launched process is gone."""
    launch = launch_of(state, data.launch, event)
    if launch.ended is None:
        launch.ended = (at(event), data.reason)
        state.stir(*launch.sessions)
    if launch.root is not None:
        exit_process(state, process_of(state, launch.root, event), event, f"ended with its launch ({data.reason})")


def actor_started(state: State, event: Recorded, data: ActorStarted) -> None:
    """Give up the requests of the actor's former incarnations."""
    del event
    _ground(state, f"/actor/{data.actor}/", f"/actor/{data.actor}/{data.incarnation}", data.actor)


def actor_exited(state: State, event: Recorded, data: ActorExited) -> None:
    """Give up the requests that the actor took with it."""
    del event
    _ground(state, f"/actor/{data.actor}/{data.incarnation}", "", data.actor)


def join_launch(state: State, process: Process, launch: Launch, event: Recorded) -> None:
    """Let a launched process stand for its launch, and its conversations be the launch's."""
    if process.launch is None:
        process.launch = launch.id
        for name in list(process.sessions):
            session = state.sessions.get(name)
            if session is not None and not session.provisional and process.key in session.claims:
                attach_launch(state, session, launch, event)
        if launch.swept is not None:
            end_process(state, process, *launch.swept)
    identify(state, process, event)


def know_kind(state: State, process: Process, kind: ProcessKind) -> None:
    """Keep the most telling kind: a wrapper's first, as it may only show later; then one that serves many; ``other`` last."""
    if kind in (process.kind, OTHER) or process.kind == "wrapper" or (process.kind in SERVES_MANY and kind != "wrapper"):
        return
    if process.kind == OTHER or kind in SERVES_MANY or kind == "wrapper" or kind < process.kind:
        process.kind = kind
        if kind == "daemon":
            state.daemons[process.key] = None
        else:
            state.daemons.pop(process.key, None)
        state.stir(*process.sessions)
        state.unsettled.update(process.sessions)


def note_process(state: State, process: Process, terminal_missing: str) -> None:
    """Keep the reason why a process's terminal is not known; of several the first in the alphabet, whoever spoke first."""
    if terminal_missing and (not process.terminal_missing or terminal_missing < process.terminal_missing):
        process.terminal_missing = terminal_missing
        state.stir(*process.sessions)


def note_about(state: State, process: Process, evidence: Evidence, event: Recorded) -> None:
    """Keep a statement about a process."""
    if note(process.lines, evidence, event, state.limits.statements) and evidence.conflict:
        state.stir(*process.sessions)


def terminal_statement(terminal: TerminalKey, evidence: tuple[Evidence, ...], kind: str) -> Evidence:
    """Return the statement that names a terminal; one that comes without its own is only declared."""
    for said in evidence:
        if said.proves == "terminal" and said.value == terminal and not said.rejected:
            return said
    return Evidence(rank=Rank.PROCESS_DECLARED, kind=kind, proves="terminal", value=terminal)


def _ground(state: State, lost: str, living: str, actor: str) -> None:
    names = [name for name, flight in state.flights.items() if flight.source.startswith(lost) and flight.source != living]
    for name in names:
        lose(state.flights.pop(name), f"not known: {actor} ended before it said")
