"""Lines of rollouts and transcripts as agents write them, and files made of them.

The recorded samples were written by Codex 0.169.0 and Claude Code 2.1.329 against a stub provider.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actors.transcripts.facts import Fact
from actors.transcripts.files import find
from actors.transcripts.tree import Agent, Found, roots

SAMPLES = Path(__file__).parent / "samples"
AT = "2026-11-20T22:15:25.746Z"


def uuid(number: int) -> str:
    """Return an id in the form of Codex's threads."""
    return f"01a1fb07-{number >> 16 & 0xFFFF:04x}-7cf3-a2b2-{number & 0xFFFF:012x}"


def line(type_: str, payload: dict[str, Any], **more: Any) -> bytes:
    """Write one line of a rollout."""
    return json.dumps({"timestamp": AT, "type": type_, "payload": payload, **more}).encode() + b"\n"


def meta(thread: str, **fields: Any) -> bytes:
    """Write a rollout's first line."""
    told: dict[str, Any] = {"id": thread, "session_id": thread, "timestamp": AT, "cwd": "/home/dev/p"}
    told |= {"originator": "codex_exec", "cli_version": "0.169.0", "source": "exec", "model_provider": "stub"}
    told |= {"base_instructions": {"text": "secret"}}
    told |= {
        "originator": "codex_exec",
        "cli_version": "0.169.0",
        "source": "exec",
        "model_provider": "stub",
        "base_instructions": {"text": "secret"},
    }
    return line("session_meta", told | fields)


def event(type_: str, **fields: Any) -> bytes:
    """Write an event_msg line."""
    return line("event_msg", {"type": type_, **fields})


def usage(response: str, total: int = 10, **fields: Any) -> bytes:
    """Write what a response cost."""
    counts = {"input_tokens": total - 1, "output_tokens": 1, "total_tokens": total}
    return line("token_usage_record", {"response_id": response, "usage": counts, **fields})


def name(thread: str) -> str:
    """Return the name of a rollout's file."""
    return f"rollout-2026-11-20T22-15-25-{thread}.jsonl"


def rollout(home: Path, thread: str, content: bytes, day: str = "2026/11/20") -> Path:
    """Write a rollout below ``home``."""
    file = home / "sessions" / day / name(thread)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def sample(home: Path, recorded: str) -> Path:
    """Put a recorded transcript where its agent would keep it."""
    raw = (SAMPLES / f"{recorded}.jsonl").read_bytes()
    first = json.loads(raw.split(b"\n", 1)[0])
    if recorded.startswith("codex"):
        return rollout(home, first["payload"]["id"], raw)
    file = home / "projects" / "-home-dev-cc-work" / f"{first['sessionId']}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(raw)
    return file


def found(home: Path, agent: Agent = "codex") -> list[Found]:
    """Find every transcript below ``home``, by path."""
    return sorted((one for root in roots(agent, str(home)) for one in find(root)), key=lambda one: one.path)


def types(facts: list[Fact]) -> list[str]:
    """Return what kinds of facts were told, in order."""
    return [fact.TYPE.removeprefix("transcript.") for fact in facts]
