"""A real gateway with budgets: over restarts of every kind, without a bus, and with budgets that come later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.contract import Ready
from tests.contract.gateway_scene import COMPLETED, DEADLINE, SSE, Line, Scene, chunk, scene

pytestmark = pytest.mark.timeout(120)

PRICES = '[providers.own.prices."served"]\ninput = 1e6\noutput = 0.0\n'  # a response of the scene costs 9 dollars
REFUSED = 400


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as found:
        yield found


def budget(**fields: Any) -> str:
    return "[[budgets]]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in fields.items()) + "\n"


def answer(line: Line) -> None:
    line.request()
    line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")


def completes(stage: Scene) -> None:
    stage.provider.plays(answer)
    status, _, body = stage.post().answer()
    assert status == 200, body


def refused(stage: Scene) -> str:
    """Send a request that no provider is asked for, and return what its caller is told."""
    status, _, body = stage.post().answer()
    assert status == REFUSED, body
    message: str = json.loads(body)["error"]["message"]
    return message


def refused_at_last(stage: Scene) -> str:
    """Send requests until one is refused: until the gateway has read the journal, some may still be answered."""
    for _ in range(200):
        done = stage.provider.plays(answer)
        status, _, body = stage.post().answer()
        if status == REFUSED:
            stage.provider.parts.get()  # nobody came for it
            message: str = json.loads(body)["error"]["message"]
            return message
        assert done.wait(DEADLINE)
    raise AssertionError("never refused")


def restart(stage: Scene, *, killed: bool) -> None:
    assert stage.gateway is not None
    if killed:
        stage.gateway.process.kill()
    stage.gateway.end_stdin()
    stage.gateway.exit_code()
    stage.gateway = stage.place.start("gateway")
    stage.gateway.until(Ready)


def test_a_killed_gateway_learns_from_the_journal_what_was_spent(stage: Scene) -> None:
    stage.configure(PRICES + budget(name="all", usd=18.0, per="total", warn_at=0.5, on_reached="stop"))
    stage.start()
    completes(stage)
    completes(stage)
    assert refused(stage).startswith("budget 'all': $18.00 of $18.00 spent in all; requests are refused until this budget is")
    reached = [one.data for one in stage.facts("budget.reached", 2) if one.type == "budget.reached"]
    assert [(fact.action, fact.spent) for fact in reached] == [("warn", 9.0), ("stop", 18.0)]
    restart(stage, killed=True)
    assert refused_at_last(stage).startswith("budget 'all': $")
    told = [one for one in stage.facts("request.failed", 2) if one.type == "budget.reached"]
    assert len(told) == 2


def test_budgets_hold_without_a_bus_and_over_an_orderly_restart(stage: Scene) -> None:
    stage.configure(PRICES + budget(name="day", usd=9.0, on_reached="stop"))
    stage.start(bus=False)
    completes(stage)
    said = "budget 'day': $9.00 of $9.00 spent today; requests are refused until tomorrow or until this budget is raised"
    assert refused(stage).startswith(said)
    restart(stage, killed=False)
    assert refused(stage).startswith(said)
    stage.broker = stage.place.start("broker")
    stage.broker.until(Ready)
    stage.facts("request.failed", 1)
    assert refused(stage).startswith(said)  # what the journal holds by now was counted before


def test_a_budget_that_comes_later_knows_what_was_spent_before(stage: Scene) -> None:
    file = stage.place.paths.checkpoints / "gateway-spending.json"
    stage.configure(PRICES)
    stage.start()
    completes(stage)
    stage.facts("request.completed")
    assert not file.exists()
    stage.configure(PRICES + budget(name="late", usd=9.0, on_reached="stop"))
    stage.facts("config.changed", 2)
    assert refused_at_last(stage).startswith("budget 'late': $")
    restart(stage, killed=False)
    assert file.exists()
    stage.configure(PRICES)
    stage.facts("config.changed", 4)
    completes(stage)
