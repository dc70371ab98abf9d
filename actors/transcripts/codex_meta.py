"""What the first line of a Codex rollout says: whose thread it is, and where that comes from. Pure."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from actors.transcripts.facts import (
    Id,
    Path,
    Place,
    RejectedError,
    Settings,
    Thread,
    Told,
    Word,
    decoded,
    moment,
    printable,
    word,
)
from actors.transcripts.facts import Line as Text
from actors.transcripts.tree import UUID
from schemas.events import ThreadKind, TranscriptSeen
from schemas.identity import conversation_key, session_of

_NOTHING: Final = Raw(b"")


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


_META: Final = msgspec.json.Decoder(_Meta)
_SOURCE: Final = msgspec.json.Decoder(_Source)
_SPAWN: Final = msgspec.json.Decoder(_SpawnSource)


def seen(thread: Thread, place: Place, payload: Raw, timestamp: str, end: int) -> Told:
    """Take what the first line holds.

    Raises:
        RejectedError: it cannot be read, or is of another thread than its file is named after.

    """
    meta: _Meta = decoded(_META, payload)
    root = meta.session_id or meta.id
    for id_ in (meta.id, root, meta.parent_thread_id, meta.forked_from_id):
        if id_ is not None and not UUID.fullmatch(id_):
            raise RejectedError("an id in session_meta is not a UUID")
    if meta.id != place.thread:
        raise RejectedError("session_meta and the file's name name different threads")
    origin, kind, parent = _origin(meta)
    conversation = conversation_key("codex", root)
    git = meta.git or _Git()
    fact = TranscriptSeen(
        session=session_of(conversation),
        conversation=conversation,
        agent="codex",
        thread=meta.id,
        thread_kind=kind,
        path=place.path,
        file=place.file,
        offset=end,
        created=moment(meta.timestamp or timestamp),
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
    settings = Settings(agent_provider=fact.agent_provider, cwd=fact.cwd)
    return replace(thread, session=fact.session, thread=meta.id, created=fact.created, settings=settings), (fact,)


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
