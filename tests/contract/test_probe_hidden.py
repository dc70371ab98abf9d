"""The probe of Linux where it may not read: processes of others, protected ones, no descriptors left."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import sys
from collections.abc import Callable

import pytest

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from actors.probe import (
    ProbeError,
    ProcessHiddenError,
)
from actors.probe.linux import LinuxProbe
from tests.contract.linux_processes import NOBODY, PR_SET_DUMPABLE, accepted, forked


def as_nobody(work: Callable[[LinuxProbe], str]) -> str:
    """Run a function as an unprivileged user: in a fork, since the interpreter may not be readable to others."""

    def unprivileged() -> str:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work(LinuxProbe())

    b"".decode("idna")  # which sockets load on first use, when an unprivileged user may not read it any more
    LinuxProbe().close()
    with forked(unprivileged) as (_, answer):
        return answer


def hidden(probe: LinuxProbe, pid: int) -> str:
    try:
        return f"not hidden: {probe.process(pid).exe}"
    except ProcessHiddenError as error:
        return error.reason


def test_a_process_of_another_user_is_hidden_and_says_whose_it_is() -> None:
    assert as_nobody(lambda probe: hidden(probe, 1)) == "belongs to another user (uid 0)"


def test_a_process_that_protects_itself_is_hidden_and_holds_nothing_for_sure() -> None:
    def work(probe: LinuxProbe) -> str:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def protect() -> str:
                ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
                client = socket.create_connection(server.getsockname())
                kept.append(client)
                return ""

            kept: list[socket.socket] = []
            with forked(protect) as (pid, _):
                connection, remote = server.accept()
                peer = probe.peer(connection.getsockname(), remote)
                assert peer is not None
                assert peer.uid == probe.this_user()
                assert probe.owner(peer, [pid]) is None
                assert probe.recognise(peer, [pid]) is None
                assert probe.search_owners(peer) == ()
                return hidden(probe, pid)

    assert as_nobody(work).startswith("protects its memory")


def test_without_descriptors_the_probe_says_so_instead_of_finding_nobody() -> None:
    def work() -> str:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            probe = LinuxProbe()
            peer = accepted(probe, server, client)
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
            errors = []
            for question in (
                lambda: probe.owner(peer, [os.getpid()]),
                lambda: probe.recognise(peer, [os.getpid()]),
                lambda: probe.search_owners(peer),
                lambda: probe.process(os.getpid()),
            ):
                try:
                    errors.append(f"answered {question()}")
                except ProbeError as error:
                    errors.append(str(error))
            return "\n".join(errors)

    with forked(work) as (_, answer):
        assert answer.count("Too many open files") == 4, answer
