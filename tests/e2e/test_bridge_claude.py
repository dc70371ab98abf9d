"""The real Claude Code, driven through hub, bridge and gateway: turns, tools, interrupts, clear, models, death and end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest

from actors.transcripts.claude_messages import message_uuid
from schemas.commands.bridges import AnswerApproval, ForkSession, SendMessage, ShowHistory
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Ended,
    FailureTold,
    Identified,
    TextAdded,
    ToolEnded,
    TurnStarted,
    UsageTold,
)
from tests.contract.actor_process import ended
from tests.e2e.bridged import Told, listening, session
from tests.e2e.claude import BINARY, Claude, needs_claude
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.claude, needs_claude]
HAIKU = "claude-haiku-4-5"
EXECUTABLE = os.path.realpath(BINARY or "")
PART = 8_192  # characters of a message in one command, each of which may take six bytes
LINGER = """
import os, time
tool = os.getpid()
if os.fork() == 0:  # a daemon: in a session of its own, its parent gone
    os.setsid()
    if os.fork() == 0:
        with open("left", "w") as left:
            left.write(f"{tool} {os.getpid()}")
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@dataclass
class Stage:
    """Where a Claude Code with a project and a home of its own is driven."""

    system: System
    claude: Claude

    @property
    def work(self) -> Path:
        return self.claude.work

    @asynccontextmanager
    async def session(self, **more: Any) -> AsyncIterator[Told]:
        home = str(self.claude.folder)
        own = {"HOME": home, "CLAUDE_CONFIG_DIR": home, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        wishes = {"agent": "claude", "cwd": str(self.work), "program": BINARY, "environ": own, **more}
        async with session(self.system, **wishes) as told:
            yield told

    def said(self, conversation: str) -> list[str]:
        """Return the messages of the user that a transcript has."""
        lines = [line for line in self.claude.transcripts()[conversation] if line.get("type") == "user"]
        contents = [line["message"]["content"] for line in lines if not line.get("isMeta")]
        return [content for content in contents if isinstance(content, str) and not content.startswith("<")]


@pytest.fixture
def stage(tmp_path: Path, system: System) -> Stage:
    return Stage(system, Claude(tmp_path, system))


def play(test: Callable[[], Awaitable[None]]) -> None:
    anyio.run(test)


async def agent_of(told: Told) -> int:
    """Return the process of its Claude Code: what is known of it from outside is its bridge."""
    process = (await told.row()).process
    assert process is not None
    found: list[int] = []
    for one in psutil.Process(process.pid).children():
        with suppress(psutil.Error):  # one that has just ended
            found += [one.pid] if one.exe() == EXECUTABLE else []
    (agent,) = found
    return agent


def test_two_turns_are_one_conversation(stage: Stage) -> None:
    async def test() -> str:
        async with stage.session() as told:
            first = await told.say("my name is Bob")
            assert told.reply(first.turn) == "You said: my name is Bob"
            second = await told.say("what is my name?")
            assert (first.outcome, second.outcome) == ("completed", "completed")
            usages = {piece.turn: piece.usage for piece in told.pieces if isinstance(piece, UsageTold)}
            assert usages[second.turn].cached_input > 0  # the first turn was sent again with the second
            row = await told.row()
            assert set(row.can) == {"approve", "clear", "fork", "history", "interrupt", "resume", "set_mode", "set_model"}
            assert (row.version, row.turns) == ("2.1.329", 2)
            assert stage.said(row.conversation) == ["my name is Bob", "what is my name?"]
            return row.session

    known = anyio.run(test)
    system = stage.system
    told = system.until_count("request.completed", 2, session=known)
    assert {item.envelope.data.provider for item in told} == {"echo"}
    row = system.sessions()[known]
    assert (row["verdict"], row["agent"], row["conversation"]) == ("verified", "claude", known.replace("-", ":", 1))


def test_a_tool_is_allowed_and_another_denied(stage: Stage) -> None:
    async def test() -> None:
        async with stage.session() as told:
            first = await told.send('[echo tool="touch allowed"] [echo say=done]')
            asked = await told.asked()
            assert (asked.turn, asked.tool, asked.title) == (first, "Bash", "Bash: touch allowed")
            assert (await told.answer(asked, "allow_once")).allowed
            assert (await told.ended(first)).outcome == "completed"
            assert told.reply(first) == "done"
            second = await told.send('[echo tool="touch denied"]')
            assert not (await told.answer(await told.asked(), "deny_once")).allowed
            assert (await told.until(ToolEnded)).ok is False
            assert (await told.ended(second)).outcome == "completed"
            assert told.reply(second) == "The tool said: The user does not allow this."

    play(test)
    assert (stage.work / "allowed").exists()
    assert not (stage.work / "denied").exists()


def test_an_interrupted_turn_ends_and_the_conversation_goes_on(stage: Stage) -> None:
    async def test() -> None:
        async with stage.session() as told:
            turn = await told.send("[echo words=2000 pace=50ms]")
            await told.until(TextAdded, lambda piece: piece.channel == "reply")
            await told.interrupt()
            assert (await told.ended(turn)).outcome == "interrupted"
            asking = await told.send('[echo tool="touch never"]')
            asked = await told.asked()
            await told.interrupt()
            assert (await told.until(ApprovalResolved, lambda piece: piece.approval == asked.approval)).by == "interrupt"
            assert (await told.ended(asking)).outcome == "interrupted"
            assert (await told.say("what was that?")).outcome == "completed"  # the model is told of the interrupt with this
            assert told.reply((await told.say("[echo say=on]")).turn) == "on"

    play(test)
    assert not (stage.work / "never").exists()


def test_cleared_it_is_a_new_session_in_the_same_place(stage: Stage) -> None:
    async def test() -> tuple[str, str]:
        async with stage.session() as told:
            await told.say("before")
            old = await told.row()
            await told.clear()
            new = await told.until(Identified, lambda piece: piece.cleared)
            reply = told.reply((await told.say("after")).turn)
            assert reply.endswith("after")
            assert "before" not in reply
            row = await told.row()
            assert (row.session, row.process, row.restarts) == (new.session, old.process, 0)
            assert stage.said(old.conversation) == ["before"]
            assert stage.said(row.conversation) == ["after"]
            return old.session, new.session

    old, new = anyio.run(test)
    (linked,) = stage.system.until_count("session.linked", session=new)
    assert (linked.envelope.data.relation, linked.envelope.data.to) == ("succeeds", old)
    stage.system.until_count("request.completed", session=new)


def test_model_and_mode_change_between_turns(stage: Stage) -> None:
    async def test() -> str:
        async with stage.session() as told:
            await told.say("[echo say=one]")
            row = await told.change(model=HAIKU, mode="acceptEdits")
            assert (row.model, row.mode) == (HAIKU, "acceptEdits")
            await told.say('[echo tool="touch unasked"] [echo say=two]')
            return (await told.row()).session

    known = anyio.run(test)
    assert (stage.work / "unasked").exists()
    completed = stage.system.until_count("request.completed", 3, session=known)
    assert completed[-1].envelope.data.requested_model == HAIKU


def test_killed_in_a_turn_it_takes_the_conversation_up_again(stage: Stage) -> None:
    async def test() -> None:
        async with stage.session() as told:
            await told.say("[echo say=first]")
            known = await told.row()
            turn = await told.send("[echo words=2000 pace=50ms]")
            await told.until(TextAdded, lambda piece: piece.turn == turn and piece.channel == "reply")
            os.kill(await agent_of(told), signal.SIGKILL)
            assert (await told.ended(turn)).outcome == "failed"
            again = await told.say("[echo say=again]")
            assert (again.outcome, told.reply(again.turn)) == ("completed", "again")
            row = await told.row()
            assert (row.session, row.restarts) == (known.session, 1)
            usages = [piece.usage for piece in told.pieces if isinstance(piece, UsageTold)]
            assert usages[-1].cached_input > 0
            said = stage.said(known.conversation)  # of the second message there may be nothing: it is written a moment later
            assert (said[0], said[-1]) == ("[echo say=first]", "[echo say=again]")

    play(test)


def test_a_message_comes_as_it_was_written_and_is_found_by_its_turns_name(stage: Stage) -> None:
    async def send(told: Told, text: str, name: str) -> None:
        parts = [text[at : at + PART] for at in range(0, len(text), PART)]
        for number, part in enumerate(parts, 1):
            await told.ask(SendMessage(session=told.launch, text=part, message=name, part=number, of=len(parts)))
        assert (await told.ended(name)).outcome == "completed"

    async def test() -> str:
        async with stage.session() as told:
            await send(told, text, "short")
            await send(told, long, "long")
            return (await told.row()).conversation

    shell = "$(touch pwned) `touch pwned`; touch pwned\n!touch pwned"
    text = f"NUL \x00 bell \x07 \x1b[31m {shell} \u2028 \N{GRINNING FACE} [echo say=ok]"
    long = "x" * 1_000_000 + " [echo say=ok]"
    conversation = anyio.run(test)
    lines = stage.claude.transcripts()[conversation]
    found = {line["uuid"]: line["message"]["content"] for line in lines if line.get("type") == "user"}
    assert found[message_uuid("short")] == text
    assert found[message_uuid("long")] == long
    assert not (stage.work / "pwned").exists()


def test_it_wakes_by_itself_when_what_it_left_running_is_done(stage: Stage) -> None:
    async def test() -> None:
        async with stage.session() as told:
            arguments = json.dumps(json.dumps({"command": "cat", "run_in_background": True, "description": "wait"}))
            first = await told.say(f"[echo call=Bash arguments={arguments}] [echo say=started]")
            own = await told.until(TurnStarted)
            assert own.turn != first.turn
            assert (await told.ended(own.turn)).outcome == "completed"
            assert told.reply((await told.say("[echo say=on]")).turn) == "on"

    play(test)


def test_a_sub_agent_in_the_background_asks_when_no_turn_runs(stage: Stage) -> None:
    async def test() -> None:
        async with stage.session() as told:
            task = {"description": "sub", "subagent_type": "general-purpose", "prompt": '[echo wait=1s tool="touch sub"]'}
            first = await told.say(f"[echo call=Task arguments={json.dumps(json.dumps(task))}] [echo say=started]")
            assert told.reply(first.turn) == "started"
            asked = await told.asked()
            assert (asked.turn, asked.title) == ("", "Bash: touch sub")
            assert (await told.row()).status == "waiting_permission"
            assert (await told.answer(asked, "allow_once")).allowed
            own = await told.until(TurnStarted)
            assert (await told.ended(own.turn)).outcome == "completed"

    play(test)
    assert (stage.work / "sub").exists()


def test_a_fork_has_the_past_and_a_future_of_its_own(stage: Stage) -> None:
    async def test() -> None:
        async with stage.session() as told:
            await told.say("[echo say=common]")
            forked = await told.ask(ForkSession(session=told.launch))
            async with listening(told.client, forked.launch) as fork:
                await fork.say("[echo say=forked]")
                await told.say("[echo say=apart]")
                mine, other = await told.row(), await fork.row()
                await fork.close()
            assert (other.relation, other.parent) == ("forks", mine.session)
            assert stage.said(mine.conversation) == ["[echo say=common]", "[echo say=apart]"]
            assert stage.said(other.conversation) == ["[echo say=common]", "[echo say=forked]"]

    play(test)


def test_closed_nothing_of_it_is_left(stage: Stage) -> None:
    (stage.work / "linger.py").write_text(LINGER)
    left = stage.work / "left"
    os.mkfifo(left)

    async def test() -> None:
        async with stage.session() as told:
            await told.send('[echo tool="python3 linger.py"]')
            asked = await told.until(ApprovalRequested)
            await told.ask(AnswerApproval(session=told.launch, approval=asked.approval, option="allow", by="test"))
            words = await anyio.to_thread.run_sync(left.read_text)
            family = [await agent_of(told), *map(int, words.split())]
            await told.close()
            assert [ended(pid, 0.0) for pid in family] == [True, True, True]  # it is answered when all have ended

    play(test)


def test_an_unknown_conversation_is_said_once_and_is_the_end(stage: Stage) -> None:
    unknown = "11111111-2222-4333-8444-555555555555"

    async def test() -> None:
        async with stage.session(resume=unknown) as told:
            failed = await told.until(FailureTold)
            assert failed.code == "conversation_unknown"
            assert unknown in failed.message
            await told.until(Ended)

    play(test)


def test_its_past_has_the_streams_names_and_not_the_turn_that_runs(stage: Stage) -> None:
    async def test() -> None:
        async with stage.session() as told:
            same = [(await told.say("[echo say=same]")).turn for _ in range(3)]
            running = await told.send("[echo words=2000 pace=50ms]")
            await told.until(TextAdded, lambda piece: piece.turn == running and piece.channel == "reply")
            past = await told.ask(ShowHistory(session=told.launch))
            assert (past.source, [turn.turn for turn in past.turns]) == ("transcript", same)
            older = await told.ask(ShowHistory(session=told.launch, limit=1))
            assert [turn.turn for turn in older.turns] == same[-1:]
            oldest = await told.ask(ShowHistory(session=told.launch, before=older.before))
            assert [turn.turn for turn in oldest.turns] == same[:-1]
            pending = await told.pending()
            assert pending.turn == running
            await told.interrupt()
            await told.ended(running)
            past = await told.ask(ShowHistory(session=told.launch))
            assert [turn.turn for turn in past.turns] == [*same, running]

    play(test)
