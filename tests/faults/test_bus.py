"""The bus under fire: killed brokers, stopped subscribers, hostile bytes, full outboxes. Nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest

from bus.client import BusUnavailableError, Client, Gap, RefusedError, connect
from bus.outbox import Outbox
from bus.source import Source
from schemas.envelope import Envelope, Recorded
from schemas.events import ActorDropped, JournalDamaged
from tests.bus.process import BrokerProcess
from tests.bus.values import GATEWAY, said

pytestmark = [pytest.mark.anyio, pytest.mark.fault]
DEADLINE = 60.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells: the kernel's view of another process, a counter."""
    with anyio.fail_after(DEADLINE):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.005)


def reached(acked: dict[str, int], count: int) -> bool:
    return len(acked) >= count


async def journal(client: Client, after: int = 0) -> list[Recorded]:
    """Read everything; assert that it is dense."""
    held: list[Recorded] = []
    more = True
    while more:
        page = await client.read(after)
        held.extend(page.events())
        after, more = page.through, page.more
    assert [one.position for one in held] == list(range(1, len(held) + 1))
    return held


@contextmanager
def follower(broker: BrokerProcess, last: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bus.follower", str(broker.state / "run" / "bus.json"), str(last)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def printed(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    with anyio.fail_after(DEADLINE):
        lines = (await anyio.to_thread.run_sync(process.stdout.read)).splitlines()
    assert lines[-1] == "done"
    return [line for line in lines if line.partition(" ")[0].isdecimal()]


def as_printed(held: list[Recorded]) -> list[str]:
    return [f"{one.position} {one.envelope.id}" for one in held]


# ---------------------------------------------------------------------------------------------------- kill -9


async def test_a_broker_killed_twenty_times_loses_nothing_acknowledged(tmp_path: Path) -> None:
    kills = 20
    acked: dict[str, int] = {}
    sent: dict[str, list[str]] = {"gateway": [], "registry": []}
    over = False

    async def publish(name: str) -> None:
        source = Source(f"/actor/{name}/1")
        waiting: list[Envelope] = []
        while not over:
            try:
                async with connect(broker.connection(name), deadline=20) as client:
                    while not over:
                        if not waiting:
                            waiting = [said(len(sent[name]) + at, source) for at in range(random_.randrange(1, 60))]
                            sent[name].extend(one.id for one in waiting)
                        positions = await client.publish(waiting, deadline=20)
                        acked.update(zip([one.id for one in waiting], positions, strict=True))
                        waiting = []
            except BusUnavailableError:
                continue

    random_ = random.Random(11)  # noqa: S311 - a story that can be repeated
    with BrokerProcess(tmp_path, "gateway", "registry") as broker:
        async with anyio.create_task_group() as group:
            for name in sent:
                group.start_soon(publish, name)
            for _ in range(kills):
                await until(partial(reached, acked, len(acked) + random_.randrange(1, 2000)))
                broker.kill()
                await anyio.to_thread.run_sync(broker.start)
            over = True
        async with connect(broker.connection()) as client:
            held = await journal(client)
    positions = {one.envelope.id: one.position for one in held}
    assert len(positions) == len(held), "an event was recorded twice"
    assert all(positions[id_] == position for id_, position in acked.items())
    for name, ids in sent.items():
        recorded = [one.envelope.id for one in held if one.envelope.source == f"/actor/{name}/1"]
        assert recorded == [id_ for id_ in ids if id_ in positions], "the publisher's order was not kept"
    assert sum(one.envelope.type == "bus.journal_opened" for one in held) <= kills + 1


async def test_a_feed_goes_on_after_the_broker_was_killed(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "gateway") as broker:
        async with connect(broker.connection("gateway"), deadline=20) as client, client.feed(None) as feed:
            epoch = client.epoch
            for number in range(3):
                (position,) = await client.publish([said(number)], deadline=20)
                with anyio.fail_after(DEADLINE):
                    async for told in feed:
                        if isinstance(told, Recorded) and told.position == position:
                            break
                broker.kill()
                await anyio.to_thread.run_sync(broker.start)
            assert client.epoch == epoch


async def test_a_broker_that_stays_away_is_a_bus_that_is_unavailable(tmp_path: Path) -> None:
    async def live() -> None:
        async with connect(broker.connection()):
            broker.kill()
            with anyio.fail_after(DEADLINE):
                await anyio.sleep_forever()

    with BrokerProcess(tmp_path) as broker, pytest.raises(BusUnavailableError, match="away for 3 s"):
        await live()


async def test_a_broker_that_hangs_is_noticed_by_its_silence(tmp_path: Path) -> None:
    async def live() -> None:
        async with connect(broker.connection()) as client, client.feed(0) as feed:
            os.kill(broker.pid, signal.SIGSTOP)
            with anyio.fail_after(DEADLINE):
                async for _ in feed:
                    pass

    with BrokerProcess(tmp_path) as broker:
        with pytest.raises(BusUnavailableError):
            await live()
        os.kill(broker.pid, signal.SIGCONT)


# ---------------------------------------------------------------------------------------------------- subscribers


async def test_a_late_subscriber_and_a_stopped_one_end_with_the_journal(tmp_path: Path) -> None:
    count, late_at = 30_000, 10_000
    last = count + 1
    with BrokerProcess(tmp_path, "gateway") as broker:
        async with connect(broker.connection("gateway")) as client:
            with follower(broker, last) as stopped:
                assert stopped.stdout is not None
                for number in range(0, late_at, 500):
                    await client.publish([said(number + at) for at in range(500)])
                    if number == 1000:
                        os.kill(stopped.pid, signal.SIGSTOP)
                with follower(broker, last) as late:
                    memory = psutil.Process(broker.pid).memory_info().rss
                    for number in range(late_at, count, 500):
                        await client.publish([said(number + at) for at in range(500)])
                    grown = psutil.Process(broker.pid).memory_info().rss - memory
                    os.kill(stopped.pid, signal.SIGCONT)
                    held = as_printed(await journal(client))[:last]
                    assert await printed(late) == held
                    assert await printed(stopped) == held
            assert grown < 64 * 1024 * 1024


# ---------------------------------------------------------------------------------------------------- hostile bytes

GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /aaaa HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 64\r\n\r\n" + b"\x01\x00PUBLISH\x00" * 6,
    b"\x01\x00" * 200,  # ZMTP/1.0: empty frames
    b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + b"\0" * 100,
    b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00CURVE" + b"\0" * 43 + b"\x04\xff" * 50,
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"",
    b"\x00",
    random.Random(5).randbytes(5000),  # noqa: S311
]


