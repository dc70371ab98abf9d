"""The whole system under load while its processes are killed and stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.actor_process import ended
from tests.faults.load import Load
from tests.faults.supervised import Supervised, supervised
from tests.ports import free_port

ACTORS = ("broker", "registry", "rollout", "discovery", "gateway", "bridges", "echo")
pytestmark = pytest.mark.fault


@pytest.fixture
def ports() -> dict[str, int]:
    return {"gateway": free_port(), "echo": free_port()}


@pytest.fixture
def system(tmp_path: Path, ports: dict[str, int]) -> Iterator[Supervised]:
    config = "\n".join(f"[{name}]\nport = {port}" for name, port in ports.items())
    with supervised(tmp_path, module="actors.supervisor", config=config) as subject:
        yield subject


def load_on(system: Supervised, ports: dict[str, int]) -> Load:
    return Load(system.paths.connection_file, ports["gateway"])


@pytest.mark.parametrize("actor", ACTORS)
def test_any_actor_killed_under_load_is_back_alone_and_nothing_acknowledged_is_lost(
    system: Supervised, ports: dict[str, int], actor: str
) -> None:
    before = system.start().pids()
    with load_on(system, ports).on() as load:
        system.until(lambda _: load.answered >= 5 and len(load.acknowledged) >= 20)
        os.kill(before[actor], signal.SIGKILL)
        system.until_ready(actor, before[actor])
        answered, acknowledged = load.answered, len(load.acknowledged)
        rows = system.until(lambda _: load.answered >= answered + 5 and len(load.acknowledged) >= acknowledged + 20)
    others = [other for other in ACTORS if other != actor]
    assert {other: rows[other]["pid"] for other in others} == {other: before[other] for other in others}
    assert load.lost() == []


@pytest.mark.parametrize("actor", ACTORS)
def test_any_actor_stopped_is_replaced(system: Supervised, actor: str) -> None:
    before = system.start().pids()
    os.kill(before[actor], signal.SIGSTOP)
    system.until_ready(actor, before[actor])
    system.until(lambda rows: all(row["state"] == "ready" for row in rows.values()))
    assert ended(before[actor], 0)


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_start_finds_everything_in_order(
    system: Supervised, ports: dict[str, int]
) -> None:
    before = system.start().pids()
    with load_on(system, ports).on() as load:
        system.until(lambda _: load.answered >= 5 and len(load.acknowledged) >= 20)
        system.kill()
        assert all(ended(pid, 2) for pid in before.values())
        system.start()
        answered, acknowledged = load.answered, len(load.acknowledged)
        system.until(lambda _: load.answered >= answered + 5 and len(load.acknowledged) >= acknowledged + 20)
    assert load.lost() == []


def test_a_provider_s_key_reaches_the_gateway_only(tmp_path: Path, ports: dict[str, int]) -> None:
    config = "\n".join(f"[{name}]\nport = {port}" for name, port in ports.items())
    config += f'\n[providers.mine]\nbase_url = "http://127.0.0.1:{ports["echo"]}/v1"\nkey = "env:MY_CANARY_KEY"\n'
    config = f'default_provider = "echo"\n{config}'
    canary = "canary-0123456789abcdef"
    with supervised(tmp_path, module="actors.supervisor", config=config, environ={"MY_CANARY_KEY": canary}) as system:
        pids = system.start().pids()
        others = {actor: pid for actor, pid in pids.items() if actor != "gateway"}
        assert [actor for actor, pid in others.items() if canary.encode() in Path(f"/proc/{pid}/environ").read_bytes()] == []
        system.stop()
        files = [path for path in system.paths.state.rglob("*") if path.is_file()]
        assert [path for path in files if canary.encode() in path.read_bytes()] == []
        assert json.loads(system.paths.status_file.read_bytes())["actors"]
