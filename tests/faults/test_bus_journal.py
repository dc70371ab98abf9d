"""A journal that is killed, damaged, or out of room: nothing acknowledged is lost, and what is lost is said."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.journal import Journal, JournalDamagedError, JournalFullError
from bus.protocol import Row
from bus.salvage import open_or_salvage
from tests.bus.values import TIME, ids, row

pytestmark = pytest.mark.fault
SIZE = 1000
PAGE = 16_384
WRITER = """
import sys
import threading
from bus.salvage import open_or_salvage
from tests.bus.values import TIME, row
journal = open_or_salvage(sys.argv[1])
print("open", journal.head, flush=True)
while True:
    first = journal.head + 1
    rows = [row(at, journal.epoch, envelope=b"%d " % at * 200) for at in range(first, first + 1 + first % 37)]
    journal.append(rows, [f"id-{one.position}" for one in rows], TIME)
    print(journal.head, flush=True)
"""


def fill(journal: Journal, through: int) -> None:
    """Append 1 KB events up to a position."""
    for first in range(journal.head + 1, through + 1, 500):
        last = min(first + 499, through)
        written = [row(at, journal.epoch, envelope=(b"%d " % at) * (SIZE // len(b"%d " % at))) for at in range(first, last + 1)]
        journal.append(written, ids(first, last), TIME)


def everything(journal: Journal) -> tuple[dict[int, Row], set[int]]:
    """Read a whole journal; return its rows and the positions that it says are damaged."""
    held: dict[int, Row] = {}
    damaged: set[int] = set()
    after = 0
    while True:
        page = journal.read(after)
        held.update((one.position, one) for one in page.rows)
        damaged.update(at for first, last in page.damaged for at in range(first, last + 1))
        if not page.more:
            return held, damaged
        assert page.through > after
        after = page.through


def test_killed_in_the_middle_of_writing_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    acked = 0
    random_ = random.Random(7)  # noqa: S311 - a story that can be repeated
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "journal")], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            opened = int(writer.stdout.readline().split()[1])
            assert opened >= acked
            for _ in range(random_.randrange(1, 40)):
                acked = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            for line in writer.stdout.read().splitlines():
                acked = int(line)
    journal = open_or_salvage(tmp_path / "journal")
    held, damaged = everything(journal)
    assert not damaged
    assert journal.head >= acked
    assert sorted(held) == list(range(1, journal.head + 1))
    assert all(one.envelope == b"%d " % at * 200 for at, one in held.items())
    journal.close()


def flip(file: Path, at: int, mask: int = 0x10) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ mask]))


def test_a_flipped_bit_in_a_row_costs_that_row_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = Journal.open(folder, "e1")
    fill(journal, 5000)
    journal.close()
    content = (folder / "journal.sqlite3").read_bytes()
    flip(folder / "journal.sqlite3", content.index(b"2500 2500 ") + 100)
    journal = Journal.open(folder, "e1")
    assert journal.found_at_start == []
    held, damaged = everything(journal)
    assert damaged == {2500}
    assert sorted(held) == [at for at in range(1, 5001) if at != 2500]
    after, bad = 0, []
    while after < journal.head:
        after, some = journal.check(after, 1000)
        bad += some
    assert bad == [2500]
    damage = journal.quarantine(2500, "wrong checksum")
    assert damage is not None
    assert b"2500 2500" in Path(damage.kept_at).read_bytes()
    assert journal.quarantine(2500, "wrong checksum") is None
    journal.close()
    reading = Journal.open_readonly(folder)
    assert everything(reading)[1] == {2500}
    assert [(one.first, one.last) for one in reading.damage] == [(2500, 2500)]
    reading.close()


def test_a_damaged_newest_row_is_set_aside_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = Journal.open(folder, "e1")
    fill(journal, 100)
    journal.close()
    flip(folder / "journal.sqlite3", (folder / "journal.sqlite3").read_bytes().index(b"100 100 ") + 50)
    journal = Journal.open(folder, "e1")
    assert [(one.first, one.last) for one in journal.found_at_start] == [(100, 100)]
    assert journal.head == 100
    fill(journal, 101)
    assert everything(journal)[1] == {100}
    journal.close()


@pytest.mark.parametrize("seed", range(25))
def test_whatever_is_damaged_the_rest_is_read_and_the_loss_is_said(tmp_path: Path, seed: int) -> None:
    """Overwrite random bytes, pages or the file's head; every row comes back as written or is reported as damaged."""
    folder = tmp_path / "journal"
    journal = Journal.open(folder, "e1")
    fill(journal, 3000)
    written, _ = everything(journal)
    journal.close()
    file = folder / "journal.sqlite3"
    random_ = random.Random(seed)  # noqa: S311
    size = file.stat().st_size
    with file.open("r+b") as opened:
        for _ in range(random_.choice([1, 3, 20])):
            opened.seek(random_.randrange(0 if seed % 5 == 0 else PAGE * 2, size))
            opened.write(random_.randbytes(random_.choice([1, 8, 500, PAGE])))
    journal = opened_by_force(folder)
    held, damaged = everything(journal)
    if journal.epoch != "e1":
        held = {at: Row(at, one.topic, written[at].stamp, one.envelope) for at, one in held.items()}
    assert all(one == written[at] for at, one in held.items())
    if journal.epoch == "e1":
        assert set(held) | damaged >= set(range(1, 3001))
    fill(journal, journal.head + 1)
    journal.close()


