"""The journal: what it takes, what it gives back, what it refuses, what it removes."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.journal import AheadError, Journal, JournalError, KnownIdsError
from bus.protocol import MAX_PAGE_BYTES, Row
from tests.bus.values import TIME, ids, row, rows

LATER = "2026-11-22T01:50:01.123456Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    opened = Journal.open(folder, "e1")
    yield opened
    opened.close()


def positions(journal: Journal, after: int = 0, **rest: Any) -> list[int]:
    return [held.position for held in journal.read(after, **rest).rows]


def test_a_new_journal_is_empty(journal: Journal) -> None:
    page = journal.read(0)
    assert (page.epoch, page.first, page.head, page.through, page.more, page.rows) == ("e1", 1, 0, 0, False, ())


@pytest.mark.parametrize("count", [1, 2, 3, 64, 1000, 2049])
def test_what_is_appended_is_read_back_byte_for_byte(journal: Journal, count: int) -> None:
    written = rows(1, count)
    journal.append(written, ids(1, count), TIME)
    held: list[Row] = []
    while len(held) < count:
        held.extend(journal.read(len(held), 700).rows)
    assert held == written
    assert journal.head == count


def test_it_goes_on_where_it_was(folder: Path) -> None:
    first = Journal.open(folder, "e1")
    first.append(rows(1, 5), ids(1, 5), TIME)
    first.close()
    second = Journal.open(folder, "another")
    assert (second.epoch, second.head) == ("e1", 5)
    second.append(rows(6, 6), ids(6, 6), TIME)
    assert positions(second) == [1, 2, 3, 4, 5, 6]
    second.close()


def test_known_ids_write_nothing(journal: Journal) -> None:
    journal.append(rows(1, 3), ids(1, 3), TIME)
    with pytest.raises(KnownIdsError) as caught:
        journal.append(rows(4, 6), ["new", "id-2", "newer"], TIME)
    assert caught.value.positions == {"id-2": 2}
    assert journal.head == 3
    assert positions(journal) == [1, 2, 3]
    journal.append(rows(4, 4), ["new"], TIME)


def test_rows_must_follow_the_head(journal: Journal) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        journal.append(rows(2, 2), ids(2, 2), TIME)


def test_pages_are_bounded_in_rows_and_in_bytes(journal: Journal) -> None:
    journal.append(rows(1, 10), ids(1, 10), TIME)
    page = journal.read(2, 3)
    assert ([one.position for one in page.rows], page.through, page.more) == ([3, 4, 5], 5, True)
    size = MAX_PAGE_BYTES // 4
    journal.append([row(at, envelope=b"x" * size) for at in range(11, 19)], ids(11, 18), TIME)
    assert positions(journal, 10) == [11, 12, 13, 14]


def test_prefixes_select_and_the_page_still_says_how_far_it_looked(journal: Journal) -> None:
    topics = [b"session.a.x.", b"session.b.x.", b"request.a.x.", b"session.a.y.", b"bus.journal.z."]
    journal.append([row(at, topic=topic) for at, topic in enumerate(topics, 1)], ids(1, 5), TIME)
    assert positions(journal, prefixes=(b"session.a.",)) == [1, 4]
    assert positions(journal, prefixes=(b"session.a.", b"bus.")) == [1, 4, 5]
    page = journal.read(0, prefixes=(b"pin.",))
    assert (page.rows, page.through, page.more) == ((), 5, False)
    page = journal.read(0, 1, prefixes=(b"session.",))
    assert (page.through, page.more) == (1, True)


def test_types_select_whatever_the_subject(journal: Journal) -> None:
    topics = [b"session.a.request.seen.", b"request.b.request.seen.", b"session.a.x.seen.", b"session.request.seen.x.y."]
    journal.append([row(at, topic=topic) for at, topic in enumerate(topics, 1)], ids(1, 4), TIME)
    assert positions(journal, types=("request.seen",)) == [1, 2]
    assert positions(journal, types=("x.y", "request.seen")) == [1, 2, 4]
    assert positions(journal, prefixes=(b"session.",), types=("request.seen",)) == [1]
    page = journal.read(0, types=("pin.placed",))
    assert (page.rows, page.through, page.more, page.damaged) == ((), 4, False, ())


def test_reading_ahead_is_refused(journal: Journal) -> None:
    with pytest.raises(AheadError):
        journal.read(1)


def test_a_reader_beside_the_writer_sees_what_is_committed(journal: Journal, folder: Path) -> None:
    reading = Journal.open_readonly(folder)
    journal.append(rows(1, 2), ids(1, 2), TIME)
    assert positions(reading) == [1, 2]
    journal.append(rows(3, 3), ids(3, 3), TIME)
    assert positions(reading, 2) == [3]
    assert reading.head == 3
    reading.close()


def test_it_can_be_read_after_the_broker_closed_it(journal: Journal, folder: Path) -> None:
    journal.append(rows(1, 2), ids(1, 2), TIME)
    journal.close()
    reading = Journal.open_readonly(folder)
    assert positions(reading) == [1, 2]
    reading.close()


def test_nothing_to_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="nothing was recorded"):
        Journal.open_readonly(tmp_path)


def test_every_file_is_ours_alone(journal: Journal, folder: Path) -> None:
    journal.append(rows(1, 2), ids(1, 2), TIME)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm"), 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_journal_that_others_may_read_is_refused(journal: Journal, folder: Path) -> None:
    journal.close()
    (folder / "journal.sqlite3").chmod(0o644)
    with pytest.raises(JournalError, match="chmod go-rwx"):
        Journal.open(folder, "e1")
    folder.chmod(0o750)
    with pytest.raises(JournalError, match="chmod go-rwx"):
        Journal.open(folder, "e1")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(JournalError, match="not a folder"):
        Journal.open(tmp_path / "link", "e1")


# ---------------------------------------------------------------------------------------------------- retention


def fill(journal: Journal, count: int, time: str = TIME, size: int = 1000) -> None:
    first = journal.head + 1
    written = [row(at, envelope=b"x" * size) for at in range(first, first + count)]
    journal.append(written, ids(first, first + count - 1), time)


def test_old_events_are_removed(journal: Journal) -> None:
    fill(journal, 10)
    fill(journal, 5, LATER)
    trimmed = journal.trim(older_than=LATER, max_bytes=1 << 40)
    assert trimmed is not None
    assert (trimmed.first, trimmed.removed) == (11, 10)
    assert journal.trim(older_than=LATER, max_bytes=1 << 40) is None
    page = journal.read(0)
    assert (page.first, [one.position for one in page.rows]) == (11, [11, 12, 13, 14, 15])


def test_the_newest_event_always_stays(journal: Journal, folder: Path) -> None:
    fill(journal, 10)
    while journal.trim(older_than=LATER, max_bytes=0) is not None:
        pass
    assert (journal.first, journal.head) == (10, 10)
    journal.close()
    again = Journal.open(folder, "e1")
    assert (again.first, again.head) == (10, 10)
    again.close()


def test_the_oldest_go_when_there_is_too_much(journal: Journal) -> None:
    fill(journal, 2000)
    limit = journal.size() // 2
    pieces = 0
    while (trimmed := journal.trim(older_than="", max_bytes=limit, at_most=200)) is not None:
        assert trimmed.removed <= 200
        pieces += 1
    assert pieces > 1
    assert journal.size() <= limit
    assert journal.head == 2000
    assert journal.size() > limit * 0.8


def test_a_trimmed_journal_takes_no_more_room(journal: Journal, folder: Path) -> None:
    fill(journal, 1000)
    limit = journal.size()
    for _ in range(5):
        fill(journal, 500)
        while journal.trim(older_than="", max_bytes=limit) is not None:
            pass
    assert (folder / "journal.sqlite3").stat().st_size < 2.2 * limit
