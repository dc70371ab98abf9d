"""Every event that was acknowledged, on disk, in order: one SQLite file in WAL mode, ``synchronous=FULL``.

Theory of operation
-------------------
One multi-row INSERT is one ``step()`` of SQLite and one commit, so a batch costs one wait for the disk and the interpreter
lock is given up once, not once a row. The id's unique index decides what is a repetition: ``append`` fails as a whole with
``KnownIdsError`` and nothing is written. A row's checksum covers everything in it; a row that fails it is never handed out.

What is damaged is set aside, never silently dropped: a row with a wrong checksum goes to a file in ``quarantine/`` and its
position into the table ``damage``; a broken file structure is left to ``bus.salvage``, at the next start. Checking a million
rows takes seconds, so a start checks the newest rows only, readers check what they read, and ``check`` goes through the
rest in pieces while the broker already works.

Single-threaded: whoever opens a journal uses it from one thread at a time. Must not know sockets or publishers.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zlib import crc32

from bus.protocol import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Page, Row, encode_stamp_fast

FILE = "journal.sqlite3"
QUARANTINE = "quarantine"
MARKER = "damaged"
NEWEST_CHECKED = 1000
MAX_LOOKED_AT = 20_000
_LARGEST_INSERT = 1024
_LOOKUP = 500
_BUSY_SECONDS = 5.0
_PAGE_BYTES = 8192
_CHECKPOINT_PAGES = 2000
_KEPT_WAL_BYTES = 64 * 1024 * 1024
_APPLICATION = 0x54425752  # "TBWR"
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE damage (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, reason TEXT NOT NULL, kept_at TEXT NOT NULL);
CREATE TABLE events (
  position INTEGER PRIMARY KEY, crc INTEGER NOT NULL, recorded TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
  topic BLOB NOT NULL, envelope BLOB NOT NULL
);
"""
_COLUMNS = "position, crc, recorded, id, topic, envelope"


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


