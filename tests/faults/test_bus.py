"""The bus under fire: killed brokers, stopped subscribers, hostile bytes, full outboxes. Nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest

from bus.client import BusUnavailableError, Gap, RefusedError, connect
from bus.source import Source
from schemas.envelope import Envelope, Recorded
from schemas.events import JournalDamaged
from tests.bus.process import BrokerProcess
from tests.bus.values import said
from tests.bus.waiting import DEADLINE, journal, until

pytestmark = [pytest.mark.anyio, pytest.mark.fault]


def reached(acked: dict[str, int], count: int) -> bool:
    return len(acked) >= count


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
