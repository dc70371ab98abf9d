"""Actors by fork: the same as by exec for themselves and for whoever looks, and by exec when the fork server fails."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.actor_process import ended
from tests.faults.stage import CAST
from tests.faults.supervised import Supervised, supervised

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there are fork servers on Linux only"),
]
CANARY = "canary-0123456789abcdef"
PROVIDER = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\nkey = "env:MY_CANARY_KEY"\n'


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as subject:
        yield subject


def fork_server(stage: Supervised) -> psutil.Process:
    """Find it, once it shows what it is."""
    assert stage.process is not None
    supervisor = psutil.Process(stage.process.pid)
    return next(child for child in supervisor.children() if "actors.supervisor.fork_server" in child.cmdline())


def reported(home: Path, *, fork: bool) -> tuple[dict[str, Any], Supervised]:
    home.mkdir()
    with supervised(home, fork=fork, environ={"ÜMLAUT": "ä\nß", "EMPTY": ""}) as stage:
        stage.act("gateway", "report")
        stage.start()
        found = json.loads((stage.paths.state / "report.gateway").read_text())
        assert stage.process is not None
        assert found.pop("parent") == stage.process.pid
        return found, stage


def test_an_actor_finds_itself_as_if_it_had_been_executed(tmp_path: Path) -> None:
    forked, of_forked = reported(tmp_path / "forked", fork=True)
    executed, of_executed = reported(tmp_path / "executed", fork=False)
    for found, stage in ((forked, of_forked), (executed, of_executed)):
        assert re.fullmatch(r"[0-9a-f]{32}\.gateway\.[0-9a-f]{12}", found["environ"].pop("TABWIRE_OWNER"))
        assert 0 < found.pop("drawn") < 1
        assert found.pop("folder") == found["path"].pop(0) == str(stage.paths.state)
        for name in ("CODEX_HOME", "CLAUDE_CONFIG_DIR"):
            assert str(stage.home) in found["environ"].pop(name)
    assert forked == executed


def test_process_lists_tell_who_it_is(stage: Supervised) -> None:
    pids = stage.start().pids()
    assert stage.process is not None
    for actor in CAST:
        process = psutil.Process(pids[actor])
        assert process.ppid() == stage.process.pid
        assert " ".join(process.cmdline()) == f"{sys.executable} -m tests.faults.stage {actor}"
        assert re.fullmatch(rf"[0-9a-f]{{32}}\.{actor}\.[0-9a-f]{{12}}", process.environ()["TABWIRE_OWNER"])


def test_no_two_children_draw_the_same(stage: Supervised) -> None:
    for actor in CAST:
        stage.act(actor, "report")
    stage.start()
    drawn = [json.loads((stage.paths.state / f"report.{actor}").read_text())["drawn"] for actor in CAST]
    assert len(set(drawn)) == len(CAST)


def test_a_provider_s_key_is_in_nobody_s_memory_but_the_gateway_s(tmp_path: Path) -> None:
    with supervised(tmp_path, config=PROVIDER, environ={"MY_CANARY_KEY": CANARY}) as stage:
        pids = stage.start().pids()
        assert holds(pids.pop("gateway"), CANARY)
        assert [pid for pid in (fork_server(stage).pid, *pids.values()) if holds(pid, CANARY)] == []


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_fork_server_that_fails_is_replaced_and_meanwhile_actors_are_executed(
    stage: Supervised, fault: signal.Signals
) -> None:
    before = stage.start().pids()["gateway"]
    server = fork_server(stage)
    server.send_signal(fault)
    os.kill(before, signal.SIGKILL)
    after = stage.until_ready("gateway", before)["gateway"]["pid"]
    assert psutil.Process(after).cmdline() == [sys.executable, "-m", "tests.faults.stage", "gateway"]
    assert any(entry["event"] == "started by exec" and "gateway" in entry["command"] for entry in stage.log("supervisor"))
    stage.until(lambda _: any(entry["event"] == "another fork server was started" for entry in stage.log("supervisor")))
    assert ended(server.pid, 0)
    os.kill(after, signal.SIGKILL)
    again = stage.until_ready("gateway", after)["gateway"]["pid"]
    assert psutil.Process(again).cmdline() == f"{sys.executable} -m tests.faults.stage gateway".split()
    assert fork_server(stage).pid != server.pid


def test_a_fork_server_dies_with_its_supervisor_however_that_ends(stage: Supervised) -> None:
    server = fork_server(stage.start()).pid
    stage.kill()
    assert ended(server, 2)
    server = fork_server(stage.start()).pid
    assert stage.stop() == 0
    assert ended(server, 0)


def test_a_stopped_fork_server_keeps_nobody_from_stopping(stage: Supervised) -> None:
    pids = stage.start().pids()
    server = fork_server(stage)
    server.suspend()
    assert stage.stop() == 0
    assert all(ended(pid, 0) for pid in (server.pid, *pids.values()))


def holds(pid: int, text: str) -> bool:
    """Tell whether a process has a text anywhere in its memory."""
    process = Path(f"/proc/{pid}")
    with (process / "mem").open("rb", buffering=0) as memory:
        for line in (process / "maps").read_text().splitlines():
            area, rights, *_ = line.split()
            if "r" not in rights or "[v" in line:
                continue
            start, end = (int(place, 16) for place in area.split("-"))
            memory.seek(start)
            if text.encode() in memory.read(end - start):
                return True
    return False
