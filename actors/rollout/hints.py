"""Hints that something changed, from the operating system through watchdog: often early, never the truth.

watchdog logs a queue that overflowed and says nothing of a sub-folder that could not be watched (as when the limit of inotify
watches is reached), so whoever uses hints must look for himself now and then, and can tell from what he finds whether hints
are missing. A folder that is deleted and made again needs a new watch; so does everything, at once, whenever the set of
folders changes, since that is rare and leaves no half-watched state.

Must not know what a hint is about.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

_FILTER: list[type[FileSystemEvent]] = [
    FileModifiedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
_STOP_SECONDS = 2.0
_Folder = tuple[str, int, int]


class Hints(FileSystemEventHandler):
    """Watches folders with all that is below them; ``tell(path, is_folder)`` is called from a thread of its own."""

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        self._tell = tell
        self._observer: BaseObserver | None = None
        self._watched: frozenset[_Folder] = frozenset()
        self.trouble = ""

    def watch(self, folders: Iterable[str], *, anew: bool = False) -> bool:
        """Watch these folders, as far as they exist; True when that changed anything, so that it is time to look around.

        Blocks for as long as it takes to walk through them. ``anew``: begin again although nothing seems to have changed.
        """
        wanted = frozenset(known for folder in folders if (known := _identity(folder)))
        if wanted == self._watched and not anew:
            return False
        before, self._observer, self._watched, self.trouble = self._observer, None, wanted, ""
        try:
            self._observer = self._begin(sorted(folder for folder, *_ in wanted))
        except OSError as error:
            self.trouble = error.strerror or str(error)
        _end(before)  # only now: what happens meanwhile is hinted twice rather than never
        return True

    def close(self) -> None:
        """Stop watching."""
        before, self._observer, self._watched = self._observer, None, frozenset()
        _end(before)

    def _begin(self, folders: list[str]) -> BaseObserver | None:
        if not folders:
            return None
        observer = Observer()
        try:
            observer.start()
            for folder in folders:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # gone again
                    observer.schedule(self, folder, recursive=True, event_filter=_FILTER)
        except OSError:
            _end(observer)
            raise
        return observer

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass the paths on; called by watchdog."""
        for path in (event.src_path, event.dest_path):
            if path:
                self._tell(os.fsdecode(path), event.is_directory)


def _identity(folder: str) -> _Folder | None:
    """Name the folder that is at a path now."""
    try:
        facts = os.lstat(folder)
    except OSError:
        return None
    return folder, facts.st_dev, facts.st_ino


def _end(observer: BaseObserver | None) -> None:
    if observer is not None and observer.is_alive():
        observer.stop()
        observer.join(_STOP_SECONDS)
