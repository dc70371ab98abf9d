"""What people typed at the beginning of a past session, and what they called it: read only when ``--preview`` asks for it.

Owns the one place of Tabwire where text of a conversation is read for showing; it goes to the terminal and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from actors.cli.thread_names import namings
from actors.transcripts.files import Unpacked, opened, read_span
from actors.transcripts.tree import Found, home_of
from schemas.rows import HistoryRow

_READ: Final = 1 << 20
_LONGEST: Final = 100
_CONTEXT: Final = ("<", "# AGENTS.md")  # what the agent itself puts before the first message


def with_preview(row: HistoryRow, found: Found) -> HistoryRow:
    """Add title and first message to a row, as far as they are to be had."""
    try:
        preview = next(_messages(found), None)
    except OSError:
        preview = None
    return replace(row, title=_title(row), preview=preview)


def _messages(found: Found) -> Iterator[str]:
    """Yield the user's messages in the first megabyte of a file."""
    with opened(found.root, found.path) as descriptor:
        if found.name.compressed:
            with contextlib.closing(Unpacked(os.dup(descriptor))) as unpacked:
                raw = unpacked.read_span(0, _READ)
        else:
            raw = read_span(descriptor, 0, _READ)
    for line in raw.split(b"\n"):
        if (text := _text(_object(line))) and not text.startswith(_CONTEXT):
            yield _shortened(text)


def _text(line: dict[str, Any]) -> str:
    """Return what a line holds of the user: of Codex's three formats, or Claude Code's."""
    payload = line.get("payload")
    if isinstance(payload, dict):
        kind = payload.get("type")
        if kind == "user_message":
            return _joined(payload.get("message"))
        if kind == "message" and payload.get("role") == "user":
            return _joined(payload.get("content"))
        item = payload.get("item")
        if kind == "item_completed" and isinstance(item, dict) and item.get("type") == "UserMessage":
            return _joined(item.get("content"))
        return ""
    message = line.get("message")
    if line.get("type") == "user" and not line.get("isMeta") and isinstance(message, dict):
        return _joined(message.get("content"))
    return ""


def _joined(content: Any) -> str:
    if isinstance(content, str):
        return content.strip()
    if not isinstance(content, list):
        return ""
    texts = [one.get("text") for one in content if isinstance(one, dict)]
    return " ".join(text for text in texts if isinstance(text, str)).strip()


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 1]}…"


def _title(row: HistoryRow) -> str | None:
    """Return the name that Codex keeps of a thread; the last naming counts."""
    home = home_of(row.agent, row.path) if row.agent == "codex" else None
    if home is None:
        return None
    return next((_shortened(name) for thread, name in namings(home, row.thread) if thread == row.thread), None)


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
