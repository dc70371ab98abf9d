"""Budgets and the ledger with the real Codex and the real Claude Code: what stops them, what they show, what it adds up to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.claude import Claude, needs_claude
from tests.e2e.codex import Codex, Rollout, needs_codex
from tests.e2e.system import System
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SWITCHED = "switched"
STOPPED = "stopped"
FIELDS = {
    "input": "input_tokens",
    "cached_input": "cached_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_output_tokens",
    "total": "total_tokens",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budgets")


@pytest.fixture(scope="module")
def system(place: Path) -> Iterator[System]:
    """Run a Tabwire with a provider that has prices, one that takes over, and a budget of each kind that is tested."""
    echo = free_port()
    own = f'base_url = "http://127.0.0.1:{echo}/v1"\nauth = "none"\ndialects = ["openai.responses", "anthropic.messages"]\n'
    config = (
        'default_provider = "echo"\n'  # so that it is started
        f'[providers.paid]\n{own}[providers.paid.prices."gpt-5.1-codex"]\ninput = 1.0\ncached_input = 0.5\noutput = 2.0\n'
        f"[providers.spare]\n{own}"
        f'[[pins]]\nproject = "{place}"\nprovider = "paid"\n'
        f'[[budgets]]\nname = "small"\nproject = "{place / STOPPED}"\nusd = 0.001\non_reached = "stop"\n'
        f'[[budgets]]\nname = "cheap"\nproject = "{place / SWITCHED}"\ntokens = 100\n'
        'on_reached = "switch"\nswitch_to = "spare"\n'
        '[[budgets]]\nname = "each"\nsession = "*"\nper = "total"\ntokens = 50000\non_reached = "stop"\n'
    )
    system = System(place / "tabwire", config, echo_port=echo)
    system.tabwire("up")
    try:
        yield system
    finally:
        system.tabwire("down")


QUOTA = (  # of Codex's backend: the windows stand in the slots the other way round
    'header="x-codex-primary-used-percent: 100"',
    'header="x-codex-primary-window-minutes: 10080"',
    'header="x-codex-primary-reset-at: 4000000000"',
    'header="x-codex-secondary-used-percent: 41.5"',
    'header="x-codex-secondary-window-minutes: 300"',
    'header="x-codex-secondary-reset-at: 4000000000"',
)


def codex_in(place: Path, system: System, name: str) -> Codex:
    (place / name).mkdir()
    return Codex(place / name, system)


def usage(system: System, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = system.json("usage", *arguments)
    return found


def spent(rollout: Rollout) -> dict[str, int]:
    """Add up what Codex itself wrote down of each response."""
    return {ours: sum(each[theirs] for each in rollout.usage.values()) for ours, theirs in FIELDS.items()}


@pytest.mark.codex
@needs_codex
def test_a_spent_budget_stops_codex_with_its_reason_and_every_figure_is_codexs_own(place: Path, system: System) -> None:
    codex = codex_in(place, system, STOPPED)
    codex.exec("[echo tool=true input=900 cached=300 output=30 reasoning=10] say hi")
    (thread, rollout), *rest = codex.rollouts().items()
    assert rest == []
    system.until_count("transcript.usage_recorded", len(rollout.usage), session=f"codex-{thread}")
    row = next(row for row in usage(system)["rows"] if row["key"] == f"codex-{thread}")
    assert {name: row["usage"].get(name, 0) for name in FIELDS} == spent(rollout)
    assert (row["responses"], row["from_transcripts"], row["differing"]) == (len(rollout.usage), 0, 0)
    audited = usage(system, "--audit", "--session", thread)["records"]
    assert {each["response"] for each in audited} == rollout.usage.keys()
    assert all(each["request_usage"] == each["transcript_usage"] == each["usage"] for each in audited)
    used = spent(rollout)
    cost = ((used["input"] - used["cached_input"]) * 1.0 + used["cached_input"] * 0.5 + used["output"] * 2.0) / 1e6
    assert row["cost_usd"] == pytest.approx(cost, abs=1e-6)

    reached = system.until_count("budget.reached", budget="small", action="stop")[0].envelope.data
    assert (reached.scope, reached.target, reached.unit) == ("project", str(codex.work.parent), "usd")
    refused = codex.exec("and again", code=1)
    assert "budget 'small' of project" in refused.stderr
    assert "spent today; requests are refused until tomorrow or until this budget is raised" in refused.stderr
    failed = system.until_count("request.failed", code="budget_spent")[-1].envelope.data
    assert failed.status == 400

    other = codex_in(place, system, "free")
    # Its home is a new one, which is known from the rollout that its process is seen to hold: it waits long enough for that.
    other.exec(f"[echo wait=1s {' '.join(QUOTA)} input=9 output=3] say hi")
    told = system.until_count("transcript.quota_observed", 2)[-1].envelope.data
    system.until_count("provider.quota_observed", 2)
    rows = [row for row in system.json("quota")["quotas"] if row["minutes"]]
    assert [(row["provider"], row["minutes"], row["used_percent"], row["exhausted"]) for row in rows] == [
        (f"agent:{told.agent_provider}", 10_080, 100.0, True),
        ("paid", 10_080, 100.0, True),
        (f"agent:{told.agent_provider}", 300, 41.5, False),
        ("paid", 300, 41.5, False),
    ]
    shown = system.tabwire("quota").stdout
    assert "5 h" in shown
    assert "exhausted (100 %)" in shown

    system.tabwire("down")
    system.tabwire("up")
    assert "budget 'small' of project" in codex.exec("after a restart", code=1).stderr
    assert sum(fact.envelope.type == "budget.reached" for fact in all_facts(system, "small")) <= 2  # the warning and the stop


def all_facts(system: System, budget: str) -> list[Any]:
    """Return every ``budget.reached`` of a budget."""
    told = [json.loads(line) for line in system.tabwire("events", "export").stdout.splitlines()]
    count = sum(1 for each in told if each["type"] == "budget.reached" and each["data"]["budget"] == budget)
    return system.until_count("budget.reached", count, budget=budget)


@pytest.mark.codex
@needs_codex
def test_a_resumed_session_goes_on_counting_and_counts_nothing_twice(place: Path, system: System) -> None:
    codex = codex_in(place, system, "threads")
    codex.exec("[echo input=10 output=1] first")
    (thread,) = codex.rollouts()
    codex.exec("[echo input=20 output=1] second", "resume", thread)
    rollout = codex.rollouts()[thread]
    assert len(rollout.usage) == 2
    system.until_count("transcript.usage_recorded", 2, session=f"codex-{thread}")
    row = next(row for row in usage(system)["rows"] if row["key"] == f"codex-{thread}")
    assert (row["responses"], row["usage"]["total"]) == (2, spent(rollout)["total"])


def test_every_way_to_sum_up_is_shown_and_mistakes_are_said(system: System) -> None:
    totals = set()
    for by in ("session", "provider", "model", "project", "day"):
        table = usage(system, "--by", by)
        totals.add((table["total"]["responses"], table["total"]["usage"].get("total", 0)))
        shown = system.tabwire("usage", "--by", by)
        assert shown.stdout.splitlines()[0].split()[:2] == [by, "input"] or not table["rows"]
    assert len(totals) == 1
    assert "choose one of session, provider" in system.tabwire("usage", "--by", "colour", code=2).stderr
    assert "is no day" in system.tabwire("usage", "--since", "yesterday", code=2).stderr
    assert system.tabwire("usage", "--session", "nobody", code=1).stderr
    assert usage(system, "--since", "2999-01-01")["rows"] == []


@pytest.mark.codex
@needs_codex
def test_a_spent_budget_moves_requests_to_another_provider(place: Path, system: System) -> None:
    codex = codex_in(place, system, SWITCHED)
    codex.exec("say hi")
    first = system.until_count("request.routed", provider="paid")[-1].envelope.data
    assert first.pin
    codex.exec("say hi again")
    moved = system.until_count("request.routed", provider="spare")[0].envelope.data
    assert "budget 'cheap' of project" in moved.reason
    assert "so requests go to spare" in moved.reason


@pytest.mark.claude
@needs_claude
def test_only_the_session_that_is_over_is_stopped(place: Path, system: System) -> None:
    (place / "claude").mkdir()
    claude = Claude(place / "claude", system)
    first = claude.ask("[echo input=50000 output=1] say hi")
    over = first["session_id"]
    system.until_count("budget.reached", budget="each", target=f"claude-{over}", action="stop")
    refused = claude.ask("and again", "--resume", over, code=1)
    assert "API Error: 424 budget 'each' of session claude-" in refused["result"]
    assert "requests are refused until this budget is raised or removed in config.toml" in refused["result"]
    failed = system.until_count("request.failed", code="budget_spent", session=f"claude-{over}")[-1].envelope.data
    assert failed.status == 424
    second = claude.ask("say hi", "--session-id", "0191f5a2-0000-4000-8000-00000000beef")
    assert second["result"]
    assert not second["is_error"]
