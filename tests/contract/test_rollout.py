"""The rollout watcher as a process: real files, a real broker, each line told once whatever happens to the file."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest
import zstandard

from actors.runtime.contract import Status
from bus.client import connect
from bus.connection import read_connection
from bus.source import Source
from schemas.envelope import subject
from schemas.events import ProcessConversationFound
from schemas.identity import ProcessKey, conversation_key, session_of
from tests.contract.rollout_scene import Scene, append, scene
from tests.transcripts.made import SAMPLES, event, meta, name, rollout, sample, usage, uuid

pytestmark = pytest.mark.e2e
ONE, TWO = uuid(1), uuid(2)
OLD = time.time() - 3 * 24 * 3600


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as given:
        (given.codex / "sessions").mkdir(parents=True)
        yield given


def archived(home: Scene, file: Path) -> Path:
    target = home.codex / "archived_sessions" / file.name
    target.parent.mkdir(exist_ok=True)
    return file.rename(target)


def test_what_is_there_and_what_is_appended(home: Scene) -> None:
    file = rollout(home.codex, ONE, meta(ONE) + usage("a"))
    home.start()
    home.until_responses("a")
    append(file, "b", "c")
    home.until_responses("a", "b", "c")
    new = rollout(home.codex, TWO, meta(TWO), day="2026/12/31")  # a folder that was not there
    home.until_type("seen", thread=TWO)
    append(new, "d")
    said = home.until_responses("d")
    assert home.responses() == ["a", "b", "c", "d"]
    assert {one.subject for one in said} == {f"session/codex-{ONE}", f"session/codex-{TWO}"}
    assert home.places(ONE) == [file]


def test_the_recorded_samples_are_told_as_they_are_and_nothing_typed_or_answered_is(home: Scene) -> None:
    recorded = sorted(file.stem for file in SAMPLES.iterdir())
    for stem in recorded:
        sample(home.claude if stem.startswith("claude") else home.codex, stem)
    home.start()
    home.until_type("seen", len(recorded))
    texts = [file.read_text() for file in SAMPLES.glob("codex-*")]
    records = [json.loads(line)["payload"] for text in texts for line in text.splitlines() if '"token_usage_record"' in line]
    expected = {one["response_id"] for one in records if "usage" in one}
    home.until_responses(*expected, "msg_stubdbe3da5f2253")
    raw = b"".join(file.read_bytes() for file in home.place.paths.journal.iterdir())
    for secret in (b"STUB reply", b"say hi", b"You are Codex", b"stub: I see", b"usage limit. Visit", b"echo "):
        assert any(secret in file.read_bytes() for file in SAMPLES.iterdir()) or secret == b"You are Codex"
        assert secret not in raw


def test_a_torn_line_waits_and_a_bad_line_costs_itself(home: Scene) -> None:
    torn = usage("torn")
    file = rollout(home.codex, ONE, meta(ONE) + b'{"a":1{"a":1}\n' + usage("a") + torn[:-20])
    home.start()
    home.until_responses("a")
    (bad,) = home.until_type("line_rejected")
    assert (bad.offset - bad.length, bad.length) == (len(meta(ONE)), 14)
    with file.open("ab") as handle:
        handle.write(torn[-20:] + usage("b"))
    home.until_responses("a", "torn", "b")
    assert home.responses() == ["a", "torn", "b"]


def test_archive_and_back(home: Scene) -> None:
    file = rollout(home.codex, ONE, meta(ONE) + usage("a"))
    home.start()
    home.until_responses("a")
    away = archived(home, file)
    (moved,) = home.until_type("moved")
    assert (moved.path, moved.archived) == (str(away), True)
    append(away, "b")
    home.until_responses("b")
    away.rename(file)
    home.until_type("moved", 2)
    append(file, "c")
    home.until_responses("c")
    assert archived(home, file) == away
    home.until_type("moved", 3)
    assert home.places(ONE) == [file, away, file, away]
    assert home.responses() == ["a", "b", "c"]


def test_delete_and_create_and_replace(home: Scene) -> None:
    file = rollout(home.codex, ONE, meta(ONE) + usage("a"))
    home.start()
    home.until_responses("a")
    content = file.read_bytes()
    file.unlink()
    home.until_type("moved", path=None)
    file.write_bytes(content + usage("b"))  # as like as not with the same inode
    home.until_responses("b")
    assert home.places(ONE) == [file, None, file]
    other = rollout(home.codex, TWO, meta(TWO) + usage("c"))
    home.until_responses("c")
    beside = file.with_suffix(".new")
    beside.write_bytes(content + usage("b") + usage("d"))  # rewritten and renamed over itself
    beside.rename(file)
    home.until_responses("d")
    other.write_bytes(b"")
    other.write_bytes(meta(TWO) + usage("x" * 200) + usage("e"))  # truncated, and grown beyond where it was
    home.until_responses("e")
    assert home.responses() == ["a", "b", "c", "d", "x" * 200, "e"]
    assert home.places(TWO) == [other]


def test_compressed_files_when_first_seen_and_in_place_of_a_followed_one(home: Scene) -> None:
    old = rollout(home.codex, ONE, b"")
    old.unlink()
    old.with_name(f"{old.name}.zst").write_bytes(zstandard.compress(meta(ONE) + usage("a") * 1 + event("x") * 20_000))
    file = rollout(home.codex, TWO, meta(TWO) + usage("b"))
    home.start()
    home.until_responses("a", "b")
    packed = file.with_name(f"{file.name}.zst")
    packed.write_bytes(zstandard.compress(file.read_bytes() + usage("c")))
    file.unlink()
    home.until_responses("c")
    home.until_type("moved", path=str(packed))
    assert sorted(home.responses()) == ["a", "b", "c"]


def test_forks_and_resumed_files(home: Scene) -> None:
    file = rollout(home.codex, ONE, meta(ONE) + event("task_started", turn_id="t1") + usage("a", turn_id="t1"))
    fork = meta(TWO, forked_from_id=ONE, history_base={"thread_id": ONE})
    rollout(home.codex, TWO, fork + event("task_started", turn_id="t2"))
    home.start()
    (seen,) = home.until_type("seen", thread=TWO)
    assert (seen.forked_from, seen.session) == (f"codex:{ONE}", f"codex-{TWO}")
    append(file, "b")
    with file.open("ab") as handle:
        handle.write(event("task_complete", turn_id="t1", duration_ms=5) + event("task_started", turn_id="t3"))
    home.until_type("turn_started", turn="t3")
    (ended,) = home.until_type("turn_ended")
    assert (ended.session, ended.turn, ended.outcome, ended.duration_ms) == (f"codex-{ONE}", "t1", "completed", 5)


def test_old_files_are_told_of_when_they_grow_or_are_held(home: Scene) -> None:
    quiet, grows, held = (rollout(home.codex, uuid(number), meta(uuid(number)) + usage(f"r{number}")) for number in (1, 2, 3))
    elsewhere = rollout(home.place.home / "other", uuid(4), meta(uuid(4)) + usage("r4"))
    for file in (quiet, grows, held, elsewhere):
        os.utime(file, (OLD, OLD))
    fresh = rollout(home.codex, uuid(5), meta(uuid(5)) + usage("r5"))
    home.start()
    home.until_responses("r5")
    append(grows, "more")
    home.until_responses("r2", "more")
    key = home.place.keys["gateway"]

    async def tell() -> None:
        connection = read_connection(home.place.paths.connection_file).with_keys(*key)
        source = Source("/actor/gateway/0123456789ab")
        async with connect(connection) as client:
            for number, file in ((3, held), (4, elsewhere)):
                conversation = conversation_key("codex", uuid(number))
                session = session_of(conversation)
                fact = ProcessConversationFound(
                    process=ProcessKey("h", "b", 1, 2, 3),
                    agent="codex",
                    session=session,
                    conversation=conversation,
                    transcript=str(file),
                )
                await client.publish([source.envelope(subject("session", session), fact)])

    anyio.run(tell)
    home.until_responses("r3", "r4")
    append(elsewhere, "r4b")
    home.until_responses("r4b")
    assert sorted(home.responses()) == ["more", "r2", "r3", "r4", "r4b", "r5"]
    assert fresh.exists()


def test_a_restart_goes_on_where_acknowledged_events_ended(home: Scene) -> None:
    file = rollout(home.codex, ONE, meta(ONE) + usage("a"))
    home.start()
    home.until_responses("a")
    home.actor.end_stdin()
    assert home.actor.exit_code() == 0
    append(file, "b")
    away = archived(home, file)
    home.start()
    home.until_responses("b")
    home.until_type("moved", path=str(away))
    home.kill()
    (home.place.paths.checkpoints / "rollout.json").unlink()
    append(away, "c")
    home.start()
    home.until_responses("c")
    assert home.responses() == ["a", "b", "c"]
    assert home.places(ONE) == [file, away]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version":1,"epoch":"e","position":1,"body":{"files":7}}'])
def test_a_damaged_checkpoint_costs_nothing_but_time(home: Scene, damage: bytes) -> None:
    rollout(home.codex, ONE, meta(ONE) + usage("a"))
    home.place.paths.checkpoints.mkdir(exist_ok=True)
    (home.place.paths.checkpoints / "rollout.json").write_bytes(damage)
    home.start()
    home.until_responses("a")
    assert home.responses() == ["a"]


def test_a_home_that_is_missing_is_found_when_it_is_made(tmp_path: Path) -> None:
    with scene(tmp_path) as home:
        home.start()
        file = rollout(home.codex, ONE, meta(ONE) + usage("a"))
        home.until_responses("a")
        shutil.rmtree(home.codex)
        home.until_type("moved", path=None)
        rollout(home.codex, ONE, meta(ONE) + usage("a") + usage("b"))
        home.until_responses("b")
        append(file, "c")
        home.until_responses("c")
        assert home.responses() == ["a", "b", "c"]


def test_links_pipes_and_folders_are_never_followed(home: Scene) -> None:
    outside = rollout(home.place.home / "outside", ONE, meta(ONE) + usage("stolen"))
    day = home.codex / "sessions/2026/11/20"
    day.mkdir(parents=True)
    (day / name(ONE)).symlink_to(outside)
    (day.parent / "21").symlink_to(outside.parent)
    (day / "loop").symlink_to(day)
    os.mkfifo(day / name(uuid(3)))
    (day / name(uuid(4))).mkdir()
    (day / "../../../../evil.jsonl").resolve().write_bytes(meta(uuid(6)) + usage("evil"))
    deep = rollout(home.codex, uuid(7), meta(uuid(7)) + usage("deep"), day="1/2/3/4/5/6")
    home.start()
    good = rollout(home.codex, TWO, meta(TWO) + usage("good"))
    home.until_responses("good")
    good.unlink()
    good.symlink_to(outside)
    home.until_type("moved", path=None)
    append(outside, "more")
    file = rollout(home.codex, uuid(8), meta(uuid(8)) + usage("last"))
    home.until_responses("last")
    assert home.responses() == ["good", "last"]
    assert deep.exists()
    assert file.exists()


def test_a_home_that_may_only_be_read(home: Scene) -> None:
    file = rollout(home.codex, ONE, meta(ONE) + usage("a"))
    for folder in (file.parent, home.codex / "sessions", home.codex):
        folder.chmod(0o555)
    try:
        home.start()
        home.until_responses("a")
        append(file, "b")
        home.until_responses("b")
    finally:
        for folder in (home.codex, home.codex / "sessions", file.parent):
            folder.chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_said_and_read_later(home: Scene) -> None:
    file = rollout(home.codex, ONE, meta(ONE) + usage("a"))
    file.chmod(0)
    home.start()
    status = home.actor.until(Status)
    assert status.state == "degraded"
    assert str(file) in status.note
    file.chmod(0o600)
    append(file, "b")
    home.until_responses("a", "b")


def test_the_configuration_adds_homes(tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    rollout(extra, ONE, meta(ONE) + usage("a"))
    with scene(tmp_path / "x", f'[rollout]\nrecent_hours = 1\ncodex_homes = ["{extra}"]\n') as home:
        home.start()
        home.until_responses("a")


def test_a_file_of_forty_gigabytes_costs_nothing_and_delays_nobody(home: Scene) -> None:
    big = rollout(home.codex, ONE, meta(ONE) + usage("first"))
    os.truncate(big, 40 << 30)
    file = rollout(home.codex, TWO, meta(TWO) + usage("a"))
    home.start()
    home.until_responses("a", "first")
    append(file, "b")
    with big.open("ab") as handle:
        handle.write(b"\n" + usage("last"))
    home.until_responses("b", "last")
    (lost,) = home.until_type("line_rejected")
    assert lost.length > 39 << 30
    peak = (Path("/proc") / str(home.actor.pid) / "status").read_text().split("VmHWM:")[1].split()[0]
    assert int(peak) / 1024 < 110  # what it takes to run at all, and less than 32 MB for this


def test_a_line_of_gigabytes_is_passed_over_while_others_are_read(home: Scene) -> None:
    big = rollout(home.codex, ONE, meta(ONE) + usage("first"))
    file = rollout(home.codex, TWO, meta(TWO) + usage("a"))
    home.start()
    home.until_responses("a", "first")
    os.truncate(big, 3 << 30)
    append(file, "b")
    with big.open("ab") as handle:
        handle.write(b"\n" + usage("last"))
    append(file, "c")
    home.until_responses("b", "c", "last")
    assert home.responses()[-1] == "last"
    (lost,) = home.until_type("line_rejected")
    assert "more than 16777216 bytes" in lost.reason


def test_a_random_course_of_things(home: Scene) -> None:
    """A bounded number of the sequences that the pure core passes by the hundred, on a real file system."""
    chance = random.Random(20261121)  # noqa: S311 - the same course each time
    home.start()
    files: dict[str, Path] = {}
    told: list[str] = []
    for number in range(120):
        what = chance.choice(["new", "append", "append", "archive", "rewrite", "kill", "stop"])
        thread = chance.choice(sorted(files)) if files else uuid(1)
        response = f"r{number}"
        if what == "new" or not files:
            thread = uuid(100 + number)
            files[thread] = rollout(home.codex, thread, meta(thread) + usage(response))
            told.append(response)
        elif what == "append":
            append(files[thread], response)
            told.append(response)
        elif what == "archive":
            away = home.codex / ("sessions" if "archived" in str(files[thread]) else "archived_sessions") / files[thread].name
            away.parent.mkdir(exist_ok=True)
            files[thread] = files[thread].rename(away)
        elif what == "rewrite":
            files[thread].with_suffix(".x").write_bytes(files[thread].read_bytes() + usage(response))
            files[thread].with_suffix(".x").rename(files[thread])
            told.append(response)
        elif what == "kill" and number % 3 == 0:
            home.kill()
            home.start()
        elif what == "stop" and number % 3 == 0:
            home.actor.end_stdin()
            home.actor.exit_code()
            home.start()

    def in_place(thread: str, file: Path, _: object) -> bool:
        return home.places(thread)[-1:] == [file]

    home.until_responses(*told)
    assert sorted(home.responses()) == sorted(told)
    for thread, file in files.items():
        home.until(partial(in_place, thread, file))
