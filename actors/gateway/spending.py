"""What was spent, and what the budgets say of it: a pure fold of the gateway's own facts of requests.

Theory of operation
-------------------
Every outcome with a usage is added to a tally of its session, its project, its provider and of all, for its day and in all.
Which folder a request came from stands in ``request.attributed``, so that is remembered until the outcome. What has no price
counts its tokens, no dollars, and is counted as unpriced. The price is that of the moment at which it is counted.

A fact is heard once or twice: when the gateway tells it (``live``), and when it is read back from the journal, maybe by the
next incarnation. So the requests that were counted before the journal was seen to have them are kept (``ahead``); what is read
of them is not counted again. A request has one outcome, and that one response: retries that brought nothing have no usage.

``verdict`` compares tallies with budgets; ``reached`` tells the facts that newly follow, each once for a budget, whom it is
counted for, a period and a level.

The fold is the single owner of its tables and updates them in place. Every table has a bound, at which the oldest entry goes.

Pure: days come in as arguments. Must not know files, the bus, or how a request is routed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from schemas.config import Budget, Price
from schemas.events import BudgetReached, RequestAttributed, RequestCancelled, RequestCompleted, RequestFailed, Usage
from schemas.prices import cost, price_of

_ALL: Final = "all:"
_TOTAL: Final = "total"
_LINE: Final = 300
MAX_TALLIES: Final = 20_000  # in one table; the tally that was begun first goes, and what it holds is spent unseen
MAX_DAYS: Final = 3  # so that a clock that is set back a little finds its day again
MAX_FLIGHTS: Final = 10_000  # beyond it a request's folder is not known any more; it counts for no project
MAX_AHEAD: Final = 50_000  # beyond it a request may count twice after a start without the journal
MAX_REACHED: Final = 20_000

Prices = Mapping[str, Mapping[str, Price]]
Outcome = RequestCompleted | RequestFailed | RequestCancelled


class Verdict(Struct, frozen=True):
    """What the budgets say of one request.

    ``stop``: the text that it is refused with, shown to people as it is; empty: it may go on. ``switch_to``: the provider that
    comes before every other wish from now on; empty: none. ``providers``: those to be passed over, each with the reason (their
    own budget is spent; that holds for the last one left too). ``instead``: for some of these, the provider that takes their
    place. ``reason``: everything that is to be said in the reason of the routing, warnings included; empty: nothing.
    """

    stop: str = ""
    switch_to: str = ""
    reason: str = ""
    providers: Mapping[str, str] = {}
    instead: Mapping[str, str] = {}


GO_ON: Final = Verdict()


class Tally(Struct):
    """What was spent under one name; ``unpriced`` responses are in the tokens and not in the dollars."""

    usd: float = 0.0
    tokens: int = 0
    unpriced: int = 0

    def add(self, usd: float | None, tokens: int) -> None:
        """Add one response."""
        self.tokens += tokens
        if usd is None:
            self.unpriced += 1
        else:
            self.usd += usd


_EMPTY: Final = Tally()
Tallies = dict[str, Tally]


class Spending(Struct):
    """Everything that is remembered, and everything that a checkpoint holds.

    Tallies are named ``session:<id>``, ``project:<folder of the request>``, ``folder:<project of a budget>``, ``provider:<id>``
    and ``all:``. ``flights`` are the folders of requests that have no outcome yet.
    """

    total: Tallies = {}
    days: dict[str, Tallies] = {}
    flights: dict[str, str] = {}
    ahead: dict[str, bool] = {}
    said: dict[str, bool] = {}


class Spender(Struct, frozen=True):
    """For whom something is counted or asked, on which local day; ``provider`` is None where every provider is meant."""

    session: str
    cwd: str
    day: str
    provider: str | None = None


class Rules(Struct, frozen=True):
    """The budgets in the order of the file, the prices, and the folders that have budgets of their own."""

    budgets: tuple[Budget, ...] = ()
    prices: Prices = {}
    folders: tuple[str, ...] = ()


def rules_of(budgets: Sequence[Budget], prices: Prices) -> Rules:
    """Make rules of what is configured."""
    folders = dict.fromkeys(budget.project for budget in budgets if budget.project not in ("", "*"))
    return Rules(tuple(budgets), prices, tuple(folders))


# ------------------------------------------------------------------------------------------------------------ the fold


def heard(spending: Spending, rules: Rules, fact: Any, day: str, *, live: bool) -> tuple[BudgetReached, ...]:
    """Take a fact of the gateway's; return what newly follows from it. ``day`` is the local one on which it was told."""
    if isinstance(fact, RequestAttributed):
        if fact.cwd:
            _keep(spending.flights, fact.request, fact.cwd, MAX_FLIGHTS)
        return ()
    if not isinstance(fact, Outcome):
        return ()
    cwd = spending.flights.pop(fact.request, "")
    if not live and spending.ahead.pop(fact.request, None) is not None:
        return ()
    if fact.usage is None:
        return ()
    if live:
        _keep(spending.ahead, fact.request, True, MAX_AHEAD)  # noqa: FBT003 - a table's value
    spender = Spender(fact.session or "", cwd, day, fact.provider or "")
    price = price_of(
        rules.prices.get(fact.provider or "", {}), fact.served_model or fact.sent_model or fact.requested_model or ""
    )
    _count(spending, rules, spender, fact.usage, price)
    return tuple(_reached(spending, rules, spender))


