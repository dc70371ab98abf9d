"""What it costs to know every agent, and how soon one is known: ``python -m tests.bench.discovery [--processes N]``.

Beside N idle processes and twenty agents (copies of ``sleep`` under an agent's name, all with a Codex home of their own kind)
it measures an idle tick against psutil's survey of the same processes in the same run, how long the event loop waits for its
turn while the worker thread surveys without a pause, and, through a real broker, from start and end of an agent to the fact at
a subscriber. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import anyio
import psutil
import structlog

from actors.discovery.scout import Scout
from actors.probe import choose_probe
from actors.runtime.contract import Ready
from actors.runtime.paths import Paths
from bus.client import connect
from bus.connection import read_connection
from schemas.envelope import Recorded
from tests.bench.identity import idle_processes
from tests.bench.machine import describe
from tests.contract.actor_process import Place, place

AGENTS = 20
GOAL_RATIO = 1000
GOAL_SECONDS = 2.0
GOAL_BLOCKED = 0.001
SWITCH_SECONDS = 0.0005  # as the actor sets it
ATTRIBUTES = ["name", "exe", "cmdline", "create_time", "cwd"]


@contextmanager
def agents(folder: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run agents that do nothing."""
    started = [start(folder) for _ in range(count)]
    try:
        yield started
    finally:
        for one in started:
            one.kill()
            one.wait()


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start one agent."""
    program = folder / "codex"
    if not program.exists():
        shutil.copy("/bin/sleep", program)
        (folder / "home" / "thread-writer-locks").mkdir(parents=True)
    return subprocess.Popen([program, "600"], env={"CODEX_HOME": str(folder / "home"), "WT_SESSION": "tab"})


def measure(work: Callable[[], object], rounds: int) -> list[float]:
    """Time a function."""
    spent = []
    for _ in range(rounds):
        before = time.perf_counter()
        work()
        spent.append(time.perf_counter() - before)
    return spent


def report(name: str, spent: list[float]) -> float:
    """Print a line and return the median."""
    cuts = quantiles(spent, n=100)
    print(f"{name:62} p50 {median(spent) * 1e6:10,.1f} µs   p99 {cuts[98] * 1e6:10,.1f} µs")
    return median(spent)


def idle_ratio(folder: Path) -> float:
    """Compare an idle tick with psutil's survey."""
    probe = choose_probe()
    scout = Scout(probe, Paths(folder / "config.toml", folder / "state"), 8129, structlog.get_logger())
    known = len(scout.next().portraits)
    quiet = time.monotonic() + 2  # what was just written is looked at again until its time of modification can be trusted
    while time.monotonic() < quiet:
        scout.look()
    tick = report(f"idle tick, {known} agents known", measure(scout.look, 2000))
    survey = report("  a full survey (twice a minute)", measure(probe.survey, 10))
    iterated = report(f"psutil.process_iter({ATTRIBUTES})", measure(lambda: list(psutil.process_iter(ATTRIBUTES)), 10))
    print(f"  tick 1/{iterated / tick:,.0f}, survey 1/{iterated / survey:,.0f} of psutil's")
    scout.close()
    return iterated / tick


def blocked(windows: int = 20, seconds: float = 0.25) -> float:
    """Return how much later an event loop usually gets its turn while a thread surveys all the time.

    Windows with and without surveys take turns. The 99th percentile is printed beside the median that is returned: on a machine
    without a core to spare it says how long a thread that is not run by the system keeps the interpreter to itself.
    """
    probe = choose_probe()
    surveying, over = threading.Event(), threading.Event()

    def survey() -> None:
        while not over.is_set():
            if surveying.wait(0.05):
                probe.survey()

    async def lateness() -> list[float]:
        late = []
        until = time.perf_counter() + seconds
        while (before := time.perf_counter()) < until:
            await anyio.sleep(0.001)
            late.append(time.perf_counter() - before - 0.001)
        return late

    sys.setswitchinterval(SWITCH_SECONDS)
    thread = threading.Thread(target=survey)
    thread.start()
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(windows):
        surveying.clear()
        alone += anyio.run(lateness)
        surveying.set()
        beside += anyio.run(lateness)
    over.set()
    thread.join()
    quiet = report("event loop's turn comes late, alone", alone)
    return report("  while a thread surveys without a pause", beside) - quiet


def latencies(home: Place, folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Measure from the start of an agent to its fact at a subscriber, and from its end to that."""
    appearing, ending = [], []

    async def follow() -> None:
        async with connect(read_connection(home.paths.connection_file)) as client, client.feed(None) as feed:
            for _ in range(rounds):
                before = time.perf_counter()
                one = start(folder)
                await until(feed, "process.seen", one.pid)
                appearing.append(time.perf_counter() - before)
                before = time.perf_counter()
                one.kill()
                await until(feed, "process.exited", one.pid)
                ending.append(time.perf_counter() - before)
                one.wait()

    anyio.run(follow)
    return appearing, ending


async def until(feed: Any, type_: str, pid: int) -> None:
    """Wait for a fact."""
    with anyio.fail_after(30):
        async for told in feed:
            if isinstance(told, Recorded) and told.envelope.type == type_ and told.envelope.data.process.pid == pid:
                return


def main() -> int:
    """Measure and compare with the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    print(describe(f"{given.processes} idle processes"))
    with tempfile.TemporaryDirectory() as name, idle_processes(given.processes):
        folder = Path(name)
        with agents(folder, AGENTS):
            ratio = idle_ratio(folder)
            late = blocked()
            with place(folder / "tabwire") as home:
                home.start("broker").until(Ready)
                home.start("discovery").until(Ready)
                appearing, ending = latencies(home, folder, given.rounds)
    report("agent started → fact at a subscriber", appearing)
    report("agent killed → fact at a subscriber", ending)
    reached = ratio >= GOAL_RATIO and late <= GOAL_BLOCKED and max(*appearing, *ending) <= GOAL_SECONDS
    print(
        f"goal: idle tick ≤ 1/{GOAL_RATIO} of psutil's survey, seen and gone ≤ {GOAL_SECONDS:.0f} s, the loop's turn "
        f"≤ {GOAL_BLOCKED * 1e3:.0f} ms later: {'reached' if reached else 'MISSED'}"
    )
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
