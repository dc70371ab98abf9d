"""What processes were seen to have, and what their hooks report: claims without a request.

The part of ``fold`` for ``process.conversation_found``, ``process.conversation_lost`` and ``hook.received``. None of them
ever verifies a session: only a request through the gateway does. Pure.
"""

from __future__ import annotations

from typing import Final

from actors.registry.contests import SEATS
from actors.registry.files import main_thread
from actors.registry.lifetimes import join_launch, know_kind, note_about, terminal_statement
from actors.registry.state import Process, Reported, Session, State
from actors.registry.statements import note
from actors.registry.tables import (
    attach_launch,
    attach_process,
    claim_of,
    contradiction,
    launch_of,
    name_agent,
    name_terminal,
    process_of,
    session_of,
    touch,
)
from schemas.envelope import Recorded
from schemas.events import HookReceived, ProcessConversationFound, ProcessConversationLost, Status
from schemas.evidence import Evidence, Rank

_STATUS: Final[dict[str, Status]] = {
    "UserPromptSubmit": "working",
    "PreModelRequest": "working",
    "PostModelRequest": "working",
    "PreToolUse": "working",
    "PostToolUse": "working",
    "PostToolUseFailure": "working",
    "PermissionDenied": "working",
    "PreCompact": "working",
    "PostCompact": "working",
    "PermissionRequest": "waiting_permission",
    "StopFailure": "error",
    "SessionStart": "idle",
    "Stop": "idle",
    "Interrupt": "idle",
    "SessionEnd": "idle",
}
_PERMISSION: Final = "permission"
_INPUT: Final = ("idle", "input", "elicitation", "question")


def found(state: State, event: Recorded, data: ProcessConversationFound) -> None:
    """Know that a process has a conversation, and by what."""
    process = process_of(state, data.process, event)
    session = session_of(state, data.session, data.agent, event)
    if session.provisional:
        state.count("conversations found under a provisional name")
        return
    name_agent(process, data.agent, Rank.KERNEL)
    name_agent(session, data.agent, Rank.KERNEL)
    session.conversation = data.conversation
    touch(session, event)
    _tie(state, session, process, event)
    claim = claim_of(state, session, data.process)
    claim.hear(event.envelope.time)
    rank, seated = _best(data.evidence)
    claim.rank = min(claim.rank, rank)
    claim.seated = claim.seated or seated
    if rank <= Rank.KERNEL and data.transcript is not None and data.thread in (None, main_thread(session)):
        claim.path = data.transcript
    for evidence in data.evidence or (_unsaid(data),):
        note_about(state, process, evidence, event)
    state.stir(session.id)
    state.unsettled[session.id] = None


def lost(state: State, event: Recorded, data: ProcessConversationLost) -> None:
    """Know that a process has a conversation no more."""
    session = state.sessions.get(data.session)
    claim = None if session is None else session.claims.get(data.process)
    if session is None or claim is None:
        state.count("conversations lost that nobody had found")
        return
    if event.envelope.time >= claim.lost:
        claim.lost, claim.lost_reason = event.envelope.time, data.reason
    state.stir(session.id)
    state.unsettled[session.id] = None


def hooked(state: State, event: Recorded, data: HookReceived) -> None:
    """Know what a hook reports: whose conversation, from which process, and what it is doing."""
    process = None if data.process is None else process_of(state, data.process, event)
    if data.session is None:
        if process is not None:
            for evidence in data.evidence:
                note_about(state, process, evidence, event)
        return
    session = session_of(state, data.session, data.agent, event)
    name_agent(session, data.agent, Rank.KERNEL)
    session.conversation = data.conversation or session.conversation
    touch(session, event)
    for evidence in data.evidence:
        if note(session.lines, evidence, event, state.limits.statements) and evidence.conflict:
            contradiction(state, session, evidence, event)
    _report(session, event, data)
    state.stir(session.id)
    if process is None:
        return
    name_agent(process, data.agent, Rank.KERNEL)
    know_kind(state, process, data.process_kind)
    if data.terminal is not None:
        name_terminal(state, process, data.terminal, terminal_statement(data.terminal, data.evidence, "hook"), event)
    _tie(state, session, process, event)
    claim = claim_of(state, session, data.process)
    claim.hear(event.envelope.time)
    claim.spoken = True
    rank, _ = _best(data.evidence, Rank.REQUEST_DECLARED)
    claim.rank = min(claim.rank, max(rank, Rank.KERNEL))
    if data.launch is not None:
        claim.launch = data.launch
        launch = launch_of(state, data.launch, event)
        attach_launch(state, session, launch, event)
        join_launch(state, process, launch, event)
    state.unsettled[session.id] = None


def _tie(state: State, session: Session, process: Process, event: Recorded) -> None:
    attach_process(state, session, process)
    if process.launch is not None:
        attach_launch(state, session, launch_of(state, process.launch, event), event)


def _best(evidence: tuple[Evidence, ...], otherwise: Rank = Rank.PROCESS_DECLARED) -> tuple[Rank, bool]:
    """Return the best rank of what says so, and whether a shared daemon's own account does."""
    said = [one for one in evidence if one.proves == "conversation" and not one.rejected]
    return Rank(min((one.rank for one in said), default=otherwise)), any(one.kind in SEATS for one in said)


def _unsaid(data: ProcessConversationFound) -> Evidence:
    return Evidence(rank=Rank.PROCESS_DECLARED, kind="process", proves="conversation", value=data.conversation)


def _report(session: Session, event: Recorded, data: HookReceived) -> None:
    status = _status(data.hook, data.detail)
    if status is not None and (session.reported is None or session.reported.since <= event.envelope.time):
        session.reported = Reported(status, event.envelope.time, data.hook, data.detail)


def _status(hook: str, detail: str) -> Status | None:
    """Return what a hook says that its agent is doing; None when it says nothing of that."""
    if hook != "Notification":
        return _STATUS.get(hook)
    if _PERMISSION in detail:
        return "waiting_permission"
    return "waiting_input" if any(word in detail for word in _INPUT) else None