def regrouped(spending: Spending, rules: Rules) -> None:
    """Sum up the folders that budgets are for anew, after these have changed."""
    for tallies in (spending.total, *spending.days.values()):
        for name in [name for name in tallies if name.startswith("folder:")]:
            del tallies[name]
        for folder in rules.folders:
            inside = [tally for name, tally in tallies.items() if name.startswith("project:") and below(name[8:], folder)]
            if inside:
                sums = Tally(
                    sum(one.usd for one in inside), sum(one.tokens for one in inside), sum(one.unpriced for one in inside)
                )
                tallies[f"folder:{folder}"] = sums


def below(cwd: str, folder: str) -> bool:
    """Tell whether a folder is this one or inside it, by whole names."""
    if cwd == folder:
        return True
    head = folder.rstrip("/\\")
    return cwd.startswith(head) and cwd[len(head) : len(head) + 1] in ("/", "\\")


def _count(spending: Spending, rules: Rules, spender: Spender, usage: Usage, price: Price | None) -> None:
    usd = None if price is None else cost(price, usage.input, usage.cached_input, usage.output)
    tokens = usage.total or usage.input + usage.output
    cwd, names = spender.cwd, [_ALL]
    if spender.session:
        names.append(f"session:{spender.session}")
    if spender.provider:
        names.append(f"provider:{spender.provider}")
    if cwd:
        names.append(f"project:{cwd}")
        names += [f"folder:{folder}" for folder in rules.folders if below(cwd, folder)]
    tables = [spending.total]
    if (today := _day(spending, spender.day)) is not None:
        tables.append(today)
    for tallies in tables:
        for name in names:
            tally = tallies.get(name)
            if tally is None:
                tally = Tally()
                _keep(tallies, name, tally, MAX_TALLIES)
            tally.add(usd, tokens)


def _day(spending: Spending, day: str) -> Tallies | None:
    """Return the tallies of a day; None when it is not known, or over for longer than days are kept."""
    if not day:
        return None
    tallies = spending.days.get(day)
    if tallies is None:
        if len(spending.days) >= MAX_DAYS:
            oldest = min(spending.days)
            if day < oldest:
                return None
            del spending.days[oldest]
        tallies = spending.days[day] = {}
    return tallies


def _keep(table: dict[str, Any], name: str, value: Any, most: int) -> None:
    """Put an entry into a table that has a bound: the oldest goes, but the tally of all."""
    if len(table) >= most and name not in table:
        del table[next(key for key in table if key != _ALL)]
    table[name] = value


# ------------------------------------------------------------------------------------------------------------ budgets


class _Standing(Struct, frozen=True):
    """One budget against one tally: the part that is spent, in the unit of which most is spent."""

    budget: Budget
    name: str
    tally: Tally
    unit: str
    spent: float
    limit: float

    @property
    def level(self) -> str:
        """Return ``spent``, ``warn`` or nothing."""
        return "spent" if self.spent >= self.limit else "warn" if self.spent >= self.limit * self.budget.warn_at else ""


