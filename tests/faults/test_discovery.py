"""Discovery under faults: killed while agents come and go, and pids that are given away again and again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from actors.probe.linux.pidfd import inodes_are_unique
from actors.runtime.contract import Ready
from bus.client import connect
from bus.connection import read_connection
from schemas.identity import process_id
from tests.contract.actor_process import ROOT, Place, place_with_bus

pytestmark = [pytest.mark.fault, pytest.mark.e2e]
KILLS = 8
RECYCLES = 300


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Place]:
    with place_with_bus(tmp_path / "home") as given:
        yield given


class Traffic(threading.Thread):
    """Agents that come and go all the time; the last ones stay."""

    def __init__(self, program: Path) -> None:
        super().__init__()
        self.program = program
        self.living: list[subprocess.Popen[bytes]] = []
        self.ended: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.living.append(subprocess.Popen([self.program, "600"], env={"CODEX_HOME": "/nowhere"}))
            if len(self.living) > 6:
                self.end(self.living.pop(0))

    def end(self, agent: subprocess.Popen[bytes]) -> None:
        agent.kill()
        agent.wait()
        self.ended.append(agent.pid)


def recorded(home: Place, enough: Any) -> list[Any]:
    """Read what discovery told, until it is enough."""

    async def read() -> list[Any]:
        told: list[Any] = []
        with anyio.fail_after(30):
            async with connect(read_connection(home.paths.connection_file)) as client, client.feed(0) as feed:
                async for item in feed:
                    envelope = getattr(item, "envelope", None)
                    if envelope is not None and envelope.source.startswith("/actor/discovery/"):
                        told.append(envelope.data)
                    if enough(told):
                        return told
        raise AssertionError("the feed ended")

    return anyio.run(read)


def test_kills_under_load_lose_nothing_and_repeat_nothing(home: Place, tmp_path: Path) -> None:
    program = tmp_path / "codex"
    shutil.copy("/bin/sleep", program)
    traffic = Traffic(program)
    traffic.start()
    try:
        for at in range(KILLS):
            actor = home.start("discovery")
            actor.until(Ready)
            seen = at + 3
            recorded(home, lambda told, seen=seen: len([one for one in told if one.TYPE == "process.seen"]) >= seen)
            actor.process.kill()
            actor.exit_code()
    finally:
        traffic.over.set()
        traffic.join()
    home.start("discovery").until(Ready)
    living = {agent.pid for agent in traffic.living}
    try:

        def settled(told: list[Any]) -> bool:
            here = {one.process.pid for one in told if one.TYPE == "process.seen"}
            gone = {one.process.pid for one in told if one.TYPE == "process.exited"}
            return living <= here and not (here & set(traffic.ended)) - gone

        told = recorded(home, settled)
    finally:
        for agent in tuple(traffic.living):
            traffic.end(agent)
    own = [one for one in told if one.process.pid in living | set(traffic.ended)]
    counts = Counter((one.TYPE, process_id(one.process)) for one in own)
    assert set(counts.values()) == {1}
    assert not [one for one in own if one.TYPE == "process.exited" and one.process.pid in living]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
@pytest.mark.skipif(not inodes_are_unique(), reason="before Linux 6.9 a pid and a start time can repeat")
def test_a_pid_that_is_recycled_three_hundred_times_is_three_hundred_processes(tmp_path: Path) -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "tests.faults.recycling"]
    done = subprocess.run(
        [*command, str(tmp_path), str(RECYCLES)], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"a private pid namespace cannot be had here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "same_pid": RECYCLES,
        "seen": RECYCLES,
        "exited": RECYCLES,
        "most": 1,
        "living": 0,
    }
