"""The pins of driven sessions whose agents name no conversation: a real hub and gateway, scripted bridges.

Asked is what a request would be asked that comes by the launch of the bridge and names nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from actors.runtime.contract import Ready
from bus.client import Client
from schemas.bridge_rows import BridgeRow
from schemas.commands import ChangeSettings, ClearConversation, CloseSession, ExplainRoute, ListPins, RemovePin, SetPin
from schemas.provider_rows import PinTable, RoutePlan
from tests.contract.hub_scene import DEADLINE, HubScene, hub_scene, pending, send, start, told

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubScene]:
    with hub_scene(tmp_path_factory.mktemp("tabwire") / "home") as subject:
        subject.place.start("gateway").until(Ready)
        yield subject


async def routed(client: Client, launch: str) -> str:
    """Return the pin that decides where a request of a launch goes."""
    plan: RoutePlan = await client.request("gateway", ExplainRoute(session=launch, launch=launch), deadline=DEADLINE)
    return plan.pin


async def pins(client: Client) -> list[str]:
    table: PinTable = await client.request("gateway", ListPins())
    return [pin.target for pin in table.pins]


def names(scene: HubScene, launch: str) -> str:
    """Return the session that a launch's record names."""
    found: str = json.loads((scene.place.paths.launches / f"{launch}.json").read_text())["session"]
    return found


async def change(client: Client, row: BridgeRow, provider: str) -> None:
    await client.request("bridges", ChangeSettings(session=row.launch, provider=provider), deadline=DEADLINE)


async def test_a_pin_holds_for_what_its_bridge_sends_also_when_it_is_started_again(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await change(client, row, "echo")
        assert await routed(client, row.launch) == f"session:{row.session}"
        assert names(scene, row.launch) == row.session

        await send(client, row.launch, "say hello", "m1")
        await told(client, "bridge.turn_ended", launch=row.launch)
        await send(client, row.launch, "die", "m2")
        (again,) = [one.spawned for one in await told(client, "bridge.started", 2, launch=row.launch) if one.spawned]
        assert again != row.launch
        assert await routed(client, again) == f"session:{row.session}"
        assert names(scene, again) == row.session

        await change(client, row, "")
        assert await routed(client, again) == ""
        assert row.session not in await pins(client)


async def test_a_pin_follows_a_conversation_that_is_begun_anew_and_is_there_when_one_is_taken_up(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await change(client, row, "echo")
        await client.request("bridges", ClearConversation(session=row.launch))
        anew = (await told(client, "bridge.identified", 2, launch=row.launch))[1].session
        while anew not in await pins(client):
            await pending(client, row.launch)
        assert await routed(client, row.launch) == f"session:{anew}"
        await client.request("bridges", CloseSession(session=row.launch), deadline=DEADLINE)
        assert {row.session, anew} <= {*await pins(client)}

        # taken up by its first id: pinned before its agent has said which conversation it is
        taken: BridgeRow = await client.request("bridges", scene.wish("mute", resume=row.session), deadline=DEADLINE)
        await told(client, "launch.started", launch=taken.launch)
        assert names(scene, taken.launch) == row.session
        assert await routed(client, taken.launch) == f"session:{row.session}"


async def test_a_pin_of_a_session_that_never_had_a_conversation_ends_with_it(scene: HubScene) -> None:
    async with scene.client() as client:
        row: BridgeRow = await client.request("bridges", scene.wish("mute"), deadline=DEADLINE)
        await told(client, "launch.started", launch=row.launch)
        await change(client, row, "echo")
        assert await routed(client, row.launch) == f"session:{row.launch}"
        await client.request("bridges", CloseSession(session=row.launch), deadline=DEADLINE)
        while row.launch in await pins(client):
            pass


async def test_a_pin_keeps_its_rule_and_its_end_when_it_follows_its_session(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        strict = SetPin(
            kind="session", target=row.session, provider="echo", model="m", on_failure="fail", expires="2099-01-01T00:00:00Z"
        )
        await client.request("gateway", strict, deadline=DEADLINE)
        await client.request("bridges", ClearConversation(session=row.launch))
        anew = (await told(client, "bridge.identified", 2, launch=row.launch))[1].session
        while anew not in await pins(client):
            await pending(client, row.launch)
        table: PinTable = await client.request("gateway", ListPins())
        first, second = (replace(pin, target="") for pin in table.pins if pin.target in (row.session, anew))
        assert first == second
        assert (first.on_failure, first.model) == ("fail", "m")


async def test_a_provider_that_a_session_began_with_is_given_up_too(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish(provider="echo"))

        async def reason() -> str:
            asked = ExplainRoute(session=row.session, launch=row.launch)
            plan: RoutePlan = await client.request("gateway", asked, deadline=DEADLINE)
            return plan.reason

        assert await reason() == f"asked for by {row.launch}"
        await change(client, row, "echo")
        assert await reason() == f"pinned by session:{row.session}"
        await change(client, row, "")
        assert await reason() == "the default provider"


async def test_a_pin_that_the_user_sets_by_the_session_s_name_holds_at_once(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        while names(scene, row.launch) != row.session:
            await pending(client, row.launch)
        await client.request("gateway", SetPin(kind="session", target=row.session, provider="echo"), deadline=DEADLINE)
        assert await routed(client, row.launch) == f"session:{row.session}"
        await client.request("gateway", RemovePin(kind="session", target=row.session), deadline=DEADLINE)
        assert await routed(client, row.launch) == ""
