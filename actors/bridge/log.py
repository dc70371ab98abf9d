"""The bridge's log: one JSON object a line on stderr, redacted, as every actor's.

Written here rather than by ``actors.runtime.logging``, because structlog brings asyncio with it: 9 MiB of a bridge's 30.
Nobody waits for who reads it. Must not know what is noted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import orjson

from actors.runtime.pipe import LinePipe
from actors.runtime.redaction import redact

_MAX_TEXT: Final = 16_000


class Log:
    """Writes lines with the ``fields`` of this bridge in each."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = LinePipe(descriptor)
        self.fields: dict[str, Any] = {"actor": "bridge"}

    def note(self, event: str, level: str = "info", **fields: Any) -> None:
        """Write a line."""
        entry = {
            **self.fields,
            **{name: value[:_MAX_TEXT] if isinstance(value, str) else value for name, value in fields.items()},
            "event": event[:_MAX_TEXT],
            "level": level,
            "time": datetime.now(UTC).isoformat(),
        }
        try:
            text = orjson.dumps(entry, default=repr).decode()
        except (TypeError, ValueError):  # lone surrogates
            text = orjson.dumps({name: ascii(value) for name, value in entry.items()}).decode()
        self._pipe.write(redact(text).encode() + b"\n")

    def drain(self, seconds: float) -> None:
        """Wait until everything has left: for the last words before an exit."""
        self._pipe.drain(seconds)
