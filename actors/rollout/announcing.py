"""The facts of a file as they are published: under which subject, and under an id that a restart would say again. Pure.

The id of what a line told follows from the file's name by content, the offset and the fact itself: read again, it is the
same event, and the journal keeps it once. That a file was seen follows from its name and session alone, wherever it lay
then. That it moved follows from what was told of its place before, so that there and back again are two events.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from actors.transcripts.facts import Fact
from actors.transcripts.lines import digest
from schemas.envelope import subject
from schemas.events import TranscriptLineRejected, TranscriptMoved, TranscriptSeen
from schemas.identity import SessionId
from schemas.ids import derived


class Told(Struct, frozen=True, kw_only=True, gc=False):
    """What the journal says of a file's place: the last ``transcript.seen`` or ``.moved``, whose id is ``fact``."""

    session: str
    path: str | None
    archived: bool
    fact: str


class Announcement(Struct, frozen=True, gc=False):
    """A fact with its id and subject."""

    id: str
    subject: str
    data: Fact | TranscriptMoved


def announced(fact: Fact) -> Announcement:
    """Give what a line told its id and subject."""
    about = subject("session", fact.session) if fact.session else subject("transcript", fact.file)
    if isinstance(fact, TranscriptSeen):
        return Announcement(derived(fact.TYPE, fact.file, fact.session), about, fact)
    said = fact.reason.encode() if isinstance(fact, TranscriptLineRejected) else msgspec.json.encode(fact)
    return Announcement(derived(fact.TYPE, fact.file, str(fact.offset), digest(said)), about, fact)


def moved(file: str, told: Told, path: str | None, *, archived: bool) -> tuple[Told, Announcement]:
    """Say that a file is elsewhere than it was told to be."""
    fact = TranscriptMoved(session=SessionId(told.session), file=file, path=path, archived=archived)
    id_ = derived(fact.TYPE, file, told.fact, path or "")
    now = Told(session=told.session, path=path, archived=archived, fact=id_)
    return now, Announcement(id_, subject("session", told.session), fact)


def recalled(told: Told | None, fact: TranscriptSeen | TranscriptMoved, id_: str) -> Told:
    """Fold one's own recorded fact: the journal's last word on a file's place."""
    if isinstance(fact, TranscriptSeen) and told is not None:
        return told  # the first one counts; a later one with another path would have been a move
    return Told(session=fact.session, path=fact.path, archived=fact.archived, fact=id_)
