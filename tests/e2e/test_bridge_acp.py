"""The real Auggie, Gemini CLI, opencode and Qwen Code, driven by ACP through hub, bridge and gateway.

Each takes seconds to start, so that one session of it goes through everything that can be tried in one, in order.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from actors.bridge.adapters import auggie, gemini, opencode, qwen
from schemas.bridge_rows import BridgeRow
from schemas.commands.bridges import ForkSession
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    FailureTold,
    OptionKind,
    StatusTold,
    TextAdded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    UsageTold,
)
from schemas.envelope import Recorded
from tests.contract.actor_process import ended
from tests.e2e.agents import AUGGIE, GEMINI, OPENCODE, QWEN, Agent, Installed
from tests.e2e.bridged import Told, descendants, listening, session
from tests.e2e.providers import echo_server
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.agents, pytest.mark.timeout(180)]
FACTS: Final = {known.agent: known for known in (auggie.FACTS, gemini.FACTS, opencode.FACTS, qwen.FACTS)}
LONG: Final = " ".join(str(number) for number in range(6000)) + ' [echo say="noted"]'
OTHER: Final = "second"


@dataclass(frozen=True)
class Habits:
    """How one agent is tried: the mode in which it asks, another mode, another model, and what of it is ``sent``."""

    agent: Agent
    asking: str
    other_mode: str
    model: str
    sent: str

    def param(self) -> Any:
        return pytest.param(self, id=self.agent.name, marks=self.agent.needed)


ALL: Final = (
    Habits(GEMINI, "default", "plan", "gemini-2.5-pro", "gemini-2.5-pro"),
    Habits(OPENCODE, "approve", "plan", "mine/other", "other"),
    Habits(QWEN, "default", "plan", "other", "other"),
    Habits(AUGGIE, "approve", "ask", "auggie-other", "auggie-other"),
)
each_agent = pytest.mark.parametrize("habits", [habits.param() for habits in ALL])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a system with a second provider that speaks to all of them."""
    with echo_server() as address:
        origin = address.removesuffix("/v1")
        dialects = sorted({habits.agent.dialect for habits in ALL})
        config = (
            f'default_provider = "echo"\n[providers.{OTHER}]\nbase_url = "{address}"\nauth = "none"\n'
            f"dialects = {json.dumps(dialects)}\n[providers.{OTHER}.base_urls]\n"
            f'"gemini.generate" = "{origin}/v1beta"\nauggie = "{origin}/auggie"\n'
        )
        with running(tmp_path_factory.mktemp("tabwire") / "home", config) as system:
            yield system


@pytest.fixture
def installed(habits: Habits, system: System, tmp_path: Path) -> Installed:
    found = Installed(habits.agent, tmp_path / "home", system)
    if habits.agent is OPENCODE:
        file = found.home / ".config/opencode/opencode.json"
        settings = json.loads(file.read_text())
        settings["provider"]["mine"]["models"]["other"] = {}
        file.write_text(json.dumps(settings))
    return found


@asynccontextmanager
async def driven(installed: Installed, **more: Any) -> AsyncIterator[Told]:
    """Drive an agent with a home that is the test's own."""
    agent = installed.agent
    environ = {"HOME": str(installed.home), **agent.variables}
    wishes = {"agent": agent.name, "cwd": str(installed.work), "program": agent.binary, "environ": environ, **more}
    async with session(installed.system, **wishes) as told:
        yield told


async def seen(system: System, enough: Callable[[list[Recorded]], bool]) -> list[Recorded]:
    """Read the feed from its beginning until there is enough."""
    return await anyio.to_thread.run_sync(system.until, enough)


async def family(told: Told) -> list[int]:
    """Return the processes of the agent: all that descend from the bridge."""
    process = (await told.row()).process
    assert process is not None
    return [one.pid for one in descendants(process.pid)]


async def tokens(told: Told, system: System, turn: TurnEnded, turns: int) -> int:
    """Return what the model was sent in a turn, the conversation so far included: as the agent says, or (Auggie) the gateway.

    ``turns`` counts the turns of the conversation, each of one request.
    """
    session = (await told.row()).session
    if not session.startswith("auggie-"):
        return (await told.piece(UsageTold, turn=turn.turn)).usage.input

    def counted(so_far: list[Recorded]) -> list[int]:
        facts = [item.envelope.data for item in so_far if item.envelope.type == "request.completed"]
        return [fact.usage.input for fact in facts if fact.session == session and fact.usage is not None]

    return counted(await seen(system, lambda so_far: len(counted(so_far)) >= turns))[turns - 1]


