"""Talking to a real Codex TUI in its own terminal: the shared daemon's conversation, joined by a second client."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from actors.transcripts.pieces import prompt_of
from schemas.commands.bridges import ShowHistory
from schemas.content import ApprovalRequested, ApprovalResolved, Ended, TurnEnded, TurnStarted
from tests.e2e.attached import Person, joined
from tests.e2e.cases import Tui, own_codex, rows_when
from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import System, running
from tests.e2e.terminal import Tmux

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.codex,
    needs_codex,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
SLOW = '[echo say="one two three four five six" deltas=6 pace=500ms]'
SLOWER = '[echo say="seven eight nine ten eleven twelve" deltas=6 pace=500ms]'


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path / "home") as system:
        yield system


@pytest.fixture
def codex(tmp_path: Path, system: System) -> Iterator[Codex]:
    codex = own_codex(tmp_path / "codex", system)
    yield codex
    codex.end_daemon()


@pytest.fixture
def tmux(tmp_path: Path, codex: Codex) -> Iterator[Tmux]:
    assert codex
    with Tmux(tmp_path / "tmux.sock") as tmux:
        yield tmux


def test_a_conversation_of_the_shared_daemon_is_talked_to_from_both_sides(codex: Codex, system: System, tmux: Tmux) -> None:
    tui = Tui.open(tmux, codex).ready()
    tui.prompt("first")
    tmux.wait_for(tui.pane, "You said: first")
    (thread,) = codex.rollouts()
    session = f"codex-{thread}"
    known = rows_when(
        system, lambda rows: (row := rows.get(session)) and row.verdict == "verified" and row.terminal and row.transcript
    )
    before = known[session]
    person = Person(tmux, tui.pane)

    async def talk() -> None:
        async with joined(system, thread[:13]) as told:
            row = await told.row()
            assert (row.session, row.attached, row.conversation) == (session, "app-server", thread)
            past = (await told.ask(ShowHistory(session=told.launch))).turns
            assert ([prompt_of(turn) for turn in past], row.turns) == (["first"], 1)
            assert (await told.say("from the side")).outcome == "completed"
            await person.sees("You said: from the side")

            await anyio.to_thread.run_sync(tui.prompt, "typed here")
            turn = (await told.until(TurnStarted)).turn
            assert (await told.ended(turn)).outcome == "completed"
            assert (told.text(turn, "prompt"), told.reply(turn)) == ("typed here", "You said: typed here")

            await told.change(mode="ask")
            await anyio.to_thread.run_sync(tui.prompt, '[echo tool="touch answered-here"]')
            asked = await told.asked()
            await told.answer(asked, "allow_once")
            assert (await told.until(TurnEnded)).outcome == "completed"
            assert (codex.work / "answered-here").exists()

            theirs = await told.send('[echo tool="touch answered-there"]')
            await told.until(ApprovalRequested)
            await person.sees("Would you like to run the following command?")
            await person.presses("y")
            assert (await told.until(ApprovalResolved)).by == "agent"
            assert (await told.ended(theirs)).outcome == "completed"
            assert (codex.work / "answered-there").exists()

            await anyio.to_thread.run_sync(tui.prompt, SLOW)
            turn = (await told.until(TurnStarted)).turn
            await told.interrupt()
            assert (await told.ended(turn)).outcome == "interrupted"
            await person.sees("Conversation interrupted")

    anyio.run(talk)
    after = system.sessions()[session]
    assert after["attached"] == "app-server"
    assert after["terminal"] == before.terminal
    assert system.json("bridges")["bridges"][0]["attached"] == "app-server"  # whoever hangs up leaves it joined

    # The hub dies, and joins again; then it is told to leave, and the person goes on.
    (hub,) = (one["pid"] for one in system.json("status")["actors"] if one["actor"] == "bridges")
    os.kill(hub, signal.SIGKILL)
    system.until_count("bridge.attached", 2, session=session)

    async def again() -> None:
        async with joined(system, session) as told:
            assert (await told.say("and again")).outcome == "completed"
            await told.close()

    anyio.run(again)
    system.until_count("bridge.detached", session=session)
    tui.prompt("still here")
    tmux.wait_for(tui.pane, "You said: still here")
    rows = system.sessions()
    assert rows[session]["attached"] == ""
    assert not any(name.startswith("launch-") for row in rows.values() for name in (row["session"], *row["aliases"]))
    assert not system.json("bridges")["bridges"]

    # Joined in the middle of a turn, and left when the daemon ends.

    async def last() -> None:
        await anyio.to_thread.run_sync(tui.prompt, SLOWER)
        await person.sees("\n\n• seven e")
        async with joined(system, session) as told:
            pending = await told.pending()
            assert pending.turn
            kept = [
                piece.text for piece in pending.pieces if getattr(piece, "channel", "") == "prompt" and hasattr(piece, "text")
            ]
            assert kept == [SLOWER]
            waits = await told.send("behind it")
            assert (await told.ended(pending.turn)).outcome == "completed"
            assert told.reply(pending.turn) == "seven eight nine ten eleven twelve"
            assert (await told.ended(waits)).outcome == "completed"
            await anyio.to_thread.run_sync(codex.end_daemon)
            assert "gone" in (await told.until(Ended)).reason

    anyio.run(last)
    system.until_count("bridge.detached", 2, session=session)
