"""Events as lines for people: when, where in the journal, about what, which fact, and its fields in short. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Final

from actors.cli.text import moment, printable
from schemas.envelope import Recorded
from schemas.events import Timing, Usage
from schemas.evidence import Evidence
from schemas.identity import ProcessKey

_SHOWN: Final = {  # of the busiest facts only what a reader looks for; `--json` has everything
    "request.received": ("method", "path", "dialect", "peer"),
    "request.attributed": ("agent", "thread_kind", "process", "terminal", "launch"),
    "request.routed": ("provider", "requested_model", "sent_model", "reason"),
    "request.first_byte": ("provider", "status", "first_byte_ms"),
    "request.completed": ("provider", "status", "timing", "usage", "served_model"),
    "request.failed": ("provider", "status", "phase", "code", "message", "timing"),
    "request.cancelled": ("provider", "phase", "timing"),
    "process.seen": ("agent", "kind", "process", "terminal", "launch", "cwd", "unreadable"),
    "process.conversation_found": ("agent", "process", "thread", "evidence"),
    "hook.received": ("agent", "hook", "detail", "process", "terminal", "launch", "turn"),
    "transcript.seen": ("agent", "thread_kind", "thread", "agent_provider", "origin", "cwd", "archived"),
    "transcript.turn_started": ("thread", "turn", "trigger"),
    "transcript.turn_ended": ("outcome", "code", "duration_ms", "thread", "turn"),
    "transcript.usage_recorded": ("usage", "model", "response"),
    "transcript.quota_observed": ("agent_provider", "window", "minutes", "used_percent", "resets_at"),
    "provider.quota_observed": ("provider", "window", "minutes", "used_percent", "remaining", "resets_at", "exhausted"),
    "transcript.settings_changed": ("agent_provider", "model", "cwd", "approval_policy", "sandbox"),
}
_NAMED_BY_SUBJECT: Final = frozenset(("session", "request", "launch", "actor", "process"))
_LONGEST: Final = 200
_SUBJECT: Final = 20


def event_line(event: Recorded, zone: tzinfo | None = UTC, width: int | None = None) -> str:
    """Write one event; ``zone`` is the time zone of the reader (None: the local one), ``width`` what a line may hold."""
    envelope = event.envelope
    try:
        when = moment(envelope.time).astimezone(zone).strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError):
        when = envelope.time
    subject = envelope.subject if width is None else _shortened(envelope.subject)
    shown = fields(envelope.type, envelope.data, envelope.subject)
    text = printable(f"{when} {event.position:>7}  {envelope.type:<18}  {subject}  {shown}".rstrip())
    return text if width is None or len(text) <= width else f"{text[: width - 1]}…"


def fields(type_: str, data: Any, subject: str) -> str:
    """Write the fields that say something, ``name=value``; what the subject names already is left out."""
    root = subject.partition("/")[0]
    shown = (_field(name, value) for name, value in _items(type_, data) if name != root or name not in _NAMED_BY_SUBJECT)
    text = " ".join(part for part in shown if part)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _items(type_: str, data: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(data, Mapping):
        return data.items()
    names = _SHOWN.get(type_) or data.__struct_fields__
    return ((name, getattr(data, name)) for name in names)


def _shortened(subject: str) -> str:
    root, _, name = subject.partition("/")
    return f"{root}/{name[:_SUBJECT]}" if len(name) > _SUBJECT else subject


def _field(name: str, value: Any) -> str:  # noqa: PLR0911 - one return a kind of value
    if value is None or value is False or value in ("", (), {}):
        return ""
    if isinstance(value, ProcessKey):
        return f"pid={value.pid}"
    if isinstance(value, Timing):
        return f"{value.total_ms:.0f}ms"
    if isinstance(value, Usage):
        return f"in={value.input} out={value.output}"
    if isinstance(value, Evidence):
        return f"{name}={value.kind}:{value.proves}"
    if isinstance(value, float):
        return f"{name}={value:.1f}"
    if isinstance(value, list | tuple | Mapping):
        return f"{name}={len(value)}"
    return f"{name}={_word(str(value))}"


def _word(text: str) -> str:
    """Quote a value that would not read as one word."""
    return text if text and not any(char.isspace() or char in '"=' for char in text) else json.dumps(text, ensure_ascii=False)
