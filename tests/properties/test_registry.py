"""Properties of the registry's fold: it never raises, order and repetition do not matter, effects are said exactly once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.registry.fold import Limits, State, fold, pending
from actors.registry.replay import replay, replay_state
from actors.registry.rows import as_of, explain, table
from schemas import events as e
from schemas.envelope import Recorded
from tests.registry.alive import Bus, Live, folded, recorded, rows_of
from tests.registry.facts import NOW, SMALL, any_event, pick
from tests.registry.worlds import Said, interleave, worlds
from tests.story import CLIENT, EPOCH, GATEWAY, REGISTRY


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            any_event,
            pick([GATEWAY, REGISTRY, CLIENT, "/actor/gateway/g2"]),
            st.integers(0, 3),
            pick([EPOCH] * 30 + ["epoch-2"]),
        ),
        max_size=60,
    ),
    pick([Limits(), SMALL]),
    pick([NOW, "no time", ""]),
)
def test_no_sequence_of_events_makes_the_fold_or_its_rows_raise(told: list[Any], limits: Limits, time: str) -> None:
    state = State(limits=limits)
    position = 0
    for data, source, ahead, epoch in told:
        position += ahead
        fold(state, recorded(data, position * 700, source=source, epoch=epoch, time=time))
    pending(state)
    listed = table(state, NOW, as_of(state, NOW))
    for row in listed.sessions:
        assert row.in_flight >= 0
        assert explain(state, row.session, NOW).row.session == row.session if row.session else True
    assert len(state.flights) <= limits.flights
    assert len(state.sessions) <= limits.sessions + 1
    for name in list(state.aliases):
        try:
            explain(state, name, NOW)
        except LookupError:
            continue


@settings(max_examples=300, deadline=None)
@given(worlds(), st.data())
def test_the_order_of_independent_sources_does_not_matter(sources: list[list[Said]], data: st.DataObject) -> None:
    one = folded(interleave(data.draw, sources))
    other = folded(interleave(data.draw, sources))
    assert rows_of(one) == rows_of(other)
    for name in rows_of(one):
        left, right = explain(one, name, NOW), explain(other, name, NOW)
        assert Counter((line.evidence, line.repeated) for line in left.evidence) == Counter(
            (line.evidence, line.repeated) for line in right.evidence
        )


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_repeated_events_change_nothing(sources: list[list[Said]], data: st.DataObject) -> None:
    told = interleave(data.draw, sources)
    journal = [recorded(fact, position, source=source, told=time) for position, (source, fact, time) in enumerate(told, 1)]
    state = State()
    for place, event in enumerate(journal):
        fold(state, event)
        if place and data.draw(st.booleans()):
            assert fold(state, journal[data.draw(st.integers(0, place))]) == ()
    assert rows_of(state) == rows_of(folded(told))


def announced(journal: list[Recorded]) -> list[Any]:
    return [event.envelope.data for event in journal if event.envelope.source == REGISTRY]


@settings(max_examples=300, deadline=None)
@given(worlds(), st.data())
def test_effects_are_announced_exactly_once_whenever_the_registry_dies(sources: list[Any], data: st.DataObject) -> None:
    told = interleave(data.draw, sources)
    bus = Bus()
    registry = Live(bus)
    for number, (source, fact, time) in enumerate(told):
        bus.publish(source, fact, f"fact-{number}", time)
        for step in data.draw(st.lists(pick(["advance", "advance", "announce", "die"]), max_size=6)):
            if step == "die":
                registry = Live(bus)
            else:
                getattr(registry, step)()
    registry.drain()
    assert pending(registry.state) == ()
    assert pending(replay_state(bus.journal)) == ()
    said = announced(bus.journal)
    for type_, key in ((e.SessionSeen, "session"), (e.SessionVerified, "session"), (e.SessionIdentified, "provisional")):
        counts = Counter(getattr(one, key) for one in said if type(one) is type_)
        assert set(counts.values()) <= {1}
    conflicts = Counter(
        (one.session, one.evidence.proves, one.evidence.value) for one in said if type(one) is e.SessionConflicted
    )
    assert set(conflicts.values()) <= {1}
    rows = rows_of(registry.state)
    assert {one.session for one in said if type(one) is e.SessionVerified} >= {
        name for name, row in rows.items() if row.verdict == "verified"
    }
    for name, row in rows.items():
        lifecycle = [type(one) for one in said if type(one) in (e.SessionGone, e.SessionReturned) and one.session == name]
        assert lifecycle == [e.SessionGone, e.SessionReturned] * (len(lifecycle) // 2) + [e.SessionGone] * (len(lifecycle) % 2)
        assert (row.activity == "gone") == (len(lifecycle) % 2 == 1)
        statuses = [one.status for one in said if type(one) is e.SessionStatusChanged and one.session == name]
        assert statuses[-1] == row.status
        assert all(one != other for one, other in pairwise(statuses))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_replay_is_the_table_that_was_alive(sources: list[Any], data: st.DataObject) -> None:
    bus = Bus()
    registry = Live(bus)
    for number, (source, fact, time) in enumerate(interleave(data.draw, sources)):
        bus.publish(source, fact, f"fact-{number}", time)
        registry.advance()
        registry.announce()
        position = registry.state.position
        assert (
            replay(bus.journal, until_position=position, now=NOW).sessions
            == table(registry.state, NOW, as_of(registry.state, NOW)).sessions
        )
    registry.drain()
    assert replay(bus.journal, now=NOW) == table(registry.state, NOW, as_of(registry.state, NOW))
