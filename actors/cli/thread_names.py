"""The names that users gave their Codex threads: Codex's own index of them, in which the last naming counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

_INDEX: Final = "session_index.jsonl"
_LARGEST: Final = 16 << 20


def namings(home: str, about: str = "") -> Iterator[tuple[str, str]]:
    """Yield each thread that was named below a Codex home, with its name, the last naming first; without an index nothing.

    With ``about`` only of lines in which that stands as it is, which spares the reading of all others.
    """
    try:
        with (Path(home) / _INDEX).open("rb") as index:
            lines = index.read(_LARGEST).split(b"\n")
    except OSError:
        return
    for line in reversed(lines):
        if about.encode() not in line:
            continue
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(entry, dict) and isinstance(thread := entry.get("id"), str) and isinstance(entry.get("thread_name"), str):
            yield thread, entry["thread_name"]
