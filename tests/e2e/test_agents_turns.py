"""Gemini CLI, opencode, Qwen Code and Auggie, the real ones: a plain turn, a tool turn and a failing turn through the gateway.

Each runs in a tab of its own and is answered by the echo provider in its own API.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from schemas.envelope import Recorded
from tests.e2e.agents import ALL, Agent, Installed
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.agents]
each_agent = pytest.mark.parametrize("agent", [agent.param() for agent in ALL])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


def outcomes(agent: Agent, system: System, terminal: str, type_: str, count: int = 1) -> list[Any]:
    """Wait for the outcomes of this tab's model requests; agents ask for other things beside them."""

    def seen(so_far: list[Recorded]) -> list[Any]:
        facts = [item.envelope.data for item in so_far]
        models = {fact.request for fact in facts if fact.TYPE == "request.received" and fact.path.endswith(agent.path)}
        ours = {fact.request for fact in facts if fact.TYPE == "request.attributed" and fact.terminal == f"wt:{terminal}"}
        return [fact for fact in facts if type_ == fact.TYPE and fact.request in models & ours]

    return seen(system.until(lambda so_far: len(seen(so_far)) >= count))


@each_agent
def test_a_plain_turn_is_attributed_to_its_tab_and_its_usage_counted(agent: Agent, system: System, tmp_path: Path) -> None:
    terminal = str(uuid4())
    printed = Installed(agent, tmp_path / "home", system).ask("say something", terminal=terminal)
    assert "say something" in printed
    (completed, *_) = outcomes(agent, system, terminal, "request.completed")
    assert completed.status == 200
    row = system.sessions()[completed.session]
    assert (row["verdict"], row["agent"], row["terminal"]) == ("verified", agent.name, f"wt:{terminal}")
    assert row["process_kind"] == "exec"
    assert completed.session.startswith(f"{agent.name}-ses_" if agent.conversation else "proc-")
    assert (row["conversation"] is not None) == agent.conversation
    assert completed.usage.input > 0
    assert completed.usage.output > 0


@each_agent
def test_a_tool_turn_runs_its_command(agent: Agent, system: System, tmp_path: Path) -> None:
    terminal = str(uuid4())
    installed = Installed(agent, tmp_path / "home", system)
    printed = installed.ask('[echo tool="echo tool-was-here > made; cat made"]', terminal=terminal)
    assert "tool-was-here" in printed
    assert (installed.work / "made").read_text() == "tool-was-here\n"
    assert {one.status for one in outcomes(agent, system, terminal, "request.completed", 2)} == {200}


@each_agent
def test_a_refusal_is_told_in_its_own_words(agent: Agent, system: System, tmp_path: Path) -> None:
    terminal = str(uuid4())
    printed = Installed(agent, tmp_path / "home", system).ask(
        '[echo status=400 message="not on this plan"]', terminal=terminal, code=None
    )
    assert "not on this plan" in printed
    failed = outcomes(agent, system, terminal, "request.failed")
    assert {one.upstream_status for one in failed} == {400}
    assert system.sessions()[failed[0].session]["verdict"] == "verified"