def throw(endpoint: str, content: bytes) -> None:
    host, _, port = endpoint.removeprefix("tcp://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connected:
        try:
            connected.sendall(content)
            connected.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it hung up first


async def test_hostile_bytes_reach_nobody_and_cost_nothing(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "gateway") as broker:
        connection = broker.connection("gateway")
        async with connect(connection) as client:
            await client.publish([said(0)])
            process = psutil.Process(broker.pid)
            memory, files = process.memory_info().rss, process.num_fds()
            for round_ in range(30):
                for content in GARBAGE:
                    for endpoint in (connection.ingress, connection.feed):
                        await anyio.to_thread.run_sync(throw, endpoint, content)
                await client.publish([said(round_)])
            held = await journal(client)
            assert len(held) == 32, "something else than ours was recorded"
            await until(lambda: process.num_fds() <= files + 2)
            assert process.memory_info().rss - memory < 16 * 1024 * 1024
    assert not any("invalid" in line for line in broker.lines), broker.lines


async def test_connections_that_say_nothing_are_closed(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "gateway") as broker:
        connection = broker.connection("gateway")
        process = psutil.Process(broker.pid)
        async with connect(connection) as client:
            files = process.num_fds()
            host, _, port = connection.ingress.removeprefix("tcp://").partition(":")
            silent = [socket.create_connection((host, int(port))) for _ in range(200)]
            try:
                await client.publish([said(0)])
                await until(lambda: process.num_fds() <= files + 2)
            finally:
                for one in silent:
                    one.close()


# ---------------------------------------------------------------------------------------------------- damage at run time


async def test_damage_is_published_and_told_to_subscribers(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "gateway") as broker:
        async with connect(broker.connection("gateway")) as client:
            for start in range(0, 3000, 500):
                await client.publish([said(start + at) for at in range(500)])
            victim = (await client.read(999, limit=1)).rows[0]
    file = tmp_path / "journal" / "journal.sqlite3"
    content = bytearray(file.read_bytes())
    content[content.index(victim.envelope) + 30] ^= 1
    file.write_bytes(content)
    with BrokerProcess(tmp_path, "gateway") as broker:
        async with connect(broker.connection()) as client:
            gaps: list[Gap] = []
            with anyio.fail_after(DEADLINE):
                async with client.feed(0) as feed:
                    async for told in feed:
                        if isinstance(told, Gap):
                            gaps.append(told)
                        elif isinstance(told, Recorded) and isinstance(told.envelope.data, JournalDamaged):
                            said_ = told.envelope.data
                            break
            assert [(one.first, one.last, one.reason) for one in gaps] == [(1000, 1000, "damaged")]
            assert (said_.first, said_.last) == (1000, 1000)


async def test_a_full_disk_refuses_and_recovers_by_itself(tmp_path: Path) -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    (tmp_path / "journal").mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(tmp_path / "journal")]
    mounted = await anyio.run_process(mount, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with BrokerProcess(tmp_path, "gateway") as broker:
            async with connect(broker.connection("gateway")) as client:
                acked: list[int] = []

                async def fill() -> None:
                    while True:
                        acked.extend(await client.publish([said(at) for at in range(500)]))

                with anyio.fail_after(DEADLINE), pytest.raises(RefusedError, match="storage_full"):
                    await fill()
                assert '"degraded"' in await anyio.to_thread.run_sync(broker.line, "STATUS")
                assert (await client.read(0)).head >= acked[-1]
                await anyio.run_process(["mount", "-o", "remount,size=64m", str(tmp_path / "journal")])
                more = await client.publish([said(at) for at in range(500)])
                assert more[0] > acked[-1]
                assert '"ready"' in await anyio.to_thread.run_sync(broker.line, "STATUS")
                await journal(client)
    finally:
        await anyio.run_process(["umount", str(tmp_path / "journal")])


# ---------------------------------------------------------------------------------------------------- outbox


async def test_an_outbox_records_in_order_what_was_put_before_during_and_after_an_absence(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, "gateway")
    outbox = Outbox(lambda: broker.connection("gateway"), GATEWAY, "gateway")
    numbers = iter(range(1_000_000))

    def put(count: int) -> None:
        for number in islice(numbers, count):
            outbox.put(said(number))

    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run)
        put(1000)
        await anyio.lowlevel.checkpoint()
        assert outbox.queued == 1000
        try:
            for _ in range(3):
                await anyio.to_thread.run_sync(broker.start)
                put(2000)
                assert await outbox.drain(DEADLINE)
                assert outbox.connected
                broker.kill()
                put(700)
            await anyio.to_thread.run_sync(broker.start)
            assert await outbox.drain(DEADLINE)
            async with connect(broker.connection()) as client:
                held = await journal(client)
        finally:
            broker.stop()
            group.cancel_scope.cancel()
    ours = [int(one.envelope.correlationid or -1) for one in held if one.envelope.source == GATEWAY.source]
    assert ours == list(range(next(numbers)))
    assert outbox.dropped == 0


