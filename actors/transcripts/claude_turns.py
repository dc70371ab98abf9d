"""What was said and done in the turns of a Claude Code transcript, line by line: pure.

A turn is what follows one message of the user, named by its prompt id. Sub-agents' lines, what Claude Code itself put in the
user's mouth, and the output of slash commands are passed over. Lines of which nothing is understood say nothing. Must not know
files.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from actors.transcripts.gathering import Gathering, usage_of
from schemas.events import Usage

_INTERRUPTED: Final = "[Request interrupted by user"
_COMMANDS: Final = ("<command-", "<local-command-", "<bash-")
_GOING_ON: Final = ("", "tool_use", "pause_turn")
_PASSED_OVER: Final = ("isMeta", "isSidechain", "isCompactSummary", "isVisibleInTranscriptOnly")
_LONGEST_NOTE: Final = 400


def read(gathering: Gathering, line: bytes) -> None:
    """Take one line."""
    entry = _object(line)
    message = entry.get("message")
    if not isinstance(message, dict) or any(entry.get(name) for name in _PASSED_OVER):
        return
    if entry.get("type") == "user":
        _user(gathering, entry, message)
    elif entry.get("type") == "assistant":
        _assistant(gathering, entry, message)


def _user(gathering: Gathering, entry: dict[str, Any], message: dict[str, Any]) -> None:
    blocks = _blocks(message.get("content"))
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for block in results:
        told = "".join(_text(one.get("text")) for one in _blocks(block.get("content")))
        gathering.tool_end(_text(block.get("tool_use_id")), told, ok=not block.get("is_error"))
    if results:
        return
    text = "\n".join(filter(None, (_text(block.get("text")) for block in blocks)))
    if _INTERRUPTED in text and len(text) < _LONGEST_NOTE:
        gathering.end("interrupted")
    elif text and not text.startswith(_COMMANDS):
        prompt = _text(entry.get("promptId")) or _text(entry.get("uuid")) or f"offset-{gathering.at}"
        if prompt != gathering.turn:
            gathering.begin(prompt, _text(entry.get("timestamp")))
        gathering.message(_text(entry.get("uuid")))
        gathering.text(_text(entry.get("uuid")) or f"prompt-{gathering.at}", "prompt", text)


def _assistant(gathering: Gathering, entry: dict[str, Any], message: dict[str, Any]) -> None:
    text = ""
    for number, block in enumerate(_blocks(message.get("content"))):
        item = f"{_text(entry.get('uuid')) or gathering.at}-{number}"
        kind = block.get("type")
        if kind == "text":
            text = _text(block.get("text"))
            gathering.text(item, "notice" if entry.get("isApiErrorMessage") else "reply", text)
        elif kind == "thinking":
            gathering.text(item, "thought", _text(block.get("thinking")))
        elif kind in ("tool_use", "server_tool_use"):
            given = block.get("input")
            title = _text(given.get("command")) or _text(given.get("file_path")) if isinstance(given, dict) else ""
            name = _text(block.get("name")) or "tool"
            gathering.tool(_text(block.get("id")) or item, name, title=title, arguments=orjson.dumps(given).decode())
    stop = _text(message.get("stop_reason"))
    if entry.get("isApiErrorMessage"):
        gathering.end("failed", text)
    elif stop not in _GOING_ON:
        gathering.end("completed")
    if stop and message.get("usage"):  # a response stands in several lines; the one that has a reason to stop counts it
        gathering.used(_usage(message.get("usage")))


def _usage(tokens: Any) -> Usage:
    """Count as the gateway does: what was read from and written to the cache is part of the input."""
    told = usage_of(tokens, ("input_tokens", "cache_read_input_tokens", "output_tokens", ""))
    written = usage_of(tokens, ("cache_creation_input_tokens", "", "", "")).input
    total_in = told.input + told.cached_input + written
    return Usage(input=total_in, cached_input=told.cached_input, output=told.output, total=total_in + told.output)


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
