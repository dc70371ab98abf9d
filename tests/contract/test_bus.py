"""The bus over real sockets: a whole broker in its own process, and every promise of the protocol's docstring."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import zmq

from bus.client import BusUnavailableError, CaughtUp, Client, Gap, RefusedError, connect
from bus.connection import Connection
from bus.frames import decode_answered, encode_asked
from bus.protocol import MAX_PUBLISH_EVENTS, Failure, Hello, Publish
from bus.sockets import Sockets, new_key_pair
from bus.source import Source
from schemas.commands import ExplainSession, ListSessions
from schemas.envelope import Envelope, Recorded
from schemas.events import JournalOpened, JournalTrimmed, SessionGone
from schemas.identity import SessionId
from schemas.rows import AsOf, SessionTable
from tests.bus.process import BrokerProcess
from tests.bus.values import GATEWAY, raw, said

pytestmark = pytest.mark.anyio
TABLE = SessionTable(as_of=AsOf(epoch="e", position=3, time="t"), sessions=())
Answer = Callable[[ListSessions], Awaitable[SessionTable]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("bus"), "gateway", "registry") as broker:
        yield broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, "gateway", "registry") as started:
        yield started


async def take(client: Client, after: int, until: int, **rest: object) -> list[Recorded | Gap | CaughtUp]:
    with anyio.fail_after(20):
        async with client.feed(after, until=until, **rest) as feed:  # type: ignore[arg-type]
            return [told async for told in feed]


def gone(session: str) -> Envelope:
    return GATEWAY.envelope(f"session/{session}", SessionGone(session=SessionId(session), reason="exited"))


def numbers(told: list[Recorded | Gap | CaughtUp]) -> list[int]:
    return [int(one.envelope.correlationid or 0) for one in told if isinstance(one, Recorded)]


# ---------------------------------------------------------------------------------------------------- publish, feed, read


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


# ---------------------------------------------------------------------------------------------------- commands


async def answering(broker: BrokerProcess, answer: Answer, ask: Callable[[Client], Awaitable[None]]) -> None:
    async with connect(broker.connection("registry"), serve={ListSessions: answer}), connect(broker.connection()) as client:
        with anyio.fail_after(20):
            await ask(client)


async def test_a_command_is_answered_by_type(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        return TABLE

    async def ask(client: Client) -> None:
        assert await client.request("registry", ListSessions()) == TABLE
        with pytest.raises(RefusedError, match="unknown_command"):
            await client.request("registry", ExplainSession(session="x"))
        with pytest.raises(RefusedError, match="no_such_actor"):
            await client.request("nobody", ListSessions())

    await answering(shared, answer, ask)


async def test_a_refusal_reaches_the_asker(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        raise RefusedError("not_now", "still catching up")

    async def ask(client: Client) -> None:
        with pytest.raises(RefusedError, match="not_now: still catching up"):
            await client.request("registry", ListSessions())

    await answering(shared, answer, ask)


async def test_a_command_that_takes_too_long_times_out(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        await anyio.sleep_forever()
        return TABLE

    async def ask(client: Client) -> None:
        with pytest.raises(RefusedError, match="timeout"):
            await client.request("registry", ListSessions(), deadline=0.2)

    await answering(shared, answer, ask)


async def test_many_commands_at_once_are_answered_or_told_busy(shared: BrokerProcess) -> None:
    release = anyio.Event()
    outcomes: list[str] = []

    async def answer(_: ListSessions) -> SessionTable:
        await release.wait()
        return TABLE

    async def one(client: Client) -> None:
        try:
            await client.request("registry", ListSessions(), deadline=10)
            outcomes.append("answered")
        except RefusedError as error:
            outcomes.append(error.code)
            if outcomes.count("busy") == 36:
                release.set()

    async def ask(client: Client) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(one, client)

    await answering(shared, answer, ask)
    assert (outcomes.count("answered"), outcomes.count("busy")) == (64, 36)


async def test_an_actor_that_left_is_no_such_actor(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        return TABLE

    async with connect(shared.connection()) as client:
        async with connect(shared.connection("registry"), serve={ListSessions: answer}):
            assert await client.request("registry", ListSessions()) == TABLE
        with pytest.raises(RefusedError) as caught:
            await client.request("registry", ListSessions(), deadline=0.3)
        assert caught.value.code in ("no_such_actor", "timeout")


async def test_what_an_answer_raises_ends_the_actor_as_itself(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        raise ZeroDivisionError

    async def live() -> None:
        async with connect(shared.connection("registry"), serve={ListSessions: answer}):
            up.set()
            await anyio.sleep_forever()

    async def serve() -> None:
        with pytest.raises(ZeroDivisionError):
            await live()

    up = anyio.Event()
    async with anyio.create_task_group() as group, connect(shared.connection()) as client:
        group.start_soon(serve)
        with anyio.fail_after(20):
            await up.wait()
            with pytest.raises(RefusedError):
                await client.request("registry", ListSessions(), deadline=0.3)


# ---------------------------------------------------------------------------------------------------- who may come in


async def test_a_strangers_key_is_refused_at_once(shared: BrokerProcess) -> None:
    with pytest.raises(RefusedError, match="unknown_key"):
        async with connect(shared.connection().with_keys(*new_key_pair())):
            pass


async def test_a_wrong_server_key_reaches_nobody(shared: BrokerProcess) -> None:
    connection = replace(shared.connection(), server_key=new_key_pair()[0])
    with pytest.raises((BusUnavailableError, RefusedError)):
        async with connect(connection, deadline=0.5):
            pass


async def test_no_broker_is_said_within_the_deadline(shared: BrokerProcess) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BusUnavailableError, match="no broker answered"):
            async with connect(replace(shared.connection(), ingress=nowhere), deadline=0.3):
                pass


def plain(connection: Connection, kind: int, endpoint: str, *, curve: bool = True) -> zmq.Socket[bytes]:
    made: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    if curve:
        made.setsockopt(zmq.CURVE_SERVERKEY, connection.server_key.encode())
        made.setsockopt(zmq.CURVE_PUBLICKEY, connection.public_key.encode())
        made.setsockopt(zmq.CURVE_SECRETKEY, connection.secret_key.encode())
    made.setsockopt(zmq.IMMEDIATE, 1)
    made.setsockopt(zmq.SNDTIMEO, 700)
    made.setsockopt(zmq.RCVTIMEO, 700)
    if kind == zmq.SUB:
        made.setsockopt(zmq.SUBSCRIBE, b"")
    if endpoint:
        made.connect(endpoint)
    return made


def test_a_peer_that_chooses_its_routing_id_is_never_answered(shared: BrokerProcess) -> None:
    connection = shared.connection()
    with plain(connection, zmq.DEALER, "") as dealer:
        dealer.setsockopt(zmq.ROUTING_ID, b"registry")
        dealer.connect(connection.ingress)
        dealer.send_multipart(encode_asked(b"1", Hello(protocol=1)))
        with pytest.raises(zmq.Again):
            dealer.recv_multipart()


def test_without_curve_nothing_is_heard_and_nothing_said(shared: BrokerProcess) -> None:
    connection = shared.connection()
    with plain(connection, zmq.DEALER, connection.ingress, curve=False) as dealer, pytest.raises(zmq.Again):
        dealer.send_multipart(encode_asked(b"1", Publish((raw(1),))))
    with plain(connection, zmq.SUB, connection.feed, curve=False) as subscriber, pytest.raises(zmq.Again):
        subscriber.recv_multipart()


def test_a_name_cannot_be_claimed_by_writing_it(shared: BrokerProcess) -> None:
    connection = shared.connection()
    with plain(connection, zmq.DEALER, connection.ingress) as dealer:
        dealer.send_multipart(encode_asked(b"1", Hello(protocol=1, role="registry", serves=("registry.list_sessions",))))
        assert decode_answered(dealer.recv_multipart()) == (b"1", Failure("forbidden", "the client key may not serve commands"))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"WAT", b"1"], b"unknown_verb"),
        ([b"HELLO", b"1", b'{"protocol":99}'], b"unsupported_protocol"),
        ([b"READ", b"1", b'{"after":"x"}'], b"READ.after"),
        ([b"PUBLISH", b"1"], b"PUBLISH"),
        ([b"REQUEST", b"1", b"[" * 60_000, b""], b"REQUEST"),
    ],
)
def test_what_is_not_understood_is_answered_by_name(shared: BrokerProcess, frames: list[bytes], code: bytes) -> None:
    connection = shared.connection()
    with plain(connection, zmq.DEALER, connection.ingress) as dealer:
        dealer.send_multipart([b"", b""])
        dealer.send_multipart([b"junk"])
        dealer.send_multipart(frames)
        verb, request_id, body = dealer.recv_multipart()
        assert (verb, request_id) == (b"ERROR", b"1")
        assert code in body


def test_a_frame_above_the_limit_closes_the_connection_and_nothing_else(shared: BrokerProcess) -> None:
    connection = shared.connection()
    with plain(connection, zmq.DEALER, connection.ingress) as dealer:
        dealer.send_multipart([b"PUBLISH", b"1", b"x" * 9_000_000])
        with pytest.raises(zmq.Again):
            dealer.recv_multipart()
    with plain(connection, zmq.DEALER, connection.ingress) as dealer:
        dealer.send_multipart(encode_asked(b"1", Hello(protocol=1)))
        assert dealer.recv_multipart()[0] == b"WELCOME"


# ---------------------------------------------------------------------------------------------------- a stranger's subscriber


def plain_subscriber(broker: BrokerProcess, last: int, prefixes: list[str]) -> subprocess.Popen[str]:
    file = Path(__file__).with_name("plain_subscriber.py")
    command = [sys.executable, "-I", str(file), str(broker.state / "run" / "bus.json"), str(last), *prefixes]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


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


async def test_source_of_the_client_key_is_a_clients(shared: BrokerProcess) -> None:
    async with connect(shared.connection()) as client:
        await client.publish([said(1, Source("/client/cli/1"))])
        with pytest.raises(RefusedError, match="forged_source"):
            await client.publish([said(1, GATEWAY)])
