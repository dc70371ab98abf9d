"""The hub of the bridges: real processes, pipes and sockets; its bridges do what the messages that they are given say."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from bus.client import Client, RefusedError
from schemas.bridge_rows import BridgeRow, BridgeTable, Pending
from schemas.codec import decode
from schemas.commands import (
    AnswerApproval,
    ClearConversation,
    CloseSession,
    InterruptTurn,
    ListAgents,
    ListBridges,
    ResetWorkspace,
    SendMessage,
    ShowHistory,
    StartSession,
)
from schemas.content import Frame, TextAdded
from schemas.identity import process_id
from tests.contract.actor_process import ended
from tests.contract.hub_scene import AGENT, DEADLINE, HubScene, facts, hub_scene, pending, send, start, told

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubScene]:
    with hub_scene(tmp_path / "home") as subject:
        yield subject


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def frames(client: Client, launch: str, until: str) -> list[Frame]:
    """Read a stream to the first piece of a kind."""
    found: list[Frame] = []
    with anyio.fail_after(DEADLINE):
        async with client.stream(launch) as stream:
            async for raw in stream:
                if isinstance(raw, bytes):
                    found.append(decode(raw, Frame))
                    if found[-1].piece.__struct_config__.tag == until:
                        return found
    raise AssertionError("the stream ended")


async def refused(client: Client, command: Any) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        await client.request("bridges", command, deadline=DEADLINE)
    return error.value


async def close(client: Client, session: str) -> BridgeRow:
    row: BridgeRow = await client.request("bridges", CloseSession(session=session), deadline=DEADLINE)
    return row


async def bridges(client: Client) -> dict[str, BridgeRow]:
    table: BridgeTable = await client.request("bridges", ListBridges())
    return {row.launch: row for row in table.bridges}


def records(scene: HubScene) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in scene.place.paths.bridges.glob("*.json")}


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


# ---------------------------------------------------------------------------------------------------- talking


async def test_a_stream_is_dense_and_is_the_session_s_alone(scene: HubScene) -> None:
    async with scene.client() as client:
        one, other = await start(client, scene.wish()), await start(client, scene.wish())
        async with client.stream(one.launch) as stream:
            first = (await pending(client, one.launch)).sequence
            await send(client, other.launch, "say nothing to you", "a")
            await send(client, one.launch, "flood 300", "b")
            found: list[Frame] = []
            with anyio.fail_after(DEADLINE):
                async for raw in stream:
                    if isinstance(raw, bytes):
                        found.append(decode(raw, Frame))
                        if found[-1].piece.__struct_config__.tag == "turn_ended":
                            break
        assert {frame.stream for frame in found} == {one.launch}
        assert {frame.session for frame in found} == {one.session}
        assert [frame.sequence for frame in found] == list(range(first + 1, first + 1 + len(found)))
        turn = (await told(client, "bridge.turn_ended", launch=one.launch))[0]
        assert (turn.turn, turn.outcome, turn.reply_length) == ("b", "completed", 30_000)


async def test_who_comes_back_goes_on_from_what_is_pending_without_gap_or_doubling(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await send(client, row.launch, "ask may I", "a")
        await told(client, "bridge.approval_requested")
        async with client.stream(row.launch) as stream:
            now: Pending = await pending(client, row.launch)
            assert (now.turn, now.bridge.approvals, now.bridge.status) == ("a", 1, "waiting_permission")
            shown = [piece.__struct_config__.tag for piece in now.pieces]
            assert shown == ["turn_started", "text_added", "approval_requested"]
            history = await client.request("bridges", ShowHistory(session=row.launch))
            assert history.turns == ()
            await client.request("bridges", AnswerApproval(session=row.launch, approval="approval-a", option="yes", by="me"))
            following: list[Frame] = []
            with anyio.fail_after(DEADLINE):
                async for raw in stream:
                    if isinstance(raw, bytes) and (frame := decode(raw, Frame)).sequence > now.sequence:
                        following.append(frame)
                        if frame.piece.__struct_config__.tag == "turn_ended":
                            break
        assert following[0].sequence == now.sequence + 1
        assert {frame.run for frame in following} == {now.run}
        after = await client.request("bridges", ShowHistory(session=row.launch))
        told_again = [piece.__struct_config__.tag for piece in after.turns[0].pieces]
        live = [frame.piece.__struct_config__.tag for frame in following]
        assert told_again == [*shown, *(one for one in live if one != "status_told")]


async def test_the_first_answer_to_an_approval_wins_and_the_second_is_told(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await send(client, row.launch, "ask may I", "a")
        await told(client, "bridge.approval_requested")
        answer = AnswerApproval(session=row.launch, approval="approval-a", option="no", by="first")
        await client.request("bridges", answer)
        error = await refused(client, answer)
        assert error.code == "already_answered"
        resolved = (await told(client, "bridge.approval_resolved"))[0]
        assert (resolved.outcome, resolved.by) == ("denied", "first")


async def test_a_message_is_given_once_whole_and_as_it_was_written(scene: HubScene) -> None:
    text = "say " + "\u202e\x1b[31m$(touch x)\0ÿ𝄞" * 4_000
    parts = [text[at : at + 9_000] for at in range(0, len(text), 9_000)]
    async with scene.client() as client:
        row = await start(client, scene.wish())
        for _ in range(2):
            for number, part in enumerate(parts, 1):
                command = SendMessage(session=row.launch, text=part, message="a", part=number, of=len(parts))
                await client.request("bridges", command, deadline=DEADLINE)
        turn = (await told(client, "bridge.turn_ended"))[0]
        assert turn.reply_length == len(text) - 4
        assert (await told(client, "bridge.turn_started"))[0].length == len(text)
        await send(client, row.launch, "say more", "b")
        assert [one.turn for one in await told(client, "bridge.turn_started", 2)] == ["a", "b"]


async def test_what_is_no_message_is_refused(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        for text, message, part, of, code in (
            ("", "a", 1, 1, "invalid"),
            ("x", "", 1, 1, "invalid"),
            ("x", "a\n", 1, 1, "invalid"),
            ("x", "a", 2, 3, "invalid"),
            ("x", "a", 4, 3, "invalid"),
            ("refuse-me", "a", 1, 1, "refused"),
        ):
            command = SendMessage(session=row.launch, text=text, message=message, part=part, of=of)
            assert (await refused(client, command)).code == code
        assert (await refused(client, SendMessage(session="nobody", text="x", message="a"))).code == "not_found"
        assert (await pending(client, row.launch)).bridge.queued == 0
        await send(client, row.launch, "say after a refusal its name is free", "a")
        await told(client, "bridge.turn_ended")


async def test_an_interrupt_ends_the_turn_and_gives_back_what_waits_behind_it(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await send(client, row.launch, "hold", "a")
        await send(client, row.launch, "say next", "b")
        await told(client, "bridge.turn_started")
        assert (await pending(client, row.launch)).bridge.queued == 1
        await client.request("bridges", InterruptTurn(session=row.launch, queued=True))
        assert (await told(client, "bridge.turn_ended"))[0].outcome == "interrupted"
        assert (await pending(client, row.launch)).bridge.queued == 0


async def test_a_clear_begins_another_session_in_its_place(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await client.request("bridges", ClearConversation(session=row.session))
        second = (await told(client, "bridge.identified", 2))[1]
        assert second.succeeds == row.session != second.session
        for name in (row.launch, row.session, second.session):
            assert (await pending(client, name)).bridge.session == second.session


async def test_content_is_on_the_stream_and_nowhere_else(scene: HubScene) -> None:
    secret = "canary-3c7e1f"
    async with scene.client() as client:
        row = await start(client, scene.wish())
        await send(client, row.launch, f"say {secret}", "a")
        await told(client, "bridge.turn_ended")
        await send(client, row.launch, f"ask {secret}", "b")
        await told(client, "bridge.approval_requested")
        assert any(secret in getattr(piece, "title", "") for piece in (await pending(client, row.launch)).pieces)
        for file in scene.place.paths.state.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file
    assert scene.hub is not None
    assert secret not in scene.hub.log_text()


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
