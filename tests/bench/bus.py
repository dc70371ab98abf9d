"""How fast the bus is: ``python -m tests.bench.bus``.

One broker, one publisher and one subscriber, each a process of its own, through real sockets with CURVE, into a journal with
``synchronous=FULL``. Events of 1 KB are encoded from typed values at the publisher and decoded to typed values at the
subscriber. Printed beside it, from the same minute, as ratios: what the journal alone, libzmq alone and a bare sequencer
(``tests.bench.bare_bus``) do.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import anyio

from bus.client import connect
from bus.connection import Connection
from bus.journal import Journal
from bus.protocol import Row
from bus.sockets import Sockets
from bus.source import Source
from schemas.envelope import Recorded, subject
from schemas.events import RequestAttributed
from schemas.evidence import Evidence, Rank
from schemas.identity import RequestId, SessionId
from tests.bench import bare_bus
from tests.bus.process import BrokerProcess

PUBLISHER = "gateway"
EVENTS = 200_000
BATCH = 512
IN_FLIGHT = 4
PACED_EVENTS = 5_000
PACED_RATE = 1_000
RAW_EVENTS = 100_000
ROUNDS = 3
_NOTE = "x" * 260
_SESSION = SessionId("codex-01a1fb07-2f00-7e1c-aaea-ac84a215b71d")
_SUBJECT = subject("session", _SESSION)
_SPAWN = multiprocessing.get_context("spawn")


def fact() -> RequestAttributed:
    """Make a fact, of about 1 KB with its envelope; its agent field tells when it was made."""
    evidence = Evidence(rank=Rank.KERNEL, kind="peer", proves="process", value=_NOTE, note=_NOTE)
    return RequestAttributed(
        request=RequestId("01a1fb07-2f00-7e1c-aaea-ac84a215b71d"),
        session=_SESSION,
        agent=str(time.monotonic_ns()),
        evidence=(evidence,),
        elapsed_ms=0.11,
    )


def publish_batches(connection: Connection, pipe: Pipe) -> None:
    """Publish as fast as it is acknowledged."""
    source = Source(f"/actor/{PUBLISHER}/bench")

    async def main() -> None:
        async with connect(connection) as client:
            numbers = iter(range(0, EVENTS, BATCH))

            async def lane() -> None:
                for _ in numbers:
                    made = fact()
                    await client.publish([source.envelope(_SUBJECT, made) for _ in range(BATCH)], deadline=30)

            pipe.recv()
            started = time.monotonic_ns()
            async with anyio.create_task_group() as group:
                for _ in range(IN_FLIGHT):
                    group.start_soon(lane)
            pipe.send((started, time.monotonic_ns()))

    anyio.run(main)


def publish_paced(connection: Connection, pipe: Pipe) -> None:
    """Publish one event each millisecond, without waiting for the last one's acknowledgement."""
    source = Source(f"/actor/{PUBLISHER}/bench")
    acked: list[float] = []

    async def main() -> None:
        async with connect(connection) as client:

            async def one() -> None:
                begun = time.monotonic_ns()
                await client.publish([source.envelope(_SUBJECT, fact())], deadline=30)
                acked.append((time.monotonic_ns() - begun) / 1e6)

            pipe.recv()
            start = anyio.current_time()
            async with anyio.create_task_group() as group:
                for number in range(PACED_EVENTS):
                    await anyio.sleep_until(start + number / PACED_RATE)
                    group.start_soon(one)
            pipe.send(acked)

    anyio.run(main)


def subscribe(connection: Connection, pipe: Pipe, count: int) -> None:
    """Follow the feed from its head until ``count`` events came; send when each one's publisher made it, and when it came."""

    async def main() -> None:
        delays: list[float] = []
        async with connect(connection) as client, client.feed(None) as feed:
            async for told in feed:
                if not isinstance(told, Recorded):
                    pipe.send("caught up")
                    continue
                delays.append((time.monotonic_ns() - int(told.envelope.data.agent)) / 1e6)
                if len(delays) == count:
                    break
            pipe.send((time.monotonic_ns(), delays, getattr(feed, "holes", 0)))

    anyio.run(main)


def run(publisher: Callable[..., None], count: int) -> tuple[Any, Any]:
    """Run one publisher and one subscriber against a fresh broker; return what both measured."""
    with tempfile.TemporaryDirectory() as folder, BrokerProcess(Path(folder), PUBLISHER) as broker:
        ends = []
        for target, name, arguments in ((publisher, PUBLISHER, ()), (subscribe, "client", (count,))):
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=target, args=(broker.connection(name), theirs, *arguments))
            process.start()
            ends.append((ours, process))
        (publishing, _), (subscribing, _) = ends
        subscribing.recv()
        publishing.send("go")
        results = publishing.recv(), subscribing.recv()
        for _, process in ends:
            process.join()
        return results


