"""Who may come in to the bus, and what becomes of whoever says what is not understood."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
import zmq

from bus.client import BusUnavailableError, RefusedError, connect
from bus.frames import decode_answered, encode_asked
from bus.protocol import Failure, Hello, Publish
from bus.sockets import new_key_pair
from bus.source import Source
from tests.bus.plain import plain
from tests.bus.process import BrokerProcess
from tests.bus.values import GATEWAY, raw, said

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("bus"), "gateway", "registry") as broker:
        yield broker


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


async def test_source_of_the_client_key_is_a_clients(shared: BrokerProcess) -> None:
    async with connect(shared.connection()) as client:
        await client.publish([said(1, Source("/client/cli/1"))])
        with pytest.raises(RefusedError, match="forged_source"):
            await client.publish([said(1, GATEWAY)])
