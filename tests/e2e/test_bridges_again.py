"""Driven sessions over deaths of Tabwire itself: nothing is left running, and the conversations are taken up again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import psutil
import pytest

from schemas.bridge_rows import BridgeRow, History
from schemas.commands import ListBridges, ReviewSession, SendBack, ShowHistory, StartSession
from schemas.content import Ended, TurnEnded
from tests.contract.actor_process import ended
from tests.e2e.bridged import DEADLINE, Told, listening, on_bus
from tests.e2e.codex import needs_codex, wishes
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]


def family(row: BridgeRow) -> list[int]:
    """Return the pids of a bridge and all that it started."""
    assert row.process is not None
    bridge = psutil.Process(row.process.pid)
    return [bridge.pid, *(child.pid for child in bridge.children(recursive=True))]


async def begun(told: Told, word: str) -> list[int]:
    """Have one turn; return who runs."""
    await told.identified()
    assert (await told.say(f"remember {word}")).outcome == "completed"
    return family(await told.row())


async def initialised(told: Told) -> BridgeRow:
    """Wait until the agent has greeted again."""
    with anyio.fail_after(DEADLINE):
        while not (row := await told.row()).initialised:
            await anyio.lowlevel.checkpoint()
    return row


def test_a_conversation_outlives_kills_of_the_hub_and_of_the_supervisor_and_an_orderly_stop(tmp_path: Path) -> None:
    wished = StartSession(**wishes(tmp_path))

    async def first(system: System) -> tuple[str, list[int]]:
        async with on_bus(system) as client:
            row: BridgeRow = await client.request("bridges", wished, deadline=30.0)
            async with listening(client, row.launch) as told:
                return row.launch, await begun(told, "one")

    said: list[str] = []

    async def again(system: System, launch: str, turns: int) -> list[int]:
        async with on_bus(system) as client, listening(client, launch) as told:
            row = await initialised(told)
            assert (row.turns, row.restarts) == (turns, turns)
            end = await told.say(f"and {turns}")
            assert end.outcome == "completed"
            history: History = await told.ask(ShowHistory(session=launch))
            said.append(end.turn)
            assert history.source == "transcript"
            assert [turn.turn for turn in history.turns][1:] == said
            assert history.turns[0].turn.startswith("message-")
            return family(await told.row())

    with running(tmp_path / "home") as system:
        launch, pids = anyio.run(first, system)
        hub = next(row["pid"] for row in system.json("status")["actors"] if row["actor"] == "bridges")
        os.kill(hub, signal.SIGKILL)
        assert all(ended(pid) for pid in pids)
        system.until_count("bridge.ready", 2)
        pids = anyio.run(again, system, launch, 1)
        os.kill(system.json("status")["pid"], signal.SIGKILL)
        assert all(ended(pid) for pid in pids)
        system.tabwire("up")
        system.until_count("bridge.ready", 3)
        pids = anyio.run(again, system, launch, 2)
        system.tabwire("down")
        assert all(ended(pid, 0) for pid in pids)
        system.tabwire("up")
        system.until_count("bridge.ready", 4)
        pids = anyio.run(again, system, launch, 3)
    assert all(ended(pid, 0) for pid in pids)


def test_a_reviewer_of_the_same_kind_sees_the_work_and_its_findings_reach_the_session(tmp_path: Path) -> None:
    wished = wishes(tmp_path)

    async def test(system: System) -> None:
        async with on_bus(system) as client:
            row: BridgeRow = await client.request("bridges", StartSession(**wished), deadline=30.0)
            async with listening(client, row.launch) as parent:
                await begun(parent, "the work")
                review = ReviewSession(session=row.launch, agent="codex", instructions="Look at the kumquat.")
                child: BridgeRow = await client.request("bridges", review, deadline=30.0)
                async with listening(client, child.launch) as reviewer:
                    with anyio.fail_after(DEADLINE):
                        while (await reviewer.row()).turns == 0 or (await reviewer.pending()).turn:
                            await anyio.lowlevel.checkpoint()
                    told: History = await client.request("bridges", ShowHistory(session=child.launch))
                    assert "Look at the kumquat." in str(told.turns[0].pieces)
                    assert "remember the work" in str(told.turns[0].pieces)
                    await client.request("bridges", SendBack(session=child.launch), deadline=30.0)
                    await parent.until(TurnEnded, lambda piece: piece.turn.startswith("findings-"))
                    await reviewer.close()
                    await reviewer.until(Ended)
                assert "reviewed your work" in str(parent.pieces)
                await parent.close()
                assert (await client.request("bridges", ListBridges())).bridges == ()

    with running(tmp_path / "home") as system:
        anyio.run(test, system)
        sessions = system.sessions()
        reviews = [one for one in sessions.values() if one["relation"] == "reviews"]
        assert len(reviews) == 1
        assert sessions[reviews[0]["parent"]]["agent"] == "codex"
