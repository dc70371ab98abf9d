"""The hub of the bridges: real processes, pipes and sockets; its bridges do what the messages that they are given say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from schemas.bridge_rows import BridgeRow, BridgeTable
from schemas.commands import CloseSession, ListAgents, ResetWorkspace, SendMessage, ShowHistory, StartSession
from schemas.content import TextAdded
from schemas.identity import process_id
from tests.contract.actor_process import ended
from tests.contract.hub_scene import (
    AGENT,
    DEADLINE,
    HubScene,
    bridges,
    close,
    facts,
    hub_scene,
    pending,
    records,
    refused,
    send,
    start,
    told,
)

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubScene]:
    with hub_scene(tmp_path / "home") as subject:
        yield subject


# ---------------------------------------------------------------------------------------------------- beginning


async def test_a_start_is_answered_before_anything_runs_and_the_conversation_is_named_later(scene: HubScene) -> None:
    async with scene.client() as client:
        row: BridgeRow = await client.request("bridges", scene.wish(model="large", mode="default"))
        assert row.session == str(row.launch)
        assert (row.status, row.process, row.conversation) == ("starting", None, "")
        found = [one.type for one in await facts(client, lambda found: found[-1].type == "bridge.identified")]
        assert found[:4] == ["launch.started", "bridge.started", "bridge.ready", "bridge.identified"]
        identified = (await told(client, "bridge.identified"))[0]
        now = (await pending(client, row.launch[:9])).bridge
        assert now.session == identified.session == f"{AGENT}-{identified.conversation}"
        assert now.launch == row.launch
        started = (await told(client, "bridge.started"))[0]
        assert (started.session, started.process, started.cwd) == (row.launch, now.process, str(scene.folder))
        assert (await told(client, "launch.started"))[0].process == now.process


async def test_the_agent_s_launch_is_recorded_as_the_bridge_s_and_its_token_is_nowhere_else(
    scene: HubScene, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    async with scene.client() as client:
        row = await start(client, scene.wish(f"witness={witness}", provider="echo", model="large"))
        assert row.process is not None
        pid, _, token = witness.read_text().split(" ")
        assert int(pid) == row.process.pid
        record = json.loads((scene.place.paths.launches / f"{row.launch}.json").read_text())
        assert record["process"]["pid"] == row.process.pid
        assert (record["provider"], record["model"], record["agent"]) == ("echo", "large", AGENT)
        await close(client, row.launch)
    assert scene.hub is not None
    everywhere = scene.hub.log_text() + "".join(json.dumps(one) for one in records(scene).values())
    assert token.strip() not in everywhere


async def test_twenty_sessions_begin_at_once_in_one_folder_and_none_is_another_s(scene: HubScene) -> None:
    async with scene.client() as client:
        rows: list[BridgeRow] = []

        async def begin(number: int) -> None:
            row = await client.request("bridges", scene.wish(), deadline=DEADLINE)
            rows.append(row)
            await send(client, row.launch, f"say I am {number}", f"message-{number}")

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(begin, number)
        await told(client, "bridge.turn_ended", 20)
        identified = await told(client, "bridge.identified", 20)
        assert len({one.launch for one in identified}) == len({one.session for one in identified}) == 20
        for ended_turn in await told(client, "bridge.turn_ended", 20):
            history = await client.request("bridges", ShowHistory(session=ended_turn.launch))
            texts = [piece.text for piece in history.turns[0].pieces if isinstance(piece, TextAdded)]
            assert texts == [f"say I am {ended_turn.turn.removeprefix('message-')}", texts[0].removeprefix("say ")]


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"agent": "nobody"}, "unknown_agent", "codex"),
        ({"cwd": "relative"}, "invalid", "whole path"),
        ({"cwd": "/no/such/folder"}, "invalid", "no folder"),
        ({"provider": "mine"}, "not_found", "echo"),
        ({"program": "/no/such/program"}, "not_installed", "/no/such/program"),
        ({"mode": "no-such-mode"}, "invalid", "default"),
        ({"environ": {"A=B": "c"}}, "invalid", "environ"),
        ({"model": "a\0b"}, "invalid", "NUL"),
    ],
)
async def test_what_cannot_begin_is_refused_with_what_to_do(
    scene: HubScene, wrong: dict[str, Any], code: str, said: str
) -> None:
    given: dict[str, Any] = {"agent": AGENT, "cwd": str(scene.folder), "program": str(scene.program), **wrong}
    async with scene.client() as client:
        error = await refused(client, StartSession(**given))
        assert error.code == code
        assert said in error.message
        assert await bridges(client) == {}


async def test_no_more_sessions_than_are_configured(tmp_path: Path) -> None:
    with hub_scene(tmp_path / "home", "[bridges]\nsessions = 1\n") as scene:
        async with scene.client() as client:
            row = await start(client, scene.wish())
            error = await refused(client, scene.wish())
            assert error.code == "too_many"
            assert "[bridges] sessions" in error.message
            await close(client, row.launch)
            await start(client, scene.wish())


# ---------------------------------------------------------------------------------------------------- ending


async def test_a_close_ends_the_agent_and_what_it_forked_away(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await send(client, row.launch, "fork", "a")
        await told(client, "bridge.turn_ended")
        history = await client.request("bridges", ShowHistory(session=row.launch))
        child = int(next(piece.text for piece in history.turns[0].pieces if getattr(piece, "channel", "") == "reply"))
        assert row.process is not None
        gone = await close(client, row.launch)
        assert gone.status == "gone"
        assert ended(row.process.pid, 0)
        assert ended(child, 0)
        assert await bridges(client) == {}
        assert records(scene) == {}
        assert (await refused(client, SendMessage(session=row.launch, text="x", message="b"))).code == "ended"
        assert (await close(client, row.launch)).status == "gone"


async def test_a_bridge_that_will_not_close_is_killed_in_mid_turn(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish("stubborn"))
        await send(client, row.launch, "hold", "a")
        await told(client, "bridge.turn_started")
        assert row.process is not None
        await close(client, row.launch)
        assert ended(row.process.pid, 0)
        assert (await told(client, "bridge.turn_ended"))[0].outcome == "interrupted"
        assert (await told(client, "bridge.ended"))[0].reason == "asked to"


async def test_a_workspace_is_reset_unless_one_of_its_sessions_works(scene: HubScene) -> None:
    elsewhere = scene.folder.parent / "elsewhere"
    elsewhere.mkdir()
    async with scene.client() as client:
        busy, idle = await start(client, scene.wish()), await start(client, scene.wish())
        other = await start(client, scene.wish(cwd=str(elsewhere)))
        await send(client, busy.launch, "hold", "a")
        await told(client, "bridge.turn_started")
        reset = ResetWorkspace(cwd=str(scene.folder))
        error = await refused(client, reset)
        assert error.code == "in_use"
        assert busy.session in error.message
        assert set(await bridges(client)) == {busy.launch, idle.launch, other.launch}
        forced = ResetWorkspace(cwd=str(scene.folder), force=True)
        table: BridgeTable = await client.request("bridges", forced, deadline=DEADLINE)
        assert {row.launch: row.status for row in table.bridges} == {busy.launch: "gone", idle.launch: "gone"}
        assert set(await bridges(client)) == {other.launch}
        assert (await client.request("bridges", reset)).bridges == ()


async def test_a_session_that_nobody_uses_ends_by_itself(tmp_path: Path) -> None:
    with hub_scene(tmp_path / "home", "[bridges]\nidle_hours = 0.0002\n") as scene:
        async with scene.client() as client:
            row: BridgeRow = await client.request("bridges", scene.wish())
            over = (await told(client, "bridge.ended"))[0]
            assert over.launch == row.launch
            assert "idle_hours" in over.reason
            assert await bridges(client) == {}


async def test_a_changed_bound_holds_without_a_restart(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        file = scene.place.paths.config_file
        scene.place.configure(f"{file.read_text()}\n[bridges]\nidle_hours = 0.0002\n")
        assert (await told(client, "bridge.ended"))[0].launch == row.launch


# ---------------------------------------------------------------------------------------------------- looking


async def test_agents_are_listed_with_what_is_missing(scene: HubScene) -> None:
    async with scene.client() as client:
        table = await client.request("bridges", ListAgents(), deadline=DEADLINE)
        row = next(row for row in table.agents if row.agent == AGENT)
        assert row.protocol
        assert row.tested
        assert "interrupt" in row.can
        assert row.version or row.problem


async def test_a_session_is_found_by_any_beginning_of_any_of_its_ids(scene: HubScene) -> None:
    async with scene.client() as client:
        one, other = await start(client, scene.wish()), await start(client, scene.wish())
        assert (await pending(client, one.session[:14])).bridge.launch == one.launch
        error = await refused(client, CloseSession(session="launch-"))
        assert error.code == "ambiguous"
        assert other.session in error.message
        assert one.process is not None
        assert process_id(one.process) != process_id(other.process or one.process)
