"""Streams over real sockets: what is told is heard by who listens, is recorded nowhere, and no loss of it stays unseen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import orjson
import pytest
import zmq

from bus.client import CaughtUp, Gap, Mark, RefusedError, connect
from bus.frames import decode_answered, encode_asked
from bus.protocol import MARK, MAX_TELL, Failure, Tell
from bus.source import Source
from bus.stream import Stream
from bus.stream_queue import MAX_QUEUED
from schemas.envelope import Recorded
from tests.bus.plain import plain, plain_subscriber
from tests.bus.process import BrokerProcess
from tests.bus.values import said

pytestmark = pytest.mark.anyio
LAUNCH = "launch-ab12cd34"
BRIDGES = Source("/actor/bridges/1")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("bus"), "bridges", "gateway") as broker:
        yield broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, "bridges", "gateway") as started:
        yield started


async def frames(stream: Stream, count: int) -> list[bytes]:
    """Take frames, without the marks between them."""
    taken: list[bytes] = []
    with anyio.fail_after(20):
        async for told in stream:
            if isinstance(told, bytes):
                taken.append(told)
            if len(taken) == count:
                break
    return taken


async def mark(stream: Stream) -> Mark:
    """Take what comes until it is a mark."""
    with anyio.fail_after(20):
        async for told in stream:
            if isinstance(told, Mark):
                return told
    raise AssertionError


async def test_what_is_told_is_heard_unchanged_and_in_order(shared: BrokerProcess) -> None:
    bodies = [b"", b"\x00\xff", b"x" * MAX_TELL, *(b"%d" % number for number in range(500))]
    async with (
        connect(shared.connection("bridges")) as hub,
        connect(shared.connection()) as one,
        connect(shared.connection()) as two,
        one.stream(LAUNCH) as first,
        two.stream(LAUNCH) as second,
    ):
        for number, body in enumerate(bodies, 1):
            assert await hub.tell(LAUNCH, "text_added", number, body)
            assert await hub.tell("launch-other", "text_added", number, b"not for this listener")
        assert await frames(first, len(bodies)) == bodies
        assert await frames(second, len(bodies)) == bodies
        assert (first.lost, second.lost) == (0, 0)


async def test_nothing_told_is_recorded_or_met_on_the_feed(broker: BrokerProcess) -> None:
    async with connect(broker.connection("bridges")) as hub, connect(broker.connection()) as reader:
        head = reader.head
        secret = b"canary-7f3a91" * 100
        async with reader.stream(LAUNCH) as stream, reader.feed(head) as whole, reader.feed(head, prefixes=(b"s",)) as wide:
            assert isinstance(await anext(whole), CaughtUp)
            assert isinstance(await anext(wide), CaughtUp)
            for number in range(1, 51):
                await hub.tell(LAUNCH, "text_added", number, secret)
            await frames(stream, 50)
            (position,) = await hub.publish([said(1, BRIDGES)])
            with anyio.fail_after(20):
                for feed in (whole, wide):
                    told = await anext(feed)
                    assert isinstance(told, Recorded)
                    assert told.position == position == head + 1
            assert whole.holes == 0  # type: ignore[attr-defined]
        page = await reader.read(0)
        assert not [row for row in page.rows if secret[:13] in row.envelope]
    files = [file for file in broker.state.rglob("*") if file.is_file()]
    assert any(file.name.startswith("journal") or "journal" in file.parts for file in files)
    assert not [file for file in files if secret[:13] in file.read_bytes()]


async def test_nobody_else_may_tell(shared: BrokerProcess) -> None:
    async with connect(shared.connection()) as client, connect(shared.connection("gateway")) as gateway:
        for peer in (client, gateway):
            with pytest.raises(RefusedError, match="forbidden"):
                await peer.tell(LAUNCH, "text_added", 1, b"")


@pytest.mark.parametrize(
    ("name", "head", "code"),
    [
        ("client", {"stream": LAUNCH, "kind": "text_added", "sequence": 1}, "forbidden"),
        ("gateway", {"stream": LAUNCH, "kind": "text_added", "sequence": 1}, "forbidden"),
        ("bridges", {"stream": "a.b", "kind": "text_added", "sequence": 1}, "invalid"),
        ("bridges", {"stream": LAUNCH, "kind": "text_added"}, "invalid"),
    ],
)
def test_the_broker_refuses_by_key_and_by_field(shared: BrokerProcess, name: str, head: object, code: str) -> None:
    connection = shared.connection(name)
    with plain(connection, zmq.DEALER, connection.ingress) as dealer:
        dealer.send_multipart([b"TELL", b"t", orjson.dumps(head), b"body"])
        request_id, failure = decode_answered(dealer.recv_multipart())
    assert request_id == b"t"
    assert isinstance(failure, Failure)
    assert failure.code == code


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (Tell(stream=LAUNCH, kind="text_added", sequence=1, body=b"x" * (MAX_TELL + 1)), "too_large"),
        (Tell(stream="launch.1", kind="text_added", sequence=1), "invalid"),
        (Tell(stream=LAUNCH, kind="Text", sequence=1), "invalid"),
        (Tell(stream=LAUNCH, kind=MARK, sequence=1), "invalid"),
        (Tell(stream=LAUNCH, kind="text_added", sequence=0), "invalid"),
    ],
)
async def test_what_is_no_tell_is_refused_before_it_is_sent(shared: BrokerProcess, told: Tell, code: str) -> None:
    async with connect(shared.connection("bridges")) as hub:
        with pytest.raises(RefusedError) as caught:
            await hub.tell(told.stream, told.kind, told.sequence, told.body)
        assert caught.value.code == code


async def test_who_joins_late_learns_where_the_stream_stands(shared: BrokerProcess) -> None:
    async with connect(shared.connection("bridges")) as hub, connect(shared.connection()) as client:
        async with client.stream("launch-late") as early:
            for number in range(1, 4):
                await hub.tell("launch-late", "text_added", number, b"gone by")
            assert await frames(early, 3) == [b"gone by"] * 3
        async with client.stream("launch-late") as stream:
            assert await mark(stream) == Mark(3)
            await hub.tell("launch-late", "text_added", 4, b"next")
            assert await frames(stream, 1) == [b"next"]
            assert stream.lost == 0


async def test_a_hole_is_counted_and_a_lost_end_is_marked(shared: BrokerProcess) -> None:
    connection = shared.connection("bridges")
    async with connect(shared.connection()) as client, client.stream("launch-hole") as stream:
        with plain(connection, zmq.DEALER, connection.ingress) as teller:
            for number in (1, 2, 5):
                told = Tell(stream="launch-hole", kind="text_added", sequence=number, body=b"%d" % number)
                teller.send_multipart(encode_asked(b"t", told))
            for _ in range(2):
                teller.send_multipart(encode_asked(b"t", Tell(stream="launch-hole", kind=MARK, sequence=7)))
            teller.send_multipart(encode_asked(b"t", Tell(stream="launch-hole", kind="text_added", sequence=8, body=b"8")))
            with anyio.fail_after(20):
                heard = [await anext(stream) for _ in range(5)]
        assert heard == [b"1", b"2", b"5", Mark(7), b"8"]  # the mark once: said again, it is no news
        assert stream.lost == 4


async def test_a_slow_listener_loses_the_newest_and_learns_of_it(shared: BrokerProcess) -> None:
    count = MAX_QUEUED + 2000
    async with (
        connect(shared.connection("bridges")) as hub,
        connect(shared.connection()) as client,
        client.stream("launch-slow") as slow,
        client.stream("launch-slow") as quick,
    ):
        for number in range(1, count + 1):
            assert await hub.tell("launch-slow", "text_added", number, b"%d" % number)
            if number % 500 == 0:
                await frames(quick, 500)
        await frames(quick, count % 500)
        assert quick.lost == 0
        reached = heard = 0
        with anyio.fail_after(20):
            while reached < count:
                told = await anext(slow)
                before, reached = reached, told.sequence if isinstance(told, Mark) else int(told)
                assert before < reached
                heard += isinstance(told, bytes)
                assert reached == heard or heard >= MAX_QUEUED
        assert slow.lost == count - heard


async def test_streams_outlive_the_broker(broker: BrokerProcess) -> None:
    async with (
        connect(broker.connection("bridges")) as hub,
        connect(broker.connection()) as client,
        client.stream(LAUNCH) as stream,
    ):
        await hub.tell(LAUNCH, "text_added", 1, b"before")
        assert await frames(stream, 1) == [b"before"]
        broker.kill()
        for number in range(2, 6):
            await hub.tell(LAUNCH, "text_added", number, b"while it is away")
        await anyio.to_thread.run_sync(broker.start)
        with anyio.fail_after(20):
            reached = 1
            while reached < 5:  # what went to the dead socket is gone and marked, what was in the queue is delivered
                told = await anext(stream)
                reached = told.sequence if isinstance(told, Mark) else reached + 1
        await hub.tell(LAUNCH, "text_added", 6, b"after")
        assert await frames(stream, 1) == [b"after"]


async def test_who_knows_no_streams_takes_none_for_an_event(broker: BrokerProcess) -> None:
    async with connect(broker.connection("gateway")) as client, connect(broker.connection("bridges")) as hub:
        (first,) = await client.publish([said(0)])
        last = first + 500
        with plain_subscriber(broker, last, []) as stranger:
            assert stranger.stdout is not None
            assert await anyio.to_thread.run_sync(stranger.stdout.readline) == "joined\n"
            for number in range(1, 501):
                await hub.tell(LAUNCH, "text_added", number, b"not an envelope")
                await client.publish([said(number)])
            printed = (await anyio.to_thread.run_sync(stranger.stdout.read)).splitlines()
        events = [one for one in (await client.read(0)).events() if one.position <= last]
        assert printed == [f"{one.position} {one.envelope.id}" for one in events]


async def test_facts_and_streams_do_not_hold_up_each_other(broker: BrokerProcess) -> None:
    async with (
        connect(broker.connection("bridges")) as hub,
        connect(broker.connection()) as client,
        client.stream(LAUNCH) as stream,
        client.feed(None) as feed,
        anyio.create_task_group() as group,
    ):
        assert isinstance(await anext(feed), CaughtUp)

        async def publish() -> None:
            for start in range(0, 2000, 100):
                await hub.publish([said(start + number, BRIDGES) for number in range(100)])

        group.start_soon(publish)
        for number in range(1, 2001):
            assert await hub.tell(LAUNCH, "text_added", number, b"%d" % number)
            if number % 200 == 0:
                await frames(stream, 200)
        assert stream.lost == 0
        got: list[int] = []
        with anyio.fail_after(20):
            while len(got) < 2000:
                told = await anext(feed)
                assert not isinstance(told, Gap)
                if isinstance(told, Recorded):
                    got.append(int(told.envelope.correlationid or 0))
        assert got == list(range(2000))
