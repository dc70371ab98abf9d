"""What was spent and what the budgets say of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.gateway import spending as module
from actors.gateway.spending import GO_ON, Rules, Spender, Spending, below, heard, regrouped, rules_of, verdict
from schemas.config import Budget, Price
from schemas.events import BudgetReached, RequestAttributed, RequestCancelled, RequestCompleted, RequestFailed, Timing, Usage
from schemas.identity import RequestId, SessionId
from schemas.prices import cost, price_of

TODAY, YESTERDAY = "2026-11-21", "2026-11-20"
PRICES = {"p": {"m": Price(input=1e6, cached_input=1e5, output=2e6)}}
X = "/home/u/x"


def rules(*budgets: Budget) -> Rules:
    return rules_of(budgets, PRICES)


def budget(**fields: Any) -> Budget:
    given: dict[str, Any] = {"name": "b", "usd": 10.0, "on_reached": "stop"}
    return Budget(**(given | fields))


class Book:
    """A spending and the requests that were told to it."""

    def __init__(self, *budgets: Budget) -> None:
        self.spending = Spending()
        self.rules = rules(*budgets)
        self.told: list[Any] = []
        self.number = 0

    def request(
        self, tokens: int = 1, *, session: str = "s", cwd: str = X, provider: str = "p", day: str = TODAY, model: str = "m"
    ) -> list[BudgetReached]:
        """Tell a request that costs as many dollars as it has tokens of input."""
        self.number += 1
        name, own = RequestId(f"r{self.number}"), SessionId(session)
        facts = [
            RequestAttributed(request=name, session=own, agent="codex", cwd=cwd or None),
            RequestCompleted(
                request=name,
                session=own,
                provider=provider,
                status=200,
                timing=Timing(total_ms=1),
                bytes_in=1,
                bytes_out=1,
                usage=Usage(input=tokens, total=tokens),
                served_model=model,
            ),
        ]
        self.told += facts
        return [one for fact in facts for one in heard(self.spending, self.rules, fact, day, live=True)]

    def read(self, day: str = TODAY) -> None:
        """Read everything back from the journal."""
        for fact in self.told:
            heard(self.spending, self.rules, fact, day, live=False)

    def asks(self, session: str = "s", cwd: str = X, day: str = TODAY) -> Any:
        return verdict(self.spending, self.rules, Spender(session, cwd, day))


# ------------------------------------------------------------------------------------------------------------ verdicts


def test_nothing_is_said_while_enough_is_left() -> None:
    book = Book(budget(), budget(session="*"), budget(project=X), budget(provider="*"))
    book.request(7)
    assert book.asks() is GO_ON


def test_a_budget_warns_and_then_stops_in_words() -> None:
    book = Book(budget(name="daily", project=X, usd=5.0))
    book.request(4)
    told = book.asks(cwd=f"{X}/sub")
    assert (told.stop, told.reason) == ("", f"budget 'daily' of project {X}: $4.00 of $5.00 spent today")
    book.request(1)
    assert book.asks().stop.startswith(
        f"budget 'daily' of project {X}: $5.00 of $5.00 spent today; requests are refused until "
    )
    assert book.asks(cwd="/home/u/xy") is GO_ON
    assert book.asks(cwd="") is GO_ON


def test_only_the_session_that_is_over_is_stopped() -> None:
    book = Book(budget(session="*", usd=None, tokens=5, per="total"))
    book.request(5, session="a")
    book.request(1, session="b")
    assert "of session a: 5 of 5 tokens spent in all" in book.asks("a").stop
    assert book.asks("b") is GO_ON
    assert book.asks("a", day="2026-12-31").stop


def test_each_project_and_every_folder_below_one() -> None:
    book = Book(budget(name="each", project="*"), budget(name="tree", project="/home/u", usd=12.0))
    book.request(10, cwd=X)
    book.request(2, cwd="/home/u/y")
    assert book.asks(cwd=X).stop.startswith("budget 'each' of project /home/u/x")
    assert book.asks(cwd="/home/u/y").stop.startswith("budget 'tree' of project /home/u:")
    assert book.asks(cwd="/srv") is GO_ON


def test_a_spent_provider_is_passed_over_or_replaced() -> None:
    book = Book(budget(provider="p"), budget(provider="*", on_reached="switch", switch_to="q", usd=20.0))
    book.request(10)
    told = book.asks()
    assert (told.stop, told.switch_to) == ("", "")
    assert told.providers == {"p": "budget 'b' of provider p: $10.00 of $10.00 spent today"}
    assert told.instead == {}
    book.request(10)
    assert book.asks().instead == {"p": "q"}


def test_a_switch_comes_before_everything_and_a_stop_before_a_switch() -> None:
    book = Book(budget(name="one", on_reached="switch", switch_to="q"), budget(name="two", usd=20.0))
    book.request(10)
    told = book.asks()
    assert (told.switch_to, told.stop) == ("q", "")
    assert told.reason == "budget 'one': $10.00 of $10.00 spent today, so requests go to q"
    book.request(10)
    assert book.asks().stop.startswith("budget 'two'")


def test_a_day_is_over_at_its_end_and_a_total_never() -> None:
    book = Book(budget(name="day"), budget(name="total", per="total", usd=15.0))
    book.request(10, day=YESTERDAY)
    assert book.asks(day=YESTERDAY).stop
    assert book.asks() is GO_ON
    book.request(5)
    assert book.asks().stop.startswith("budget 'total': $15.00 of $15.00 spent in all; requests are refused until this")


def test_what_has_no_price_counts_no_dollars_and_is_said() -> None:
    book = Book(budget(), budget(name="tokens", usd=None, tokens=100, on_reached="warn"))
    book.request(95, model="unknown")
    book.request(8)
    told = book.asks()
    assert told.stop == ""
    assert "budget 'b': $8.00 of $10.00 spent today (1 responses without a price not counted)" in told.reason
    assert "budget 'tokens': 103 of 100 tokens spent today" in told.reason


# ------------------------------------------------------------------------------------------------------------ facts


def test_each_level_is_told_once_for_each_target_and_period() -> None:
    book = Book(budget(session="*", usd=10.0, warn_at=0.5))
    assert book.request(4) == []
    (warned,) = book.request(1)
    assert (warned.action, warned.scope, warned.target, warned.period, warned.spent) == ("warn", "session", "s", TODAY, 5.0)
    assert book.request(1) == []
    (stopped,) = book.request(9)
    assert (stopped.action, stopped.limit, stopped.unit) == ("stop", 10.0, "usd")
    assert book.request(9) == []
    assert [fact.target for fact in book.request(9, session="t")] == ["t"]
    assert len(book.request(9, day="2026-11-22")) == 1


def test_facts_name_the_folder_of_the_budget_and_where_requests_go() -> None:
    book = Book(budget(project="/home/u", on_reached="switch", switch_to="q"))
    (fact,) = book.request(11)
    assert (fact.scope, fact.target, fact.action, fact.provider) == ("project", "/home/u", "switch", "q")


# ------------------------------------------------------------------------------------------------------------ counting


def test_what_is_read_back_is_not_counted_twice() -> None:
    book = Book(budget(per="total", usd=1000.0))
    for _ in range(5):
        book.request(10)
    book.read()
    assert book.spending.total["all:"].usd == 50
    assert book.spending.ahead == {}
    assert book.spending.flights == {}


def test_what_another_incarnation_told_is_counted_from_the_journal() -> None:
    told = Book(budget())
    told.request(10)
    fresh = Book(budget())
    fresh.told = told.told
    fresh.read()
    assert fresh.asks().stop


def test_a_checkpoint_holds_everything() -> None:
    book = Book(budget(project=X))
    book.request(10)
    again = Book(budget(project=X))
    again.spending = msgspec.json.decode(msgspec.json.encode(book.spending), type=Spending)
    again.told = book.told
    again.read()
    assert again.asks().stop == book.asks().stop
    assert again.request(1) == []


@pytest.mark.parametrize("kind", [RequestFailed, RequestCancelled])
def test_failures_and_cancellations_cost_what_they_used(kind: Any) -> None:
    book = Book(budget())
    fields = {"code": "cut", "message": "cut", "status": 502} if kind is RequestFailed else {}
    fact = {"request": "r", "session": "s", "phase": "stream", "timing": Timing(total_ms=1), "provider": "p"} | fields
    heard(book.spending, book.rules, kind(**fact), TODAY, live=True)
    assert book.spending.total == {}
    heard(book.spending, book.rules, kind(**fact, usage=Usage(input=10), sent_model="m"), TODAY, live=True)
    assert book.asks().stop


def test_folders_of_budgets_are_summed_up_anew_when_these_change() -> None:
    book = Book(budget())
    book.request(6, cwd=f"{X}/a")
    book.request(6, cwd=f"{X}/b")
    book.request(6, cwd=f"{X}y")
    book.rules = rules(budget(project=X, usd=12.0))
    regrouped(book.spending, book.rules)
    assert book.asks().stop.startswith(f"budget 'b' of project {X}: $12.00 of $12.00")
    book.request(6, cwd=X)
    assert "$18.00 of $12.00" in book.asks().stop


def test_every_table_has_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_TALLIES", "MAX_FLIGHTS", "MAX_AHEAD", "MAX_REACHED"):
        monkeypatch.setattr(module, name, 5)
    book = Book(budget(session="*", usd=0.5))
    for number in range(20):
        book.request(1, session=f"s{number}", cwd=f"/{number}", day=f"2026-11-{number + 1:02}")
    last = RequestAttributed(request=RequestId("q"), session=None, agent="x", cwd="/")
    heard(book.spending, book.rules, last, TODAY, live=True)
    held = book.spending
    assert len(held.total) <= 5
    assert held.total["all:"].usd == 20
    assert len(held.days) <= module.MAX_DAYS
    assert max(len(held.ahead), len(held.flights), len(held.said)) <= 5


def test_a_day_that_is_long_over_and_one_that_is_not_known_count_in_all_only() -> None:
    book = Book()
    for day in ("2026-11-21", "2026-11-22", "2026-11-23", "2020-01-01", ""):
        book.request(1, day=day)
    assert book.spending.total["all:"].usd == 5
    assert sorted(book.spending.days) == ["2026-11-21", "2026-11-22", "2026-11-23"]


# ------------------------------------------------------------------------------------------------------------ parts


@pytest.mark.parametrize(
    ("cwd", "folder", "inside"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b/c", "/a/b", True),
        ("/a/bc", "/a/b", False),
        ("/a", "/a/b", False),
        ("/a/b", "/", True),
        ("/a/b", "/a/", True),
        ("C:\\w\\x", "C:\\w", True),
        ("", "/a", False),
    ],
)
def test_a_project_holds_the_folders_below_it(cwd: str, folder: str, inside: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert below(cwd, folder) is inside


def test_prices_are_found_by_name_or_by_the_name_without_a_snapshots_date() -> None:
    price = Price(input=1, output=2)
    prices = {"gpt-5.2": price, "claude-opus-4-5": price, "exact-2026-01-01": price}
    for known in ("gpt-5.2", "gpt-5.2-2026-09-01", "claude-opus-4-5-20251101", "claude-opus-4-5@20251101", "exact-2026-01-01"):
        assert price_of(prices, known) is price
    for unknown in ("gpt-5.2-codex", "gpt-5", "exact", "gpt-5.2-2026-09-01-x", "", "2026-09-01"):
        assert price_of(prices, unknown) is None


def test_the_cached_part_costs_its_own_price() -> None:
    assert cost(Price(input=2e6, output=3e6, cached_input=1e6), 10, 4, 5) == 6 * 2 + 4 + 15
    assert cost(Price(input=2e6, output=3e6), 10, 4, 5) == 20 + 15
