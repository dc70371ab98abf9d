"""``tabwire up`` beside a running system: what has failed is tried again by its real supervisor, with a clear outcome."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.system import System, running

pytestmark = pytest.mark.e2e


@contextmanager
def occupied(port: int) -> Iterator[None]:
    """Hold a port."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield


def states(system: System) -> dict[str, str]:
    return {row["actor"]: row["state"] for row in system.json("status")["actors"]}


def test_a_failed_actor_is_tried_again_and_up_says_what_came_of_it(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    try:
        with occupied(system.gateway_port):
            first = system.tabwire("up", code=78)
            assert f"port {system.gateway_port}" in first.stderr
            assert states(system)["gateway"] == "failed"
            again = system.tabwire("up", code=78)
            assert "already running" in again.stderr
            assert "trying again: gateway, which had failed: bad configuration" in again.stderr
            assert f"port {system.gateway_port}" in again.stderr.splitlines()[-1]
        others = {row["actor"]: row["pid"] for row in system.json("status")["actors"] if row["actor"] != "gateway"}
        healed = system.tabwire("up")
        assert "trying again: gateway" in healed.stderr
        assert f"gateway   ready  http://127.0.0.1:{system.gateway_port}/v1" in healed.stdout
        now = {row["actor"]: row for row in system.json("status")["actors"]}
        assert now["gateway"]["restarts"] == 2
        assert {actor: now[actor]["pid"] for actor in others} == others
        assert "trying again" not in system.tabwire("up").stderr
    finally:
        system.tabwire("down")


def test_a_supervisor_that_does_not_act_is_named_within_a_deadline(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    with occupied(system.gateway_port):
        system.tabwire("up", code=78)
    supervisor = system.json("status")["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        assert "did not take the request within" in system.tabwire("up", code=1).stderr
        assert not (system.home / "state/run/retry.json").exists()
    finally:
        os.kill(supervisor, signal.SIGCONT)
        system.tabwire("down")


def test_a_running_system_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        before = system.json("status")
        assert "already running" in system.tabwire("up").stderr
        assert system.json("status") == before
