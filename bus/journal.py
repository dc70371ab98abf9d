"""Every event that was acknowledged, on disk, in order: one SQLite file in WAL mode, ``synchronous=FULL``.

Theory of operation
-------------------
One multi-row INSERT is one ``step()`` of SQLite and one commit, so a batch costs one wait for the disk and the interpreter
lock is given up once, not once a row. The id's unique index decides what is a repetition: ``append`` fails as a whole with
``KnownIdsError`` and nothing is written. A row's checksum covers everything in it; a row that fails it is never handed out.

What is damaged is set aside, never silently dropped: a row with a wrong checksum goes to a file in ``quarantine/`` and its
position into the table ``damage``; a broken file structure (SQLite says so, or positions are missing) is marked and left to
``bus.salvage``, at the next start. Checking a million rows takes seconds, so a start checks the newest rows only, readers
check what they read, and ``check`` goes through the rest in pieces while the broker already works.

Single-threaded: whoever opens a journal uses it from one thread at a time. Must not know sockets or publishers.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bus.frames import encode_stamp_fast
from bus.journal_file import (
    COLUMNS,
    FILE,
    MARKER,
    QUARANTINE,
    ROW_VALUES,
    VERSION,
    AheadError,
    Damage,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    KnownIdsError,
    Trimmed,
    checksum,
    connect,
    create,
    explained,
    insert_statement,
    intact,
    keep,
    mark,
    matching,
    powers,
    private_folder,
)
from bus.protocol import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Page, Row

__all__ = [
    "AheadError",
    "Damage",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalFullError",
    "KnownIdsError",
    "Trimmed",
]

NEWEST_CHECKED = 1000
MAX_LOOKED_AT = 20_000
_LOOKUP = 500
_CHECKPOINT_PAGES = 1000
_KEPT_WAL_BYTES = 64 * 1024 * 1024


class Journal:
    """An open journal. ``epoch`` names it, ``first`` and ``head`` are the first and last positions kept."""

    def __init__(self, database: sqlite3.Connection, folder: Path) -> None:
        self._database = database
        self._folder = folder
        with explained(folder):
            meta = dict(database.execute("SELECT name, value FROM meta"))
            (head,) = database.execute("SELECT max(position) FROM events").fetchone()
            self._damage = self._read_damage()
        if meta.get("version", VERSION) != VERSION:
            raise JournalError(
                f"{folder / FILE}: version {meta.get('version')!r} is not known here (this is {VERSION}); use the newer one"
            )
        match meta:
            case {"epoch": str(epoch), "first": int(first)}:
                self.epoch = epoch
                self.first = first
            case _:
                raise mark(folder, "the journal's name is unreadable")
        self.head: int = max(head or 0, self.first - 1, *(damage.last for damage in self._damage), 0)
        self.found_at_start: list[Damage] = []

    def _read_damage(self) -> list[Damage]:
        return [
            Damage(*row) for row in self._database.execute("SELECT first, last, reason, kept_at FROM damage ORDER BY first")
        ]

    @classmethod
    def open(cls, folder: str | os.PathLike[str], epoch: str) -> Self:
        """Open the journal in a folder for writing, or begin a new one, named ``epoch``, where there is none.

        Raises:
            JournalDamagedError: the file's structure is broken; ``bus.salvage`` is next.
            JournalError: the folder or the file is open to others, or is not a journal.

        """
        folder = Path(folder)
        private_folder(folder)
        file = folder / FILE
        if (folder / MARKER).exists():
            raise JournalDamagedError(f"{file} was found damaged and must be salvaged")
        if not file.exists():
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with explained(folder):
            database = connect(file, "rw")
            try:
                if database.execute("PRAGMA page_count").fetchone() == (0,):
                    create(database, epoch)
                database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
                database.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL_BYTES}")
                journal = cls(database, folder)
                journal._verify_newest()
            except BaseException:
                database.close()
                raise
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
        with explained(folder):
            database = connect(file, "ro")
            try:
                return cls(database, folder)
            except BaseException:
                database.close()
                raise

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
        values: list[Any] = []
        for row, id_ in zip(rows, ids, strict=True):
            crc = checksum(row.position, recordedtime, id_, row.topic, row.envelope)
            values += (row.position, crc, recordedtime, id_, row.topic, row.envelope)
        try:
            with explained(self._folder):
                self._insert(values)
        except sqlite3.IntegrityError as error:
            known = self.positions_of(ids)
            if not known:
                raise JournalError(f"{self._folder / FILE}: a row was refused: {error}") from error
            raise KnownIdsError(known) from error
        self.head = rows[-1].position

    def _insert(self, values: Sequence[Any]) -> None:
        """Insert in as few statements as there are powers of two in the number of rows; each is prepared once."""
        execute = self._database.execute
        chunks = list(powers(len(values) // ROW_VALUES))
        try:
            if len(chunks) > 1:
                execute("BEGIN IMMEDIATE")
            at = 0
            for size in chunks:
                end = at + size * ROW_VALUES
                execute(insert_statement(size), values[at:end])
                at = end
            if len(chunks) > 1:
                execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                execute("ROLLBACK")
            raise

    def positions_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Tell which ids are recorded, and where."""
        found: dict[str, int] = {}
        with explained(self._folder):
            for at in range(0, len(ids), _LOOKUP):
                some = ids[at : at + _LOOKUP]
                marks = ",".join("?" * len(some))
                found.update(self._database.execute(f"SELECT id, position FROM events WHERE id IN ({marks})", some))  # noqa: S608 - marks
        return found

    # ------------------------------------------------------------------------------------------------ reading

    def read(
        self, after: int, limit: int = MAX_PAGE_EVENTS, prefixes: Sequence[bytes] = (b"",), types: Sequence[str] = ()
    ) -> Page:
        """Read a page: events after a position whose topic starts with one of the prefixes, of these types (none: of any).

        Raises:
            AheadError: there is no such position yet.
            JournalDamagedError: the file's structure is broken.

        """
        with explained(self._folder), self._snapshot():
            self._refresh()
            if after > self.head:
                raise AheadError(f"there is no position {after} yet; the head of epoch {self.epoch} is {self.head}")
            start = max(after, self.first - 1)
            last = min(self.head, start + MAX_LOOKED_AT)
            rows, broken, through = self._select(start, last, limit, matching(prefixes, types))
        holes = {(position, position) for position in broken}
        if b"" in prefixes and not types and len(rows) < through - start:
            holes.update(_holes(rows, start, through))
        holes.update((max(known.first, after + 1), min(known.last, through)) for known in self._damage)
        damaged = _merged(span for span in holes if span[0] <= span[1])
        return Page(
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            through=through,
            more=through < self.head,
            damaged=damaged,
            rows=tuple(rows),
        )

    def _select(self, start: int, last: int, limit: int, matches: tuple[str, list[bytes]]) -> tuple[list[Row], list[int], int]:
        """Collect the rows of a page, the positions of those whose checksum is wrong, and how far it looked."""
        condition, values = matches
        rows: list[Row] = []
        broken: list[int] = []
        size = 0
        cursor = self._database.execute(
            f"SELECT {COLUMNS} FROM events WHERE position > ? AND position <= ?{condition} ORDER BY position LIMIT ?",  # noqa: S608 - constants
            (start, last, *values, limit),
        )
        for row in cursor:
            position, _, recorded, _, topic, envelope = row
            if intact(row):
                rows.append(Row(position, topic, encode_stamp_fast(self.epoch, position, recorded), envelope))
                size += len(envelope)
            else:
                broken.append(position)
            if len(rows) + len(broken) >= limit or size >= MAX_PAGE_BYTES:
                return rows, broken, position
        return rows, broken, last

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read the journal at one moment: what is trimmed or set aside meanwhile must not look like a hole."""
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            if self._database.in_transaction:
                self._database.execute("COMMIT")

    def _refresh(self) -> None:
        """Learn what another connection has written."""
        (first,) = self._database.execute("SELECT value FROM meta WHERE name = 'first'").fetchone()
        (head,) = self._database.execute("SELECT max(position) FROM events").fetchone()
        self.first, self.head = first, max(head or 0, self.head)
        self._damage = self._read_damage()

    # ------------------------------------------------------------------------------------------------ damage

    def check(self, after: int, limit: int) -> tuple[int, list[int]]:
        """Verify up to ``limit`` rows after a position; return how far it came, and the positions with a wrong checksum.

        Raises:
            JournalDamagedError: the file's structure is broken, or positions are missing.

        """
        with explained(self._folder), self._snapshot():
            self._refresh()
            start = max(after, self.first - 1)
            rows = self._database.execute(
                f"SELECT {COLUMNS} FROM events WHERE position > ? ORDER BY position LIMIT ?",  # noqa: S608 - constants
                (start, limit),
            ).fetchall()
        known = {position for damage in self._damage for position in range(damage.first, damage.last + 1)}
        through = rows[-1][0] if len(rows) == limit else self.head
        missing = set(range(start + 1, through + 1)).difference(known, (row[0] for row in rows))
        if missing:
            raise mark(self._folder, f"positions {min(missing)} to {max(missing)} are missing")
        return through, [row[0] for row in rows if not intact(row)]

    def quarantine(self, position: int, reason: str) -> Damage | None:
        """Set a row with a wrong checksum aside; None when it is set aside already, or is not damaged."""
        with explained(self._folder):
            row = self._database.execute(f"SELECT {COLUMNS} FROM events WHERE position = ?", (position,)).fetchone()  # noqa: S608
            if row is None or intact(row):
                return None
            kept = keep(self._folder / QUARANTINE, f"{position}.row", repr(row).encode())
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
        self.found_at_start.extend(damage for position in bad if (damage := self.quarantine(position, "wrong checksum")))

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
        with explained(self._folder):
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


def _holes(rows: Sequence[Row], start: int, through: int) -> list[tuple[int, int]]:
    """Return the ranges of positions after ``start``, through ``through``, that no row has."""
    holes = []
    for row in (*(row.position for row in rows), through + 1):
        if row > start + 1:
            holes.append((start + 1, row - 1))
        start = max(start, row)
    return holes


def _merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join ranges that touch or overlap."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)
