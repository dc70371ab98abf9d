"""Which file is which, which are followed, and what is to be looked at next: pure.

Theory of operation
-------------------
A file is known by its content: the digest of its first line, which holds an id and a time. Its path and inode are where that
content was last found. Two tables follow from this: ``listing``, every transcript by path as the file system shows it, most
of them old and never opened; and ``files``, those that are followed, by content.

``step`` takes what was observed (a listing of everything, a look at one file, a wish to follow one) and returns what is to
be done: paths to look at, and announcements. The one owner of the tracker updates it in place.

- A file is followed when it is recent, changes after it was first listed, or is wanted (a living process holds it).
- A path whose content is followed elsewhere is a *move* when the old path is gone, otherwise a copy that nobody follows;
  which of the two is settled by looking at the old path again.
- A path that vanished is a removal only when two listings of everything later nothing else holds its content.
- A file that was rewritten under the same first line is read again from its start. What had been told of it keeps its ids,
  so the journal keeps it once; what is new is told.

Must not know files, clocks or the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.rollout.announcing import Announcement, Told, announced, moved
from actors.rollout.looking import Absent, Glance, Identified, Job, Progress, Refused, Unnamed
from actors.transcripts.facts import Thread
from actors.transcripts.lines import START, Position
from actors.transcripts.tree import Found, Mark
from schemas.events import TranscriptSeen

_PATIENCE: Final = 2


class Followed(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A file that is followed, by content; ``path`` is None while nothing holds it, for ``absences`` listings by now."""

    file: str
    path: str | None
    mark: Mark = Mark()
    position: Position = START
    thread: Thread = Thread()
    told: Told | None = None
    absences: int = 0

    def has_read(self, found: Found) -> bool:
        """Tell whether a file in this state holds nothing new."""
        whole = self.position.reached and (found.name.compressed or self.position.scanned >= found.mark.size)
        return whole and self.path == found.path and self.mark == found.mark


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """A path as it was last seen: what its content was found to be, and the wish to follow it once that is known."""

    found: Found
    file: str = ""
    wish: bool = False


class Listing(Struct, frozen=True):
    """Every transcript that there is. ``unread`` are folders that could not be read: what was below them is not gone."""

    found: tuple[Found, ...]
    unread: tuple[str, ...] = ()


class Wanted(Struct, frozen=True):
    """A living process holds this file."""

    path: str


class Look(Struct, frozen=True, gc=False):
    """Look at this path, at once or when there is nothing more urgent; ``newest`` sorts what can wait."""

    path: str
    urgent: bool = True
    newest: int = 0


Input = Listing | Wanted | Glance
Output = Look | Announcement


class Tracker:
    """Everything that is known of files.

    ``troubled``: why paths cannot be read. ``lost``: contents that vanished and that a listing may find again.
    """

    def __init__(self, files: Iterable[Followed] = (), wanted: Iterable[str] = ()) -> None:
        self.files = {one.file: one for one in files}
        self.at = {one.path: one.file for one in self.files.values() if one.path is not None}
        self.listing: dict[str, Entry] = {}
        self.wanted = set(wanted)
        self.troubled: dict[str, str] = {}
        self.lost = {one.file for one in self.files.values() if one.path is None and one.told and one.told.path}
        self.listed = False

    def job(self, found: Found) -> Job:
        """Return what a look at this path needs to know."""
        entry = self.listing.get(found.path)
        followed = self.files.get(entry.file) if entry is not None else None
        if followed is None or followed.path != found.path:
            return Job(found=found)
        known = Found(found.root, found.path, found.name, followed.mark)
        return Job(found=known, file=followed.file, position=followed.position, thread=followed.thread)


def step(tracker: Tracker, heard: Input, recent: int) -> list[Output]:
    """Take one observation; files modified at ``recent`` (Unix time in ns) or later are followed."""
    if isinstance(heard, Listing):
        return list(_listed(tracker, heard, recent))
    if isinstance(heard, Unnamed | Identified | Progress):
        _noted(tracker, heard.found, recent)
    return list(_STEPS[type(heard)](tracker, heard))


# ------------------------------------------------------------------------------------------------ what there is


def _listed(tracker: Tracker, heard: Listing, recent: int) -> Iterator[Output]:
    """Compare everything with what was known."""
    present = {found.path for found in heard.found}
    for path in [path for path in (*tracker.listing, *tracker.at) if path not in present]:
        if not any(path.startswith(folder) for folder in heard.unread):
            yield from _vanished(tracker, path)
    lost = {one.mark.inode: one for one in tracker.files.values() if one.path is None}
    names = {one.told.path.rpartition("/")[2].removesuffix(".zst") for one in lost.values() if one.told and one.told.path}
    for found in heard.found:
        before = tracker.listing.get(found.path)
        if before is not None and before.found.mark == found.mark and found.path not in tracker.troubled:
            continue
        entry = _noted(tracker, found, recent)
        candidate = found.mark.inode in lost or (names and found.path.rpartition("/")[2].removesuffix(".zst") in names)
        if entry.file in tracker.files and tracker.files[entry.file].has_read(found):
            continue
        if entry.wish or entry.file or tracker.listed or candidate:
            yield Look(found.path, urgent=tracker.listed, newest=found.mark.modified)
    tracker.listed = True
    for one in [one for one in tracker.files.values() if one.path is None]:
        yield from _absent_again(tracker, one)


