"""One look at one file: is it the one that is followed, which one is it otherwise, and what is new in it. Pure.

``read(first, end)`` gives bytes of the file, less when it ends before; whoever calls has opened it safely. A look takes one
slice at most, so that a file with much to read cannot keep others waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from actors.transcripts.facts import Fact, Place, Thread
from actors.transcripts.lines import MAX_HEAD, SLICE, START, Position, frame, name_of, shortened, span
from actors.transcripts.story import take
from actors.transcripts.tree import Found, Mark

Read = Callable[[int, int], bytes]
_ENDLESS: Final = 1 << 62


class Job(Struct, frozen=True, kw_only=True, gc=False):
    """A file to look at: as it is listed, and how far it was read under which name (``file`` is empty when it was not)."""

    found: Found
    file: str = ""
    position: Position = START
    thread: Thread = Thread()


class Absent(Struct, frozen=True, gc=False):
    """There is no such file."""

    path: str


class Refused(Struct, frozen=True, gc=False):
    """The file cannot be read, or must not be."""

    path: str
    reason: str


class Unnamed(Struct, frozen=True, gc=False):
    """The file has no first line yet."""

    found: Found


class Identified(Struct, frozen=True, gc=False):
    """The file is the one that its content names. ``rewritten``: it is not what was read of it before."""

    found: Found
    file: str
    rewritten: bool = False


class Progress(Struct, frozen=True, gc=False):
    """The file is the one that was followed, and so much further. ``size``: how many bytes this look took."""

    found: Found
    file: str
    position: Position
    thread: Thread
    facts: tuple[Fact, ...] = ()
    more: bool = False
    size: int = 0


Glance = Absent | Refused | Unnamed | Identified | Progress


def look(job: Job, mark: Mark, read: Read) -> Glance:
    """Look at an open file whose state is ``mark``."""
    found = Found(job.found.root, job.found.path, job.found.name, mark)
    size = _ENDLESS if found.name.compressed else mark.size
    same = job.file and mark.is_same_file(job.found.mark)
    if same and job.position.offset <= size and (progress := _go_on(job, found, size, read)):
        return progress
    file = name_of(read(0, min(size, MAX_HEAD)))
    return Unnamed(found) if file is None else Identified(found, file, rewritten=bool(same))


def _go_on(job: Job, found: Found, size: int, read: Read) -> Progress | None:
    """Read a slice from the position; None when the file is not what was read before."""
    position = job.position if size == _ENDLESS else shortened(job.position, size)
    if position.offset == 0 and name_of(read(0, min(size, MAX_HEAD))) != job.file:
        return None
    first, end = span(position, size)
    raw = read(first, end)
    framed = frame(position, first, raw, ended=len(raw) < end - first or end == size)
    if framed is None:
        return None
    place = Place(
        path=found.path,
        file=job.file,
        thread=found.name.thread,
        session=found.name.session,
        subagent=found.name.subagent,
        archived=found.root.archive,
    )
    thread, facts = take(found.root.agent, job.thread, place, framed.found)
    return Progress(found, job.file, framed.position, thread, tuple(facts), framed.more, len(raw))


__all__ = ["SLICE", "Absent", "Glance", "Identified", "Job", "Progress", "Read", "Refused", "Unnamed", "look"]
