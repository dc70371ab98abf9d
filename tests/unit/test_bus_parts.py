"""The small parts of the bus: connection file, envelopes' source, ZAP, the exchange of commands."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from bus.connection import Connection, ConnectionFileError, read_connection, write_connection
from bus.exchange import MAX_WAITING_FOR_ONE, Exchange, Outgoing
from bus.place import read_place, write_place
from bus.protocol import Forwarded, Reply, Request
from bus.sockets import Sockets, new_key_pair
from bus.source import Source, rfc3339
from bus.zap import answer
from schemas.codec import encode
from tests.bus.values import GATEWAY, said

PUBLIC, SECRET = new_key_pair()
CONNECTION = Connection(1, "tcp://127.0.0.1:4001", "tcp://127.0.0.1:4002", PUBLIC, PUBLIC, SECRET)


# ---------------------------------------------------------------------------------------------------- connection file


def test_a_connection_file_is_read_back_and_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "bus.json"
    write_connection(file, CONNECTION)
    assert read_connection(file) == CONNECTION
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert SECRET not in repr(CONNECTION)
    other = new_key_pair()
    assert CONNECTION.with_keys(*other) == replace(CONNECTION, public_key=other[0], secret_key=other[1])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not JSON"),
        (b"[]", "not a connection file"),
        (encode({"protocol": 1}), "ingress"),
        (encode({**{name: getattr(CONNECTION, name) for name in Connection.__slots__}, "protocol": 2}), "protocol 2"),
        (encode({**{name: getattr(CONNECTION, name) for name in Connection.__slots__}, "feed": "tcp://*:1"}), "feed"),
        (encode({**{name: getattr(CONNECTION, name) for name in Connection.__slots__}, "server_key": "x"}), "server_key"),
    ],
)
def test_what_is_no_connection_file_is_refused_by_name(tmp_path: Path, content: bytes, named: str) -> None:
    file = tmp_path / "bus.json"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConnectionFileError, match=named):
        read_connection(file)


def test_a_connection_file_that_others_could_touch_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bus.json"
    with pytest.raises(ConnectionFileError, match="bus is not up"):
        read_connection(file)
    write_connection(file, CONNECTION)
    file.chmod(0o640)
    with pytest.raises(ConnectionFileError, match="chmod 600"):
        read_connection(file)
    file.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(ConnectionFileError):
        read_connection(link)
    with pytest.raises(ConnectionFileError):
        read_connection(tmp_path)


def test_a_brokers_place_is_kept(tmp_path: Path) -> None:
    place = replace(read_place(tmp_path / "keys"), ingress_port=4001, feed_port=4002)
    write_place(tmp_path / "keys", place)
    assert read_place(tmp_path / "keys") == place
    (tmp_path / "keys" / "bus.json").write_bytes(b"{}")
    with pytest.raises(ConnectionFileError, match="remove it"):
        read_place(tmp_path / "keys")


# ---------------------------------------------------------------------------------------------------- source


@pytest.mark.parametrize("source", ["", "gateway", "/actor", "/actor/", "/actor/a/b/c", "/bus/a/b", "/actor/a b/c"])
def test_a_source_has_one_form(source: str) -> None:
    with pytest.raises(ValueError, match="expected /actor"):
        Source(source)


def test_envelopes_have_their_own_ids_in_order_of_time() -> None:
    made = [said(number).id for number in range(100)]
    assert len(set(made)) == 100
    assert [one[:13] for one in made] == sorted(one[:13] for one in made)
    assert said(1, id_="mine").id == "mine"
    assert said(1).source == GATEWAY.source


def test_times_are_rfc_3339_with_microseconds() -> None:
    assert rfc3339(1_700_000_000_000_001_999) == "2023-11-14T22:13:20.000001Z"


# ---------------------------------------------------------------------------------------------------- zap


def zap(key: bytes = b"\x01" * 32, mechanism: bytes = b"CURVE", version: bytes = b"1.0") -> list[bytes]:
    return [version, b"7", b"tabwire", b"127.0.0.1", b"", mechanism, key]


def test_a_known_key_gets_its_name() -> None:
    reply, reason = answer(zap(b"\0" * 32), {"0" * 40: "gateway"})
    assert (reply, reason) == ([b"1.0", b"7", b"200", b"OK", b"gateway", b""], "")


@pytest.mark.parametrize(
    "request_",
    [zap(), zap(mechanism=b"NULL")[:6], zap(mechanism=b"PLAIN"), zap(key=b"short"), zap(version=b"2.0"), [], [b"1.0"]],
)
def test_everybody_else_is_refused(request_: list[bytes]) -> None:
    reply, reason = answer(request_, {"0" * 40: "gateway"})
    assert reply[2] == b"400"
    assert reply[4] == b""
    assert reason


# ---------------------------------------------------------------------------------------------------- exchange


def ask(
    exchange: Exchange, number: int = 1, *, to: str = "registry", type_: str = "registry.list", now: float = 0.0
) -> Outgoing:
    request = Request(to=to, type=type_, deadline_ms=1000)
    return exchange.ask(b"asker", b"%d" % number, "client", request, now)


def serving() -> Exchange:
    exchange = Exchange()
    exchange.serve("registry", b"server", ("registry.list",))
    return exchange


def test_a_command_goes_there_and_its_answer_back() -> None:
    exchange = serving()
    outgoing = ask(exchange)
    assert outgoing.connection == b"server"
    assert isinstance(outgoing.message, Forwarded)
    assert outgoing.message.sender == "client"
    reply = Reply(ok=True, answer=b"{}")
    assert exchange.replied(b"server", outgoing.request_id, reply) == Outgoing(b"asker", b"1", reply)
    assert exchange.replied(b"server", outgoing.request_id, reply) is None


def test_only_the_server_that_was_asked_may_answer() -> None:
    exchange = serving()
    outgoing = ask(exchange)
    assert exchange.replied(b"another", outgoing.request_id, Reply(ok=True)) is None
    assert exchange.replied(b"server", outgoing.request_id, Reply(ok=True)) is not None


@pytest.mark.parametrize(("to", "type_", "code"), [("nobody", "x.y", "no_such_actor"), ("registry", "x.y", "unknown_command")])
def test_what_nobody_answers_is_refused(to: str, type_: str, code: str) -> None:
    message = ask(serving(), to=to, type_=type_).message
    assert isinstance(message, Reply)
    assert (message.ok, message.code) == (False, code)


def test_too_many_at_once_are_told_to_come_back() -> None:
    exchange = serving()
    outgoing = [ask(exchange, number) for number in range(MAX_WAITING_FOR_ONE + 1)]
    assert isinstance(outgoing[-2].message, Forwarded)
    assert isinstance(outgoing[-1].message, Reply)
    assert outgoing[-1].message.code == "busy"
    exchange.replied(b"server", outgoing[0].request_id, Reply(ok=True))
    assert isinstance(ask(exchange).message, Forwarded)


def test_what_is_not_answered_in_time_is_answered_here() -> None:
    exchange = serving()
    outgoing = ask(exchange, now=5.0)
    assert exchange.expired(6.0) == []
    (late,) = exchange.expired(6.1)
    assert (late.connection, late.request_id) == (b"asker", b"1")
    assert isinstance(late.message, Reply)
    assert late.message.code == "timeout"
    assert exchange.replied(b"server", outgoing.request_id, Reply(ok=True)) is None


def test_a_server_that_is_gone_answers_nothing_any_more() -> None:
    exchange = serving()
    ask(exchange)
    (lost,) = exchange.gone(b"server")
    assert isinstance(lost.message, Reply)
    assert lost.message.code == "no_such_actor"
    message = ask(exchange).message
    assert isinstance(message, Reply)
    assert message.code == "no_such_actor"


def test_the_last_connection_that_serves_a_name_gets_its_commands() -> None:
    exchange = serving()
    exchange.serve("registry", b"newer", ("registry.list",))
    assert ask(exchange).connection == b"newer"
    assert exchange.gone(b"server") == []
    assert ask(exchange).connection == b"newer"


def test_no_socket_has_heartbeats_of_its_own_which_end_a_process_whose_queue_is_full() -> None:
    with Sockets() as sockets:
        made = [
            sockets.dealer(CONNECTION),
            sockets.subscriber(CONNECTION, [b""]),
            sockets.ingress("tcp://127.0.0.1:*", SECRET),
            sockets.feed("tcp://127.0.0.1:*", SECRET),
        ]
        assert [one._socket.getsockopt(zmq.HEARTBEAT_IVL) for one in made] == [0] * len(made)
