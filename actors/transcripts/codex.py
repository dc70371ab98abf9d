"""What the lines of a Codex rollout say: pure.

Old files record no turn and no response by an id: there a message begins a turn named after its offset, the first answer
ends it, and each change of the running total is a usage without a response. Lines of types that say nothing here (items,
states, compactions) are counted and passed over without being looked into. Must not know files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from actors.transcripts import codex_limits
from actors.transcripts.facts import (
    Fact,
    Id,
    Path,
    Place,
    RejectedError,
    Settings,
    Spot,
    Thread,
    Tokens,
    Word,
    decoded,
    moment,
    printable,
    word,
)
from actors.transcripts.facts import Line as Text
from actors.transcripts.tree import UUID
from schemas.events import (
    ThreadKind,
    TranscriptSeen,
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
    Usage,
)
from schemas.identity import SessionId, conversation_key, session_of

_NOTHING: Final = Raw(b"")
Told = tuple[Thread, tuple[Fact, ...]]
Outcome = Literal["completed", "aborted", "failed"]


class _Line(Struct):
    type: Word
    payload: Raw = _NOTHING
    timestamp: str = ""
    ordinal: int | None = None


class _Git(Struct):
    branch: Text | None = None
    commit_hash: Word | None = None


class _Meta(Struct):
    id: Id
    session_id: Id | None = None
    timestamp: str = ""
    cwd: Path | None = None
    originator: Text | None = None
    cli_version: Word | None = None
    source: Raw = _NOTHING
    thread_source: Text | None = None
    model_provider: Word | None = None
    git: _Git | None = None
    parent_thread_id: Id | None = None
    forked_from_id: Id | None = None


class _Spawn(Struct):
    parent_thread_id: Id | None = None


class _SpawnSource(Struct):
    thread_spawn: _Spawn | None = None


class _Source(Struct):
    subagent: Raw = _NOTHING


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
_META: Final = msgspec.json.Decoder(_Meta)
_SOURCE: Final = msgspec.json.Decoder(_Source)
_SPAWN: Final = msgspec.json.Decoder(_SpawnSource)
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
        return _seen(thread, place, told, end)
    tell = _TYPES.get(told.type)
    spot = Spot(place=place, end=end, timestamp=told.timestamp, ordinal=told.ordinal)
    return tell(thread, spot, told.payload) if tell else _ignored(thread)


def _ignored(thread: Thread) -> Told:
    return replace(thread, ignored=thread.ignored + 1), ()


def _seen(thread: Thread, place: Place, line: _Line, end: int) -> Told:
    meta: _Meta = decoded(_META, line.payload)
    root = meta.session_id or meta.id
    for id_ in (meta.id, root, meta.parent_thread_id, meta.forked_from_id):
        if id_ is not None and not UUID.fullmatch(id_):
            raise RejectedError("an id in session_meta is not a UUID")
    if meta.id != place.thread:
        raise RejectedError("session_meta and the file's name name different threads")
    origin, kind, parent = _origin(meta)
    conversation = conversation_key("codex", root)
    git = meta.git or _Git()
    seen = TranscriptSeen(
        session=session_of(conversation),
        conversation=conversation,
        agent="codex",
        thread=meta.id,
        thread_kind=kind,
        path=place.path,
        file=place.file,
        offset=end,
        created=moment(meta.timestamp or line.timestamp),
        cwd=printable(meta.cwd or "", "cwd") or None,
        origin=origin,
        originator=printable(meta.originator or "", "originator"),
        agent_version=printable(meta.cli_version or "", "version"),
        agent_provider=printable(meta.model_provider or "", "provider"),
        git_branch=printable(git.branch or "", "branch"),
        git_commit=printable(git.commit_hash or "", "commit"),
        parent_thread=meta.parent_thread_id or parent,
        forked_from=conversation_key("codex", meta.forked_from_id) if meta.forked_from_id else None,
        archived=place.archived,
    )
    settings = Settings(agent_provider=seen.agent_provider, cwd=seen.cwd)
    return replace(thread, session=seen.session, thread=meta.id, created=seen.created, settings=settings), (seen,)


def _origin(meta: _Meta) -> tuple[str, ThreadKind, str | None]:
    """Read where a thread comes from: a word for it, its kind, and the thread that spawned it."""
    if meta.thread_source == "thread_title":
        return "thread_title", "title", None
    if bytes(meta.source)[:1] != b"{":
        return word(meta.source), "main", None
    sub: Raw = decoded(_SOURCE, meta.source).subagent
    if not bytes(sub):
        return word(meta.source), "main", None
    what = word(sub)
    if bytes(sub)[:1] == b"{":
        spawn = decoded(_SPAWN, sub).thread_spawn
        parent = spawn.parent_thread_id if spawn else None
        if parent is not None and not UUID.fullmatch(parent):
            raise RejectedError("an id in session_meta is not a UUID")
        return f"subagent:{what}", "subagent", parent
    kinds: dict[str, ThreadKind] = {"review": "review", "compact": "compaction"}
    return f"subagent:{what}", kinds.get(what, "subagent"), None


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
