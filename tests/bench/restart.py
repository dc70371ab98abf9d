"""How long an actor that was killed is away: ``python -m tests.bench.restart [--kills 200]``.

Kills every actor of a whole system in turn with SIGKILL, under load, and takes the time until the supervisor reads its
READY again; then the supervisor itself, until all actors of the next one are READY. At the end the journal is compared with
every acknowledgement that was given. A system that needs more than a second at p99, loses an acknowledged event, or
restarts an actor that nobody killed, fails (exit 1).
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.bench.machine import describe
from tests.faults.load import Load
from tests.faults.supervised import Supervised, supervised
from tests.ports import free_port

ACTORS = ("broker", "registry", "rollout", "discovery", "gateway", "bridges", "echo")
TARGET_MS = 1000.0
PROVEN = 1.05


def main() -> int:
    """Measure and print; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="how many kills in all, spread over the actors")
    parser.add_argument("--starts", type=int, default=3, help="how often the supervisor itself is killed")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two requests, and two batches of 5 events")
    arguments = parser.parse_args()
    ports = {"gateway": free_port(), "echo": free_port()}
    config = "\n".join(f"[{name}]\nport = {port}" for name, port in ports.items())
    print(f"restart: {describe()}")
    with (
        tempfile.TemporaryDirectory() as home,
        supervised(Path(home), module="actors.supervisor", config=config, intensity=10**6) as system,
    ):
        system.start()
        load = Load(system.paths.connection_file, ports["gateway"], pause=arguments.pause)
        with load.on():
            system.until(lambda _: load.answered > 0 and len(load.acknowledged) > 0)
            times, strangers = kill_actors(system, arguments.kills)
            starts = [kill_supervisor(system) for _ in range(arguments.starts)]
        wrong = load.lost()
    for actor in ACTORS:
        print(f"  {actor:9} killed → READY   {_quantiles(times[actor])}")
    every = [took for actor in ACTORS for took in times[actor]]
    print(f"  all       killed → READY   {_quantiles(every)}   target p99 < {TARGET_MS:.0f} ms")
    print(f"  supervisor: next start → all READY   {_quantiles(starts)}")
    print(f"  load: {load.answered} requests answered, {load.failed} not; {len(load.acknowledged)} events acknowledged")
    print(f"  acknowledged events lost: {wrong or 0}; actors restarted that nobody killed: {strangers}")
    return int(bool(wrong) or strangers > 0 or _p99(every) >= TARGET_MS)


def kill_actors(system: Supervised, kills: int) -> tuple[dict[str, list[float]], int]:
    """Kill in turn; return the milliseconds by actor, and how many processes changed that were not killed."""
    times: dict[str, list[float]] = {actor: [] for actor in ACTORS}
    strangers = 0
    for number in range(kills):
        actor = ACTORS[number % len(ACTORS)]
        rows = system.until(lambda rows: all(row["state"] == "ready" and _age(row) > PROVEN for row in rows.values()))
        before = {name: row["pid"] for name, row in rows.items()}
        killed = time.time()
        os.kill(before[actor], signal.SIGKILL)
        rows = system.until_ready(actor, before[actor])
        times[actor].append((_since(rows[actor]) - killed) * 1000)
        strangers += sum(rows[name]["pid"] != before[name] for name in ACTORS if name != actor)
    return times, strangers


def kill_supervisor(system: Supervised) -> float:
    """Kill the supervisor and start the next; return the milliseconds from that start until all is READY."""
    system.kill()
    begun = time.monotonic()
    system.start()
    return (time.monotonic() - begun) * 1000


def _since(row: dict[str, str]) -> float:
    return datetime.fromisoformat(row["since"]).timestamp()


def _age(row: dict[str, str]) -> float:
    return time.time() - _since(row)


def _p99(values: list[float]) -> float:
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def _quantiles(values: list[float]) -> str:
    if not values:
        return "nothing measured"
    return f"n={len(values):<4} p50 {statistics.median(values):6.0f} ms  p99 {_p99(values):6.0f} ms  max {max(values):6.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
