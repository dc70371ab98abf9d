"""The real Auggie, Gemini CLI, opencode and Qwen Code, driven by ACP through hub, bridge and gateway.

Each takes seconds to start, so that one session of it goes through everything that can be tried in one, in order.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from actors.bridge.adapters import auggie, gemini, opencode, qwen
from bus.errors import RefusedError
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
from tests.e2e.bridges import Bridges, Driven, hub
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.agents, pytest.mark.timeout(180)]
FACTS: Final = {known.agent: known for known in (auggie.FACTS, gemini.FACTS, opencode.FACTS, qwen.FACTS)}
LONG: Final = " ".join(str(number) for number in range(6000)) + ' [echo say="noted"]'


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
    Habits(QWEN, "default", "plan", "", ""),
    Habits(AUGGIE, "approve", "ask", "auggie-other", "auggie-other"),
)
each_agent = pytest.mark.parametrize("habits", [habits.param() for habits in ALL])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture(scope="module")
def bridges(system: System) -> Iterator[Bridges]:
    with hub(system) as bridges:
        yield bridges


@pytest.fixture
def installed(habits: Habits, system: System, tmp_path: Path) -> Installed:
    found = Installed(habits.agent, tmp_path / "home", system)
    if habits.agent is OPENCODE:
        file = found.home / ".config/opencode/opencode.json"
        settings = json.loads(file.read_text())
        settings["provider"]["mine"]["models"]["other"] = {}
        file.write_text(json.dumps(settings))
    return found


def given(installed: Installed) -> dict[str, Any]:
    """Return where a session is to find its program, and a home that is the test's own."""
    return {
        "cwd": installed.work,
        "program": installed.agent.binary,
        "environ": {"HOME": str(installed.home), **installed.agent.variables},
    }


def family(driven: Driven) -> list[psutil.Process]:
    """Return the processes of the agent: all that descend from the bridge."""
    process = driven.row.process
    assert process is not None
    return psutil.Process(process.pid).children(recursive=True)


def tokens(driven: Driven, system: System, turn: TurnEnded, turns: int) -> int:
    """Return what the model was sent in a turn, the conversation so far included: as the agent says, or (Auggie) the gateway.

    ``turns`` counts the turns of the conversation, each of one request.
    """
    session = driven.row.session
    if not session.startswith("auggie-"):
        return driven.piece(UsageTold, turn=turn.turn).usage.input

    def counted(so_far: list[Recorded]) -> list[int]:
        facts = [item.envelope.data for item in so_far if item.envelope.type == "request.completed"]
        return [fact.usage.input for fact in facts if fact.session == session and fact.usage is not None]

    return counted(system.until(lambda so_far: len(counted(so_far)) >= turns))[turns - 1]


def choose(asked: ApprovalRequested, kind: OptionKind) -> str:
    return next(option.id for option in asked.options if option.kind == kind)


def decide(driven: Driven, turn: str, kind: OptionKind) -> ApprovalRequested:
    """Answer what the agent asks in a turn, once it is known that it waits for it."""
    asked = driven.piece(ApprovalRequested, turn=turn)
    driven.piece(StatusTold, status="waiting_permission", after=driven.pieces.index(asked))
    driven.answer(choose(asked, kind), turn=turn)
    resolved = driven.piece(ApprovalResolved, approval=asked.approval)
    assert (resolved.allowed, resolved.by) == (kind == "allow_once", "test")
    return asked


def first_turn(driven: Driven, agent: Agent) -> TurnEnded:
    """Say the first thing in a folder; Auggie asks whether it may index it, which is not its reply."""
    turn = driven.send(LONG)
    if agent is AUGGIE:
        decide(driven, turn, "deny_once")
        assert "index your workspace" in driven.text(turn, "notice")
    over = driven.piece(TurnEnded, turn=turn)
    assert (driven.text(turn), over.outcome) == ("noted", "completed")
    return over


