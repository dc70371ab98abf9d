"""The probe of Linux against real sockets: who holds which end of a connection."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from actors.probe import (
    Peer,
    SocketMovedError,
)
from actors.probe.linux import LinuxProbe
from actors.probe.linux.pidfd import inodes_are_unique
from actors.probe.linux.places import Places
from tests.contract.linux_processes import CONNECT, DEADLINE, accepted, child, forked


@pytest.fixture
def probe() -> Iterator[LinuxProbe]:
    made = LinuxProbe()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        listening.settimeout(DEADLINE)
        yield listening


# ------------------------------------------------------------------------------------------------ sockets


def test_this_system_can_answer_everything(probe: LinuxProbe) -> None:
    assert {"peer", "owner", "process", "exit_watch", "ancestry"} <= set(probe.capabilities)
    assert ("unrepeatable_key" in probe.capabilities) == inodes_are_unique() == (probe.this_process().pidfd is not None)


@pytest.mark.parametrize(
    ("listen", "connect"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
        ("::", "::ffff:127.0.0.1"),
    ],
)
def test_the_clients_end_is_found_over_ipv4_ipv6_and_mapped_addresses(probe: LinuxProbe, listen: str, connect: str) -> None:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    try:
        server = socket.create_server((listen, 0), family=family, dualstack_ipv6=family == socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server, socket.socket(socket.AF_INET6 if ":" in connect else socket.AF_INET) as client:
        client.connect((connect, server.getsockname()[1]))
        peer = accepted(probe, server, client)
        assert peer.uid == probe.this_user()
        assert probe.owner(peer, [1, os.getpid()]) == os.getpid()
        assert probe.search_owners(peer) == (os.getpid(),)


def test_a_closed_client_has_no_owner_and_a_listener_on_its_port_is_not_it(probe: LinuxProbe, server: socket.socket) -> None:
    client = socket.create_connection(server.getsockname())
    connection, remote = server.accept()
    with connection:
        local = connection.getsockname()
        peer = probe.peer(local, remote)
        client.close()
        assert peer is not None
        assert probe.peer(local, remote) is None
        assert probe.search_owners(peer) == ()
        assert not probe.still_owner(os.getpid(), peer)
    assert probe.peer(("127.0.0.1", 1), server.getsockname()) is None


def test_200_connections_of_20_processes_are_each_attributed_to_theirs(probe: LinuxProbe, server: socket.socket) -> None:
    port, each, many = server.getsockname()[1], 10, 20
    with ThreadPoolExecutor(many) as pool:
        children = [child(CONNECT, str(port), str(each)) for _ in range(many)]
        started = list(pool.map(lambda made: made.__enter__(), children))
    try:
        owners = {int(own): process.pid for process, ports in started for own in ports.split()}
        known = [process.pid for process, _ in started]
        connections = [server.accept() for _ in range(each * many)]
        for connection, remote in connections:
            with connection:
                peer = probe.peer(connection.getsockname(), remote)
                assert peer is not None
                assert probe.owner(peer, known) == owners[remote[1]]
                facts = probe.recognise(peer, known)
                assert facts is not None
                assert facts.key.pid == owners[remote[1]]
                assert facts == probe.process(owners[remote[1]], holding=peer)
    finally:
        for made in children:
            made.__exit__(None, None, None)


def test_questions_from_many_threads_get_their_own_answers(probe: LinuxProbe, server: socket.socket) -> None:
    clients = [socket.create_connection(server.getsockname()) for _ in range(16)]

    def ask(client: socket.socket) -> bool:
        wanted = os.fstat(client.fileno()).st_ino
        found = [probe.peer(server.getsockname(), client.getsockname()) for _ in range(200)]
        return all(peer is not None and peer.inode == wanted for peer in found)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, clients))
    for client in clients:
        client.close()


# ------------------------------------------------------------------------------------------------ owners


def test_a_socket_shared_by_a_fork_has_two_owners_and_is_nobodys_for_sure(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as client:
        peer = accepted(probe, server, client)
        with forked(str) as (twin, _):
            assert probe.search_owners(peer) == tuple(sorted((os.getpid(), twin)))
            assert probe.owner(peer, [os.getpid(), twin]) is None
            assert probe.owner(peer, [twin, os.getpid()]) is None
            assert probe.recognise(peer, [os.getpid(), twin]) is None
            assert probe.recognise(peer, [twin, os.getpid()]) is None
        assert probe.owner(peer, [os.getpid()]) == os.getpid()


def test_a_fork_that_was_met_before_a_socket_came_is_not_suspected_and_a_later_one_is(
    probe: LinuxProbe, server: socket.socket
) -> None:
    own = os.getpid()
    with forked(str) as (elder, _):
        probe.process(elder)
        client = socket.create_connection(server.getsockname())
        place = client.fileno()
        for _ in range(2):  # at a place that is not known, then at one that held another socket
            with client:
                peer = accepted(probe, server, client)
                facts = probe.recognise(peer, [own, elder])
                assert facts is not None
                assert facts.key == probe.this_process()
            client = socket.create_connection(server.getsockname())
            assert client.fileno() == place
        with client, forked(str) as (younger, _):
            peer = accepted(probe, server, client)
            probe.process(younger)
            assert probe.search_owners(peer) == tuple(sorted((own, younger)))
            assert probe.recognise(peer, [own, elder, younger]) is None
            assert probe.recognise(peer, [younger, elder, own]) is None


def test_a_socket_that_stays_where_it_was_is_looked_for_in_every_fork_again(probe: LinuxProbe, server: socket.socket) -> None:
    own = os.getpid()
    with socket.create_connection(server.getsockname()) as client:
        peer = accepted(probe, server, client)
        assert probe.recognise(peer, [own]) is not None
        with forked(str) as (twin, _):
            probe.process(twin)
            assert probe.recognise(peer, [own, twin]) is None
            assert probe.recognise(peer, [twin, own]) is None


def test_the_place_of_a_socket_says_nothing_of_another_process_with_that_pid(probe: LinuxProbe, server: socket.socket) -> None:
    """What is remembered is kept by the key: a fork that came to the pid of a dead process shares what its parent holds."""
    with socket.create_connection(server.getsockname()) as client, forked(str) as (twin, _):
        peer = accepted(probe, server, client)
        places = Places()
        real = probe.process(twin).key
        dead = msgspec.structs.replace(real, started=real.started - 1, pidfd=None)
        places.meet(probe.this_process())
        places.prove(dead, client.fileno(), 1, places.moment())
        assert places.may_share(dead, client.fileno(), peer.inode, [os.getpid()]) == []
        assert places.may_share(real, client.fileno(), peer.inode, [os.getpid()]) == [os.getpid()]


def test_many_are_searched_for_in_one_walk_each_with_its_own_owners(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as shared:
        first = accepted(probe, server, shared)
        with forked(str) as (twin, _), socket.create_connection(server.getsockname()) as own:
            second = accepted(probe, server, own)
            gone = Peer(inode=1, uid=first.uid)
            assert probe.search_all((second, gone, first)) == ((os.getpid(),), (), tuple(sorted((os.getpid(), twin))))
    assert probe.search_all(()) == ()


def test_a_socket_that_survives_an_exec_is_left_to_the_full_search(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as client:
        peer = accepted(probe, server, client)
        client.set_inheritable(True)
        assert probe.owner(peer, [os.getpid()]) is None
        assert probe.recognise(peer, [os.getpid()]) is None
        assert probe.search_owners(peer) == (os.getpid(),)


def test_a_process_that_closed_its_socket_is_not_read_as_its_owner(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as client:
        peer = accepted(probe, server, client)
        assert probe.process(os.getpid(), holding=peer).key == probe.this_process()
    with pytest.raises(SocketMovedError):
        probe.process(os.getpid(), holding=peer)
