"""What the lines of a Codex rollout say: pure.

Old files record no turn and no response by an id: there a message begins a turn named after its offset, the first answer
ends it, and each change of the running total is a usage without a response. Lines of types that say nothing here (items,
states, compactions) are counted and passed over without being looked into. Must not know files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from actors.transcripts import codex_limits, codex_meta
from actors.transcripts.facts import (
    Fact,
    Id,
    Outcome,
    Path,
    Place,
    RejectedError,
    Settings,
    Spot,
    Thread,
    Tokens,
    Told,
    Word,
    decoded,
    moment,
    printable,
    word,
)
from actors.transcripts.facts import Line as Text
from schemas.events import (
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
    Usage,
)
from schemas.identity import SessionId

_NOTHING: Final = Raw(b"")


class _Line(Struct):
    type: Word
    payload: Raw = _NOTHING
    timestamp: str = ""
    ordinal: int | None = None


class _Context(Struct):
    model: Text | None = None
    cwd: Path | None = None
    approval_policy: Raw = _NOTHING
    sandbox_policy: Raw = _NOTHING


class _Applied(Struct):
    model: Text | None = None
    model_provider_id: Word | None = None
    cwd: Path | None = None
    approval_policy: Raw = _NOTHING


class _Attribution(Struct):
    turn_trigger: Word | None = None


class _Tokens(Struct):
    input_tokens: Tokens = 0
    cached_input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    reasoning_output_tokens: Tokens = 0
    total_tokens: Tokens = 0


class _Record(Struct):
    response_id: Id
    usage: _Tokens
    turn_id: Id | None = None


class _Info(Struct):
    total_token_usage: _Tokens | None = None
    last_token_usage: _Tokens | None = None


class _Failure(Struct):
    codex_error_info: Raw = _NOTHING


class _Event(Struct):
    type: Word
    turn_id: Id | None = None
    turn_attribution: _Attribution | None = None
    error: _Failure | None = None
    duration_ms: float | None = None
    reason: Raw = _NOTHING
    info: _Info | None = None
    rate_limits: Raw = _NOTHING
    thread_settings: _Applied | None = None


_LINE: Final = msgspec.json.Decoder(_Line)
_CONTEXT: Final = msgspec.json.Decoder(_Context)
_RECORD: Final = msgspec.json.Decoder(_Record)
_EVENT: Final = msgspec.json.Decoder(_Event)
_KIND: Final = msgspec.json.Decoder(msgspec.defstruct("_Kind", [("type", Word)]))


def read(thread: Thread, place: Place, line: bytes, end: int) -> Told:
    """Take one line, which ends at ``end``.

    Raises:
        RejectedError: it cannot be read, or what it says of itself cannot be.

    """
    told: _Line = decoded(_LINE, line)
    if not thread.thread:
        if told.type != "session_meta":
            raise RejectedError("the file does not begin with a session_meta line")
        return codex_meta.seen(thread, place, told.payload, told.timestamp, end)
    tell = _TYPES.get(told.type)
    spot = Spot(place=place, end=end, timestamp=told.timestamp, ordinal=told.ordinal)
    return tell(thread, spot, told.payload) if tell else _ignored(thread)


def _ignored(thread: Thread) -> Told:
    return replace(thread, ignored=thread.ignored + 1), ()


def _settled(thread: Thread, spot: Spot, settings: Settings) -> Told:
    """Tell the settings that hold from here on, unless they did before."""
    if settings == thread.told:
        return replace(thread, settings=settings), ()
    fact = TranscriptSettingsChanged(
        session=SessionId(thread.session),
        file=spot.place.file,
        offset=spot.end,
        thread=thread.thread,
        at=moment(spot.timestamp),
        agent_provider=printable(settings.agent_provider, "provider"),
        model=printable(settings.model or "", "model") or None,
        cwd=printable(settings.cwd or "", "cwd") or None,
        approval_policy=settings.approval_policy,
        sandbox=settings.sandbox,
    )
    return replace(thread, settings=settings, told=settings), (fact,)


def _turn_context(thread: Thread, spot: Spot, payload: Raw) -> Told:
    context: _Context = decoded(_CONTEXT, payload)
    settings = replace(
        thread.settings,
        model=context.model or thread.settings.model,
        cwd=context.cwd or thread.settings.cwd,
        approval_policy=word(context.approval_policy),
        sandbox=word(context.sandbox_policy),
    )
    return _settled(thread, spot, settings)


def _applied(thread: Thread, spot: Spot, event: _Event) -> Told:
    applied = event.thread_settings
    if applied is None:
        raise RejectedError("thread_settings_applied without its settings")
    settings = replace(
        thread.settings,
        model=applied.model or thread.settings.model,
        agent_provider=applied.model_provider_id or thread.settings.agent_provider,
        cwd=applied.cwd or thread.settings.cwd,
        approval_policy=word(applied.approval_policy) or thread.settings.approval_policy,
    )
    return _settled(thread, spot, settings)


def _usage_record(thread: Thread, spot: Spot, payload: Raw) -> Told:
    record: _Record = decoded(_RECORD, payload)
    fact = _usage(thread, spot, record.usage, printable(record.response_id, "response"), record.turn_id)
    return replace(thread, records=True), (fact,)


def _usage(thread: Thread, spot: Spot, tokens: _Tokens, response: str, turn: str | None) -> Fact:
    return TranscriptUsageRecorded(
        session=SessionId(thread.session),
        file=spot.place.file,
        offset=spot.end,
        thread=thread.thread,
        response=response,
        usage=Usage(
            input=tokens.input_tokens,
            cached_input=tokens.cached_input_tokens,
            output=tokens.output_tokens,
            reasoning=tokens.reasoning_output_tokens,
            total=tokens.total_tokens,
        ),
        turn=printable(turn or "", "turn") or None,
        model=printable(thread.settings.model or "", "model") or None,
    )


def _token_count(thread: Thread, spot: Spot, event: _Event) -> Told:
    """Tell the quota windows that have changed, and a usage where running totals are all there is of it."""
    before = thread.ignored
    thread, quotas = codex_limits.told(thread, spot, event.rate_limits)
    thread, facts = _running_total(thread, spot, event)
    return (replace(thread, ignored=before) if quotas else thread), (*facts, *quotas)


def _running_total(thread: Thread, spot: Spot, event: _Event) -> Told:
    """Tell a usage from running totals, in files that do not record each response (those lines have no ordinal)."""
    total = event.info.total_token_usage if event.info else None
    last = event.info.last_token_usage if event.info else None
    if thread.records or spot.ordinal is not None or total is None or last is None or total.total_tokens == thread.total:
        return _ignored(thread)
    return replace(thread, total=total.total_tokens), (_usage(thread, spot, last, "", thread.turn),)


def _task_started(thread: Thread, spot: Spot, event: _Event) -> Told:
    trigger = event.turn_attribution.turn_trigger if event.turn_attribution else None
    return _started(thread, spot, event.turn_id or f"offset-{spot.end}", trigger or "")


def _started(thread: Thread, spot: Spot, turn: str, trigger: str) -> Told:
    fact = TranscriptTurnStarted(
        session=SessionId(thread.session),
        file=spot.place.file,
        offset=spot.end,
        thread=thread.thread,
        turn=printable(turn, "turn"),
        at=moment(spot.timestamp),
        trigger=printable(trigger, "trigger"),
    )
    return replace(thread, turn=turn), (fact,)


def _user_message(thread: Thread, spot: Spot, event: _Event) -> Told:
    del event
    if thread.turn or spot.ordinal is not None:
        return _ignored(thread)
    return _started(thread, spot, f"offset-{spot.end}", "")


def _agent_message(thread: Thread, spot: Spot, event: _Event) -> Told:
    if not thread.turn.startswith("offset-"):
        return _ignored(thread)
    return _task_complete(thread, spot, event)


def _task_complete(thread: Thread, spot: Spot, event: _Event) -> Told:
    failed = event.error is not None
    code = (word(event.error.codex_error_info) or "error") if event.error is not None else ""
    return _ended(thread, spot, event, "failed" if failed else "completed", code)


def _turn_aborted(thread: Thread, spot: Spot, event: _Event) -> Told:
    return _ended(thread, spot, event, "aborted", word(event.reason))


def _ended(thread: Thread, spot: Spot, event: _Event, outcome: Outcome, code: str) -> Told:
    turn = event.turn_id or thread.turn
    if not turn:
        return _ignored(thread)  # the end of nothing
    if event.duration_ms is not None and not 0 <= event.duration_ms < 1 << 53:
        raise RejectedError("its duration cannot be")
    fact = TranscriptTurnEnded(
        session=SessionId(thread.session),
        file=spot.place.file,
        offset=spot.end,
        thread=thread.thread,
        turn=printable(turn, "turn"),
        outcome=outcome,
        at=moment(spot.timestamp),
        code=code,
        duration_ms=event.duration_ms,
    )
    return replace(thread, turn="" if turn == thread.turn else thread.turn), (fact,)


_EVENTS: Final[dict[str, Callable[[Thread, Spot, _Event], Told]]] = {
    "task_started": _task_started,
    "turn_started": _task_started,
    "task_complete": _task_complete,
    "turn_complete": _task_complete,
    "turn_aborted": _turn_aborted,
    "thread_settings_applied": _applied,
    "token_count": _token_count,
    "user_message": _user_message,
    "agent_message": _agent_message,
}


def _event(thread: Thread, spot: Spot, payload: Raw) -> Told:
    """Look at an event's type first: of the types that say nothing here, nothing else is looked at."""
    tell = _EVENTS.get(decoded(_KIND, payload).type)
    if tell is None:
        return _ignored(thread)
    event: _Event = decoded(_EVENT, payload)
    return tell(thread, spot, event)


_TYPES: Final[dict[str, Callable[[Thread, Spot, Raw], Told]]] = {
    "event_msg": _event,
    "turn_context": _turn_context,
    "token_usage_record": _usage_record,
}
