"""The completed turns of a transcript, page by page from its end: what a conversation's past is shown from.

Of a plain file only as much is read, backwards, as a page needs; of a compressed one all of it, as it is read forward only.
A page is named by the offset at which its first turn begins, which stays true while the file grows. Bounded in what is read,
and in what is told. Must not know sessions or who asks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.transcripts import claude_turns, codex_turns
from actors.transcripts.files import Unpacked, find, opened, read_span
from actors.transcripts.gathering import Gathering
from actors.transcripts.pieces import size_of
from actors.transcripts.tree import Agent, Found, Mark, Name, Root, home_of, roots
from schemas.bridge_rows import Turn

FIRST_WINDOW: Final = 1 << 20
MAX_WINDOW: Final = 64 << 20
MAX_PAGE: Final = 1_048_576  # characters
MAX_TURNS: Final = 200
_DIALECTS: Final = {"codex": codex_turns.read, "claude": claude_turns.read}


class Page(Struct, frozen=True):
    """Completed turns, oldest first; ``before`` names the page in front of it (-1: there is none).

    ``messages`` are the ids under which their messages were given, empty where the file does not say one.
    """

    turns: tuple[Turn, ...]
    before: int = -1
    note: str = ""
    messages: tuple[str, ...] = ()


def locate(agent: Agent, conversation: str, home: str, path: str = "") -> Found | None:
    """Find the transcript of a conversation: where its agent said that it is, or by its name in the agent's home.

    Raises:
        OSError: a folder cannot be read.

    """
    if path and (own := home_of(agent, path)):
        for root in roots(agent, own):
            name = Name(agent, conversation, "", compressed=path.endswith(".zst"))
            if path.startswith(root.folder + os.sep) and os.path.isfile(path):  # noqa: PTH113 - as all paths here are texts
                return Found(root, path, name, Mark())
    every = [one for root in roots(agent, home) for one in _of(root, conversation)]
    return max(every, key=lambda one: one.mark.modified, default=None)


def _of(root: Root, conversation: str) -> Iterable[Found]:
    return (one for one in find(root) if one.name.thread == conversation and not one.name.subagent)


def page(found: Found, *, limit: int, before: int = -1, running: bool = False) -> Page:
    """Read the newest turns of a file, or those in front of an offset; with ``running`` its last turn may still run.

    Raises:
        OSError: it cannot be read.

    """
    with opened(found.root, found.path) as descriptor:
        if found.name.compressed:
            with contextlib.closing(Unpacked(os.dup(descriptor))) as unpacked:
                raw = unpacked.read_span(0, MAX_WINDOW)
            return _page(found, raw[: before if before >= 0 else None], 0, limit, running=running and before < 0)
        size = os.fstat(descriptor).st_size
        end = min(before, size) if before >= 0 else size
        window = FIRST_WINDOW
        while True:
            first = max(0, end - window)
            told = _page(found, read_span(descriptor, first, end), first, limit, running=running and before < 0)
            if first == 0 or len(told.turns) >= limit or told.note:
                return told
            if window >= MAX_WINDOW:
                note = f"older turns are not read: they lie more than {MAX_WINDOW >> 20} MiB before this page"
                return replace(told, before=-1, note=note)
            window *= 4


def _page(found: Found, raw: bytes, first: int, limit: int, *, running: bool) -> Page:
    """Read the turns of a stretch that begins at ``first``; its first line is whole only at the file's beginning."""
    read = _DIALECTS[found.root.agent]
    gathering = Gathering()
    at = 0 if first == 0 else raw.find(b"\n") + 1
    while (newline := raw.find(b"\n", at)) >= 0:
        gathering.at = first + at
        read(gathering, raw[at:newline])
        at = newline + 1
    gathering.close(running=running)
    turns, starts, messages = gathering.turns[-limit:], gathering.starts[-limit:], gathering.messages[-limit:]
    size, kept = 0, 0
    for turn in reversed(turns):
        size += size_of(turn.pieces)
        if kept and size > MAX_PAGE:
            break
        kept += 1
    more = kept < len(gathering.turns) or first > 0
    note = "this page is shorter than asked for: its turns are long" if kept < len(turns) else ""
    first_kept = len(turns) - kept
    before = starts[first_kept] if more and kept else -1
    return Page(tuple(turns[first_kept:]), before, note, tuple(messages[first_kept:]))
