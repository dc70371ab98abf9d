"""What can be read of a journal whose file is broken goes into a new file; the broken one is kept.

Theory of operation
-------------------
Rows are read in order; where SQLite gives up, the next readable row is felt for, position by position at first and in growing
steps when the damage is large. Every row's checksum is verified. Positions between the first and the last that could not be
read become entries of the table ``damage``, so that every subscriber is told of exactly these.

The new file is complete under another name before anything is moved, and each move can be repeated, so a crash anywhere ends
in a salvage that is done again or finished. When it cannot be known how far the old journal went, the new one gets a
new epoch, since its next positions could have been given out before. Must not know the broker.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from bus.journal import Journal
from bus.journal_file import (
    COLUMNS,
    FILE,
    MARKER,
    QUARANTINE,
    Damage,
    JournalDamagedError,
    connect,
    create,
    insert_statement,
    intact,
    is_damage,
    private_folder,
)

DRAFT = "journal.draft.sqlite3"
SALVAGED = "journal.salvaged.sqlite3"
_SUFFIXES = ("", "-wal", "-shm")
_PIECE = 512
_FELT_FOR = 5000


def open_or_salvage(folder: str | os.PathLike[str]) -> Journal:
    """Open the journal in a folder, salvaging it first when it was left damaged or turns out to be.

    Raises:
        JournalError: it is open to others, or the disk failed.

    """
    folder = Path(folder)
    private_folder(folder)
    try:
        if not (folder / SALVAGED).exists():
            return Journal.open(folder, uuid4().hex)
    except JournalDamagedError:
        _copy_readable(folder)
    _replace(folder)
    journal = Journal.open(folder, uuid4().hex)
    journal.found_at_start.extend(journal.damage)
    return journal


def _copy_readable(folder: Path) -> None:
    """Write everything readable into a file of its own, whole or not at all."""
    for suffix in _SUFFIXES:
        (folder / f"{DRAFT}{suffix}").unlink(missing_ok=True)
    os.close(os.open(folder / DRAFT, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    draft = connect(folder / DRAFT, "rw")
    try:
        source = connect(folder / FILE, "rw")
        try:
            _copy(source, draft, str(_next_kept(folder)))
        finally:
            source.close()
    finally:
        draft.close()
    (folder / DRAFT).replace(folder / SALVAGED)


def _copy(source: sqlite3.Connection, draft: sqlite3.Connection, kept_at: str) -> None:
    meta = dict(_rows_or_none(source, "SELECT name, value FROM meta"))
    known = [Damage(*row) for row in _rows_or_none(source, "SELECT first, last, reason, kept_at FROM damage ORDER BY first")]
    first = meta.get("first", 1)
    top = _rows_or_none(source, "SELECT max(position) FROM events")
    epoch = meta.get("epoch", "") if top else ""
    create(draft, epoch or uuid4().hex, first)
    head = first - 1
    damages: list[Damage] = []
    for piece in _pieces(_readable(source, first, top[0][0] or 0 if top else None)):
        draft.execute(insert_statement(len(piece)), [value for row in piece for value in row])
        for row in piece:
            if row[0] > head + 1:
                damages.append(Damage(head + 1, row[0] - 1, "unreadable", kept_at))
            head = row[0]
    last = max(top[0][0] or 0 if top else 0, *(damage.last for damage in known), 0)
    if last > head:
        damages.append(Damage(head + 1, last, "unreadable", kept_at))
    for damage in damages:
        before = next((old for old in known if old.first <= damage.first and damage.last <= old.last), damage)
        values = (damage.first, damage.last, before.reason, before.kept_at)
        draft.execute("INSERT OR REPLACE INTO damage VALUES (?, ?, ?, ?)", values)


def _readable(source: sqlite3.Connection, first: int, top: int | None) -> Iterator[tuple[Any, ...]]:
    """Yield the intact rows in order, once each."""
    at = first
    while True:
        try:
            for row in source.execute(f"SELECT {COLUMNS} FROM events WHERE position >= ? ORDER BY position", (at,)):  # noqa: S608
                if intact(row) and row[0] >= at:
                    yield row
                    at = row[0] + 1
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            found = _feel(source, at, top)
            if found is None:
                return
            at = found
        else:
            return


def _feel(source: sqlite3.Connection, at: int, top: int | None) -> int | None:
    """Find the next position after ``at`` from which rows can be read again."""
    probe = at
    step = 1
    while top is None or probe <= top:
        probe += step
        if probe - at > _FELT_FOR:
            step *= 2
        if step > 1 << 40:
            return None
        if _rows_or_none(source, f"SELECT {COLUMNS} FROM events WHERE position >= {probe} ORDER BY position LIMIT 1"):  # noqa: S608
            return probe
    return None


def _rows_or_none(source: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    """Return a query's rows, or none when the file is too broken for it."""
    try:
        return source.execute(query).fetchall()
    except sqlite3.Error:
        return []


def _pieces(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    piece: list[tuple[Any, ...]] = []
    for row in rows:
        piece.append(row)
        if len(piece) == _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _next_kept(folder: Path) -> Path:
    number = sum(path.is_dir() for path in (folder / QUARANTINE).glob("journal-*")) + 1
    return folder / QUARANTINE / f"journal-{number}"


def _replace(folder: Path) -> None:
    """Put the broken files away and the salvaged one into their place."""
    kept = _next_kept(folder)
    for suffix in _SUFFIXES:
        broken = folder / f"{FILE}{suffix}"
        if broken.exists():
            kept.mkdir(mode=0o700, parents=True, exist_ok=True)
            broken.replace(kept / broken.name)
    (folder / SALVAGED).replace(folder / FILE)
    (folder / MARKER).unlink(missing_ok=True)
