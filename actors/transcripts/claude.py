"""What the lines of a Claude Code transcript say: pure.

The session is the one that the file's name (a sub-agent's: its folder or its lines) names; lines that name another are
copies of an earlier session and are passed over. A turn is what follows one message of the user, named by its prompt id.
An answer stands in several lines, one for each block, under one ``requestId``; its usage is told once: from the line that
has a stop reason, otherwise when the next request or message shows that there is none to come.

The response's id is the message's id, which is what the gateway sees too; ``requestId`` stands in where it is missing.
Must not know files.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from actors.transcripts.facts import (
    Fact,
    Held,
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
from actors.transcripts.tree import UUID
from schemas.events import (
    TranscriptSeen,
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
    Usage,
)
from schemas.identity import SessionId, conversation_key, session_of

_NOTHING: Final = Raw(b"")
_INTERRUPTED: Final = b"[Request interrupted by user"
_COMMAND: Final = (b'"<command-', b'"<local-command-', b'"<bash-')
_LONGEST_NOTE: Final = 400
_GOING_ON: Final = frozenset({"", "tool_use", "pause_turn"})


class _Details(Struct):
    thinking_tokens: Tokens = 0


class _Tokens(Struct):
    input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    output_tokens_details: _Details | None = None


class _Message(Struct):
    id: Id | None = None
    model: Text | None = None
    stop_reason: Word | None = None
    usage: _Tokens | None = None
    content: Raw = _NOTHING


class _Line(Struct):
    type: Word
    sessionId: Id | None = None  # noqa: N815 - the file's names
    timestamp: str = ""
    cwd: Path | None = None
    version: Word | None = None
    gitBranch: Text | None = None  # noqa: N815
    entrypoint: Text | None = None
    agentId: Id | None = None  # noqa: N815
    promptId: Id | None = None  # noqa: N815
    promptSource: Word | None = None  # noqa: N815
    uuid: Id | None = None
    isMeta: bool | None = None  # noqa: N815
    isSidechain: bool | None = None  # noqa: N815
    permissionMode: Word | None = None  # noqa: N815
    requestId: Id | None = None  # noqa: N815
    isApiErrorMessage: bool | None = None  # noqa: N815
    error: Raw = _NOTHING
    message: _Message | None = None


class _Kind(Struct):
    type: Word
    sessionId: Id | None = None  # noqa: N815
    timestamp: str = ""


class _Block(Struct):
    type: Word = ""


_KIND: Final = msgspec.json.Decoder(_Kind)
_LINE: Final = msgspec.json.Decoder(_Line)
_BLOCKS: Final = msgspec.json.Decoder(list[_Block])


def read(thread: Thread, place: Place, line: bytes, end: int) -> Told:
    """Take one line, which ends at ``end``.

    Raises:
        RejectedError: it cannot be read, or what it says of itself cannot be.

    """
    kind: _Kind = decoded(_KIND, line)
    expected = place.session or thread.session.removeprefix("claude-")
    if expected and kind.sessionId is not None and kind.sessionId != expected:
        return _ignored(thread)
    if not thread.created and kind.timestamp:
        thread = replace(thread, created=moment(kind.timestamp))
    if kind.type not in ("user", "assistant", "attachment", "system"):
        return _ignored(thread)
    told: _Line = decoded(_LINE, line)
    spot = Spot(place=place, end=end, timestamp=told.timestamp)
    facts: list[Fact] = []
    if not thread.thread:
        if told.sessionId is None or told.cwd is None:
            return _ignored(thread)
        thread, facts = _seen(thread, place, told, end)
    if told.isSidechain and not place.subagent:  # older versions kept sub-agents in the file of their session
        thread = _used(thread, spot, told, facts) if told.type == "assistant" else thread
    elif told.type == "user":
        thread = _user(thread, spot, told, facts)
    elif told.type == "assistant":
        thread = _assistant(thread, spot, told, facts)
    else:
        thread = replace(thread, ignored=thread.ignored + 1)
    return thread, tuple(facts)


def _ignored(thread: Thread) -> Told:
    return replace(thread, ignored=thread.ignored + 1), ()


def _seen(thread: Thread, place: Place, line: _Line, end: int) -> tuple[Thread, list[Fact]]:
    session = line.sessionId or ""
    if not UUID.fullmatch(session):
        raise RejectedError("the session's id is not a UUID")
    if place.subagent and line.agentId is not None and line.agentId != place.thread:
        raise RejectedError("the line and the file's name name different agents")
    conversation = conversation_key("claude", session)
    seen = TranscriptSeen(
        session=session_of(conversation),
        conversation=conversation,
        agent="claude",
        thread=place.thread,
        thread_kind="subagent" if place.subagent else "main",
        path=place.path,
        file=place.file,
        offset=end,
        created=thread.created or moment(line.timestamp),
        cwd=printable(line.cwd or "", "cwd") or None,
        origin=printable(line.entrypoint or "", "entrypoint"),
        agent_version=printable(line.version or "", "version"),
        git_branch=printable(line.gitBranch or "", "branch"),
        parent_thread=session if place.subagent else None,
        archived=place.archived,
    )
    return replace(thread, session=seen.session, thread=place.thread, settings=Settings(cwd=seen.cwd)), [seen]


def _settled(thread: Thread, spot: Spot, line: _Line, facts: list[Fact], model: str | None) -> Thread:
    settings = replace(
        thread.settings,
        model=model or thread.settings.model,
        cwd=line.cwd or thread.settings.cwd,
        approval_policy=line.permissionMode or thread.settings.approval_policy,
    )
    if settings == thread.told or settings.model is None:
        return replace(thread, settings=settings)
    facts.append(
        TranscriptSettingsChanged(
            session=SessionId(thread.session),
            file=spot.place.file,
            offset=spot.end,
            thread=thread.thread,
            at=moment(spot.timestamp),
            model=printable(settings.model, "model"),
            cwd=printable(settings.cwd or "", "cwd") or None,
            approval_policy=printable(settings.approval_policy, "permission mode"),
        )
    )
    return replace(thread, settings=settings, told=settings)


def _user(thread: Thread, spot: Spot, line: _Line, facts: list[Fact]) -> Thread:
    thread = _settled(thread, spot, line, facts, None)
    content = bytes(line.message.content) if line.message else b""
    if _is_interruption(content):
        thread = _final(thread, spot, facts)
        return _ended(thread, spot, facts, "aborted", "interrupted")
    if line.isMeta or _is_result(content):
        return thread
    prompt = line.promptId or line.uuid or f"offset-{spot.end}"
    thread = replace(_final(thread, spot, facts), prompt=prompt)
    if thread.turn == prompt or content.startswith(_COMMAND):  # a command may be followed by no answer at all
        return thread
    return _started(thread, spot, line, facts)


def _assistant(thread: Thread, spot: Spot, line: _Line, facts: list[Fact]) -> Thread:
    message = line.message or _Message()
    if line.isApiErrorMessage:
        thread = _final(thread, spot, facts)
        return _ended(thread, spot, facts, "failed", word(line.error) or "api_error")
    if not thread.turn and thread.prompt:
        thread = _started(thread, spot, line, facts)
    thread = _settled(thread, spot, line, facts, message.model)
    thread = _used(thread, spot, line, facts)
    if (message.stop_reason or "") not in _GOING_ON:
        thread = _ended(thread, spot, facts, "completed", "")
    return thread


def _used(thread: Thread, spot: Spot, line: _Line, facts: list[Fact]) -> Thread:
    """Take what a response cost so far; tell it when it is final."""
    message = line.message or _Message()
    request = line.requestId or message.id
    if request is not None and message.usage is not None and request != thread.last_request:
        if thread.held is not None and thread.held.request != request:
            thread = _final(thread, spot, facts)
        response = printable(message.id or request, "response")
        held = Held(request=request, response=response, usage=_usage(message.usage), model=message.model)
        thread = replace(thread, held=held)
        if message.stop_reason:
            thread = _final(thread, spot, facts)
    return thread


def _final(thread: Thread, spot: Spot, facts: list[Fact]) -> Thread:
    """Tell the usage that is held, if any."""
    held = thread.held
    if held is None:
        return thread
    facts.append(
        TranscriptUsageRecorded(
            session=SessionId(thread.session),
            file=spot.place.file,
            offset=spot.end,
            thread=thread.thread,
            response=held.response,
            usage=held.usage,
            turn=thread.turn or None,
            model=printable(held.model or "", "model") or None,
        )
    )
    return replace(thread, held=None, last_request=held.request)


def _started(thread: Thread, spot: Spot, line: _Line, facts: list[Fact]) -> Thread:
    facts.append(
        TranscriptTurnStarted(
            session=SessionId(thread.session),
            file=spot.place.file,
            offset=spot.end,
            thread=thread.thread,
            turn=printable(thread.prompt, "prompt id"),
            at=moment(spot.timestamp),
            trigger=printable(line.promptSource or "", "prompt source"),
        )
    )
    return replace(thread, turn=thread.prompt)


def _ended(thread: Thread, spot: Spot, facts: list[Fact], outcome: Outcome, code: str) -> Thread:
    if not thread.turn:
        return thread
    facts.append(
        TranscriptTurnEnded(
            session=SessionId(thread.session),
            file=spot.place.file,
            offset=spot.end,
            thread=thread.thread,
            turn=thread.turn,
            outcome=outcome,
            at=moment(spot.timestamp),
            code=code,
        )
    )
    return replace(thread, turn="", prompt="")


def _usage(tokens: _Tokens) -> Usage:
    """Count as the gateway does: what was read from and written to the cache is part of the input."""
    cached = tokens.cache_read_input_tokens or 0
    total_in = (tokens.input_tokens or 0) + cached + (tokens.cache_creation_input_tokens or 0)
    total_out = tokens.output_tokens or 0
    thought = tokens.output_tokens_details.thinking_tokens if tokens.output_tokens_details else 0
    return Usage(input=total_in, cached_input=cached, output=total_out, reasoning=thought, total=total_in + total_out)


def _is_result(content: bytes) -> bool:
    """Tell whether a user line is what a tool gave back."""
    return content[:1] == b"[" and any(block.type == "tool_result" for block in decoded(_BLOCKS, content))


def _is_interruption(content: bytes) -> bool:
    """Tell whether a user line is the note that Claude Code itself writes when its user interrupts."""
    return len(content) < _LONGEST_NOTE and _INTERRUPTED in content