async def decide(told: Told, turn: str, kind: OptionKind) -> ApprovalRequested:
    """Answer what the agent asks in a turn, once it is known that it waits for it."""
    asked = await told.piece(ApprovalRequested, turn=turn)
    await told.piece(StatusTold, status="waiting_permission", after=told.pieces.index(asked))
    resolved = await told.answer(asked, kind)
    assert (resolved.allowed, resolved.by) == (kind == "allow_once", "test")
    return asked


async def first_turn(told: Told, agent: Agent) -> TurnEnded:
    """Say the first thing in a folder; Auggie asks whether it may index it, which is not its reply."""
    turn = await told.send(LONG)
    if agent is AUGGIE:
        await decide(told, turn, "deny_once")
        assert "index your workspace" in told.text(turn, "notice")
    over = await told.piece(TurnEnded, turn=turn)
    assert (told.reply(turn), over.outcome) == ("noted", "completed")
    return over


async def is_verified(system: System, session: str, requests: int) -> None:
    """See that the registry knows a session by its requests, also where these do not name it."""
    known = (await anyio.to_thread.run_sync(system.sessions))[session]
    assert (known["verdict"], known["requests"] >= requests) == ("verified", True)


async def is_the_only_row(told: Told, system: System, session: str) -> None:
    """See that none of the agent's processes is a row of its own beside the session, as one that starts itself again is not."""
    processes = await family(told)
    rows = (await anyio.to_thread.run_sync(system.sessions)).items()
    assert [name for name, row in rows if row["process"] and row["process"]["pid"] in processes] == [session]


async def answered(told: Told, text: str, reply: str) -> TurnEnded:
    """Say something, and see what is replied."""
    over = await told.say(text)
    assert (told.reply(over.turn), over.outcome) == (reply, "completed")
    return over


@each_agent
def test_turns_tools_interrupts_and_a_new_conversation(habits: Habits, installed: Installed, system: System) -> None:
    async def test() -> None:
        async with driven(installed, mode=habits.asking) as told:
            over = await first_turn(told, habits.agent)
            row = await told.identified()
            assert row.session == f"{habits.agent.name}-{row.conversation}"
            assert (row.mode, row.version) == (habits.asking, FACTS[habits.agent.name].tested)
            long = await tokens(told, system, over, 1)
            over = await answered(told, "and now?", "You said: and now?")
            assert await tokens(told, system, over, 2) > long
            await is_verified(system, row.session, 2)
            await is_the_only_row(told, system, row.session)

            await a_tool_is_allowed_and_another_denied(told, installed.work)
            await a_text_and_a_question_are_interrupted(told, installed.work)

            # another mode, and a conversation anew in the same process
            assert (await told.change(mode=habits.other_mode)).mode == habits.other_mode
            processes = await family(told)
            await told.clear()
            over = await answered(told, "[echo say=anew]", "anew")
            assert await tokens(told, system, over, 1) < long
            anew = await told.row()
            assert anew.session not in {row.session, told.launch}
            assert anew.restarts == 0
            await is_verified(system, anew.session, 1)

            await told.close()
            assert all(ended(process) for process in processes)

    anyio.run(test)


async def a_tool_is_allowed_and_another_denied(told: Told, work: Path) -> None:
    turn = await told.send('[echo tool="echo was-here > made; cat made"] [echo say=done]')
    asked = await decide(told, turn, "allow_once")
    assert "was-here" in asked.title + asked.detail
    assert (await told.piece(TurnEnded, turn=turn)).outcome == "completed"
    assert told.reply(turn) == "done"
    assert (work / "made").read_text() == "was-here\n"
    started = await told.piece(ToolStarted, turn=turn)
    assert "was-here" in started.title + started.arguments
    assert (await told.piece(ToolEnded, turn=turn, item=started.item)).ok
    turn = await told.send('[echo tool="echo denied > denied"] [echo say=done]')
    await decide(told, turn, "deny_once")
    assert (await told.piece(TurnEnded, turn=turn)).outcome == "completed"
    assert not (await told.piece(ToolEnded, turn=turn)).ok
    assert not (work / "denied").exists()


