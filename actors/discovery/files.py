"""Reading the few files that say which conversations an agent has and where it sends its requests.

Every file is opened without following a link in its last part and without waiting (a FIFO stops nobody), must be a regular
file, and is read up to a bound. What cannot be read says nothing. Must not know what follows from any of it.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from msgspec import Struct

from actors.discovery.holdings import thread_of_rollout
from actors.discovery.terms import Config, Declared, Head
from schemas.codec import InvalidMessageError, decode

MAX_FIRST_LINE: Final = 1 << 20
MAX_CONFIG: Final = 1 << 20
MAX_DECLARED: Final = 64 << 10
REMEMBERED_HEADS: Final = 4_096
_SAFE: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class TornFileError(Exception):
    """A file is there and says nothing yet: it is being written right now."""


class _Meta(Struct, frozen=True):
    id: str
    session_id: str = ""
    model_provider: str = ""


class _FirstLine(Struct, frozen=True):
    type: str
    payload: _Meta


class _SessionFile(Struct, frozen=True, rename="camel"):
    pid: int
    session_id: str
    proc_start: str | int = ""


class Heads:
    """The first lines of rollouts, each read once: they are never written again."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Head] = OrderedDict()

    def of(self, path: str) -> Head | None:
        """Return what a rollout says of itself; None when it says nothing yet."""
        known = self._known.get(path)
        if known is None:
            known = _head(path)
            if known is not None:
                self._known[path] = known
                while len(self._known) > REMEMBERED_HEADS:
                    self._known.popitem(last=False)
        return known

    def stored(self, sessions: str, thread: str) -> Head | None:
        """Return what the rollout of a thread says, wherever below ``sessions`` the time in the thread's id puts it."""
        for folder in day_folders(sessions, thread):
            try:
                names = os.listdir(folder)  # noqa: PTH208 - a Path per file would double the cost
            except OSError:
                continue
            for name in names:
                if thread_of_rollout(name) == thread:
                    return self.of(f"{folder}/{name}")
        return None


def day_folders(sessions: str, thread: str) -> Iterator[str]:
    """Name the folders in which a thread's rollout can be: the day is that of its beginning in the agent's own time zone."""
    at = _beginning(thread)
    if at is not None:
        for days in (0, -1, 1):
            yield f"{sessions}/{at + timedelta(days=days):%Y/%m/%d}"


def declared_session(path: str) -> Declared | None:
    """Read what Claude Code wrote about a process of its own; None when there is nothing to read.

    Raises:
        TornFileError: it is empty or half a file.

    """
    raw = read_file(path, MAX_DECLARED)
    if raw is None:
        return None
    try:
        told = decode(raw, _SessionFile)
    except InvalidMessageError as error:
        raise TornFileError(f"{path}: {error}") from error
    return Declared(path, told.pid, str(told.proc_start), told.session_id)


def read_configs(paths: Iterable[str], started: float) -> tuple[Config, ...]:
    """Read configuration files, and tell of each whether it was changed after ``started`` (seconds since the epoch)."""
    return tuple(_config(path, started) for path in paths)


def read_file(path: str, limit: int) -> bytes | None:
    """Read a regular file of at most ``limit`` bytes; None when that cannot be."""
    try:
        with os.fdopen(os.open(path, _SAFE), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            raw = file.read(limit + 1)
    except (OSError, ValueError):
        return None
    return raw if len(raw) <= limit else None


def _config(path: str, started: float) -> Config:
    """Read one; a linked file counts as what it leads to, as it does for the agent."""
    resolved = os.path.realpath(path)
    try:
        facts = Path(resolved).stat()
    except (OSError, ValueError):
        return Config(path)
    newer = max(facts.st_mtime, facts.st_ctime if os.name == "posix" else 0.0) > started
    raw = read_file(resolved, MAX_CONFIG)
    return Config(path, None if raw is None else raw.decode("utf-8", "replace"), newer)


def _head(path: str) -> Head | None:
    try:
        with os.fdopen(os.open(path, _SAFE), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            line = file.readline(MAX_FIRST_LINE)
    except (OSError, ValueError):
        return None
    if not line.endswith(b"\n"):
        return None
    try:
        told = decode(line, _FirstLine)
    except InvalidMessageError:
        return None
    if told.type != "session_meta":
        return None
    return Head(told.payload.id, told.payload.session_id or told.payload.id, told.payload.model_provider)


def _beginning(thread: str) -> datetime | None:
    """Return when a thread began, as its id (a UUID of version 7) says."""
    try:
        return datetime.fromtimestamp(int(thread.replace("-", "")[:12], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
