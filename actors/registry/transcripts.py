"""What the agents' own files say: kept by conversation, also of those that have no session.

The part of ``fold`` for ``transcript.*``. Files alone make no session and no row: nobody knows that an agent has them open.
What they say is read when a process or request has the conversation (``files``).

A line may be read long after it was written: then it is no sign of life, and an open turn counts only if a process that has
the conversation lived at the time. For that, and nothing else, the agent's own time is compared with the publisher's. Pure.
"""

from __future__ import annotations

from typing import Final

from actors.registry import quotas, usage
from actors.registry.files import INSIDE
from actors.registry.identity import put_inside
from actors.registry.state import File, State
from actors.registry.statements import at, moment
from actors.registry.tables import touch, transcript_of
from schemas.envelope import Recorded
from schemas.events import (
    TranscriptMoved,
    TranscriptQuotaObserved,
    TranscriptSeen,
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
)
from schemas.identity import SessionId

_LATE_SECONDS: Final = 60.0


def seen(state: State, event: Recorded, data: TranscriptSeen) -> None:
    """Know a file and what its first line says."""
    file = _file(state, event, data.session, data.file, data.thread)
    if file is None:
        return
    file.seen = data
    file.path = data.path
    file.archived = data.archived
    file.agent_provider = file.agent_provider or data.agent_provider
    file.cwd = file.cwd or data.cwd
    if data.thread_kind in INSIDE:
        put_inside(state, SessionId(f"{data.agent}-{data.thread}"), data.session)
    _stir(state, data.session)


def moved(state: State, event: Recorded, data: TranscriptMoved) -> None:
    """Know that a file is elsewhere, or gone."""
    del event
    transcript = state.transcripts.get(data.session)
    file = None if transcript is None else transcript.files.get(data.file)
    if file is not None:
        file.path, file.archived = data.path, data.archived
        _stir(state, data.session)


def turn_started(state: State, event: Recorded, data: TranscriptTurnStarted) -> None:
    """Know that the agent works on a message."""
    file = _file(state, event, data.session, data.file, data.thread)
    if file is not None:
        file.turn, file.outcome, file.code, file.turn_since = data.turn, "", "", event.envelope.time
        file.turn_at = data.at if _late(data.at, event) else ""
        _touch(state, data.session, None if file.turn_at else event)


def turn_ended(state: State, event: Recorded, data: TranscriptTurnEnded) -> None:
    """Know how the agent's work on a message ended."""
    file = _file(state, event, data.session, data.file, data.thread)
    if file is not None:
        file.turn, file.outcome, file.code, file.turn_since = data.turn, data.outcome, data.code, event.envelope.time
        _touch(state, data.session, None if _late(data.at, event) else event)


def used(state: State, event: Recorded, data: TranscriptUsageRecorded) -> None:
    """Count what a response cost, unless its request was counted."""
    file = _file(state, event, data.session, data.file, data.thread)
    provider = cwd = ""
    if file is not None:
        file.model = data.model or file.model
        provider, cwd = file.agent_provider, file.cwd or ""
    usage.transcribed(state, event, data, provider or data.session.partition("-")[0], cwd)


def quota_observed(state: State, event: Recorded, data: TranscriptQuotaObserved) -> None:
    """Know a quota window of the agent's own account."""
    quotas.transcribed(state.quotas, event.envelope.time, data)


def settings_changed(state: State, event: Recorded, data: TranscriptSettingsChanged) -> None:
    """Know the settings that hold from here on."""
    file = _file(state, event, data.session, data.file, data.thread)
    if file is not None:
        file.agent_provider = data.agent_provider or file.agent_provider
        file.model = data.model or file.model
        file.cwd = data.cwd or file.cwd


def _file(state: State, event: Recorded, session: SessionId, name: str, thread: str) -> File | None:
    files = transcript_of(state, session).files
    file = files.get(name)
    if file is None:
        if len(files) >= state.limits.files:
            state.count("files of one conversation omitted")
            return None
        file = files[name] = File(thread, at(event))
    return file


def _late(at: str, event: Recorded) -> bool:
    """Tell whether a line was read much later than it was written."""
    written, read = moment(at), moment(event.envelope.time)
    return written is not None and read is not None and (read - written).total_seconds() > _LATE_SECONDS


def _stir(state: State, name: SessionId) -> None:
    if name in state.sessions:
        state.stir(name)


def _touch(state: State, name: SessionId, event: Recorded | None) -> None:
    """See that a status may have changed; with an event, that there was a sign of life."""
    session = state.sessions.get(name)
    if session is not None:
        state.dirty.setdefault(name, False)
        if event is not None:
            touch(session, event)
