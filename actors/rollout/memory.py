"""What the watcher remembers over a restart: a fold of its own recorded facts, and a cache of it with what facts do not say.

Facts say which files were told of and where they were told to be. How far each was read, and with what meaning, only the
checkpoint says; without it a file is read from its start again, and the ids of its facts see to it that nothing is doubled.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.rollout.announcing import recalled
from actors.rollout.homes import Home
from actors.rollout.tracking import Followed, Tracker
from actors.transcripts.tree import home_of
from schemas.envelope import Recorded
from schemas.events import ProcessConversationFound, TranscriptMoved, TranscriptSeen

VERSION: Final = 1
FOLDED: Final = (TranscriptSeen.TYPE, TranscriptMoved.TYPE, ProcessConversationFound.TYPE)
_OURS: Final = "/actor/rollout/"
_KEPT_NS: Final = 30 * 24 * 3600 * 10**9


class Body(Struct, frozen=True, kw_only=True):
    """The part of a checkpoint that is the watcher's own."""

    files: tuple[Followed, ...] = ()
    wanted: tuple[str, ...] = ()
    homes: tuple[Home, ...] = ()


class Memory:
    """The fold: files by content, the paths that living processes held, and the homes that these lie in."""

    def __init__(self, body: Body) -> None:
        self.files = {one.file: one for one in body.files}
        self.wanted = dict.fromkeys(body.wanted)
        self.homes = dict.fromkeys(body.homes)

    def fold(self, recorded: Recorded) -> None:
        """Take one event of the journal."""
        fact, envelope = recorded.envelope.data, recorded.envelope
        if isinstance(fact, TranscriptSeen | TranscriptMoved) and envelope.source.startswith(_OURS):
            known = self.files.get(fact.file) or Followed(file=fact.file, path=None)
            told = recalled(known.told, fact, envelope.id)
            self.files[fact.file] = replace(known, told=told, path=told.path)
        elif isinstance(fact, ProcessConversationFound):
            self.hold(fact)

    def hold(self, fact: ProcessConversationFound) -> str | None:
        """Take that a process holds a transcript; return its path."""
        path = fact.transcript
        home = home_of(fact.agent, path) if path else None
        if path is None or home is None:
            return None
        self.wanted[path] = None
        self.homes["claude" if fact.agent == "claude" else "codex", home] = None
        return path


def body_of(tracker: Tracker, homes: tuple[Home, ...], now: int) -> Body:
    """Return what is worth keeping: not what has lain still for longer than the journal remembers by default."""
    files = tuple(one for one in tracker.files.values() if one.mark.modified > now - _KEPT_NS)
    kept = {one.path for one in files}
    pending = tracker.listing.keys() - tracker.at.keys()
    wanted = tuple(path for path in tracker.wanted if path in kept or path in pending)
    return Body(files=files, wanted=wanted, homes=homes)