async def a_text_and_a_question_are_interrupted(told: Told, work: Path) -> None:
    turn = await told.send("[echo words=2000 pace=50ms]")
    await told.piece(TextAdded, turn=turn, channel="reply")
    await told.interrupt()
    assert (await told.piece(TurnEnded, turn=turn)).outcome == "interrupted"
    turn = await told.send('[echo tool="echo never > never"]')
    asked = await told.piece(ApprovalRequested, turn=turn)
    await told.interrupt()
    assert (await told.piece(ApprovalResolved, approval=asked.approval)).by == "interrupt"
    assert (await told.piece(TurnEnded, turn=turn)).outcome == "interrupted"
    assert not (work / "never").exists()


@each_agent
def test_another_provider_and_model_its_own_death_and_a_failure(habits: Habits, installed: Installed, system: System) -> None:
    """The pin of the conversation holds for requests that do not name it, also for those of the next process."""

    async def test() -> None:
        async with driven(installed) as told:
            over = await first_turn(told, habits.agent)
            named, long = await told.identified(), await tokens(told, system, over, 1)

            async def served(times: int) -> None:
                await seen(system, lambda so_far: len([one for one in so_far if pinned(one, named.session)]) >= times)

            # another provider in mid-conversation
            assert (await told.change(provider=OTHER)).provider == OTHER
            over = await answered(told, "elsewhere", "You said: elsewhere")
            assert await tokens(told, system, over, 2) > long
            await served(1)

            # killed, it takes up the conversation, and stays there
            age(installed)
            for process in await family(told):
                os.kill(process, signal.SIGKILL)
            await told.piece(FailureTold, code="agent_exited")
            over = await answered(told, "again", "You said: again")
            assert await tokens(told, system, over, 3) > long
            await served(2)
            row = await told.row()
            assert (row.session, row.restarts, row.provider) == (named.session, 1, OTHER)

            # another model
            await told.change(model=habits.model)
            assert (await told.say("with another")).outcome == "completed"
            await seen(system, lambda so_far: any(sent_model(item) == habits.sent for item in so_far))
            await served(3)

            # what the provider refuses
            turn = await told.send('[echo status=400 message="not on this plan"]')
            assert (await told.piece(TurnEnded, turn=turn)).outcome == "failed"
            assert "not on this plan" in (await told.piece(FailureTold, turn=turn)).message
            assert "/s/" not in (await told.piece(FailureTold, turn=turn)).message

    anyio.run(test)


@pytest.mark.parametrize("habits", [habits.param() for habits in ALL if habits.agent is OPENCODE])
def test_a_fork_goes_on_from_the_same_past(habits: Habits, installed: Installed, system: System) -> None:
    async def test() -> None:
        async with driven(installed) as told:
            long = await tokens(told, system, await first_turn(told, habits.agent), 1)
            named = await told.identified()
            row: BridgeRow = await told.ask(ForkSession(session=told.launch))
            async with listening(told.client, row.launch) as forked:
                over = await answered(forked, "from here on", "You said: from here on")
                assert await tokens(forked, system, over, 1) > long
                copy = await forked.identified()
                assert copy.session not in {named.session, told.launch}
                assert (copy.parent, copy.relation) == (named.session, "forks")
                await forked.close()

    anyio.run(test)


def pinned(item: Recorded, session: str) -> bool:
    """Tell whether a request went to the other provider because that session is pinned to it."""
    fact = item.envelope.data
    return fact.TYPE == "request.routed" and (fact.provider, fact.pin) == (OTHER, f"session:{session}")


def sent_model(item: Recorded) -> str | None:
    """Return the model that a provider was asked for."""
    fact = item.envelope.data
    return (fact.sent_model or fact.requested_model) if fact.TYPE == "request.completed" else None


def age(installed: Installed) -> None:
    """Let Gemini's conversation have begun an hour ago: a younger one is only taken up in its next minute (``gemini``)."""
    for file in (installed.home / ".gemini/tmp").glob("*/chats/session-*.jsonl"):
        day, _, rest = file.name.removeprefix("session-").partition("T")
        file.rename(file.with_name(f"session-{int(day[:4]) - 1}{day[4:]}T{rest}"))
