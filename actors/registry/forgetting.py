"""What the registry forgets: sessions that have been gone for long, and whatever does not fit into its tables. Pure."""

from __future__ import annotations

from datetime import timedelta

from actors.registry.claims import Claim
from actors.registry.judgement import canonical, ended
from actors.registry.state import Session, State
from actors.registry.statements import moment
from schemas.envelope import Recorded
from schemas.identity import SessionId

_SWEEP_EVERY = 1024
_SPARE = 20  # one in so many goes at once when the table of sessions is full, so that the search for them is rare


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
    state.driven.pop(session.id, None)
    held = [process for key in session.processes if (process := state.processes.get(key)) is not None]
    for name in (*(process.session for process in held), *(SessionId(launch) for launch in session.launches)):
        former = state.sessions.get(name)
        if former is not None and canonical(state, name) == session.id:
            forget(state, former)
    for process in held:
        process.sessions.pop(session.id, None)
        if not process.sessions:
            state.processes.pop(process.key, None)
            state.daemons.pop(process.key, None)
    for launch_name in session.launches:
        launch = state.launches.get(launch_name)
        if launch is not None:
            launch.sessions.pop(session.id, None)
            if not launch.sessions:
                del state.launches[launch_name]
                state.bridges.pop(launch_name, None)


def make_room(state: State) -> None:
    """Drop the sessions that went longest ago, or else those not heard of for longest: a twentieth of the table at once."""
    wanted = max(1, state.limits.sessions // _SPARE)
    order = sorted(state.sessions.values(), key=lambda held: (ended(state, held) == "", held.last_position))
    for session in order[:wanted]:
        if session.id in state.sessions:
            forget(state, session)
            state.count("sessions forgotten")


def merge_claims(state: State, session: Session, keep: Claim) -> None:
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
            session.claims.setdefault(None, Claim(session.id, None)).add(claim)
        return
