"""What 500 slow callers cost the others: ``python -m tests.bench.slow [--rounds N]``.

Five processes hold 100 connections each: heads that come a byte a second, bodies of a few bytes a second, streams that nobody
reads. A normal load, 16 connections of POSTs with 20 KB, is measured without them and beside them, in turns on one gateway, so
that whatever else the machine does meets both. Goal: the p99 of the normal load is at most a fifth longer beside them.
Exits with 1 when it is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.bench import peers
from tests.bench.gateway import Case, Figures, callers
from tests.bench.machine import describe, resident_mib
from tests.bench.peers import Peer

PROCESSES, EACH = 5, 100
SETTLED = 0.9  # of all slow connections are open; those that were cut are on their way back
BOUND = 1.2
LOAD = Case("POST c16", "json", 16, 12_000)  # some seconds: the callers come once a second


@contextmanager
def slow_callers(folder: Path, port: int) -> Iterator[None]:
    """Hold all slow connections for the length of a block."""
    with ExitStack() as stack:
        for _ in range(PROCESSES):
            command = [sys.executable, "-m", "tests.bench.crawlers", str(port), str(EACH)]
            stack.enter_context(peers.process(command, folder / "crawlers.log", stdout=subprocess.DEVNULL))
        deadline = time.monotonic() + peers.START_SECONDS
        while open_connections(port) < SETTLED * PROCESSES * EACH:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {open_connections(port)} connections are open")
            time.sleep(0.1)
        yield


def open_connections(port: int) -> int:
    """Ask the gateway how many connections it has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        found: int = json.loads(answer.read())["connections"]["open"]
    return found


def run(rounds: int) -> int:
    """Run the benchmark and return the exit code."""
    without: list[Figures] = []
    beside: list[Figures] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tabwire-slow-")))
        upstream, _ = stack.enter_context(peers.stub(folder))
        load, _ = stack.enter_context(callers(folder))
        peer: Peer = stack.enter_context(peers.gateway(folder, upstream))
        load.measure(peer, LOAD)
        before = resident_mib(list(peer.pids))
        for _ in range(rounds):
            without.append(load.measure(peer, LOAD))
            with slow_callers(folder, peer.port):
                beside.append(load.measure(peer, LOAD))
                held = resident_mib(list(peer.pids))
                count = open_connections(peer.port)
    print(describe())
    print(f"{rounds} rounds, medians; {PROCESSES} processes with {EACH} slow connections each, {count} open at the end\n")
    print("| POST, 16 connections | per s | p50 us | p99 us |\n|---|--:|--:|--:|")
    for name, seen in (("alone", without), ("beside 500 slow callers", beside)):
        figures = (median(getattr(each, field) for each in seen) for field in ("per_second", "p50", "p99"))
        print(f"| {name} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |")
    ratio = median(each.p99 for each in beside) / median(each.p99 for each in without)
    print(f"\np99 beside them x alone: {ratio:.2f} (bound {BOUND}): {'reached' if ratio <= BOUND else 'MISSED'}")
    print(f"gateway's memory: {before:.0f} MiB before, {held:.0f} MiB with all of them")
    return 0 if ratio <= BOUND else 1


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slow", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="so many rounds of both")
    return run(parser.parse_args().rounds)


if __name__ == "__main__":
    sys.exit(main())
