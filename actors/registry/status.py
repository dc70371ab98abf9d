"""What a session is doing: one word, since when, who says so, and why.

Theory of operation
-------------------
Five sources speak: a bridge of ours that drives the session, the process (it exits), hooks, the agent's transcript, and
requests. In this order:

1. ``gone``: no process has the session any more. Nothing else counts then.
2. The bridge, which gave the agent its message, is asked for every approval, and hears the end of each turn. While it says
   that nothing is done, work that began later and that others tell of counts (4): an agent may begin by itself.
3. A *wait*, which only a hook can tell (``waiting_permission``, ``waiting_input``): until another hook reports, the main thread
   sends a request, or its turn ends. Requests of sub-agents do not end the wait of the main thread.
4. ``working``: a turn is open in the transcript, unless a hook told of its end later, or the process that worked on it ended;
   or requests are in flight; or a hook reported work and nothing told of its end since.
5. Otherwise whoever told of an end last, and of two at one time the transcript before a hook and a hook before a request:
   ``error`` when the turn, or else the request, failed; ``idle`` when not. An end that a transcript or hook tells is that of
   a turn. That of a request is one of maybe many in a turn, and counts when no turn is known to be open.
6. Nothing was told: ``starting`` for a launch that nobody has seen, and for what has its prompt already (exec); else ``idle``.

Times are the publishers' (one clock for a run, see ``actors.runtime.clock``), never the agent's own.

Pure: questions about a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actors.registry import files
from actors.registry.claims import Claim
from actors.registry.judgement import counted, current, driver, ended_at, gone, has, processes
from actors.registry.state import Bridge, File, Session, State
from schemas.events import Status

_WAITING: Final = ("waiting_permission", "waiting_input")
_ENDED: Final = ("idle", "error")
_REQUEST, _HOOK, _TRANSCRIPT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Doing:
    """What a session is doing."""

    status: Status
    since: str
    source: str
    reason: str


def doing(state: State, session: Session, former: tuple[Session, ...] = ()) -> Doing:
    """Return what a session is doing; ``former`` are the provisional ones that it was."""
    if reason := gone(state, session):
        return _gone(state, session, reason)
    told = session.announced.status
    if told is not None and not (session.claims or session.processes or session.launches):
        return Doing(told.status, told.since, told.source, told.reason)  # the journal holds nothing else of it any more
    claims = counted(session)
    turns = [file for file in files.standing(state, session) if file.turn] if session.id in state.transcripts else []
    if session.id in state.driven and (bridge := driver(state, session)) is not None:
        return _driven(state, session, bridge, claims, turns)
    return (
        _waiting(session, claims, turns)
        or _working(state, session, claims, turns)
        or _over(session, claims, turns)
        or _quiet(state, session, former)
    )


def _gone(state: State, session: Session, reason: str) -> Doing:
    launch = state.driven.get(session.id)
    bridge = None if launch is None else state.bridges.get(launch)
    if bridge is not None and bridge.ended and bridge.session == session.id:
        return Doing("gone", bridge.since, "bridge", bridge.reason)
    return Doing("gone", ended_at(state, session), "process", reason)


def _driven(state: State, session: Session, bridge: Bridge, claims: list[Claim], turns: list[File]) -> Doing:
    if bridge.status in _ENDED:
        found = _working(state, session, claims, turns)
        if found is not None and found.since > bridge.since:
            return found
    return Doing(bridge.status, bridge.since, "bridge", bridge.reason)


def _waiting(session: Session, claims: list[Claim], turns: list[File]) -> Doing | None:
    said = session.reported
    if said is None or said.status not in _WAITING:
        return None
    if any(claim.started > said.since for claim in claims):
        return None
    main = files.main_thread(session)
    if any(file.outcome and file.thread == main and file.turn_since > said.since for file in turns):
        return None
    what = f"{said.hook} ({said.detail})" if said.detail else said.hook
    return Doing(said.status, said.since, "hook", what)


def _working(state: State, session: Session, claims: list[Claim], turns: list[File]) -> Doing | None:
    said = session.reported
    ended = said.since if said is not None and said.status in _ENDED else ""
    died = max((process.exited[0].told for process in processes(state, session) if process.exited is not None), default="")
    left = max((claim.lost for claim in claims if claim.over), default="")
    held = [
        file
        for file in turns
        if not file.outcome and file.turn_since > max(ended, died, left) and _possible(state, session, file)
    ]
    if held:
        first = min(held, key=lambda file: (file.turn_since, file.thread))
        inside = "" if first.thread == files.main_thread(session) else " of a thread inside it"
        return Doing("working", first.turn_since, "transcript", f"turn {first.turn[:64]}{inside}")
    busy = [claim for claim in claims if claim.in_flight > 0]
    if busy:
        count = sum(claim.in_flight for claim in busy)
        since = min(claim.busy for claim in busy)
        return Doing("working", since, "request", "a request is in flight" if count == 1 else f"{count} requests are in flight")
    if (
        said is not None
        and said.status == "working"
        and not any(file.outcome and file.turn_since >= said.since for file in turns)
    ):
        return Doing("working", said.since, "hook", said.hook)
    return None


def _possible(state: State, session: Session, file: File) -> bool:
    """Tell whether a turn that was read late may go on still: a process that has the session was there when it began."""
    if not file.turn_at:
        return True
    living = [process for process in processes(state, session) if has(session, process)]
    return any(process.started and process.started <= file.turn_at for process in living)


def _over(session: Session, claims: list[Claim], turns: list[File]) -> Doing | None:
    """Return what the last end says; ties go to the source that knows more of turns."""
    ends: list[tuple[str, int, str, Doing]] = []
    for file in turns:
        if file.outcome:
            failed = file.outcome == "failed"
            reason = f"the turn {file.outcome}{f': {file.code}' if file.code else ''}" if failed else f"the turn {_past(file)}"
            status: Status = "error" if failed else "idle"
            ends.append((file.turn_since, _TRANSCRIPT, file.thread, Doing(status, file.turn_since, "transcript", reason)))
    said = session.reported
    if said is not None and said.status in _ENDED:
        what = f"{said.hook} ({said.detail})" if said.detail else said.hook
        ends.append((said.since, _HOOK, said.hook, Doing(said.status, said.since, "hook", what)))
    for claim in claims:
        if claim.quiet:
            status = "error" if claim.outcome else "idle"
            reason = f"the last request {claim.outcome}" if claim.outcome else "no request is in flight"
            ends.append((claim.quiet, _REQUEST, str(claim.process), Doing(status, claim.quiet, "request", reason[:300])))
    return max(ends, key=lambda end: end[:3])[3] if ends else None


def _past(file: File) -> str:
    return "was aborted" if file.outcome == "aborted" else file.outcome


def _quiet(state: State, session: Session, former: tuple[Session, ...]) -> Doing:
    since = min((session, *former), key=lambda held: held.at.time).at.time
    process = current(state, session)
    seen = process is not None and (process.started or process.agent != "other") and has(session, process)
    if process is None or not seen or (session.launches and not process.started and session.provisional):
        return Doing("starting", since, "launch" if session.launches else "process", "launched, and not heard of since")
    since = process.started or since
    if process.kind == "exec":
        return Doing("starting", since, "process", "runs, and has sent nothing yet")
    return Doing("idle", since, "process", "no prompt was seen yet")
