"""Playbooks of routing: who decides, who stands in, and what is said of everybody else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from actors.gateway.health import Block, Circuit, Health
from actors.gateway.peek import Seen
from actors.gateway.route_terms import SEVERAL, Asker, Choice, Decision, Listing, Table, Wanted
from actors.gateway.routing import route
from actors.gateway.spending import GO_ON, Verdict
from schemas.config import Failover, Pin
from schemas.identity import LaunchId, ProcessKey, SessionId
from schemas.launch import LaunchRecord

NOW = 1_800_000_000.0
RESPONSES = ("openai.responses",)
SESSION = SessionId("codex-01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60")
ASKER = Asker(SESSION, "tmux:1,2:%3", "/src/app/core", also=("launch-0123456789ab", "proc-41"))
GPT = Wanted("openai.responses", Seen("gpt"))
BOUND = Seen("gpt", encrypted=2)


def listing(**more: Any) -> Listing:
    return Listing(**{"dialects": RESPONSES, **more})


def table(
    *pins: Pin,
    rules: Failover = Failover(),  # noqa: B008 - frozen
    listings: Mapping[str, Listing] | None = None,
    **more: Listing,
) -> Table:
    given = {"own": listing(account="own"), "other": listing(account="other"), **(listings or {}), **more}
    return Table(given, pins, "own", rules)


def decide(
    where: Table,
    asker: Asker = ASKER,
    wanted: Wanted = GPT,
    health: Health = Health(),  # noqa: B008 - frozen
    verdict: Verdict = GO_ON,
) -> Decision:
    return route(asker, wanted, where, health, verdict, NOW)


def asked(decision: Decision) -> list[str]:
    return [choice.provider for choice in decision.choices]


def skipped(decision: Decision) -> dict[str, str]:
    return {one.provider: one.skipped for one in decision.candidates}


def launch(provider: str | None, session: str | None = None) -> LaunchRecord:
    process = ProcessKey("host", "boot", 41, 1000, 7)
    return LaunchRecord(
        launch=LaunchId("launch-0123456789ab"),
        agent="codex",
        token_sha256="0" * 64,
        process=process,
        created="2026-11-21T00:00:00Z",
        provider=provider,
        session=None if session is None else SessionId(session),
    )


def failing(*names: str) -> Health:
    circuit = Circuit(failures=5, opened=1, since=NOW - 5, until=NOW + 25, reason="cut")
    return Health({f"{name}/": circuit for name in names})


# ------------------------------------------------------------------------------------------------ who decides


def test_a_lone_default_provider_is_asked_and_has_no_alternatives() -> None:
    decision = decide(table())
    assert decision.choices == (Choice("own"),)
    assert (decision.reason, decision.pin) == ("the default provider", "")
    assert skipped(decision) == {"own": ""}


SESSION_PIN = Pin(provider="a", session=SESSION)
LAUNCH_PIN = Pin(provider="a", session="launch-0123456789ab")
TERMINAL_PIN = Pin(provider="b", terminal="tmux:1,2:%3")
DEEP_PIN = Pin(provider="c", project="/src/app")
WIDE_PIN = Pin(provider="d", project="/src")
ALL = {name: listing() for name in "abcd"}


@pytest.mark.parametrize(
    ("pins", "first", "pin"),
    [
        ((WIDE_PIN, DEEP_PIN, TERMINAL_PIN, SESSION_PIN), "a", f"session:{SESSION}"),
        ((WIDE_PIN, DEEP_PIN, TERMINAL_PIN, LAUNCH_PIN), "a", "session:launch-0123456789ab"),
        ((WIDE_PIN, DEEP_PIN, TERMINAL_PIN), "b", "terminal:tmux:1,2:%3"),
        ((WIDE_PIN, DEEP_PIN), "c", "project:/src/app"),
        ((WIDE_PIN,), "d", "project:/src"),
        ((Pin(provider="d", project="/"),), "d", "project:/"),
        ((Pin(provider="d", project="/src/ap"), Pin(provider="d", session="codex-else")), "own", ""),
    ],
)
def test_the_most_specific_pin_decides(pins: tuple[Pin, ...], first: str, pin: str) -> None:
    decision = decide(table(*pins, listings=ALL))
    assert (asked(decision)[0], decision.pin) == (first, pin)


def test_what_a_launch_asked_for_stands_between_the_session_s_pin_and_the_terminal_s() -> None:
    asker = Asker(SESSION, "tmux:1,2:%3", "/src", launch("c"))
    assert asked(decide(table(TERMINAL_PIN, listings=ALL), asker)) == ["c", "own"]
    assert asked(decide(table(TERMINAL_PIN, SESSION_PIN, listings=ALL), asker)) == ["a", "own"]
    assert decide(table(listings=ALL), asker).reason == "asked for by launch-0123456789ab"
    assert asked(decide(table(TERMINAL_PIN, listings=ALL), Asker(SESSION, "tmux:1,2:%3", "/src", launch(None)))) == ["b", "own"]


@pytest.mark.parametrize(
    ("named", "drives", "pin"),
    [
        ("launch-0123456789ab", "gemini-1", "session:gemini-1"),
        ("launch-cdef", "gemini-1", "session:gemini-1"),
        (None, "gemini-1", "session:gemini-1"),
        ("launch-cdef", "launch-0123456789ab", "session:launch-0123456789ab"),
        ("codex-else", "gemini-1", ""),
        ("launch-cdef", None, ""),
        ("launch-cdef", "gemini-2", ""),
    ],
)
def test_a_pin_of_what_a_bridge_drives_holds_for_requests_that_name_no_conversation(
    named: str | None, drives: str | None, pin: str
) -> None:
    pins = (Pin(provider="a", session="gemini-1"), Pin(provider="b", session="launch-0123456789ab"))
    asker = Asker(None if named is None else SessionId(named), launch=launch(None, drives))
    assert decide(table(*pins, listings=ALL), asker).pin == pin


def test_windows_folders_are_compared_without_case() -> None:
    where = table(Pin(provider="a", project="C:\\Src\\App\\"), listings=ALL)
    assert asked(decide(where, Asker(cwd="c:\\src\\app\\core")))[0] == "a"
    assert asked(decide(where, Asker(cwd="c:\\src\\apple")))[0] == "own"


def test_an_expired_pin_does_nothing_and_is_named() -> None:
    past = datetime.fromtimestamp(NOW, UTC)
    decision = decide(table(Pin(provider="a", session=SESSION, expires=past), TERMINAL_PIN, listings=ALL))
    assert asked(decision)[0] == "b"
    assert decision.reason == f"pinned by terminal:tmux:1,2:%3; the pin of session:{SESSION} has expired"
    later = datetime.fromtimestamp(NOW + 1, UTC)
    assert asked(decide(table(Pin(provider="a", session=SESSION, expires=later), listings=ALL)))[0] == "a"


# ------------------------------------------------------------------------------------------------ who stands in


def test_a_group_stands_in_and_a_pin_falls_back_to_the_default_and_its_group() -> None:
    listings = {"a": listing(group="x"), "b": listing(group="x"), "c": listing(group="y"), "own": listing(group="y")}
    decision = decide(Table(listings, (SESSION_PIN,), "own"))
    assert asked(decision) == ["a", "b", "own", "c"]
    assert skipped(decision)["b"] == "stands in if the one before it fails"


@pytest.mark.parametrize("on_failure", ["fail", "ask"])
def test_a_strict_pin_means_its_provider_and_no_other(on_failure: Any) -> None:
    pin = Pin(provider="a", session=SESSION, on_failure=on_failure)
    assert asked(decide(table(pin, a=listing(group="x"), b=listing(group="x")))) == ["a"]


def test_a_pin_to_what_is_not_there_falls_back_loudly() -> None:
    decision = decide(table(Pin(provider="gone", session=SESSION)))
    assert asked(decision) == ["own"]
    assert decision.reason == "the default provider; passed over gone: no provider 'gone' is configured"


def test_a_strict_pin_that_cannot_be_kept_refuses() -> None:
    decision = decide(table(Pin(provider="a", session=SESSION, on_failure="fail"), a=listing(problem="has no key")))
    assert (decision.choices, decision.code) == ((), "pin_failed")
    assert "is pinned to a, which cannot take this request (a: has no key)" in decision.refusal
    assert "tabwire unpin" in decision.refusal


@pytest.mark.parametrize("why", ["has no key", ""])
def test_a_pin_that_asks_names_what_could_be_chosen(why: str) -> None:
    pin = Pin(provider="a", project="/src", on_failure="ask")
    decision = decide(table(pin, a=listing(problem=why, group="x"), b=listing(group="x")), health=failing("a"))
    assert (decision.choices, decision.code) == ((), "pin_undecided")
    assert decision.undecided is not None
    assert (decision.undecided.kind, decision.undecided.target, decision.undecided.session) == ("project", "/src", SESSION)
    assert decision.undecided.alternatives == ("b", "own")
    assert "`tabwire pin /src b`" in decision.refusal


def test_a_pin_that_asks_without_any_alternative_is_tried_all_the_same() -> None:
    pin = Pin(provider="own", project="/src", on_failure="ask")
    assert asked(decide(table(pin), health=failing("own"))) == ["own"]


# ------------------------------------------------------------------------------------------------ who cannot


def test_a_dialect_that_is_not_served_says_who_would() -> None:
    decision = decide(
        table(claude=listing(dialects=("anthropic.messages",))), wanted=Wanted("anthropic.messages", Seen("opus"))
    )
    assert (decision.choices, decision.code) == ((), "dialect_not_served")
    assert "own: does not serve anthropic.messages; claude would" in decision.refusal
    none = decide(table(), wanted=Wanted("gemini.generate", Seen("g")))
    assert "add 'gemini.generate' to the dialects" in none.refusal


def test_other_paths_go_to_who_speaks_any_of_openai_s_dialects() -> None:
    assert asked(decide(table(), wanted=Wanted("openai.other"))) == ["own"]
    where = table(own=listing(dialects=("anthropic.messages",)))
    assert decide(where, wanted=Wanted("openai.other")).code == "dialect_not_served"


def test_aliases_and_pinned_models_say_what_is_sent() -> None:
    pin = Pin(provider="a", session=SESSION, model="deep-1")
    where = table(pin, a=listing(models=("deep-1",)), own=listing(aliases={"gpt": "gpt-own"}, models=("gpt-own",)))
    decision = decide(where)
    assert decision.choices == (Choice("a", "deep-1"), Choice("own", "gpt-own"))
    assert [one.model for one in decision.candidates] == ["deep-1", "gpt-own"]
    assert decide(where, wanted=Wanted("openai.other", Seen("embed"))).choices == (Choice("a"), Choice("own"))


def test_a_model_that_is_not_there_is_passed_over() -> None:
    decision = decide(table(SESSION_PIN, a=listing(models=("deep-1",))))
    assert asked(decision) == ["own"]
    assert skipped(decision)["a"] == "does not have the model 'gpt'"


# ------------------------------------------------------------------------------------------------ health and budgets


def test_an_open_circuit_is_passed_over_with_its_end() -> None:
    decision = decide(table(SESSION_PIN, a=listing()), health=failing("a"))
    assert asked(decision) == ["own"]
    assert "is passed over until 2027-01-15T08:00:25Z" in skipped(decision)["a"]


def test_the_last_one_is_never_ejected() -> None:
    decision = decide(table(SESSION_PIN, a=listing()), health=failing("a", "own"))
    assert asked(decision) == ["a"]
    assert "asked all the same, as nothing else is left: it failed 5 times in a row" in decision.reason
    quota = Health(blocks={"own/": Block("quota", NOW - 1, NOW + 60)})
    assert asked(decide(table(), health=quota)) == ["own"]


def test_what_cannot_take_the_request_is_not_the_last_one() -> None:
    decision = decide(table(SESSION_PIN, a=listing(problem="has no key")), health=failing("own"))
    assert asked(decision) == ["own"]


def test_a_budget_stops_switches_and_passes_over() -> None:
    assert decide(table(), verdict=Verdict(stop="10 USD are spent")).refusal == "10 USD are spent"
    switched = decide(table(SESSION_PIN, listings=ALL), verdict=Verdict(switch_to="b", reason="budget x is spent"))
    assert asked(switched) == ["b"]
    assert switched.reason == "a budget is spent; budget x is spent"
    over = decide(table(SESSION_PIN, listings=ALL), verdict=Verdict(providers={"a": "its budget is spent"}, instead={"a": "c"}))
    assert asked(over) == ["c", "own"]
    last = decide(table(), verdict=Verdict(providers={"own": "its budget is spent"}))
    assert (last.choices, last.code) == ((), "no_provider")


# ------------------------------------------------------------------------------------------------ what one account can read


def test_an_unknown_owner_restricts_nothing() -> None:
    assert decide(table(), wanted=Wanted("openai.responses", BOUND)).choices == (Choice("own"),)


def test_the_owner_is_sent_everything_and_others_are_sent_it_without_reasoning() -> None:
    where = table(Pin(provider="other", session=SESSION))
    assert decide(where, wanted=Wanted("openai.responses", BOUND, "own")).choices == (
        Choice("other", strip=True),
        Choice("own"),
    )
    plain = Wanted("openai.responses", Seen("gpt"), "own")
    assert decide(where, wanted=plain).choices == (Choice("other"), Choice("own"))


@pytest.mark.parametrize("seen", [Seen("gpt", compaction=True), Seen("gpt", previous_response=True)])
def test_what_cannot_be_left_out_keeps_to_its_owner(seen: Seen) -> None:
    decision = decide(table(Pin(provider="other", session=SESSION)), wanted=Wanted("openai.responses", seen, "own"))
    assert asked(decision) == ["own"]
    assert "cannot be left out" in skipped(decision)["other"]
    refused = decide(
        table(Pin(provider="other", session=SESSION, on_failure="fail")), wanted=Wanted("openai.responses", seen, "own")
    )
    assert refused.code == "pin_failed"


def test_keep_prefers_the_owner_wherever_it_stands() -> None:
    rules = Failover(encrypted_content="keep")
    where = table(rules=rules, away=listing(account="third"))
    decision = decide(where, wanted=Wanted("openai.responses", BOUND, "third"))
    assert asked(decision) == ["away"]
    assert decision.reason == "only account third can read what is encrypted in this conversation"
    lost = table(rules=rules, away=listing(account="third", problem="is disabled"))
    assert decide(lost, wanted=Wanted("openai.responses", BOUND, "third")).choices == ()


def test_refuse_refuses() -> None:
    decision = decide(table(rules=Failover(encrypted_content="refuse")), wanted=Wanted("openai.responses", BOUND, "other"))
    assert decision.choices == ()
    assert "account other alone can read" in decision.refusal


def test_a_conversation_of_several_accounts_is_stripped_everywhere() -> None:
    wanted = Wanted("openai.responses", BOUND, SEVERAL)
    assert decide(table(), wanted=wanted).choices == (Choice("own", strip=True),)
    assert decide(table(rules=Failover(encrypted_content="keep")), wanted=wanted).choices == (Choice("own"),)
