"""What holds of circuits and blocks whatever happens, in whatever order and however the clock goes."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gateway.health import KEPT, PROBE, Health, Outcome, chosen, observed, revived, standing
from schemas.config import Breaker

RULES = st.builds(
    Breaker,
    failures=st.integers(1, 4),
    open_seconds=st.floats(1, 60),
    longest_seconds=st.floats(1, 120),
)
PROVIDERS = st.sampled_from(["a", "b"])
MODELS = st.sampled_from(["", "m", "n/with/slashes"])
KINDS = st.sampled_from(["ok", "failed", "limited", "quota", "neutral"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("chosen"), PROVIDERS, MODELS),
        st.tuples(KINDS, PROVIDERS, MODELS),
        st.tuples(st.just("wait"), st.floats(0, 200), st.none()),
    ),
    max_size=60,
)
START = 1_795_000_000.0


def play(rules: Breaker, steps: list[tuple[Any, Any, Any]], start: float = START) -> tuple[Health, float]:
    health, at = Health(), start
    for kind, provider, model in steps:
        if kind == "wait":
            at += float(str(provider))
        elif kind == "chosen":
            health = chosen(health, str(provider), str(model), at)
        else:
            outcome = Outcome(str(provider), str(model), kind, "why", at + 30 if kind in ("limited", "quota") else None)
            health, _ = observed(health, rules, outcome, at)
    return health, at


@given(RULES, STEPS)
def test_never_open_without_as_many_failures_in_a_row(rules: Breaker, steps: list[tuple[Any, Any, Any]]) -> None:
    in_a_row: dict[str, int] = {}
    most: dict[str, int] = {}
    for kind, provider, model in steps:
        if kind == "failed":
            key = f"{provider}/{model}"
            in_a_row[key] = in_a_row.get(key, 0) + 1
            most[key] = max(most.get(key, 0), in_a_row[key])
        if kind == "ok":
            health_keys = (f"{provider}/", f"{provider}/{model}")
            for key in health_keys:
                in_a_row[key] = 0
    health, _ = play(rules, [step for step in steps if step[0] != "chosen"])
    for key, circuit in health.circuits.items():
        if circuit.until:
            assert most.get(key, 0) >= rules.failures


@given(RULES, STEPS)
def test_an_opening_is_never_longer_than_the_longest(rules: Breaker, steps: list[tuple[Any, Any, Any]]) -> None:
    health, at = play(rules, steps)
    longest = max(rules.longest_seconds, 0.0)
    for circuit in health.circuits.values():
        assert circuit.until - circuit.since <= longest + 1e-6
    later = at + longest + PROBE + 3600
    assert [standing(health, provider, model, later) for provider in "ab" for model in ("", "m", "n/with/slashes")] == [""] * 6


@given(RULES, STEPS, PROVIDERS, MODELS)
def test_at_most_one_probe_is_out(rules: Breaker, steps: list[tuple[Any, Any, Any]], provider: str, model: str) -> None:
    health, at = play(rules, steps)
    if standing(health, provider, model, at):
        return
    after = chosen(health, provider, model, at)
    if any(circuit.probe == at for circuit in after.circuits.values()):
        assert standing(after, provider, model, at)
        assert standing(after, provider, model, at + PROBE - 1)


@given(RULES, STEPS, st.floats(7, 1e6), PROVIDERS, MODELS)  # by more than is put right, also a second later
def test_a_clock_that_is_put_back_shuts_nobody_out(
    rules: Breaker, steps: list[tuple[Any, Any, Any]], back: float, provider: str, model: str
) -> None:
    health, at = play(rules, [step for step in steps if step[0] != "wait"])
    assert standing(health, provider, model, at - back) == ""
    health = chosen(health, provider, model, at - back)
    health, _ = observed(health, rules, Outcome(provider, model, "ok"), at - back + 1)
    assert standing(health, provider, model, at - back + 1) == ""


@given(RULES, STEPS)
def test_what_is_saved_is_what_is_read(rules: Breaker, steps: list[tuple[Any, Any, Any]]) -> None:
    health, _ = play(rules, steps)
    assert msgspec.json.decode(msgspec.json.encode(health), type=Health) == health
    again = revived(health)
    assert revived(again) == again
    assert {key: each.until for key, each in again.circuits.items()} == {
        key: each.until for key, each in health.circuits.items()
    }


@settings(max_examples=10)
@given(RULES, st.integers(1, 300))
def test_it_is_bounded_and_what_is_open_stays_longest(rules: Breaker, more: int) -> None:
    health = Health()
    for _ in range(rules.failures):
        health, _ = observed(health, rules, Outcome("a", "open", "failed"), START)
    for number in range(KEPT + more):
        outcome = Outcome("a", f"m{number}", "failed" if number % 2 else "limited", "", START + 9)
        health, _ = observed(health, Breaker(failures=9), outcome, START)
    assert len(health.circuits) <= KEPT
    assert len(health.blocks) <= KEPT
    assert standing(health, "a", "open", START)


@given(RULES, STEPS)
def test_the_callers_own_mistakes_move_nothing(rules: Breaker, steps: list[tuple[Any, Any, Any]]) -> None:
    health, _ = play(rules, [step for step in steps if step[0] in ("neutral", "chosen", "wait", "ok")])
    assert health == Health()
