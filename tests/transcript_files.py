"""Homes of agents for tests: Codex rollouts and Claude Code transcripts as their programs write them, small."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zstandard

PROMPT = "a prompt that nobody shall see 4711"


def thread_id(number: int, random: int = 0) -> str:
    """Return a thread's id; the first 13 characters are the same for all of one number."""
    return f"01a1fb{number:02x}-0000-7000-8000-{random:012x}"


def rollout_lines(thread: str, *, prompt: str = PROMPT, **meta: Any) -> list[dict[str, Any]]:
    """Return a rollout with one turn, one response and its usage."""
    at = "2026-11-21T01:00:00.000Z"
    payload = {
        "id": thread,
        "session_id": thread,
        "timestamp": at,
        "cwd": "/home/ann/shop",
        "originator": "codex_exec",
        "cli_version": "0.169.0",
        "source": "exec",
        "model_provider": "openai",
        "git": {"branch": "main", "commit_hash": "abcdef0123456789"},
        **meta,
    }
    usage = {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 7, "total_tokens": 107}
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}
    context = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>x"}]}
    told = [
        ("session_meta", payload),
        ("turn_context", {"turn_id": "t1", "cwd": payload["cwd"], "model": "gpt-5.1-codex", "approval_policy": "never"}),
        ("event_msg", {"type": "task_started", "turn_id": "t1"}),
        ("response_item", context),
        ("response_item", message),
        ("token_usage_record", {"response_id": "resp_1", "turn_id": "t1", "usage": usage}),
        ("event_msg", {"type": "task_complete", "turn_id": "t1", "duration_ms": 1500}),
    ]
    return [{"timestamp": at, "ordinal": place, "type": kind, "payload": said} for place, (kind, said) in enumerate(told)]


def write_rollout(home: Path, thread: str, *, minute: int = 0, folder: str = "sessions/2026/11/21", **said: Any) -> Path:
    """Write a rollout that was changed in this minute."""
    compressed = said.pop("compressed", False)
    text = _lines(rollout_lines(thread, **said))
    name = f"rollout-2026-11-21T02-{minute:02}-00-{thread}.jsonl"
    return _written(home / folder, f"{name}.zst" if compressed else name, text, minute)


def write_claude(home: Path, session: str, *, minute: int = 0, prompt: str = PROMPT, cwd: str = "/home/ann/site") -> Path:
    """Write a transcript of Claude Code with one turn, and one of a sub-agent inside it."""
    base = {"sessionId": session, "timestamp": "2026-11-21T01:00:00.000Z", "cwd": cwd, "version": "2.1.329"}
    user = {"type": "user", **base, "gitBranch": "trunk", "promptId": "p1", "message": {"role": "user", "content": prompt}}
    usage = {"input_tokens": 5, "cache_read_input_tokens": 10, "output_tokens": 3}
    answer = {"id": "msg_1", "model": "claude-opus-5-5", "stop_reason": "end_turn", "usage": usage, "content": []}
    lines = [user, {"type": "assistant", **base, "requestId": "req_1", "message": answer}]
    folder = home / "projects/-home-ann-site"
    inside = [{**line, "agentId": "abc"} for line in lines]
    _written(folder / session / "subagents", "agent-abc.jsonl", _lines(inside), minute)
    return _written(folder, f"{session}.jsonl", _lines(lines), minute)


def _lines(lines: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _written(folder: Path, name: str, text: bytes, minute: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(zstandard.ZstdCompressor().compress(text) if name.endswith(".zst") else text)
    changed = datetime(2026, 11, 21, 2, minute, tzinfo=UTC).timestamp()
    os.utime(file, (changed, changed))
    return file