async def test_an_outbox_that_overflows_counts_by_type_and_says_so(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, "gateway")

    outbox = Outbox(lambda: broker.connection("gateway"), GATEWAY, "gateway", capacity_events=10)
    for number in range(25):
        outbox.put(said(number))
    assert (outbox.queued, outbox.dropped) == (10, 15)
    with broker:
        async with anyio.create_task_group() as group:
            group.start_soon(outbox.run)
            assert await outbox.drain(DEADLINE)
            group.cancel_scope.cancel()
        async with connect(broker.connection()) as client:
            held = await journal(client)
    dropped = [one.envelope.data for one in held if isinstance(one.envelope.data, ActorDropped)]
    assert [(one.actor, one.count, one.types) for one in dropped] == [("gateway", 15, {"session.returned": 15})]
    kept = [int(one.envelope.correlationid or -1) for one in held if one.envelope.type == "session.returned"]
    assert kept == list(range(10))


async def test_an_outbox_is_bounded_in_bytes_and_drops_what_is_refused_for_good(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "gateway") as broker:
        outbox = Outbox(lambda: broker.connection("gateway"), GATEWAY, "gateway", capacity_bytes=2000)
        outbox.put(said(0))
        outbox.put(said(1, Source("/actor/registry/1")))
        outbox.put(said(2))
        for number in range(20):
            outbox.put(said(3 + number))
        full = outbox.dropped
        assert full > 10
        async with anyio.create_task_group() as group:
            group.start_soon(outbox.run)
            await until(lambda: outbox.dropped == full + 1)
            assert await outbox.drain(DEADLINE)
            group.cancel_scope.cancel()
        async with connect(broker.connection()) as client:
            held = await journal(client)
    reasons = {one.envelope.data.reason: one.envelope.data.count for one in held if isinstance(one.envelope.data, ActorDropped)}
    assert reasons == {"outbox full": full, "refused by the broker": 1}


async def test_putting_never_waits_for_a_broker_that_hangs(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "gateway") as broker:
        outbox = Outbox(lambda: broker.connection("gateway"), GATEWAY, "gateway")
        async with anyio.create_task_group() as group:
            group.start_soon(outbox.run)
            outbox.put(said(0))
            assert await outbox.drain(DEADLINE)
            os.kill(broker.pid, signal.SIGSTOP)
            for number in range(1, 3000):
                outbox.put(said(number))
            assert not await outbox.drain(0.2)
            os.kill(broker.pid, signal.SIGCONT)
            assert await outbox.drain(DEADLINE)
            group.cancel_scope.cancel()
        async with connect(broker.connection()) as client:
            held = await journal(client)
        assert [one.envelope.correlationid for one in held[1:]] == [str(number) for number in range(3000)]
