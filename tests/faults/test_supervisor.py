"""The supervisor against what happens to processes: killed, stopped, crashing, hanging, leaving things behind."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.runtime.stop import ask_to_stop
from tests.contract.actor_process import ended
from tests.faults.stage import CAST
from tests.faults.supervised import DEADLINE, Supervised, supervised

pytestmark = pytest.mark.fault


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as subject:
        yield subject


@pytest.fixture(params=[True, False], ids=["forked", "executed"])
def either(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Supervised]:
    """Give a stage whose actors are forked where that can be had, and one whose actors never are."""
    with supervised(tmp_path, fork=request.param) as subject:
        yield subject


def family(stage: Supervised) -> list[int]:
    return [int(pid) for pid in (stage.paths.state / "family").read_text().split()]


def open_descriptors(process: psutil.Process) -> int:
    """Count them, if they may be seen: the supervisor hides itself from all but root."""
    try:
        return int(process.num_fds())
    except psutil.AccessDenied:
        return 0


@pytest.mark.parametrize("actor", CAST)
def test_a_killed_actor_is_back_and_the_others_keep_their_processes(either: Supervised, actor: str) -> None:
    before = either.start().pids()
    os.kill(before[actor], signal.SIGKILL)
    rows = either.until_ready(actor, before[actor])
    assert rows[actor]["restarts"] == 1
    assert rows[actor]["last_exit"] == "killed by signal 9"
    assert {other: rows[other]["pid"] for other in CAST if other != actor} == {
        other: before[other] for other in CAST if other != actor
    }


def test_a_stopped_actor_is_hung_and_replaced(either: Supervised) -> None:
    before = either.start().pids()
    os.kill(before["registry"], signal.SIGSTOP)
    rows = either.until_ready("registry", before["registry"])
    assert rows["registry"]["last_exit"] == "hung: no beat for 3 s"
    assert ended(before["registry"], 0)
    assert rows["gateway"]["pid"] == before["gateway"]


def test_an_actor_whose_loop_is_stuck_and_that_ignores_sigterm_is_killed(stage: Supervised) -> None:
    stage.start()
    stage.act("gateway", "hang")
    before = stage.pids()
    os.kill(before["gateway"], signal.SIGKILL)
    rows = stage.until(lambda rows: rows["gateway"]["state"] == "stopping")
    hung = rows["gateway"]["pid"]
    stage.act("gateway")
    rows = stage.until_ready("gateway", hung)
    assert rows["gateway"]["last_exit"] == "hung: no beat for 3 s, killed"
    assert ended(hung, 0)


def test_a_crash_loop_is_failed_with_its_reason_and_a_retry_starts_it_again(stage: Supervised) -> None:
    stage.act("registry", "crash")
    stage.process = stage.launch()
    rows = stage.until(lambda rows: rows["registry"]["state"] == "failed")
    assert rows["registry"]["note"] == "crashed 6 times in 60 s; last: crashed (70): RuntimeError: asked to crash, with …"
    assert rows["registry"]["pid"] is None
    assert rows["gateway"]["state"] == rows["broker"]["state"] == "ready"
    stage.act("registry")
    stage.retry("registry")
    rows = stage.until(lambda rows: rows["registry"]["state"] == "ready")
    assert rows["registry"]["restarts"] == 6
    assert stage.stop() == 0


def test_a_bad_configuration_fails_at_once_and_says_where(stage: Supervised) -> None:
    stage.act("registry", "config")
    stage.process = stage.launch()
    rows = stage.until(lambda rows: rows["gateway"]["state"] == "ready")
    assert rows["registry"]["state"] == "failed"
    assert rows["registry"]["note"] == (
        "bad configuration (78): config.toml:7: gateway.prot: unknown key (did you mean 'port'?)"
    )
    assert rows["registry"]["restarts"] == 0


def test_an_unreachable_broker_backs_off_without_ever_failing(stage: Supervised) -> None:
    stage.act("registry", "broker")
    stage.process = stage.launch()
    stage.until(lambda rows: rows["registry"]["restarts"] == 3)
    rows = stage.until(lambda rows: rows["registry"]["state"] == "backoff")
    assert rows["registry"]["last_exit"] == "broker unreachable (75): no broker"


def test_stop_leaves_nothing_behind_not_even_what_left_its_session(either: Supervised) -> None:
    either.act("gateway", "family")
    pids = [*either.start().pids().values(), *family(either)]
    assert len(pids) == 6
    assert either.stop() == 0
    assert all(ended(pid, 0) for pid in pids)
    assert not either.paths.children_file.exists()


def test_a_dead_actor_s_family_ends_while_it_starts_again(stage: Supervised) -> None:
    stage.act("gateway", "family")
    before = stage.start().pids()["gateway"]
    left_behind = family(stage)
    stage.act("gateway")
    os.kill(before, signal.SIGKILL)
    stage.until_ready("gateway", before)
    assert all(ended(pid) for pid in left_behind)


def test_stop_ends_an_actor_that_will_not_stop(stage: Supervised) -> None:
    stage.act("registry", "stubborn")
    pid = stage.start().pids()["registry"]
    assert stage.stop() == 0
    assert ended(pid, 0)


def test_after_a_killed_supervisor_no_actor_lives_and_the_next_one_sweeps_and_starts(either: Supervised) -> None:
    either.act("gateway", "family")
    actors = either.start().pids().values()
    relatives = family(either)
    either.act("gateway")
    either.kill()
    assert all(ended(pid, 2) for pid in actors)
    assert either.paths.children_file.exists()
    either.start()
    assert all(ended(pid, 0) for pid in relatives)
    swept = next(entry for entry in either.log("supervisor") if entry["event"] == "ended what an earlier run had left behind")
    assert set(swept["pids"]) == set(relatives)


def test_a_damaged_record_is_set_aside_and_said(stage: Supervised) -> None:
    stage.paths.create()
    stage.paths.children_file.write_bytes(b'{"run": 7}')
    stage.start()
    entry = next(entry for entry in stage.log("supervisor") if "cannot be read" in entry["event"])
    assert Path(entry["kept_at"]).read_bytes() == b'{"run": 7}'


def test_two_supervisors_at_once_one_survives_and_the_loser_names_it(tmp_path: Path) -> None:
    for attempt in range(5):
        home = tmp_path / str(attempt)
        home.mkdir()
        with supervised(home) as stage:
            both = [stage.launch(), stage.launch()]
            handles = {os.pidfd_open(process.pid): process for process in both}
            ended, _, _ = select.select(list(handles), [], [], DEADLINE)
            loser = handles[ended[0]]
            stage.process = next(process for process in both if process is not loser)
            for handle in handles:
                os.close(handle)
            assert loser.wait() == 69
            assert loser.stderr is not None
            assert loser.stdin is not None
            assert f"process {stage.process.pid} holds" in loser.stderr.read().decode()
            loser.stderr.close()
            loser.stdin.close()
            stage.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))


def test_a_loser_touches_nothing(stage: Supervised) -> None:
    stage.start()

    def look() -> dict[str, tuple[int, int]]:
        files = (path for path in stage.paths.state.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_ino, path.stat().st_size) for path in files}

    before, pids = look(), stage.pids()
    loser = stage.launch()
    _, errors = loser.communicate(timeout=DEADLINE)
    assert loser.returncode == 69
    assert b"already running" in errors
    assert look() == before
    assert stage.pids() == pids


def test_logs_are_json_lines_without_secrets_whatever_an_actor_writes(stage: Supervised) -> None:
    stage.act("gateway", "babble")
    stage.start()
    texts = [entry.get("text") for entry in stage.log("gateway") if entry["event"] == "stray output"]
    assert sorted(filter(None, texts)) == ["not json", "printed"]
    assert stage.paths.logs.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in stage.paths.logs.iterdir())


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "executed"])
def test_restarts_leave_no_zombies_and_no_descriptors(tmp_path: Path, *, fork: bool) -> None:
    with supervised(tmp_path, intensity=1000, fork=fork) as stage:
        stage.start()
        assert stage.process is not None
        supervisor = psutil.Process(stage.process.pid)
        descriptors = open_descriptors(supervisor)
        for _ in range(10):
            pid = stage.pids()["gateway"]
            os.kill(pid, signal.SIGKILL)
            if stage.until(lambda rows: rows["gateway"]["pid"] != pid)["gateway"]["state"] == "backoff":  # noqa: B023
                stage.retry("gateway")  # it had not been ready for a second
            stage.until_ready("gateway", pid)
        assert [child for child in supervisor.children() if child.status() == psutil.STATUS_ZOMBIE] == []
        assert open_descriptors(supervisor) <= descriptors + 2
        assert stage.stop() == 0


def test_a_stop_that_is_asked_for_by_a_file_is_as_orderly_as_one_by_a_signal(stage: Supervised) -> None:
    before = stage.start().pids()
    assert stage.stop(by_file=True) == 0
    assert all(ended(pid, DEADLINE) for pid in before.values())
    assert not stage.paths.stop_file.exists()
    assert [line["reason"] for line in stage.log("supervisor") if line["event"] == "stopping"] == ["asked to"]


def test_a_stop_that_was_asked_of_a_supervisor_before_is_not_meant_for_this_one(stage: Supervised) -> None:
    stage.paths.create()
    ask_to_stop(stage.paths)
    stage.start()
    assert not stage.paths.stop_file.exists()
    assert stage.stop() == 0