def _noted(tracker: Tracker, found: Found, recent: int) -> Entry:
    """Keep what a path looks like now."""
    tracker.troubled.pop(found.path, None)
    before = tracker.listing.get(found.path)
    if before is None:
        file = tracker.at.get(found.path, "")
        if file and not tracker.files[file].mark.is_same_file(found.mark):
            file = ""
        wish = bool(file) or found.mark.modified >= recent or found.path in tracker.wanted
        entry = Entry(found=found, file=file, wish=wish)
    else:
        same = before.found.mark.is_same_file(found.mark)
        wish = before.wish or before.found.mark != found.mark
        entry = Entry(found=found, file=before.file if same else "", wish=wish)
    tracker.listing[found.path] = entry
    return entry


def _wanted(tracker: Tracker, heard: Wanted) -> Iterator[Output]:
    """Follow a file however old it is."""
    tracker.wanted.add(heard.path)
    entry = tracker.listing.get(heard.path)
    if entry is not None and not entry.wish:
        tracker.listing[heard.path] = replace(entry, wish=True)
        yield Look(heard.path)


def _vanished(tracker: Tracker, path: str) -> Iterator[Output]:
    """Forget a path; its content may be elsewhere."""
    tracker.listing.pop(path, None)
    tracker.troubled.pop(path, None)
    file = tracker.at.pop(path, None)
    if file is not None:
        yield from _detached(tracker, file)


def _detached(tracker: Tracker, file: str) -> Iterator[Output]:
    """Let a content go that is not where it was."""
    tracker.files[file] = replace(tracker.files[file], path=None, absences=0)
    tracker.lost.add(file)
    yield from _adopted(tracker, file)


def _refused(tracker: Tracker, heard: Refused) -> Iterator[Output]:
    """Keep why a file cannot be read; the next listing tries again."""
    if heard.path in tracker.listing or heard.path in tracker.at:
        tracker.troubled[heard.path] = heard.reason
    yield from ()


def _adopted(tracker: Tracker, file: str) -> Iterator[Output]:
    """Go on at a copy of a file that vanished, if there is one."""
    for path, entry in tracker.listing.items():
        if entry.file == file and path not in tracker.at:
            yield from _settled(tracker, file, entry.found)
            return


def _absent_again(tracker: Tracker, followed: Followed) -> Iterator[Output]:
    """Count a listing without a file; after some it is taken as removed."""
    absences = min(followed.absences + 1, _PATIENCE + 1)
    told = followed.told
    if absences > _PATIENCE:
        tracker.lost.discard(followed.file)
    if absences > _PATIENCE and told is not None and told.path is not None:
        told, announcement = moved(followed.file, told, None, archived=told.archived)
        yield announcement
    tracker.files[followed.file] = replace(followed, absences=absences, told=told)


# ------------------------------------------------------------------------------------------------ what a look found


def _emptied(tracker: Tracker, heard: Unnamed) -> Iterator[Output]:
    """Begin again at a file that has no first line: if it was followed, it was truncated."""
    path = heard.found.path
    tracker.listing[path] = replace(tracker.listing[path], file="")
    file = tracker.at.get(path)
    if file is not None:
        tracker.files[file] = replace(tracker.files[file], position=START, thread=Thread(), mark=heard.found.mark)
    yield from ()


def _identified(tracker: Tracker, heard: Identified) -> Iterator[Output]:
    """Find out what it means that this content is at this path."""
    path, file = heard.found.path, heard.file
    entry = tracker.listing[path]
    tracker.listing[path] = replace(entry, file=file)
    owner = tracker.at.get(path)
    if owner is not None and owner != file:  # another content took the path
        del tracker.at[path]
        yield from _detached(tracker, owner)
    followed = tracker.files.get(file)
    if followed is None:
        if entry.wish:
            tracker.files[file] = Followed(file=file, path=None)
            yield from _settled(tracker, file, heard.found)
    elif followed.path == path or followed.path is None:
        if heard.rewritten:
            tracker.files[file] = replace(followed, position=START, thread=Thread())
        yield from _settled(tracker, file, heard.found)
    else:
        yield Look(followed.path)  # a copy, unless that one is gone


def _settled(tracker: Tracker, file: str, found: Found) -> Iterator[Output]:
    """Follow a file at this path from now on, and say so when it was told to be elsewhere."""
    followed = tracker.files[file]
    told = followed.told
    if told is not None and (told.path, told.archived) != (found.path, found.root.archive):
        told, announcement = moved(file, told, found.path, archived=found.root.archive)
        yield announcement
    tracker.files[file] = replace(followed, path=found.path, mark=found.mark, told=told, absences=0)
    tracker.at[found.path] = file
    tracker.lost.discard(file)
    yield Look(found.path)


def _progressed(tracker: Tracker, heard: Progress) -> Iterator[Output]:
    """Stand where the look ended."""
    path = heard.found.path
    if tracker.at.get(path) != heard.file:  # another look of the same batch changed what is followed here
        yield Look(path)
        return
    followed = tracker.files[heard.file]
    told = followed.told
    for fact in heard.facts:
        announcement = announced(fact)
        if isinstance(fact, TranscriptSeen):
            if told is not None:
                continue
            told = Told(session=fact.session, path=fact.path, archived=fact.archived, fact=announcement.id)
        yield announcement
    tracker.files[heard.file] = replace(
        followed, mark=heard.found.mark, position=heard.position, thread=heard.thread, told=told
    )
    tracker.listing[path] = replace(tracker.listing[path], file=heard.file)
    if heard.more:
        yield Look(path, urgent=False, newest=heard.found.mark.modified)


_STEPS: Final[dict[type[Any], Callable[[Tracker, Any], Iterator[Output]]]] = {
    Wanted: _wanted,
    Absent: lambda tracker, heard: _vanished(tracker, heard.path),
    Refused: _refused,
    Unnamed: _emptied,
    Identified: _identified,
    Progress: _progressed,
}
