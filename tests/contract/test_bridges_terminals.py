"""A hub whose configuration declares a terminal: its agent is listed, driven by a real bridge, and not taken up again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.commands import CloseSession, ListAgents, ShowHistory, StartSession
from schemas.content import TextAdded
from tests.contract.actor_process import place_with_bus
from tests.contract.hub_scene import DEADLINE, HubScene, refused, send, told

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals"),
]
DECLARED = f"""
[terminals.calc]
program = '{sys.executable}'
arguments = ["-i", "-q"]
ready = '^>>>$'
settle_seconds = 0.3
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubScene]:
    with place_with_bus(tmp_path / "home", DECLARED) as there:
        scene = HubScene(there, tmp_path, Path(sys.executable))
        scene.start()
        yield scene


async def test_a_declared_agent_is_listed_and_driven(scene: HubScene) -> None:
    async with scene.client() as client:
        table = await client.request("bridges", ListAgents(), deadline=DEADLINE)
        row = next(row for row in table.agents if row.agent == "calc")
        assert (row.protocol, row.can, row.problem) == ("terminal (pty)", ("interrupt",), "")
        started = await client.request("bridges", StartSession(agent="calc", cwd=str(scene.folder)), deadline=DEADLINE)
        await send(client, started.launch, "6*7", "m1")
        assert (await told(client, "bridge.turn_ended", turn="m1"))[0].outcome == "completed"
        past = await client.request("bridges", ShowHistory(session=started.launch), deadline=DEADLINE)
        said = [one.text for one in past.turns[0].pieces if isinstance(one, TextAdded) and one.channel == "reply"]
        assert (past.source, said) == ("bridge", ["42"])
        await client.request("bridges", CloseSession(session=started.launch), deadline=DEADLINE)
        error = await refused(client, StartSession(agent="none", cwd=str(scene.folder)))
        assert "calc" in error.message


async def test_it_is_not_taken_up_without_what_was_said(scene: HubScene) -> None:
    async with scene.client() as client:
        wish = StartSession(agent="calc", cwd=str(scene.folder))
        spoken = (await client.request("bridges", wish, deadline=DEADLINE)).launch
        fresh = (await client.request("bridges", wish, deadline=DEADLINE)).launch
        await send(client, spoken, "x = 1", "m1")
        await told(client, "bridge.turn_ended", turn="m1")
        await told(client, "bridge.started", 2)
        assert scene.hub is not None
        scene.hub.process.kill()
        scene.hub.exit_code()
    scene.start()
    async with scene.client() as client:
        (ended,) = await told(client, "bridge.ended", launch=spoken)
        assert "calc cannot take its conversation up again" in ended.reason
        await send(client, fresh, "6*7", "m2")
        assert (await told(client, "bridge.turn_ended", turn="m2"))[0].outcome == "completed"