def opened_by_force(folder: Path) -> Journal:
    """Open, read and check, as a broker does; each time damage is found, start again."""
    for _ in range(3):
        journal = open_or_salvage(folder)
        try:
            everything(journal)
            after = 0
            while after < journal.head:
                after, bad = journal.check(after, 1000)
                for position in bad:
                    journal.quarantine(position, "wrong checksum")
        except JournalDamagedError:
            journal.close()
        else:
            return journal
    raise AssertionError("salvaged three times and still damaged")


def test_what_was_broken_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = Journal.open(folder, "e1")
    fill(journal, 3000)
    journal.close()
    file = folder / "journal.sqlite3"
    before = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(before // 2 // PAGE * PAGE)
        opened.write(b"\xff" * PAGE)
    journal = opened_by_force(folder)
    (damage,) = journal.found_at_start
    assert damage.last - damage.first < 20
    kept = Path(damage.kept_at) / "journal.sqlite3"
    assert kept.stat().st_size == before
    assert kept.stat().st_mode & 0o077 == 0
    journal.close()


@pytest.mark.parametrize("stage", ["draft left", "salvaged, nothing moved", "moved, not replaced", "replaced, marked"])
def test_a_salvage_that_was_killed_is_finished(tmp_path: Path, stage: str) -> None:
    folder = tmp_path / "journal"
    journal = Journal.open(folder, "e1")
    fill(journal, 100)
    journal.close()
    file, salvaged, marker = folder / "journal.sqlite3", folder / "journal.salvaged.sqlite3", folder / "damaged"
    marker.write_bytes(b"test")
    if stage == "draft left":
        (folder / "journal.draft.sqlite3").write_bytes(b"half of it")
    elif stage != "replaced, marked":
        salvaged.write_bytes(file.read_bytes())
        salvaged.chmod(0o600)
    if stage == "moved, not replaced":
        file.unlink()
    journal = open_or_salvage(folder)
    assert sorted(everything(journal)[0]) == list(range(1, 101))
    assert not marker.exists()
    assert not salvaged.exists()
    journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_refuses_keeps_what_it_has_and_recovers(small_disk: Path) -> None:
    journal = Journal.open(small_disk / "journal", "e1")
    with pytest.raises(JournalFullError):
        fill(journal, 10_000)
    head = journal.head
    for _ in range(3):
        with pytest.raises(JournalFullError):
            fill(journal, head + 500)
    assert journal.head == head
    assert sorted(everything(journal)[0]) == list(range(1, head + 1))
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    fill(journal, head + 500)
    journal.close()
    journal = Journal.open(small_disk / "journal", "e1")
    assert sorted(everything(journal)[0]) == list(range(1, head + 501))
    journal.close()


def test_trimming_beside_a_reader_never_looks_like_damage(tmp_path: Path) -> None:
    """A reader and a checker run in other threads while the oldest events are removed: gaps at the beginning only."""
    folder = tmp_path / "journal"
    journal = Journal.open(folder, "e1")
    fill(journal, 6000)
    over = threading.Event()
    troubles: list[object] = []

    def read() -> None:
        reading = Journal.open_readonly(folder)
        while not over.is_set():
            page = reading.read(0, 500)
            troubles.extend(page.damaged)
            troubles.extend(reading.check(0, 500)[1])
        reading.close()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    while journal.trim(older_than="", max_bytes=0, at_most=20) is not None:
        pass
    over.set()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert not (folder / "damaged").exists()
    journal.close()
