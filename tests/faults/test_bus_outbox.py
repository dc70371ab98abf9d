"""What an actor has not got rid of while the broker was away: its outbox, its bounds, and its end."""

from __future__ import annotations

import os
import signal
from itertools import islice
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from bus.client import connect
from bus.outbox import Outbox
from bus.source import Source
from schemas.events import ActorDropped
from tests.bus.process import BrokerProcess
from tests.bus.values import GATEWAY, said
from tests.bus.waiting import DEADLINE, journal, until

pytestmark = [pytest.mark.anyio, pytest.mark.fault]


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
