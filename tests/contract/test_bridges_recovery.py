"""What breaks between hub and bridges, and what is taken up again: killed bridges, killed hubs, lost conversations."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from schemas.bridge_rows import BridgeRow
from tests.contract.actor_process import ended
from tests.contract.hub_scene import DEADLINE, HubScene, bridges, close, hub_scene, pending, records, send, start, told

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubScene]:
    with hub_scene(tmp_path / "home") as subject:
        yield subject


# ---------------------------------------------------------------------------------------------------- breaking down


async def test_a_killed_bridge_is_started_again_with_the_conversation_and_what_waited(scene: HubScene, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    async with scene.client() as client:
        row = await start(client, scene.wish(f"witness={witness}"))
        await send(client, row.launch, "say first", "a")
        await told(client, "bridge.turn_ended")
        await send(client, row.launch, "hold", "b")
        await send(client, row.launch, "say last", "c")
        await told(client, "bridge.turn_started", 2)
        assert row.process is not None
        os.kill(row.process.pid, signal.SIGKILL)
        await send(client, row.launch, "say at once", "d")  # whether it is known to be dead already or not
        outcomes = {one.turn: one.outcome for one in await told(client, "bridge.turn_ended", 4)}
        assert outcomes == {"a": "completed", "b": "failed", "c": "completed", "d": "completed"}
        again = (await told(client, "bridge.started", 2))[1]
        assert (again.session, again.restarts, again.resumed) == (row.session, 1, row.conversation)
        assert again.launch == row.launch != again.spawned
        assert [line.split(" ")[1] for line in witness.read_text().splitlines()] == ["", row.conversation]
        failed = (await told(client, "bridge.failed"))[0]
        assert (failed.code, failed.retrying) == ("bridge_killed", True)
        assert (await told(client, "launch.started", 2))[1].launch == again.spawned
        now = (await pending(client, row.launch)).bridge
        assert (now.session, now.restarts, now.turns) == (row.session, 1, 4)


async def test_a_bridge_that_dies_again_and_again_is_given_up(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        for number in range(4):
            await send(client, row.launch, "die", f"message-{number}")
            await told(client, "bridge.failed", number + 1)
        over = (await told(client, "bridge.ended"))[0]
        assert "4 times" in over.reason
        assert [one.retrying for one in await told(client, "bridge.failed", 4)] == [True, True, True, False]
        assert (await pending(client, row.launch)).bridge.status == "gone"


async def test_an_agent_that_cannot_be_started_is_not_tried_again(scene: HubScene) -> None:
    async with scene.client() as client:
        row: BridgeRow = await client.request("bridges", scene.wish("refuse"))
        over = (await told(client, "bridge.ended"))[0]
        assert over.reason == "not logged in: run the agent once"
        assert len(await told(client, "bridge.started")) == 1
        assert (await pending(client, row.launch)).bridge.status_reason == over.reason


async def test_a_conversation_that_cannot_be_taken_up_ends_and_says_so(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish("frail"))
        await send(client, row.launch, "say something", "a")
        await told(client, "bridge.turn_ended")
        assert row.process is not None
        os.kill(row.process.pid, signal.SIGKILL)
        assert "cannot take its conversation up again" in (await told(client, "bridge.ended"))[0].reason


async def test_one_that_breaks_touches_no_other(scene: HubScene) -> None:
    async with scene.client() as client:
        broken, whole = await start(client, scene.wish()), await start(client, scene.wish())
        await send(client, broken.launch, "stop", "a")
        await send(client, whole.launch, "say still here", "b")
        assert (await told(client, "bridge.turn_ended"))[0].launch == whole.launch
        assert whole.process == (await pending(client, whole.launch)).bridge.process
        await close(client, broken.launch)


# ---------------------------------------------------------------------------------------------------- again


async def test_a_killed_hub_takes_its_sessions_up_again(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish(model="large"))
        await send(client, row.launch, "say first", "a")
        await told(client, "bridge.turn_ended")
        await send(client, row.launch, "hold", "b")
        await send(client, row.launch, "say never", "c")
        await told(client, "bridge.turn_started", 2)
        before = await pending(client, row.launch)
        with anyio.fail_after(DEADLINE):
            while records(scene)[row.launch]["turn"] != "b" or not records(scene)[row.launch]["waiting"]:
                await pending(client, row.launch)  # what is written down follows what is known
        file = scene.place.paths.bridges / f"{row.launch}.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert scene.hub is not None
        assert row.process is not None
        scene.hub.process.kill()
        scene.hub.exit_code()
        scene.start()
        again = (await told(client, "bridge.started", 2))[1]
        assert (again.session, again.resumed, again.restarts) == (row.session, row.conversation, 1)
        assert ended(row.process.pid, 0)
        cut = (await told(client, "bridge.turn_ended", 2))[1]
        assert (cut.turn, cut.outcome, cut.reason) == ("b", "failed", "tabwire_ended")
        await told(client, "bridge.ready", 2)
        now = await pending(client, row.session)
        assert now.run != before.run
        assert now.bridge.note == "when Tabwire ended, the turn that ran was cut off and 1 message that waited were not sent"
        assert (now.bridge.launch, now.bridge.created, now.bridge.model) == (row.launch, row.created, "large")
        await send(client, row.launch, "say first", "a")  # given before: not again
        await send(client, row.launch, "say next", "d")
        assert (await told(client, "bridge.turn_ended", 3))[2].turn == "d"


async def test_a_hub_that_stops_ends_its_bridges_and_takes_them_up_when_it_is_back(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await send(client, row.launch, "say first", "a")
        await told(client, "bridge.turn_ended")
        assert scene.hub is not None
        assert row.process is not None
        scene.hub.end_stdin()
        assert scene.hub.exit_code() == 0
        assert ended(row.process.pid, 0)
        assert "taken up again" in (await told(client, "bridge.ended"))[0].reason
        scene.start()
        assert (await told(client, "bridge.started", 2))[1].session == row.session
        assert set(await bridges(client)) == {row.launch}
        await told(client, "bridge.ready", 2)
        await close(client, row.launch)
        assert records(scene) == {}


async def test_a_record_that_cannot_be_read_costs_only_itself(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        assert scene.hub is not None
        scene.hub.end_stdin()
        scene.hub.exit_code()
        bad = scene.place.paths.bridges / "launch-00.json"
        bad.write_text("{")
        hub = scene.start()
        assert set(await bridges(client)) == {row.launch}
        await close(client, row.launch)
        assert bad.exists()
        assert "launch-00.json" in hub.log_text()
