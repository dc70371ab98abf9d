"""How soon a line that an agent wrote is on the bus, and what old files cost: ``python -m tests.bench.rollout``.

The real watcher, a real broker, real files, all on this machine:

- ``--files`` rollouts grow by a line now and then (``--rate`` a second in all); each line says when it was written. Measured
  is the time until a subscriber has its event, beside ``tail -F`` on as many files, which needs no bus and no disk.
- ``--old`` old rollouts lie there. Measured is how long the first table over them takes, beside ``find | xargs head -qn1``,
  and what the watcher costs while nothing happens, as a part of a core.

A p99 above 20 ms, a first table above 0.5 s, or an idle cost of 1 % or more fails (exit 1).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import anyio

from actors.rollout.reading import survey
from actors.rollout.tracking import Tracker, step
from actors.transcripts.tree import roots
from bus.client import CaughtUp, connect
from bus.connection import read_connection
from schemas.envelope import Recorded
from tests.bench.machine import cpu_seconds, describe, resident_mib
from tests.contract.rollout_scene import Scene, scene
from tests.transcripts.made import meta, rollout, usage, uuid

TARGET_MS = 20.0
TARGET_TABLE_MS = 500.0
TARGET_IDLE = 0.01
LONG_AGO = 90 * 24 * 3600
_PAD = "x" * 600


def main() -> int:
    """Measure and print; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200, help="how many rollouts grow")
    parser.add_argument("--rate", type=int, default=400, help="lines a second in all")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long they grow, and how long nothing happens")
    parser.add_argument("--old", type=int, default=20_000, help="how many old rollouts there are")
    arguments = parser.parse_args()
    print(f"rollout: {describe()}")
    with tempfile.TemporaryDirectory() as place, scene(Path(place)) as home:
        old_files(home.codex, arguments.old)
        missed = first_table(home.codex)
        files = [rollout(home.codex, uuid(number), meta(uuid(number))) for number in range(arguments.files)]
        home.start()
        home.until_type("seen", len(files))
        missed |= idle(home, arguments.seconds)
        missed |= growing(home, files, arguments.rate, arguments.seconds)
    return int(missed)


def old_files(codex: Path, count: int) -> None:
    """Make rollouts that nobody has touched for months, about a hundred a day."""
    then = time.time() - LONG_AGO
    for number in range(count):
        day = f"2026/{1 + number // 3000 % 9:02}/{1 + number // 100 % 28:02}"
        thread = uuid(1_000_000 + number)
        os.utime(rollout(codex, thread, meta(thread) + usage("r"), day), (then, then))


def first_table(codex: Path) -> bool:
    """Take the time of listing everything and deciding what is to be read."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        surveyed = survey(roots("codex", str(codex)))
        tracker = Tracker()
        step(tracker, surveyed.listing, time.time_ns() - 24 * 3600 * 10**9)
        times.append((time.perf_counter() - begun) * 1000)
    peers = []
    for _ in range(3):
        begun = time.perf_counter()
        command = f"find {codex}/sessions -name 'rollout-*.jsonl' | xargs head -qn1 >/dev/null"
        subprocess.run(["sh", "-c", command], check=True)
        peers.append((time.perf_counter() - begun) * 1000)
    took, peer, count = statistics.median(times), statistics.median(peers), len(surveyed.listing.found)
    print(f"  first table of {count} files: {took:.0f} ms; find | xargs head: {peer:.0f} ms; ratio {took / peer:.2f}")
    return took > TARGET_TABLE_MS


def idle(home: Scene, seconds: float) -> bool:
    """Take what the watcher costs while nothing happens; its beats and the bus's are part of it."""
    time.sleep(3)  # what a start leaves behind
    before = cpu_seconds([home.actor.pid])
    time.sleep(seconds)
    cost = (cpu_seconds([home.actor.pid]) - before) / seconds
    print(f"  idle: {cost:.2%} of a core, {resident_mib([home.actor.pid]):.0f} MiB; target < {TARGET_IDLE:.0%}")
    return cost >= TARGET_IDLE


def growing(home: Scene, files: list[Path], rate: int, seconds: float) -> bool:
    """Let files grow; compare when lines were written with when their events came, and with ``tail -F``."""
    delays: list[float] = []
    count = int(rate * seconds)
    pids = [home.actor.pid]

    async def listen() -> None:
        async with connect(read_connection(home.place.paths.connection_file)) as client, client.feed(0) as feed:
            async for told in feed:
                if isinstance(told, CaughtUp):
                    writer.start()
                elif isinstance(told, Recorded) and told.envelope.type == "transcript.usage_recorded":
                    delays.append((time.monotonic_ns() - int(told.envelope.data.response)) / 1e6)
                    if len(delays) == count:
                        return

    def write() -> None:
        due = time.monotonic()
        for number in range(count):
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
            with files[number % len(files)].open("ab", buffering=0) as file:
                file.write(usage(str(time.monotonic_ns()), note=_PAD))

    writer = threading.Thread(target=write)
    before, begun = cpu_seconds(pids), time.monotonic()
    anyio.run(listen)
    cost = (cpu_seconds(pids) - before) / (time.monotonic() - begun)
    writer.join()
    peer = tail(files, rate, seconds / 2)
    ours, theirs = quantiles(delays), quantiles(peer)
    told = f"p50 {ours[0]:.2f} ms  p99 {ours[1]:.2f} ms  max {max(delays):.1f} ms"
    print(f"  line → event on the bus, {len(files)} files, {rate} lines/s: {told}")
    print(f"  tail -F, line → pipe:   p50 {theirs[0]:.2f} ms  p99 {theirs[1]:.2f} ms; ratio of p50 {ours[0] / theirs[0]:.1f}")
    print(f"  cost while they grow: {cost:.1%} of a core, {cost / rate * 1e6:.0f} µs a line; target p99 ≤ {TARGET_MS:.0f} ms")
    return ours[1] > TARGET_MS


def tail(files: list[Path], rate: int, seconds: float) -> list[float]:
    """Do the same with ``tail -F``."""
    delays: list[float] = []
    process = subprocess.Popen(["tail", "-q", "-n0", "-F", *map(str, files)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    count = int(rate * seconds)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            delays.append((time.monotonic_ns() - int(line.split(b'"response_id": "')[1].split(b'"')[0])) / 1e6)
            if len(delays) == count:
                return

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(1)  # it says nothing when it is ready
    due = time.monotonic()
    for number in range(count):
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        with files[number % len(files)].open("ab", buffering=0) as file:
            file.write(usage(str(time.monotonic_ns()), note=_PAD))
    reader.join(10)
    process.terminate()
    process.wait()
    process.stdout.close()
    return delays


def quantiles(values: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


if __name__ == "__main__":
    sys.exit(main())
