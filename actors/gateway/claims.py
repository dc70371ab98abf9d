"""What a request says of itself: conversation, thread and kind of thread, by each agent's own headers.

Gemini CLI and Qwen Code say nothing of the kind: they are known by their process, and by the launch of a bridge.

Pure. Claims are rank 4, whatever they say; ``attribution`` decides what to believe. Must not know processes.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Struct

from actors.runtime.http.fields import Fields
from schemas.events import ThreadKind
from schemas.identity import ConversationKey, IdentityError, conversation_key

_MAX_ID: Final = 200


class Claims(Struct, frozen=True):
    """A request's own account. ``problem`` says why its conversation cannot be a key, and then there is none.

    ``said_by`` is where it stands: in a ``header``, or in the report of a hook; ``note`` is what makes it worth more.
    """

    agent: str = ""
    conversation: ConversationKey | None = None
    thread: str | None = None
    thread_kind: ThreadKind = "unknown"
    parent_thread: str | None = None
    header: str = ""
    problem: str = ""
    said_by: str = "header"
    note: str = ""


class _TurnMetadata(Struct, frozen=True):
    thread_source: str = ""
    request_kind: str = ""


NO_CLAIMS: Final = Claims()
NAMING: Final = frozenset(("auggie", "claude", "codex", "opencode"))
"""Agents whose requests name their conversation: one that names none is of none."""
_OPENCODE: Final = ("x-session-id", "x-opencode-session")  # the second for its own provider
_DRIVEN: Final = re.compile(r"^augment\.cli/[^/]*/acp(/|$)")
_TURN: Final = msgspec.json.Decoder(_TurnMetadata)


def read_claims(fields: Fields) -> Claims:
    """Read what a request's headers claim."""
    if "session-id" in fields and ("thread-id" in fields or "x-codex-turn-metadata" in fields):
        return _codex(fields)
    if "x-claude-code-session-id" in fields:
        return _claude(fields)
    for header in _OPENCODE:
        if fields.get(header, "").startswith("ses_"):
            return _opencode(fields, header)
    if "x-request-session-id" in fields:
        return _auggie(fields)
    return NO_CLAIMS


def _codex(fields: Fields) -> Claims:
    try:
        turn = _TURN.decode(fields.get("x-codex-turn-metadata", "{}"))
    except (msgspec.MsgspecError, UnicodeError):
        turn = _TurnMetadata()
    session = fields.get("session-id")
    thread = fields.get("thread-id") or session
    subagent = fields.get("x-openai-subagent", "")
    kind: ThreadKind = "unknown"
    if turn.thread_source == "thread_title":
        kind = "title"
    elif subagent == "review":
        kind = "review"
    elif subagent or turn.thread_source == "subagent":
        kind = "subagent"
    elif turn.request_kind == "compaction":
        kind = "compaction"
    elif thread == session:
        kind = "main"
    return _claims(fields, "codex", "session-id", thread=thread, kind=kind, parent=fields.get("x-codex-parent-thread-id", ""))


def _claude(fields: Fields) -> Claims:
    session = fields.get("x-claude-code-session-id")
    agent = fields.get("x-claude-code-agent-id", "")
    parent = fields.get("x-claude-code-parent-agent-id", "") or (session if agent else "")
    kind: ThreadKind = "subagent" if agent else "main"
    return _claims(fields, "claude", "x-claude-code-session-id", thread=agent or session, kind=kind, parent=parent)


def _opencode(fields: Fields, header: str) -> Claims:
    session, parent = fields.get(header), fields.get("x-parent-session-id", "")
    kind: ThreadKind = "subagent" if parent and parent != session else "unknown"
    return _claims(fields, "opencode", header, thread=session, kind=kind, parent=parent)


def _auggie(fields: Fields) -> Claims:
    """Read Auggie's header, which is its session only where an editor drives it; elsewhere it names a run of the program."""
    header = "x-request-session-id"
    if _DRIVEN.search(fields.get("user-agent", "")):
        return _claims(fields, "auggie", header, thread=fields.get(header), kind="main", parent="")
    return Claims("auggie", header=header, problem=f"{header} names a run of the program; its conversation is in the body")


def _claims(fields: Fields, agent: str, header: str, *, thread: str, kind: ThreadKind, parent: str) -> Claims:
    conversation, problem = None, ""
    values = fields.getall(header)
    if len(set(values)) > 1:
        problem = f"{header} was sent {len(values)} times with different values"
    else:
        try:
            conversation = conversation_key(agent, values[0])
        except IdentityError as error:
            problem = str(error)
    return Claims(agent, conversation, _bounded(thread), kind, _bounded(parent), header, problem)


def _bounded(value: str) -> str | None:
    return value if value and len(value) <= _MAX_ID and value.isprintable() else None
