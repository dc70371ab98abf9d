"""The fold: one recorded event at a time becomes statements, and what newly follows from them becomes effects.

Theory of operation
-------------------
``take(state, event)`` is the only way into a state, live and in replay, and ``fold`` is that and what is due because of it. It
never raises and never waits: an unknown type, a fact about something never seen, or one that comes late is folded or counted,
not refused. An event at or before the
state's position is a repetition and changes nothing. A new epoch is another journal: everything known is void.

Facts only add statements to the tables (``requests``, ``lifetimes``, ``conversations``, ``transcripts``, ``bridges``); what
follows from them is asked of ``judgement``, ``status`` and ``links``, so that the order of independent sources does not
matter. At the end of each event the conversations with new or changed claims are settled (``identity``); then, for the
sessions whose standing may have changed, ``effects`` compares what follows with what was announced. The registry's own
``session.*`` facts are folded like all others: they are what was announced (``announced``). An effect is therefore returned
again until its own announcement is folded; its id stays the same, and the journal keeps it once.

Who may say what: ``session.*`` is the registry's alone; ``request.*``, ``process.*``, ``transcript.*``, ``hook.*`` and
``bridge.*`` are actors'. Others' are counted and set aside.

Pure: no clock, randomness, environment or logging.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from actors.registry import announced, bridges, conversations, lifetimes, requests, transcripts
from actors.registry.effects import NOTHING, Effect, owed, pending
from actors.registry.forgetting import sweep
from actors.registry.identity import settle_all
from actors.registry.limits import Limits
from actors.registry.state import State
from schemas.envelope import Recorded
from schemas.events import (
    EVENTS,
    ActorExited,
    ActorStarted,
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
    ConfigChanged,
    HookReceived,
    LaunchEnded,
    LaunchStarted,
    PinPlaced,
    PinRemoved,
    ProcessConversationFound,
    ProcessConversationLost,
    ProcessExited,
    ProcessSeen,
    ProviderQuotaObserved,
    RequestAttributed,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestFirstByte,
    RequestReceived,
    RequestRetried,
    RequestRouted,
    SessionConflicted,
    SessionGone,
    SessionIdentified,
    SessionLinked,
    SessionReturned,
    SessionSeen,
    SessionStatusChanged,
    SessionVerified,
    TranscriptMoved,
    TranscriptQuotaObserved,
    TranscriptSeen,
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
)

__all__ = ["Effect", "Limits", "State", "fold", "pending", "take"]

_STEPS: Final[dict[type[Any], Callable[[State, Recorded, Any], None]]] = {
    RequestReceived: requests.received,
    RequestAttributed: requests.attributed,
    RequestRouted: requests.routed,
    RequestFirstByte: requests.first_byte,
    RequestRetried: requests.retried,
    RequestCompleted: requests.finished,
    RequestFailed: requests.finished,
    RequestCancelled: requests.finished,
    ProcessSeen: lifetimes.process_seen,
    ProcessExited: lifetimes.process_exited,
    ProcessConversationFound: conversations.found,
    ProcessConversationLost: conversations.lost,
    HookReceived: conversations.hooked,
    TranscriptSeen: transcripts.seen,
    TranscriptMoved: transcripts.moved,
    TranscriptTurnStarted: transcripts.turn_started,
    TranscriptTurnEnded: transcripts.turn_ended,
    TranscriptUsageRecorded: transcripts.used,
    TranscriptSettingsChanged: transcripts.settings_changed,
    TranscriptQuotaObserved: transcripts.quota_observed,
    ProviderQuotaObserved: requests.quota_observed,
    PinPlaced: lambda state, event, data: state.preferences.placed(event, data),
    PinRemoved: lambda state, event, data: state.preferences.removed(event, data),
    ConfigChanged: lambda state, event, data: state.preferences.changed(event, data),
    LaunchStarted: lifetimes.launch_started,
    LaunchEnded: lifetimes.launch_ended,
    BridgeStarted: bridges.started,
    BridgeReady: bridges.ready,
    BridgeIdentified: bridges.identified,
    BridgeTurnStarted: bridges.turn_started,
    BridgeTurnEnded: bridges.turn_ended,
    BridgeApprovalRequested: bridges.approval_requested,
    BridgeApprovalResolved: bridges.approval_resolved,
    BridgeSettingsChanged: bridges.settings_changed,
    BridgeFailed: bridges.failed,
    BridgeEnded: bridges.ended,
    BridgeAttached: bridges.attached,
    BridgeDetached: bridges.detached,
    ActorStarted: lifetimes.actor_started,
    ActorExited: lifetimes.actor_exited,
    SessionSeen: announced.seen,
    SessionIdentified: announced.identified,
    SessionVerified: announced.verified,
    SessionConflicted: announced.conflicted,
    SessionLinked: announced.linked,
    SessionStatusChanged: announced.status_changed,
    SessionGone: announced.gone,
    SessionReturned: announced.returned,
}
_CLIENT: Final = "/client/"
_ACTORS_ONLY: Final = ("request.", "process.", "actor.", "transcript.", "hook.", "bridge.", "provider.", "pin.", "config.")


def fold(state: State, event: Recorded) -> tuple[Effect, ...]:
    """Fold one event into the state, in place; return the effects that are due because of it."""
    take(state, event)
    if not state.dirty:
        return NOTHING
    effects = owed(state, state.dirty)
    state.dirty.clear()
    return effects


def take(state: State, event: Recorded) -> None:
    """Fold one event as ``fold`` does, and leave open what is due: for replay, and until the end of the journal is reached."""
    stamp = event.stamp
    if stamp.epoch != state.epoch:
        _begin_again(state, stamp.epoch)
    elif stamp.position <= state.position:
        return
    state.position = stamp.position
    state.time = stamp.recordedtime
    envelope = event.envelope
    step = _STEPS.get(type(envelope.data))
    if step is None:
        if envelope.type not in EVENTS:
            state.count("events of an unknown type")
    elif envelope.source.startswith(_CLIENT) and envelope.type.startswith(_ACTORS_ONLY):
        state.count("facts that only an actor may say")
    else:
        step(state, event, envelope.data)
    if stamp.position >= state.next_sweep:
        sweep(state, event)
    if state.unsettled:
        settle_all(state, event)


def _begin_again(state: State, epoch: str) -> None:
    """Forget everything: positions of another journal say nothing about this one."""
    fresh = State(limits=state.limits, epoch=epoch)
    for name in State.__slots__:
        setattr(state, name, getattr(fresh, name))
