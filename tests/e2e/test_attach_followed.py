"""Talking to real TUIs that can only be written to: Claude Code in its pane of tmux, Codex without the daemon by its queue."""

from __future__ import annotations

import shutil
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from schemas.content import Ended, FailureTold, TurnStarted
from tests.e2e.attached import Person, joined
from tests.e2e.cases import Tui, own_codex, rows_when
from tests.e2e.claude import Claude, needs_claude
from tests.e2e.claude import prompt as type_to_claude
from tests.e2e.codex import needs_codex
from tests.e2e.system import running
from tests.e2e.terminal import Tmux

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")]
SLOW = '[echo say="one two three four five six" deltas=6 pace=500ms]'


@pytest.mark.claude
@needs_claude
def test_claude_code_is_typed_to_in_its_pane(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system, Tmux(tmp_path / "tmux.sock") as tmux:
        claude = Claude(tmp_path, system)
        pane = claude.open(tmux, "--permission-mode", "manual")
        type_to_claude(tmux, pane, "first")
        tmux.wait_for(pane, "You said: first")
        rows = rows_when(system, lambda rows: any(row.verdict == "verified" and row.agent == "claude" for row in rows.values()))
        (session,) = (name for name, row in rows.items() if row.verdict == "verified")
        person = Person(tmux, pane)

        async def talk() -> None:
            async with joined(system, session) as told:
                row = await told.row()
                assert (row.session, row.attached, row.can) == (session, "tmux", ("history", "interrupt", "review"))
                turn = await told.send("from the side\nin two lines; $(id)")
                ended = await told.ended(turn)
                assert ended.outcome == "completed", ended.reason
                assert told.reply(turn) == "You said: from the side\nin two lines; $(id)"
                await person.sees("You said: from the side")

                await anyio.to_thread.run_sync(type_to_claude, tmux, pane, "typed here")
                turn = (await told.until(TurnStarted)).turn
                assert (await told.ended(turn)).outcome == "completed"
                assert (told.text(turn, "prompt"), told.reply(turn)) == ("typed here", "You said: typed here")

                turn = await told.send(SLOW)
                await person.sees("esc to interrupt")
                await told.interrupt()
                assert (await told.ended(turn)).outcome == "interrupted"

                await person.types("half a thought")
                refused = await told.say("over it")
                assert (refused.outcome, "typed in its input line already" in refused.reason) == ("failed", True)
                await person.answers("half a thought", "C-u")
                refused = await told.say("!touch executed")
                assert (await told.row()).status == "idle"
                assert "is a command there" in refused.reason
                assert not (claude.work / "executed").exists()

                turn = await told.send('[echo tool="touch asked"]')
                await person.answers("Do you want to proceed?", "Enter")
                assert (await told.ended(turn)).outcome == "completed"
                assert (claude.work / "asked").exists()
                await told.close()

        anyio.run(talk)
        type_to_claude(tmux, pane, "still here")
        tmux.wait_for(pane, "You said: still here")
        assert system.sessions()[session]["attached"] == ""


@pytest.mark.codex
@needs_codex
def test_codex_without_the_daemon_is_given_messages_by_its_queue(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system, Tmux(tmp_path / "tmux.sock") as tmux:
        codex = own_codex(tmp_path / "codex", system)
        tui = Tui.open(tmux, codex, "--no-daemon").ready()
        tui.prompt("first")
        tmux.wait_for(tui.pane, "You said: first")
        (thread,) = codex.rollouts()
        session = f"codex-{thread}"
        rows_when(system, lambda rows: session in rows and rows[session].verdict == "verified" and rows[session].transcript)
        person = Person(tmux, tui.pane)

        async def talk() -> None:
            async with joined(system, thread) as told:
                row = await told.row()
                assert (row.session, row.attached, row.can) == (session, "queue", ("history", "review"))
                text = "-from the side\n\x1b[31m $(id)\ttab"
                turn = await told.send(text)
                assert (await told.ended(turn)).outcome == "completed"
                assert told.reply(turn) == f"You said: {text}"
                await person.sees("You said: -from the side")

                await anyio.to_thread.run_sync(tui.prompt, "typed here")
                turn = (await told.until(TurnStarted)).turn
                assert (await told.ended(turn)).outcome == "completed"
                assert (told.text(turn, "prompt"), told.reply(turn)) == ("typed here", "You said: typed here")

                refused = await told.say("a NUL: \0")
                assert refused.outcome == "failed"
                assert "NUL" in refused.reason
                await person.leaves("C-c")
                assert "has ended in its terminal" in (await told.until(FailureTold, lambda piece: not piece.turn)).message
                assert "agent_gone" in (await told.until(Ended)).reason

        anyio.run(talk)
        system.until_count("bridge.detached", session=session)