@each_agent
def test_turns_tools_interrupts_and_a_new_conversation(
    habits: Habits, installed: Installed, bridges: Bridges, system: System
) -> None:
    agent = habits.agent
    with bridges.session(agent.name, mode=habits.asking, **given(installed)) as driven:
        # two turns, one conversation
        over = first_turn(driven, agent)
        named = driven.identified()
        assert named.session == f"{agent.name}-{named.conversation}"
        row = driven.row
        assert (row.session, row.mode, row.version) == (named.session, habits.asking, FACTS[agent.name].tested)
        long = tokens(driven, system, over, 1)
        reply, over = driven.turn("and now?")
        assert (reply, over.outcome) == ("You said: and now?", "completed")
        assert tokens(driven, system, over, 2) > long

        # a tool, allowed and denied
        turn = driven.send('[echo tool="echo was-here > made; cat made"] [echo say=done]')
        asked = decide(driven, turn, "allow_once")
        assert "was-here" in asked.title + asked.detail
        assert driven.piece(TurnEnded, turn=turn).outcome == "completed"
        assert driven.text(turn) == "done"
        assert (installed.work / "made").read_text() == "was-here\n"
        started = driven.piece(ToolStarted, turn=turn)
        assert "was-here" in started.title + started.arguments
        assert driven.piece(ToolEnded, turn=turn, item=started.item).ok
        turn = driven.send('[echo tool="echo denied > denied"] [echo say=done]')
        decide(driven, turn, "deny_once")
        assert driven.piece(TurnEnded, turn=turn).outcome == "completed"
        assert not driven.piece(ToolEnded, turn=turn).ok
        assert not (installed.work / "denied").exists()

        # interrupts: of a text, and while it asks
        turn = driven.send("[echo words=2000 pace=50ms]")
        driven.piece(TextAdded, turn=turn, channel="reply")
        driven.interrupt()
        assert driven.piece(TurnEnded, turn=turn).outcome == "interrupted"
        turn = driven.send('[echo tool="echo never > never"]')
        asked = driven.piece(ApprovalRequested, turn=turn)
        driven.interrupt()
        assert driven.piece(ApprovalResolved, approval=asked.approval).by == "interrupt"
        assert driven.piece(TurnEnded, turn=turn).outcome == "interrupted"
        assert not (installed.work / "never").exists()

        # another mode, and a conversation anew in the same process
        assert driven.change(mode=habits.other_mode).mode == habits.other_mode
        before, processes = driven.pieces.index(named) + 1, family(driven)
        driven.clear()
        anew = driven.identified(before)
        assert anew.cleared
        assert anew.session != named.session
        reply, over = driven.turn("[echo say=anew]")
        assert (reply, over.outcome) == ("anew", "completed")
        assert tokens(driven, system, over, 1) < long
        assert (driven.row.session, driven.row.restarts) == (anew.session, 0)

        # its end
        driven.close()
        assert all(ended(process.pid) for process in processes)


@each_agent
def test_another_model_a_failure_and_its_own_death(
    habits: Habits, installed: Installed, bridges: Bridges, system: System
) -> None:
    agent = habits.agent
    with bridges.session(agent.name, **given(installed)) as driven:
        over = first_turn(driven, agent)
        named, long = driven.identified(), tokens(driven, system, over, 1)

        # killed, it takes up the conversation
        age(installed)
        for process in family(driven):
            os.kill(process.pid, signal.SIGKILL)
        driven.piece(FailureTold, code="agent_exited")
        reply, over = driven.turn("again")
        assert (reply, over.outcome) == ("You said: again", "completed")
        assert tokens(driven, system, over, 2) > long
        row = driven.row
        assert (row.session, row.restarts) == (named.session, 1)

        # another model
        if not FACTS[agent.name].names_conversation:
            with pytest.raises(RefusedError, match="do not name their conversation"):
                driven.change(provider="echo")
        if habits.model:
            driven.change(model=habits.model)
            assert driven.turn("with another")[1].outcome == "completed"
            system.until(lambda so_far: any(sent_model(item) == habits.sent for item in so_far))

        # what the provider refuses
        turn = driven.send('[echo status=400 message="not on this plan"]')
        over = driven.piece(TurnEnded, turn=turn)
        assert over.outcome == "failed"
        assert "not on this plan" in driven.piece(FailureTold, turn=turn).message
        assert "/s/" not in driven.piece(FailureTold, turn=turn).message


@pytest.mark.parametrize("habits", [habits.param() for habits in ALL if habits.agent is OPENCODE])
def test_a_fork_goes_on_from_the_same_past(habits: Habits, installed: Installed, bridges: Bridges, system: System) -> None:
    with bridges.session(habits.agent.name, **given(installed)) as driven:
        long = tokens(driven, system, first_turn(driven, habits.agent), 1)
        named = driven.identified()
        with bridges.following(driven.fork()) as forked:
            reply, over = forked.turn("from here on")
            assert (reply, over.outcome) == ("You said: from here on", "completed")
            assert tokens(forked, system, over, 1) > long
            assert forked.identified().session not in {named.session, driven.launch}
            assert (forked.row.parent, forked.row.relation) == (named.session, "forks")


def sent_model(item: Recorded) -> str | None:
    """Return the model that a provider was asked for."""
    fact = item.envelope.data
    return (fact.sent_model or fact.requested_model) if fact.TYPE == "request.completed" else None


def age(installed: Installed) -> None:
    """Let Gemini's conversation have begun an hour ago: a younger one is only taken up in its next minute (``gemini``)."""
    for file in (installed.home / ".gemini/tmp").glob("*/chats/session-*.jsonl"):
        day, _, rest = file.name.removeprefix("session-").partition("T")
        file.rename(file.with_name(f"session-{int(day[:4]) - 1}{day[4:]}T{rest}"))
