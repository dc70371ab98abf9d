"""The journal's file: its tables, checksums, permissions, and what SQLite's errors mean.

Knows SQLite and the file system; must not know what a journal is used for.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import crc32

from bus.into_place import BINARY

FILE = "journal.sqlite3"
QUARANTINE = "quarantine"
MARKER = "damaged"
VERSION = 1
COLUMNS = "position, crc, recorded, id, topic, envelope"
ROW_VALUES = 6
_LARGEST_INSERT = 1024
_BUSY_SECONDS = 5.0
_PAGE_BYTES = 16384
_APPLICATION = 0x54425752  # "TBWR"
_OTHERS = 0o077
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE damage (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, reason TEXT NOT NULL, kept_at TEXT NOT NULL);
CREATE TABLE events (
  position INTEGER PRIMARY KEY, crc INTEGER NOT NULL, recorded TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
  topic BLOB NOT NULL, envelope BLOB NOT NULL
);
"""


class JournalError(Exception):
    """The journal could not do what was asked; the message says which file, and what to do."""


class JournalFullError(JournalError):
    """No room on the disk; nothing was written, and it may be tried again."""


class JournalDamagedError(JournalError):
    """The file's structure is broken. It was marked, and the next start salvages what can be read."""


class AheadError(JournalError):
    """A page after a position that does not exist yet."""


class KnownIdsError(Exception):
    """Nothing was written, because some of the ids are in the journal: ``positions`` tells where."""

    def __init__(self, positions: dict[str, int]) -> None:
        super().__init__(f"{len(positions)} of the ids are recorded already")
        self.positions = positions


@dataclass(frozen=True, slots=True)
class Damage:
    """Positions that cannot be read, why, and where their bytes were kept."""

    first: int
    last: int
    reason: str
    kept_at: str


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Events below ``first`` were removed."""

    first: int
    removed: int
    reason: str


class explained:  # noqa: N801 - reads as a sentence
    """Turn SQLite's errors into ours; a broken structure leaves a marker, so that the next start salvages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.IntegrityError):
            return
        code = getattr(error, "sqlite_errorcode", 0)
        name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
        file = self._folder / FILE
        if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
            raise JournalFullError(f"{file}: no room on the disk ({name}); free some, the broker goes on by itself") from error
        if is_damage(error):
            raise mark(self._folder, f"{name}: {error}") from error
        raise JournalError(f"{file}: {name}: {error}") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether SQLite says that a file's structure is broken."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def mark(folder: Path, reason: str) -> JournalDamagedError:
    """Leave the marker that makes the next start salvage."""
    keep(folder, MARKER, reason.encode())
    return JournalDamagedError(f"{folder / FILE}: its structure is broken ({reason}); the next start salvages it")


def connect(file: Path, mode: str) -> sqlite3.Connection:
    """Open a database file.

    Raises:
        JournalError: it is not a regular file of ours, closed to others.

    """
    _private_file(file)
    database = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    database.text_factory = _lenient
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA mmap_size = 0")
    return database


def create(database: sqlite3.Connection, epoch: str, first: int = 1) -> None:
    """Make the tables of a new journal."""
    database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    database.execute(f"PRAGMA application_id = {_APPLICATION}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, _SCHEMA.split(";")):
        database.execute(statement)
    database.executemany("INSERT INTO meta VALUES (?, ?)", [("epoch", epoch), ("first", first), ("version", VERSION)])
    database.execute("COMMIT")


def checksum(position: int, recorded: str, id_: str, topic: bytes, envelope: bytes) -> int:
    """Compute the checksum of a row."""
    return crc32(envelope, crc32(topic, crc32(f"{position} {recorded} {id_}".encode("utf-8", "surrogateescape"))))


def intact(row: Sequence[Any]) -> bool:
    """Tell whether a row is what was written."""
    position, crc, *rest = row
    try:
        return crc == checksum(position, *rest)  # type: ignore[no-any-return]
    except (TypeError, ValueError):  # a flipped bit has changed a type
        return False


def powers(number: int) -> Iterable[int]:
    """Split a number of rows into the sizes of the prepared statements, the largest first."""
    size = _LARGEST_INSERT
    while number:
        while size > number:
            size //= 2
        yield size
        number -= size


@lru_cache(maxsize=16)
def insert_statement(size: int) -> str:
    """Return the statement that inserts ``size`` rows; always the same object, so that its hash is computed once."""
    return f"INSERT INTO events ({COLUMNS}) VALUES " + ",".join(["(?,?,?,?,?,?)"] * size)  # noqa: S608 - constants


def matching(prefixes: Sequence[bytes], types: Sequence[str] = ()) -> tuple[str, list[bytes]]:
    """Return the SQL condition for topics (ASCII) that start with one of the prefixes and end with one of the types."""
    condition = ""
    values: list[bytes] = []
    if b"" not in prefixes:
        values += [bound for prefix in prefixes for bound in (prefix, prefix + b"\xff")]
        condition += " AND (" + " OR ".join(["topic >= ? AND topic < ?"] * len(prefixes)) + ")"
    if types:
        ends = [f".{type_}.".encode() for type_ in types]
        values += ends
        condition += " AND (" + " OR ".join(f"substr(topic, {-len(end)}) = ?" for end in ends) + ")"
    return condition, values


def private_folder(folder: Path) -> None:
    """Make a folder of ours, or see that it is.

    Raises:
        JournalError: it is not, or others may enter it.

    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise JournalError(f"{folder}: not a folder (a link is not followed); remove it")
    _ours(folder, facts)


def keep(folder: Path, name: str, content: bytes) -> Path:
    """Write a small file of ours."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _lenient(raw: bytes) -> str:
    """Read a text that may be damaged; its checksum tells."""
    return raw.decode("utf-8", "surrogateescape")


def _private_file(file: Path) -> None:
    if file.exists():
        facts = file.lstat()
        if not stat.S_ISREG(facts.st_mode):
            raise JournalError(f"{file}: not a regular file; remove it")
        _ours(file, facts)


def _ours(path: Path, facts: os.stat_result) -> None:
    if hasattr(os, "geteuid") and (facts.st_uid != os.geteuid() or facts.st_mode & _OTHERS):
        raise JournalError(f"{path}: must belong to you and be closed to others (chmod go-rwx)")
