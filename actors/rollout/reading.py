"""What the watcher does to the file system, in a thread of its own: list, compare, look. One slice at a time.

Must not know what is done with what it finds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

from msgspec import Struct

from actors.rollout.looking import Absent, Glance, Identified, Job, Progress, Refused, Unnamed, look
from actors.rollout.tracking import Listing
from actors.transcripts.files import Unpacked, UnsafeFileError, find, mark_of, opened, read_span
from actors.transcripts.tree import Found, Mark, Root

BATCH_BYTES = 1024 * 1024
BATCH_SECONDS = 0.01


class Survey(Struct, frozen=True):
    """A listing, the folders that it went through with their times of change, and why some could not be read."""

    listing: Listing
    folders: dict[str, int]
    troubles: tuple[str, ...]


def survey(roots: Iterable[Root]) -> Survey:
    """List every transcript there is."""
    found: list[Found] = []
    folders: dict[str, int] = {}
    unread: list[OSError] = []
    for root in roots:
        folders[root.folder] = _changed_at(root.folder)
        for one in find(root, unread):
            found.append(one)
            folder = os.path.dirname(one.path)  # noqa: PTH120 - one of thousands
            if folder not in folders:
                folders[folder] = _changed_at(folder)
    hidden = tuple(f"{error.filename}{os.sep}" for error in unread)
    return Survey(Listing(tuple(found), hidden), folders, tuple(f"{error.filename}: {error.strerror}" for error in unread))


def changed(marks: Iterable[tuple[str, Mark]], folders: dict[str, int]) -> tuple[dict[str, int], bool]:
    """Return the files that are not as their marks say, with their times of change, and whether a folder changed."""
    differing = {}
    for path, mark in marks:
        try:
            now = mark_of(os.lstat(path))
        except OSError:
            now = Mark()
        if now != mark:
            differing[path] = now.modified
    return differing, any(_changed_at(folder) != at for folder, at in folders.items())


def _changed_at(folder: str) -> int:
    try:
        return os.lstat(folder).st_mtime_ns
    except OSError:
        return 0


class Reader:
    """Looks at files. A compressed one stays open between two looks, since it can be read forward only."""

    def __init__(self) -> None:
        self._unpacked: tuple[Found, Unpacked] | None = None

    def look(self, jobs: Sequence[Job]) -> tuple[list[Glance], Sequence[Job]]:
        """Look at files for a short while; return what was seen, and the jobs that there was no time for."""
        seen: list[Glance] = []
        until, size = time.monotonic() + BATCH_SECONDS, 0
        for number, job in enumerate(jobs):
            if seen and (size >= BATCH_BYTES or time.monotonic() > until):
                return seen, jobs[number:]
            glance = self._look(job)
            seen.append(glance)
            size += glance.size if isinstance(glance, Progress) else 0
        return seen, ()

    def close(self) -> None:
        """Close what is open."""
        if self._unpacked is not None:
            self._unpacked[1].close()
            self._unpacked = None

    def _look(self, job: Job) -> Glance:
        path = job.found.path
        try:
            with opened(job.found.root, path) as descriptor:
                mark = mark_of(os.fstat(descriptor))
                if job.found.name.compressed:
                    return self._look_into(job, mark, descriptor)
                return look(job, mark, lambda first, end: read_span(descriptor, first, end))
        except (FileNotFoundError, NotADirectoryError):
            return Absent(path)
        except OSError as error:
            return Refused(path, f"{path}: {error.strerror or error}")

    def _look_into(self, job: Job, mark: Mark, descriptor: int) -> Glance:
        """Look into a compressed file, going on where the last look at it ended."""
        found = Found(job.found.root, job.found.path, job.found.name, mark)
        if self._unpacked is None or self._unpacked[0] != found:
            self.close()
            self._unpacked = (found, Unpacked(os.dup(descriptor)))
        unpacked = self._unpacked[1]
        try:
            glance = look(job, mark, unpacked.read_span)
        except UnsafeFileError as error:
            self.close()
            return Refused(found.path, f"{found.path}: {error}")
        if isinstance(glance, Identified | Unnamed) or not (isinstance(glance, Progress) and glance.more):
            self.close()
        return glance
