"""What our own bridges say of the sessions that they drive: which conversation, what it does, what it comes from.

Theory of operation
-------------------
A bridge is named by its first launch and drives one session at a time: its launch until the agent names a conversation, then
that one, then each that was begun in its place. What it says of the conversation is told by us (rank 1): it started the agent
and reads it from the agent's own pipe, so its launches stand for the conversation without any request. It never *verifies* a
session: only a request through the gateway does. The processes that it starts after the first have launches of their own.

A bridge that only *joined* a session (``bridge.attached``) says nothing of who has it: the session shows that, and is otherwise
what it was.

When it begins another conversation, its processes have the former one no more. When it ends, everything that it had started
has ended too. Its facts come from one publisher, in order.

The part of ``fold`` for ``bridge.*``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from actors.registry.identity import identify_launch
from actors.registry.judgement import canonical
from actors.registry.lifetimes import join_launch
from actors.registry.state import Bridge, Launch, Process, Session, State
from actors.registry.statements import at, note
from actors.registry.tables import (
    attach_launch,
    attach_process,
    end_process,
    launch_of,
    name_agent,
    process_of,
    session_of,
    touch,
)
from schemas.envelope import Recorded
from schemas.events import (
    BridgeApprovalRequested,
    BridgeApprovalResolved,
    BridgeAttached,
    BridgeDetached,
    BridgeEnded,
    BridgeFailed,
    BridgeIdentified,
    BridgeReady,
    BridgeSettingsChanged,
    BridgeStarted,
    BridgeTurnEnded,
    BridgeTurnStarted,
    Status,
)
from schemas.evidence import Evidence, Rank
from schemas.identity import ConversationKey, LaunchId, SessionId, is_provisional

_ASKING: Final = 64  # open approvals of one session that are kept; an agent waits for one, or for a few at once


class _Said(Protocol):
    @property
    def launch(self) -> LaunchId: ...

    @property
    def session(self) -> SessionId: ...


def started(state: State, event: Recorded, data: BridgeStarted) -> None:
    """Know a bridge, or that it was started again."""
    bridge, session = _heard(state, event, data)
    bridge.agent = data.agent
    bridge.process = data.process
    bridge.parent, bridge.relation = data.parent or bridge.parent, data.relation or bridge.relation
    bridge.ended = bridge.retrying = False
    bridge.turn = None
    bridge.asking.clear()
    own = data.spawned or data.launch
    bridge.launches[own] = None
    launch = launch_of(state, own, event)
    launch.agent, launch.root, launch.cwd = data.agent, launch.root or data.process, data.cwd
    name_agent(session, data.agent, Rank.TOLD_BY_US)
    process = process_of(state, data.process, event)
    name_agent(process, data.agent, Rank.TOLD_BY_US)
    attach_launch(state, session, launch, event)
    attach_process(state, session, process)
    join_launch(state, process, launch, event)
    _stand(state, own, session, event)
    _say(state, bridge, event, "starting", "its bridge was started again" if data.restarts else "its bridge was started")


def ready(state: State, event: Recorded, data: BridgeReady) -> None:
    """Know that the agent can be given a message."""
    bridge, _ = _heard(state, event, data)
    bridge.retrying = False
    if bridge.turn is None:
        _say(state, bridge, event, "idle", "the agent waits for a message")


def identified(state: State, event: Recorded, data: BridgeIdentified) -> None:
    """Know which conversation a bridge drives, and in whose place it was begun."""
    bridge, session = _heard(state, event, data)
    bridge.retrying = False
    if session.provisional:
        state.count("conversations that a bridge named by a provisional name")
        return
    session.conversation = ConversationKey(f"{session.agent}:{data.conversation}")
    said = Evidence(rank=Rank.TOLD_BY_US, kind="bridge", proves="conversation", value=session.conversation)
    note(session.lines, said, event, state.limits.statements)
    if data.succeeds is not None and data.succeeds != session.id:
        bridge.began[session.id] = data.succeeds
    for launch in tuple(bridge.launches):
        _stand(state, launch, session, event)


def turn_started(state: State, event: Recorded, data: BridgeTurnStarted) -> None:
    """Know that the agent works on a message."""
    bridge, _ = _heard(state, event, data)
    bridge.retrying = False
    bridge.turn = (event.envelope.time, f"turn {data.turn[:64]}")
    bridge.asking.clear()
    _say(state, bridge, event, "working", bridge.turn[1])


def turn_ended(state: State, event: Recorded, data: BridgeTurnEnded) -> None:
    """Know that the agent is done with a message, and how."""
    bridge, _ = _heard(state, event, data)
    bridge.retrying = False
    bridge.turn = None
    bridge.asking.clear()
    if data.outcome == "failed":
        _say(state, bridge, event, "error", f"the turn failed: {data.reason}" if data.reason else "the turn failed")
    else:
        _say(
            state, bridge, event, "idle", "the turn was interrupted" if data.outcome == "interrupted" else "the turn completed"
        )


def approval_requested(state: State, event: Recorded, data: BridgeApprovalRequested) -> None:
    """Know that the agent waits for an answer."""
    bridge, _ = _heard(state, event, data)
    if len(bridge.asking) >= _ASKING:
        del bridge.asking[next(iter(bridge.asking))]
        state.count("open approvals forgotten")
    bridge.asking[data.approval] = (event.envelope.time, f"asks for approval ({data.kind})")
    _wait(state, bridge, event)


def approval_resolved(state: State, event: Recorded, data: BridgeApprovalResolved) -> None:
    """Know that it was answered; it may wait for others still, and goes on otherwise."""
    bridge, _ = _heard(state, event, data)
    if bridge.asking.pop(data.approval, None) is None:
        state.count("approvals resolved that nobody had requested")
        return
    if bridge.asking:
        _wait(state, bridge, event)
    elif bridge.turn is not None:
        _say(state, bridge, event, "working", bridge.turn[1])
    else:
        _say(state, bridge, event, "idle", f"the approval was {data.outcome}")


def settings_changed(state: State, event: Recorded, data: BridgeSettingsChanged) -> None:
    """Hear of a session; where its requests go is what its pin and its requests tell, unless it asks for nothing any more."""
    bridge, session = _heard(state, event, data)
    if data.provider == "":
        for name in bridge.launches:
            launch_of(state, name, event).provider = None
        state.stir(session.id)


def failed(state: State, event: Recorded, data: BridgeFailed) -> None:
    """Know that something broke, and whether it is tried again. A turn that runs goes on until its end is told."""
    bridge, _ = _heard(state, event, data)
    bridge.retrying = data.retrying
    if bridge.turn is None:
        _say(state, bridge, event, "error", f"{data.code}: {data.reason}")


def ended(state: State, event: Recorded, data: BridgeEnded) -> None:
    """Know that a bridge is over, and everything that it had started."""
    bridge, session = _heard(state, event, data)
    bridge.ended, bridge.retrying, bridge.turn = True, False, None
    bridge.asking.clear()
    _say(state, bridge, event, "gone", f"its bridge ended: {data.reason}" if data.reason else "its bridge ended")
    why = f"ended with its bridge ({data.reason})"
    for name in bridge.launches:
        launch = state.launches.get(name)
        if launch is None:
            continue
        if launch.ended is None:
            launch.ended = (at(event), data.reason)
        launch.swept = launch.swept or (at(event), why)
        for process in _started_by(state, launch, launch.sessions):
            end_process(state, process, *launch.swept)
        state.stir(*launch.sessions)
    state.stir(session.id)


def attached(state: State, _: Recorded, data: BridgeAttached) -> None:
    """Know that a bridge joined a session; one that nobody else has told of is none because of that."""
    session = state.sessions.get(canonical(state, data.session))
    if session is None:
        state.count("sessions that a bridge joined and nobody else knows")
    else:
        session.attached = (data.launch, data.channel)


def detached(state: State, _: Recorded, data: BridgeDetached) -> None:
    """Know that it left."""
    session = state.sessions.get(canonical(state, data.session))
    if session is not None and session.attached is not None and session.attached[0] == data.launch:
        session.attached = None


# ---------------------------------------------------------------------------------------------------- inside


def _heard(state: State, event: Recorded, data: _Said) -> tuple[Bridge, Session]:
    """Return the bridge that speaks, and the session that it drives as of this fact."""
    bridge = state.bridges.get(data.launch)
    if bridge is None:
        if len(state.bridges) >= state.limits.sessions:
            del state.bridges[next(iter(state.bridges))]
            state.count("bridges forgotten")
        bridge = state.bridges[data.launch] = Bridge(data.launch, data.session)
    session = session_of(state, data.session, _agent(bridge, data), event)
    touch(session, event)
    if bridge.session != session.id:
        _leave(state, bridge, event)
        bridge.session = session.id
        if session.left is not None:  # it is taken up again
            session.left = {name: since for name, since in session.left.items() if name not in bridge.launches} or None
        for name in bridge.launches:
            launch = launch_of(state, name, event)
            attach_launch(state, session, launch, event)
            for process in _started_by(state, launch, (SessionId(name),)):
                attach_process(state, session, process)
        if bridge.process is not None:
            attach_process(state, session, process_of(state, bridge.process, event))
    if state.driven.get(session.id) != bridge.id:
        state.driven[session.id] = bridge.id
        state.stir(session.id)
    return bridge, session


def _started_by(state: State, launch: Launch, sessions: Iterable[SessionId]) -> list[Process]:
    """Return the processes of some sessions that belong to a launch."""
    held = [state.sessions[name] for name in sessions if name in state.sessions]
    found = {key: state.processes.get(key) for session in held for key in session.processes}
    return [process for process in found.values() if process is not None and process.launch == launch.id]


def _agent(bridge: Bridge, data: _Said) -> str:
    return bridge.agent if is_provisional(data.session) else data.session.partition("-")[0]


def _leave(state: State, bridge: Bridge, event: Recorded) -> None:
    """Know that the processes of a bridge have the conversation no more that it drove until now."""
    former = state.sessions.get(bridge.session)
    if former is None or former.provisional:
        return
    former.left = (former.left or {}) | dict.fromkeys(bridge.launches, event.envelope.time)
    state.stir(former.id)


def _stand(state: State, name: LaunchId, session: Session, event: Recorded) -> None:
    """Let a launch stand for the session that it was first said to be, for ever."""
    launch = launch_of(state, name, event)
    attach_launch(state, session, launch, event)
    if (launch.stands is None or is_provisional(launch.stands)) and SessionId(name) != session.id:
        launch.stands = session.id
        identify_launch(state, launch, event)


def _wait(state: State, bridge: Bridge, event: Recorded) -> None:
    """Wait for the first approval that is open, since it was asked for."""
    since, what = next(iter(bridge.asking.values()))
    _say(state, bridge, event, "waiting_permission", what)
    bridge.since = since


def _say(state: State, bridge: Bridge, event: Recorded, status: Status, reason: str) -> None:
    bridge.status, bridge.since, bridge.reason = status, event.envelope.time, reason[:300]
    state.dirty.setdefault(bridge.session, False)