def journal_alone() -> float:
    """Return rows a second of the journal alone, in batches of 512."""
    raw = json.dumps({"fill": "x" * 1000}).encode()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder) / "journal", "bench")
        started = time.perf_counter()
        for first in range(1, RAW_EVENTS, BATCH):
            rows = [Row(first + at, b"session.bench.bench.filled.", b"", raw) for at in range(BATCH)]
            journal.append(rows, [f"{row.position:036d}" for row in rows], "2026-11-21T00:00:00.000000Z")
        elapsed = time.perf_counter() - started
        journal.close()
    return RAW_EVENTS / elapsed


def _count_frames(connection: Connection, pipe: Pipe, count: int) -> None:
    async def main() -> None:
        with Sockets() as sockets:
            socket = sockets.subscriber(connection, [b""])
            await socket.readable()
            pipe.send("joined")
            seen, last = 0, 0
            while seen < count and await socket.readable(2.0):
                while (frames := socket.receive()) is not None:
                    seen += frames[0] == b"raw"
                last = time.monotonic_ns()
            pipe.send((last, seen))

    anyio.run(main)


def libzmq_alone() -> float:
    """Return messages a second of PUB to SUB with CURVE, three frames of 1 KB in all, nothing else done."""
    from bus.place import Place, bind  # noqa: PLC0415 - this measurement's alone
    from bus.sockets import new_key_pair  # noqa: PLC0415
    from bus.zap import serve  # noqa: PLC0415

    async def main() -> float:
        place = Place(*new_key_pair(), *new_key_pair())
        with Sockets() as sockets:
            gate = sockets.zap()
            place, _, feed = bind(sockets, place)
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_count_frames, args=(place.connection(), theirs, RAW_EVENTS))
            process.start()
            async with anyio.create_task_group() as group:
                group.start_soon(serve, gate, {place.client_key: "client"}, print)
                while not ours.poll():
                    feed.send([b"join", b"", b""])
                    await anyio.sleep(0.01)
                ours.recv()
                started, payload = time.monotonic_ns(), b"x" * 1000
                for sent in range(0, RAW_EVENTS, 256):
                    feed.send_all([(b"raw", b"stamp", payload)] * min(256, RAW_EVENTS - sent))
                    await anyio.sleep(0.001)
                ended, seen = await anyio.to_thread.run_sync(ours.recv)
                group.cancel_scope.cancel()
            process.join()
        rate: float = seen / ((ended - started) / 1e9)
        return rate

    return anyio.run(main)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _quantiles(samples: list[list[float]]) -> tuple[float, float]:
    """Return p50 and p99, each the median of the rounds."""
    middle, late = (statistics.median(percentile(sample, share) for sample in samples) for share in (0.5, 0.99))
    return middle, late


def throughput() -> tuple[float, float, int]:
    """Return events a second acknowledged and delivered, and how often the subscriber had to read."""
    (started, acked), (delivered, _, holes) = run(publish_batches, EVENTS // BATCH * BATCH)
    count = EVENTS // BATCH * BATCH
    return count / ((acked - started) / 1e9), count / ((delivered - started) / 1e9), holes


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = arguments.parse_args().rounds
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {rounds} rounds, medians")
    runs = [throughput() for _ in range(rounds)]
    acked, delivered = (statistics.median(run[at] for run in runs) for at in (0, 1))
    journal = statistics.median(journal_alone() for _ in range(rounds))
    libzmq = statistics.median(libzmq_alone() for _ in range(rounds))
    print(f"publish → committed → acked      {acked:9,.0f} events/s   (batches of {BATCH}, {IN_FLIGHT} under way)")
    print(f"publish → … → delivered          {delivered:9,.0f} events/s   rounds {[round(run[1]) for run in runs]}")
    print(f"  catch-up reads by the subscriber: {[run[2] for run in runs]}")
    print(f"journal alone (commit of {BATCH})    {journal:9,.0f} rows/s     the bus delivers {delivered / journal:.2f} of it")
    print(f"libzmq PUB→SUB with CURVE alone  {libzmq:9,.0f} messages/s the bus delivers {delivered / libzmq:.2f} of it")
    bare = statistics.median(bare_bus.batches(EVENTS // BATCH, BATCH) for _ in range(rounds))
    print(f"bare sequencer, disk and CURVE   {bare:9,.0f} events/s   the bus delivers {delivered / bare:.2f} of it")
    pairs = [(run(publish_paced, PACED_EVENTS), bare_bus.paced(PACED_EVENTS, PACED_RATE)) for _ in range(rounds)]
    medians = {
        "acked": _quantiles([of_bus[0] for of_bus, _ in pairs]),
        "delivered": _quantiles([of_bus[1][1] for of_bus, _ in pairs]),
        "bare": _quantiles([of_bare for _, of_bare in pairs]),
    }
    for name, (middle, late) in medians.items():
        print(f"one event at {PACED_RATE}/s, {name:9}      p50 {middle:6.3f} ms   p99 {late:6.3f} ms")
    print(f"one event takes the bus {medians['delivered'][0] / medians['bare'][0]:.2f} times what it takes a bare sequencer")


if __name__ == "__main__":
    main()