class Journal:
    """An open journal. ``epoch`` names it, ``first`` and ``head`` are the first and last positions kept."""

    def __init__(self, database: sqlite3.Connection, folder: Path) -> None:
        self._database = database
        self._folder = folder
        with _explained(folder):
            meta = dict(database.execute("SELECT name, value FROM meta"))
            (head,) = database.execute("SELECT max(position) FROM events").fetchone()
            self._damage = [
                Damage(*row) for row in database.execute("SELECT first, last, reason, kept_at FROM damage ORDER BY 1")
            ]
        self.found_at_start: list[Damage] = []
        self.epoch: str = meta["epoch"]
        self.first: int = meta["first"]
        self.head: int = max(head or 0, self.first - 1, *(damage.last for damage in self._damage), 0)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], epoch: str) -> Self:
        """Open the journal in a folder for writing, or begin a new one, named ``epoch``, where there is none.

        Raises:
            JournalDamagedError: the file's structure is broken; ``bus.salvage`` is next.
            JournalError: the folder or the file is open to others, or is not a journal.

        """
        folder = Path(folder)
        _private_folder(folder)
        file = folder / FILE
        if (folder / MARKER).exists():
            raise JournalDamagedError(f"{file} was found damaged and must be salvaged")
        new = not file.exists()
        if new:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with _explained(folder):
            database = _connect(file, "rwc")
            if database.execute("PRAGMA page_count").fetchone() == (0,):
                _create(database, epoch)
            database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            database.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL_BYTES}")
        journal = cls(database, folder)
        journal._verify_newest()
        return journal

    @classmethod
    def open_readonly(cls, folder: str | os.PathLike[str]) -> Self:
        """Open the journal in a folder for reading only, beside a broker or without one.

        Raises:
            JournalError: there is none, or it cannot be read.

        """
        folder = Path(folder)
        file = folder / FILE
        if not file.exists():
            raise JournalError(f"{file}: no such file; nothing was recorded here yet")
        with _explained(folder):
            return cls(_connect(file, "ro"), folder)

    def close(self) -> None:
        """Close; the last one to close folds the write-ahead log into the file."""
        self._database.close()

    # ------------------------------------------------------------------------------------------------ writing

    def append(self, rows: Sequence[Row], ids: Sequence[str], recordedtime: str) -> None:
        """Write rows that follow the head, all or none, and return when they are on disk.

        Raises:
            KnownIdsError: some ids are in the journal.
            JournalFullError: no room.
            JournalDamagedError: the file's structure is broken.
            JournalError: the disk failed; nothing more may be acknowledged by this process.

        """
        if rows[0].position != self.head + 1:
            raise ValueError(f"position {rows[0].position} does not follow {self.head}")
        values = [
            (
                row.position,
                _checksum(row.position, recordedtime, id_, row.topic, row.envelope),
                recordedtime,
                id_,
                row.topic,
                row.envelope,
            )
            for row, id_ in zip(rows, ids, strict=True)
        ]
        try:
            with _explained(self._folder):
                self._insert(values)
        except sqlite3.IntegrityError as error:
            known = self.positions_of(ids)
            if not known:
                raise JournalError(f"{self._folder / FILE}: a row was refused: {error}") from error
            raise KnownIdsError(known) from error
        self.head = rows[-1].position

    def _insert(self, values: Sequence[tuple[Any, ...]]) -> None:
        """Insert in as few statements as there are powers of two in the number of rows; each is prepared once."""
        execute = self._database.execute
        chunks = list(_powers(len(values)))
        try:
            if len(chunks) > 1:
                execute("BEGIN IMMEDIATE")
            at = 0
            for size in chunks:
                execute(_insert_statement(size), [value for row in values[at : at + size] for value in row])
                at += size
            if len(chunks) > 1:
                execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                execute("ROLLBACK")
            raise

    def positions_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Tell which ids are recorded, and where."""
        found: dict[str, int] = {}
        with _explained(self._folder):
            for at in range(0, len(ids), _LOOKUP):
                some = ids[at : at + _LOOKUP]
                marks = ",".join("?" * len(some))
                found.update(self._database.execute(f"SELECT id, position FROM events WHERE id IN ({marks})", some))  # noqa: S608 - marks
        return found

    # ------------------------------------------------------------------------------------------------ reading

    def read(self, after: int, limit: int = MAX_PAGE_EVENTS, prefixes: Sequence[bytes] = (b"",)) -> Page:
        """Read a page: events after a position whose topic starts with one of the prefixes.

        Raises:
            AheadError: there is no such position yet.
            JournalDamagedError: the file's structure is broken.

        """
        with _explained(self._folder):
            self._refresh()
            if after > self.head:
                raise AheadError(f"there is no position {after} yet; the head of epoch {self.epoch} is {self.head}")
            start = max(after, self.first - 1)
            last = min(self.head, start + MAX_LOOKED_AT)
            found, through = self._select(start, last, limit, prefixes)
        rows = [row for row in found if isinstance(row, Row)]
        bad = [(row, row) for row in found if isinstance(row, int)]
        spans = [(max(known.first, after + 1), min(known.last, through)) for known in self._damage]
        damaged = tuple(sorted({*bad, *(span for span in spans if span[0] <= span[1])}))
        return Page(
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            through=through,
            more=through < self.head,
            damaged=damaged,
            rows=tuple(rows),
        )

    def _select(self, start: int, last: int, limit: int, prefixes: Sequence[bytes]) -> tuple[list[Row | int], int]:
        """Collect the rows of a page (a bare position where the checksum is wrong), and how far it looked."""
        condition, values = _matching(prefixes)
        rows: list[Row | int] = []
        size = 0
        cursor = self._database.execute(
            f"SELECT {_COLUMNS} FROM events WHERE position > ? AND position <= ?{condition} ORDER BY position LIMIT ?",  # noqa: S608 - constants
            (start, last, *values, limit),
        )
        for position, crc, recorded, id_, topic, envelope in cursor:
            if crc != _checksum(position, recorded, id_, topic, envelope):
                rows.append(position)
            else:
                rows.append(Row(position, topic, encode_stamp_fast(self.epoch, position, recorded), envelope))
                size += len(envelope)
            if len(rows) >= limit or size >= MAX_PAGE_BYTES:
                return rows, position
        return rows, last

    def _refresh(self) -> None:
        """Learn what another connection has written."""
        (first,) = self._database.execute("SELECT value FROM meta WHERE name = 'first'").fetchone()
        (head,) = self._database.execute("SELECT max(position) FROM events").fetchone()
        self.first, self.head = first, max(head or 0, self.head)
        self._damage = [
            Damage(*row) for row in self._database.execute("SELECT first, last, reason, kept_at FROM damage ORDER BY 1")
        ]

    # ------------------------------------------------------------------------------------------------ damage

    def check(self, after: int, limit: int) -> tuple[int, list[int]]:
        """Verify the checksums of up to ``limit`` rows after a position; return how far it came and the bad positions."""
        with _explained(self._folder):
            rows = self._database.execute(
                f"SELECT {_COLUMNS} FROM events WHERE position > ? ORDER BY position LIMIT ?",  # noqa: S608 - constants
                (after, limit),
            ).fetchall()
        bad = [position for position, crc, *rest in rows if crc != _checksum(position, *rest)]
        return (rows[-1][0] if rows else self.head), bad

    def quarantine(self, position: int, reason: str) -> Damage | None:
        """Set a row with a wrong checksum aside; None when it is set aside already, or is not damaged."""
        with _explained(self._folder):
            row = self._database.execute(f"SELECT {_COLUMNS} FROM events WHERE position = ?", (position,)).fetchone()  # noqa: S608
            if row is None or row[1] == _checksum(row[0], *row[2:]):
                return None
            kept = _keep(self._folder / QUARANTINE, f"{position}.row", repr(row).encode())
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("DELETE FROM events WHERE position = ?", (position,))
            damage = Damage(position, position, reason, str(kept))
            self._database.execute("INSERT OR REPLACE INTO damage VALUES (?, ?, ?, ?)", (position, position, reason, str(kept)))
            self._database.execute("COMMIT")
        self._damage.append(damage)
        return damage

    def _verify_newest(self) -> None:
        """Set aside what is damaged among the newest rows; they are what a crash could have touched."""
        _, bad = self.check(max(0, self.head - NEWEST_CHECKED), NEWEST_CHECKED)
        self.found_at_start = [damage for position in bad if (damage := self.quarantine(position, "wrong checksum"))]

    @property
    def damage(self) -> tuple[Damage, ...]:
        """Return every range that is known to be damaged."""
        return tuple(self._damage)

    # ------------------------------------------------------------------------------------------------ retention

    def size(self) -> int:
        """Return the bytes in use, without those that removed events left free."""
        pages, free, page = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page)

    def trim(self, *, older_than: str, max_bytes: int, at_most: int = 2000) -> Trimmed | None:
        """Remove the oldest events, a piece at a time, when they are too old or take too much room; the newest always stays.

        ``older_than`` is RFC 3339. Returns None when there is nothing to remove.
        """
        with _explained(self._folder):
            limit = min(self.first + at_most, self.head)
            if (size := self.size()) > max_bytes:
                share = (size - max_bytes) / size
                cut = min(limit, self.first + max(1, int(share * (self.head - self.first + 1))))
                reason = f"more than {max_bytes} bytes"
            else:
                row = self._database.execute(
                    "SELECT position FROM events WHERE position < ? AND recorded >= ? ORDER BY position LIMIT 1",
                    (limit, older_than),
                ).fetchone()
                cut = row[0] if row else limit
                reason = f"older than {older_than}"
            if cut <= self.first:
                return None
            self._remove_below(cut)
        trimmed = Trimmed(cut, cut - self.first, reason)
        self.first = cut
        return trimmed

    def _remove_below(self, first: int) -> None:
        execute = self._database.execute
        execute("BEGIN IMMEDIATE")
        execute("DELETE FROM events WHERE position < ?", (first,))
        execute("DELETE FROM damage WHERE last < ?", (first,))
        execute("UPDATE meta SET value = ? WHERE name = 'first'", (first,))
        execute("COMMIT")


# ---------------------------------------------------------------------------------------------------- parts


class _explained:  # noqa: N801 - reads as a sentence
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
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            _keep(self._folder, MARKER, name.encode())
            raise JournalDamagedError(f"{file}: its structure is broken ({name}); the next start salvages it") from error
        raise JournalError(f"{file}: {name}: {error}") from error


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    _private_file(file)
    database = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA mmap_size = 0")
    return database


def _create(database: sqlite3.Connection, epoch: str) -> None:
    database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    database.execute(f"PRAGMA application_id = {_APPLICATION}")
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    database.executemany("INSERT INTO meta VALUES (?, ?)", [("epoch", epoch), ("first", 1), ("version", 1)])


def _checksum(position: int, recorded: str, id_: str, topic: bytes, envelope: bytes) -> int:
    return crc32(envelope, crc32(topic, crc32(f"{position} {recorded} {id_}".encode())))


def _powers(number: int) -> Iterable[int]:
    """Split a number of rows into the sizes of the prepared statements, the largest first."""
    size = _LARGEST_INSERT
    while number:
        while size > number:
            size //= 2
        yield size
        number -= size


def _insert_statement(size: int) -> str:
    return f"INSERT INTO events ({_COLUMNS}) VALUES " + ",".join(["(?,?,?,?,?,?)"] * size)  # noqa: S608 - constants


def _matching(prefixes: Sequence[bytes]) -> tuple[str, list[bytes]]:
    """Return the SQL condition for topics that start with one of the prefixes, and its values."""
    if b"" in prefixes:
        return "", []
    values = [bound for prefix in prefixes for bound in (prefix, prefix + b"\xff" * 4)]
    return " AND (" + " OR ".join(["topic >= ? AND topic < ?"] * len(prefixes)) + ")", values


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise JournalError(f"{folder}: not a folder (a link is not followed); remove it")
    _ours(folder, facts)


def _private_file(file: Path) -> None:
    if file.exists():
        facts = file.lstat()
        if not stat.S_ISREG(facts.st_mode):
            raise JournalError(f"{file}: not a regular file; remove it")
        _ours(file, facts)


def _ours(path: Path, facts: os.stat_result) -> None:
    if hasattr(os, "geteuid") and (facts.st_uid != os.geteuid() or facts.st_mode & 0o077):
        raise JournalError(f"{path}: must belong to you and be closed to others (chmod go-rwx)")


def _keep(folder: Path, name: str, content: bytes) -> Path:
    """Write a small file of ours, once."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path
