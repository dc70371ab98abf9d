"""Recycles one pid again and again under discovery's eyes: to be run in a private pid namespace. Prints what was told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import structlog

from actors.discovery import scout as scouting
from actors.discovery.account import Exited, Fact, Observed, State, step
from actors.discovery.scout import Scout
from actors.probe import choose_probe
from actors.runtime.paths import Paths
from schemas.identity import process_id

PID = 300


def recycle(folder: Path, rounds: int) -> dict[str, object]:
    """Give one pid to an agent after the other, each gone before the next is there."""
    scouting.BETWEEN_SURVEYS = 0.0  # type: ignore[misc]  # a round shall not wait for the clock
    program = folder / "codex"
    shutil.copy("/bin/sleep", program)
    probe = choose_probe()
    scout = Scout(probe, Paths(folder / "config.toml", folder / "state"), 8129, structlog.get_logger())
    state, told = State(), list[Fact]()
    scout.look()
    pids: Counter[int] = Counter()
    for at in range(rounds):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(PID - 1))
        agent = subprocess.Popen([program, "600"])
        pids[agent.pid] += 1
        for _ in range(at % 2 + 1):  # so that the last pid is another one than in the round before
            subprocess.run(["/bin/true"], check=True)
        portraits = scout.look()
        watches = [probe.exit_watch(one.process) for one in portraits if one.process.pid == agent.pid]
        state, facts = step(state, Observed(portraits))
        told += facts
        agent.kill()
        agent.wait()
        for watch in watches:
            assert watch.exited()
            watch.close()
            state, facts = step(state, Exited(watch.process))
            told += facts
    names = Counter((fact.data.TYPE, process_id(fact.data.process)) for fact in told)
    return {
        "same_pid": pids[PID],
        "seen": len([1 for type_, _ in names if type_ == "process.seen"]),
        "exited": len([1 for type_, _ in names if type_ == "process.exited"]),
        "most": max(names.values()),
        "living": len(state.processes),
    }


if __name__ == "__main__":
    print(json.dumps(recycle(Path(sys.argv[1]), int(sys.argv[2]))))
