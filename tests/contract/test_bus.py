"""The bus over real sockets: a whole broker in its own process, and every promise of the protocol's docstring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from bus.client import CaughtUp, Client, Gap, RefusedError, connect
from bus.frames import decode_feed
from bus.protocol import BATCH_TOPIC, BEAT_TOPIC, MAX_PUBLISH_EVENTS, Arrival
from bus.sockets import Socket, Sockets
from bus.source import Source
from schemas.envelope import ROOTS, Envelope, Recorded
from schemas.events import JournalOpened, JournalTrimmed, SessionGone
from schemas.identity import SessionId
from tests.bus.plain import plain_subscriber
from tests.bus.process import BrokerProcess
from tests.bus.values import GATEWAY, raw, said

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("bus"), "gateway", "registry") as broker:
        yield broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, "gateway", "registry") as started:
        yield started


async def take(client: Client, after: int, until: int, epoch: str | None = None) -> list[Recorded | Gap | CaughtUp]:
    with anyio.fail_after(20):
        async with client.feed(after, until=until, epoch=epoch) as feed:
            return [told async for told in feed]


def gone(session: str) -> Envelope:
    return GATEWAY.envelope(f"session/{session}", SessionGone(session=SessionId(session), reason="exited"))


def numbers(told: list[Recorded | Gap | CaughtUp]) -> list[int]:
    return [int(one.envelope.correlationid or 0) for one in told if isinstance(one, Recorded)]


async def test_what_is_published_is_recorded_delivered_and_read_unchanged(broker: BrokerProcess) -> None:
    async with connect(broker.connection("gateway")) as gateway, connect(broker.connection()) as reader:
        assert (gateway.name, reader.name) == ("gateway", "client")
        sent = [said(number) for number in range(10)]
        positions = await gateway.publish(sent)
        assert positions == list(range(2, 12))
        told = await take(reader, 0, 11)
        events = [one for one in told if isinstance(one, Recorded)]
        assert isinstance(events[0].envelope.data, JournalOpened)
        assert [one.envelope for one in events[1:]] == sent
        assert [one.position for one in events] == list(range(1, 12))
        page = await reader.read(1)
        assert list(page.events()) == events[1:]


async def test_live_and_replayed_frames_are_the_same_bytes(shared: BrokerProcess) -> None:
    connection = shared.connection("gateway")
    async with connect(connection) as client:
        with Sockets() as sockets:
            feed = sockets.subscriber(connection, [b"session.codex-1."])
            beats = sockets.subscriber(connection, [b"bus.beat."])
            assert await beats.readable(5)
            with anyio.fail_after(10):
                (position,) = await client.publish([said(1)])
                while not await feed.readable(0.2):
                    (position,) = await client.publish([said(1)])
            live = feed.receive()
        (replayed,) = (await client.read(position - 1, limit=1)).rows
        assert live == [replayed.topic, replayed.stamp, replayed.envelope]


async def test_batches_and_roots_bring_the_same_events(shared: BrokerProcess) -> None:
    connection = shared.connection("gateway")
    async with connect(connection) as client:
        with Sockets() as sockets:
            batches = sockets.subscriber(connection, [BATCH_TOPIC, BEAT_TOPIC])
            roots = sockets.subscriber(connection, [f"{root}.".encode() for root in ROOTS])
            assert await batches.readable(5)
            assert await roots.readable(5)
            positions = await client.publish([said(number) for number in range(MAX_PUBLISH_EVENTS)])
            assert await brought(batches, positions) == await brought(roots, positions)


async def brought(socket: Socket, positions: list[int]) -> list[Arrival]:
    """Take what a subscriber is told of these positions, in the order in which it comes."""
    told: list[Arrival] = []
    while len(told) < len(positions):
        assert await socket.readable(5)
        frames = socket.receive()
        heard = decode_feed(frames) if frames else []
        told += [one for one in heard if one.position in positions] if isinstance(heard, list) else []
    return told


async def test_a_repeated_publication_is_recorded_once(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        sent = [said(number) for number in range(5)]
        positions = await client.publish(sent)
        assert await client.publish([*sent, said(5)]) == [*positions, positions[-1] + 1]
        assert await client.publish([sent[3], sent[3]]) == [positions[3]] * 2


async def test_more_than_one_message_holds_is_published_in_parts(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        count = 2 * MAX_PUBLISH_EVENTS + 1
        positions = await client.publish([said(number) for number in range(count)])
        assert positions == list(range(positions[0], positions[0] + count))


async def test_refused_events_are_named_and_the_others_recorded(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        head = client.head
        forged = said(2, Source("/actor/registry/9"))
        with pytest.raises(RefusedError, match="1 of 3") as caught:
            await client.publish([said(1), forged, said(3)])
        assert [(one.index, one.code) for one in caught.value.refused] == [(1, "forged_source")]
        assert numbers(await take(client, head, head + 2)) == [1, 3]


async def test_a_filtered_feed_is_exact_and_in_order(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        start = client.head
        async with client.feed(start, prefixes=(b"session.codex-7.",)) as feed:
            got = []
            for number in range(50):
                await client.publish([said(number, session=f"codex-{7 if number % 3 else 8}")])
            expected = [number for number in range(50) if number % 3]
            with anyio.fail_after(20):
                async for told in feed:
                    if isinstance(told, Recorded):
                        got.append(int(told.envelope.correlationid or 0))
                    if len(got) == len(expected):
                        break
        assert got == expected


async def test_a_feed_of_types_is_exact_and_in_order(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        start = client.head
        async with client.feed(start, types=("session.gone", "pin.placed")) as feed:
            end = (await client.publish([said(1), gone("codex-1"), said(2), said(3), gone("codex-2")]))[-1]
            got: list[str] = []
            with anyio.fail_after(20):
                async for told in feed:
                    if isinstance(told, Recorded):
                        got.append(told.envelope.subject)
                        if told.position == end:
                            break
        assert got == ["session/codex-1", "session/codex-2"]


async def test_a_feed_from_the_head_begins_with_what_happens_next(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client, client.feed(None) as feed:
        with anyio.fail_after(20):
            assert isinstance(await anext(feed), CaughtUp)
            (position,) = await client.publish([said(77)])
            told = await anext(feed)
        assert isinstance(told, Recorded)
        assert told.position == position


async def test_a_position_that_does_not_exist_is_refused(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        with pytest.raises(RefusedError, match="ahead"):
            await client.read(1_000_000_000)
        with pytest.raises(RefusedError, match="ahead"):
            await take(client, 1_000_000_000, 1_000_000_001)


async def test_an_epoch_from_elsewhere_is_a_gap(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        told = await take(client, 500, 3, epoch="another journal")
        assert isinstance(told[0], Gap)
        assert told[0].reason == "new_epoch"
        assert isinstance(told[1], Recorded)
        assert told[1].position == 1


async def test_trimmed_positions_are_a_gap(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "gateway", max_size_mib=0.2, retention_seconds=0.1) as broker:
        async with connect(broker.connection("gateway")) as client:
            for start in range(0, 2000, 500):
                await client.publish([said(start + number) for number in range(500)])
            with anyio.fail_after(20):
                while (await client.read(0)).first == 1:
                    await client.publish([said(0)])
            with anyio.fail_after(20):
                async with client.feed(0) as feed:
                    told = await anext(feed)
                    assert isinstance(told, Gap)
                    assert told.reason == "trimmed"
                    while not (isinstance(told, Recorded) and isinstance(told.envelope.data, JournalTrimmed)):
                        told = await anext(feed)  # said once it was done


async def test_an_event_that_breaks_its_type_is_a_gap_for_the_reader(shared: BrokerProcess) -> None:
    async with connect(shared.connection("gateway")) as client:
        start = client.head
        broken = raw(1).replace(b'"data":{"session":"codex-1"}', b'"data":{"session":7}')
        positions = await client.publish_encoded([raw(0), broken, raw(2)])
        told = await take(client, start, positions[-1])
        assert [one.first for one in told if isinstance(one, Gap)] == [positions[1]]
        assert "session" in next(one.detail for one in told if isinstance(one, Gap))
        assert numbers(told) == [0, 2]


@pytest.mark.parametrize("prefixes", [[], ["session.codex-1."]])
async def test_a_subscriber_written_from_the_specification_sees_the_same(broker: BrokerProcess, prefixes: list[str]) -> None:
    async with connect(broker.connection("gateway")) as client:
        early = await client.publish([said(number) for number in range(300)])
        last = early[-1] + 1500
        with plain_subscriber(broker, last, prefixes) as stranger:
            assert stranger.stdout is not None
            assert await anyio.to_thread.run_sync(stranger.stdout.readline) == "joined\n"
            for start in range(0, 1500, 50):
                await client.publish([said(start + number) for number in range(50)])
            printed = (await anyio.to_thread.run_sync(stranger.stdout.read)).splitlines()
        expected = [one for one in await take(client, 0, last) if isinstance(one, Recorded)]
        if prefixes:
            expected = [one for one in expected if one.envelope.subject == "session/codex-1"]
        assert printed == [f"{one.position} {one.envelope.id}" for one in expected]