def verdict(spending: Spending, rules: Rules, spender: Spender) -> Verdict:
    """Say what the budgets say of a request before it is routed, so that its provider is not known yet."""
    stop = switch_to = ""
    told: list[str] = []
    skipped: dict[str, str] = {}
    instead: dict[str, str] = {}
    for standing in _standings(spending, rules, spender):
        budget, text = standing.budget, _text(standing)
        action = budget.on_reached if standing.level == "spent" else "warn"
        if budget.provider:
            name = standing.name.partition(":")[2]
            if action != "warn":
                skipped.setdefault(name, text)
                if action == "switch":
                    instead.setdefault(name, budget.switch_to)
                continue
        elif action == "stop":
            stop = stop or f"{text}; {_advice(budget)}"
        elif action == "switch" and not switch_to:
            switch_to = budget.switch_to
            text += f", so requests go to {switch_to}"
        told.append(text)
    if not (stop or told or skipped):
        return GO_ON
    return Verdict(stop[:_LINE], switch_to, "; ".join(told)[:_LINE], skipped, instead)


def _reached(spending: Spending, rules: Rules, spender: Spender) -> Iterator[BudgetReached]:
    for standing in _standings(spending, rules, spender):
        budget = standing.budget
        period = spender.day if budget.per == "day" else _TOTAL
        mark = "\0".join((budget.name, standing.name, period, standing.level, standing.unit, f"{standing.limit:g}"))
        if mark in spending.said:
            continue
        _keep(spending.said, mark, True, MAX_REACHED)  # noqa: FBT003 - a table's value
        kind, _, target = standing.name.partition(":")
        yield BudgetReached(
            budget=budget.name[:64],
            scope="project" if kind == "folder" else kind,
            target=target,
            period=period,
            spent=round(standing.spent, 6),
            limit=standing.limit,
            unit="usd" if standing.unit == "usd" else "tokens",
            action=budget.on_reached if standing.level == "spent" else "warn",
            provider=budget.switch_to if standing.level == "spent" and budget.on_reached == "switch" else "",
        )


def _standings(spending: Spending, rules: Rules, spender: Spender) -> Iterator[_Standing]:
    """Yield the budgets of which enough is spent to be said."""
    for budget in rules.budgets:
        tallies = spending.total if budget.per == _TOTAL else spending.days.get(spender.day, {})
        for name in _names(budget, tallies, spender):
            tally = tallies.get(name, _EMPTY)
            units = [("usd", tally.usd, budget.usd), ("tokens", float(tally.tokens), budget.tokens)]
            told = [_Standing(budget, name, tally, unit, spent, limit) for unit, spent, limit in units if limit is not None]
            worst = max(told, key=lambda one: one.spent / one.limit, default=None)
            if worst is not None and worst.level:
                yield worst


def _names(budget: Budget, tallies: Tallies, spender: Spender) -> Sequence[str]:
    """Return the tallies that a budget is compared with."""
    session, cwd, provider = spender.session, spender.cwd, spender.provider
    if budget.session:
        return (f"session:{session}",) if session and budget.session in ("*", session) else ()
    if budget.project == "*":
        return (f"project:{cwd}",) if cwd else ()
    if budget.project:
        return (f"folder:{budget.project}",) if cwd and below(cwd, budget.project) else ()
    if budget.provider == "*":
        return [name for name in tallies if name.startswith("provider:")] if provider is None else (f"provider:{provider}",)
    if budget.provider:
        return (f"provider:{budget.provider}",) if provider in (None, budget.provider) else ()
    return (_ALL,)


def _text(standing: _Standing) -> str:
    """Say how much of a budget is spent: ``budget 'daily' of project /x: $5.02 of $5.00 spent today``."""
    budget, (kind, _, target) = standing.budget, standing.name.partition(":")
    whose = f" of {'project' if kind == 'folder' else kind} {target}" if target else ""
    when = "today" if budget.per == "day" else "in all"
    unpriced = standing.tally.unpriced
    note = f" ({unpriced} responses without a price not counted)" if unpriced and standing.unit == "usd" else ""
    return f"budget {budget.name!r}{whose}: {_amount(standing)} spent {when}{note}"


def _amount(standing: _Standing) -> str:
    if standing.unit == "tokens":
        return f"{standing.spent:,.0f} of {standing.limit:,.0f} tokens"
    form = ".2f" if standing.limit >= 1 else ".3g"
    return f"${standing.spent:{form}} of ${standing.limit:{form}}"


def _advice(budget: Budget) -> str:
    when = "until tomorrow or " if budget.per == "day" else ""
    return f"requests are refused {when}until this budget is raised or removed in config.toml"
