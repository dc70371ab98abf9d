"""Talking through the hub: streams, messages, answers and interrupts of sessions whose bridges do what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from schemas.bridge_rows import Pending
from schemas.codec import decode
from schemas.commands import AnswerApproval, ClearConversation, InterruptTurn, SendMessage, ShowHistory
from schemas.content import Frame
from tests.contract.hub_scene import DEADLINE, HubScene, hub_scene, pending, refused, send, start, told

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubScene]:
    with hub_scene(tmp_path / "home") as subject:
        yield subject


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
