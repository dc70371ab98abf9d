"""Whatever happens in whichever order: every response is in the ledger once, and nothing is spent twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.spending import Spender, Spending, heard, rules_of, verdict
from actors.registry.fold import Limits, State
from actors.registry.ledger_rows import By, Question, usage_table
from actors.registry.replay import replay_state
from actors.registry.rows import as_of
from schemas.config import Budget, Price
from schemas.events import RequestAttributed, RequestCompleted, Timing, Usage
from schemas.provider_rows import UsageTable
from tests.story import Story, process

BYS: tuple[By, ...] = ("session", "provider", "model", "project", "day")
counts = st.integers(0, 1000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    given_, output = draw(counts), draw(counts)
    cached, reasoning = draw(st.integers(0, given_)), draw(st.integers(0, output))
    return Usage(input=given_, cached_input=cached, output=output, reasoning=reasoning, total=given_ + output)


def asked(state: State, by: By = "session") -> UsageTable:
    prices = {"echo": {"m-served": Price(input=3.0, cached_input=1.0, output=5.0)}}
    return usage_table(state, Question(by, audit=1000), prices, as_of(state, "2026-11-21T00:00:00Z"), 1000)


tellings = st.lists(
    st.tuples(
        st.sampled_from(["request", "transcript", "failed", "cancelled"]),
        st.sampled_from(["codex-01a1", "codex-02b2"]),
        st.integers(0, 5),
        usages(),
    ),
    max_size=25,
)


def tell(told: list[tuple[str, str, int, Usage]], limits: Limits) -> Story:
    story = Story(State(limits=limits))
    for number, (how, session, response, usage) in enumerate(told):
        story.seconds += 20_000 * (number % 3)
        if how == "transcript":
            story.spent(session, f"r-{response}", usage)
        else:
            end = "completed" if how == "request" else how
            story.request(session, process(100), end=end, usage=usage, response=f"r-{response}", cwd=f"/w{response % 2}")
    return story


@given(tellings, st.integers(1, 6))
def test_each_response_is_counted_once_with_its_highest_figures(told: list[tuple[str, str, int, Usage]], cells: int) -> None:
    story = tell(told, Limits(cells=cells))
    highest: dict[tuple[str, int], list[int]] = {}
    for _, session, response, usage in told:
        known = highest.setdefault((session, response), [0] * 5)
        figures = (usage.input, usage.cached_input, usage.output, usage.reasoning, usage.total)
        known[:] = map(max, known, figures)
    table = asked(story.state)
    sums = [sum(figures) for figures in zip(*highest.values(), strict=True)] or [0] * 5
    used = table.total.usage
    assert [used.input, used.cached_input, used.output, used.reasoning, used.total] == sums
    assert table.total.responses == len(highest) == len(table.records)
    assert table.total.requests == sum(how != "transcript" for how, *_ in told)
    assert table.total.differing == sum(record.differing for record in table.records)
    assert table.total.from_transcripts == sum(record.request_usage is None for record in table.records)
    for session in ("codex-01a1", "codex-02b2"):
        claimed = story.rows().get(session)
        own = [figures for (name, _), figures in highest.items() if name == session]
        if claimed is not None and claimed.usage is not None:
            assert claimed.usage.total == sum(figures[4] for figures in own)


@given(tellings, st.integers(1, 6))
def test_every_way_to_sum_up_has_the_same_total_and_replay_has_the_same_tables(
    told: list[tuple[str, str, int, Usage]], cells: int
) -> None:
    story = tell(told, Limits())
    again = replay_state(story.journal)
    for by in BYS:
        table = asked(story.state, by)
        assert table == asked(again, by)
        assert sum(row.usage.total for row in table.rows) == table.total.usage.total
        assert sum(row.responses for row in table.rows) == table.total.responses
    small = asked(tell(told, Limits(cells=cells)).state, "provider").total
    assert small == asked(story.state, "provider").total


@given(st.lists(st.tuples(st.integers(0, 2), counts), max_size=20), st.data())
def test_what_is_told_read_back_and_saved_in_any_order_is_spent_once(told: list[tuple[int, int]], data: st.DataObject) -> None:
    rules = rules_of((Budget(name="b", session="*", tokens=1, per="total", on_reached="stop"),), {})
    spending = Spending()
    journal: list[Any] = []
    read = 0
    for number, (session, tokens) in enumerate(told):
        facts = exchange(number, session, tokens)
        live = data.draw(st.booleans())  # or told by an incarnation that was killed before it could save
        for fact in facts:
            journal.append(fact)
            if live:
                heard(spending, rules, fact, "2026-11-21", live=True)
        if data.draw(st.booleans()):
            for fact in journal[read:]:
                heard(spending, rules, fact, "2026-11-21", live=False)
            read = len(journal)
    for fact in journal[read:]:
        heard(spending, rules, fact, "2026-11-21", live=False)
    assert (spending.ahead, spending.flights) == ({}, {})
    for session in range(3):
        spent = sum(tokens for one, tokens in told if one == session)
        tally = spending.total.get(f"session:s{session}")
        assert (tally.tokens if tally else 0) == spent
        assert bool(verdict(spending, rules, Spender(f"s{session}", "", "2026-11-21")).stop) == (spent >= 1)


def exchange(number: int, session: int, tokens: int) -> list[Any]:
    name: Any = f"r{number}"
    owner: Any = f"s{session}"
    completed = RequestCompleted(
        request=name,
        session=owner,
        provider="p",
        status=200,
        timing=Timing(total_ms=1),
        bytes_in=1,
        bytes_out=1,
        usage=Usage(input=tokens, total=tokens),
    )
    return [RequestAttributed(request=name, session=owner, agent="codex", cwd="/w"), completed]
