"""What must hold of routing whatever is configured, pinned, broken, spent and asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gateway.health import Block, Circuit, Health, standing
from actors.gateway.peek import Seen
from actors.gateway.route_terms import SEVERAL, Asker, Decision, Listing, Table, Wanted
from actors.gateway.routing import route
from actors.gateway.spending import Verdict
from schemas.codec import convert, encode, parse
from schemas.config import Failover, Pin
from schemas.events import RequestRouted
from schemas.identity import LaunchId, ProcessKey, RequestId, SessionId
from schemas.launch import LaunchRecord

NOW = 1_800_000_000.0
NAMES = st.sampled_from(["own", "a", "b", "c", "gone"])
ACCOUNTS = st.sampled_from(["x", "y"])
DIALECTS = st.sampled_from(["openai.responses", "openai.chat", "anthropic.messages", "openai.other"])
LISTINGS = st.builds(
    Listing,
    problem=st.sampled_from(["", "", "", "has no key"]),
    dialects=st.sampled_from([("openai.responses",), ("openai.responses", "openai.chat", "anthropic.messages")]),
    models=st.sampled_from([(), (), ("m",), ("n",)]),
    aliases=st.sampled_from([{}, {"m": "n"}]),
    group=st.sampled_from(["", "g", "h"]),
    account=ACCOUNTS,
)
EXPIRES = st.sampled_from([None, None, datetime.fromtimestamp(NOW - 1, UTC), datetime.fromtimestamp(NOW + 1, UTC)])
ON_FAILURE = st.sampled_from(["fallback", "fail", "ask"])
TARGETS = st.sampled_from(
    [
        {"session": "codex-1"},
        {"session": "launch-0123456789ab"},
        {"session": "codex-2"},
        {"terminal": "wt:1"},
        {"terminal": "wt:2"},
        {"project": "/src"},
        {"project": "/src/app"},
        {"project": "/other"},
    ]
)
PINS = st.lists(
    st.builds(
        lambda target, provider, model, on_failure, expires: Pin(
            provider=provider, model=model, on_failure=on_failure, expires=expires, **target
        ),
        TARGETS,
        NAMES,
        st.sampled_from(["", "n"]),
        ON_FAILURE,
        EXPIRES,
    ),
    max_size=5,
    unique_by=lambda pin: (pin.kind, pin.target),
).map(tuple)
TABLES = st.builds(
    lambda listings, own, pins, rule: Table({**listings, "own": own}, pins, "own", Failover(encrypted_content=rule)),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), LISTINGS),
    LISTINGS,
    PINS,
    st.sampled_from(["strip", "keep", "refuse"]),
)
LAUNCH = LaunchRecord(
    launch=LaunchId("launch-0123456789ab"),
    agent="codex",
    token_sha256="0" * 64,
    process=ProcessKey("host", "boot", 41, 1000, 7),
    created="2026-11-21T00:00:00Z",
    provider="b",
)
DRIVEN = replace(LAUNCH, session=SessionId("codex-1"))
ASKERS = st.builds(
    Asker,
    session=st.sampled_from([None, SessionId("codex-1"), SessionId("launch-0123456789ab")]),
    terminal=st.sampled_from([None, "wt:1"]),
    cwd=st.sampled_from([None, "/src/app/x", "/"]),
    launch=st.sampled_from([None, LAUNCH, DRIVEN]),
    also=st.sampled_from([(), ("launch-0123456789ab",)]),
)
SEEN = st.builds(
    Seen,
    model=st.sampled_from([None, "m"]),
    encrypted=st.integers(0, 2),
    compaction=st.booleans(),
    previous_response=st.booleans(),
)
WANTED = st.builds(Wanted, DIALECTS, SEEN, st.sampled_from(["", "x", "y", "z", SEVERAL]))
OPEN = Circuit(failures=5, opened=1, since=NOW - 1, until=NOW + 20, reason="cut")
HEALTHS = st.builds(
    Health,
    st.dictionaries(st.sampled_from(["own/", "a/", "b/n"]), st.just(OPEN)),
    st.dictionaries(st.sampled_from(["own/m", "a/", "c/"]), st.just(Block("quota", NOW - 1, NOW + 9))),
)
VERDICTS = st.builds(
    Verdict,
    stop=st.sampled_from(["", "", "", "", "spent"]),
    switch_to=st.sampled_from(["", "", "", "a", "gone"]),
    reason=st.sampled_from(["", "80 % are spent"]),
    providers=st.dictionaries(NAMES, st.just("its budget is spent"), max_size=2),
    instead=st.dictionaries(NAMES, NAMES, max_size=1),
)


def look(decision: Decision) -> dict[str, str]:
    return {one.provider: one.skipped for one in decision.candidates}


@settings(max_examples=800, deadline=None)
@given(ASKERS, WANTED, TABLES, HEALTHS, VERDICTS)
def test_a_decision_keeps_its_promises(asker: Asker, wanted: Wanted, table: Table, health: Health, verdict: Verdict) -> None:
    decision = route(asker, wanted, table, health, verdict, NOW)
    assert route(asker, wanted, table, health, verdict, NOW) == decision
    assert bool(decision.choices) != bool(decision.refusal)
    names = [one.provider for one in decision.candidates]
    assert len(names) == len(set(names)), "a provider is considered once"
    chosen = [choice.provider for choice in decision.choices]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= set(names)
    assert [name for name, why in look(decision).items() if not why] == chosen[:1]
    told = RequestRouted(
        request=RequestId("r"), session=asker.session, provider="p", reason=decision.reason, candidates=decision.candidates
    )
    assert convert(parse(encode(told)), RequestRouted) == told


@settings(max_examples=800, deadline=None)
@given(ASKERS, WANTED, TABLES, HEALTHS, VERDICTS)
def test_nobody_is_asked_who_cannot(asker: Asker, wanted: Wanted, table: Table, health: Health, verdict: Verdict) -> None:
    decision = route(asker, wanted, table, health, verdict, NOW)
    rule, seen = table.failover.encrypted_content, wanted.seen
    for choice in decision.choices:
        listing = table.listings[choice.provider]
        assert not listing.problem
        assert wanted.dialect in listing.dialects or wanted.dialect == "openai.other"
        assert choice.provider not in verdict.providers
        sent = choice.model or seen.model
        assert sent is None or not listing.models or sent in listing.models or wanted.dialect == "openai.other"
        foreign = wanted.bound and listing.account != wanted.owner
        assert choice.strip == (foreign and seen.encrypted > 0 and rule == "strip")
        if foreign and wanted.owner != SEVERAL:
            assert rule == "strip"
            assert not seen.compaction
            assert not seen.previous_response
    unwell = [c for c in decision.choices if standing(health, c.provider, c.model or seen.model or "", NOW)]
    assert not unwell or len(decision.choices) == 1, "who is passed over for now is asked only when nobody else is left"


@settings(max_examples=400, deadline=None)
@given(ASKERS, WANTED, TABLES, HEALTHS, st.randoms())
def test_the_order_of_pins_for_different_targets_is_irrelevant(
    asker: Asker, wanted: Wanted, table: Table, health: Health, random: Any
) -> None:
    pins = list(table.pins)
    random.shuffle(pins)
    other = Table(table.listings, tuple(pins), table.default, table.failover)
    assert route(asker, wanted, other, health, Verdict(), NOW) == route(asker, wanted, table, health, Verdict(), NOW)


@settings(max_examples=400, deadline=None)
@given(WANTED, TABLES)
def test_the_most_specific_pin_that_holds_decides(wanted: Wanted, table: Table) -> None:
    asker = Asker(SessionId("codex-1"), "wt:1", "/src/app/x", LAUNCH, ("launch-0123456789ab",))
    holding = {f"{pin.kind}:{pin.target}" for pin in table.pins if pin.expires is None or pin.expires.timestamp() > NOW}
    decision = route(asker, wanted, table, Health(), Verdict(), NOW)
    of_session = [name for name in ("session:codex-1", "session:launch-0123456789ab") if name in holding]
    assert decision.pin == (of_session[0] if of_session else ""), "the launch's wish stands before all pins of other kinds"
    bare = Asker(SessionId("codex-1"), "wt:1", "/src/app/x", None, ("launch-0123456789ab",))
    order = (*of_session, "terminal:wt:1", "project:/src/app", "project:/src")
    expected = next((name for name in order if name in holding), "")
    assert route(bare, wanted, table, Health(), Verdict(), NOW).pin == expected


@settings(max_examples=400, deadline=None)
@given(WANTED, TABLES, HEALTHS, ON_FAILURE)
def test_a_strict_pin_never_leads_elsewhere(wanted: Wanted, table: Table, health: Health, on_failure: Any) -> None:
    pin = Pin(provider="a", session="codex-9", on_failure=on_failure)
    strict = Table(table.listings, (pin,), "own", table.failover)
    decision = route(Asker(SessionId("codex-9")), wanted, strict, health, Verdict(), NOW)
    if on_failure != "fallback":
        assert [choice.provider for choice in decision.choices] in ([], ["a"])
    assert (decision.undecided is not None) <= (on_failure == "ask")


@settings(max_examples=200, deadline=None)
@given(WANTED, TABLES, HEALTHS, st.sampled_from(["codex-2", "gemini-1"]))
def test_a_bridge_s_launch_says_nothing_of_a_request_that_names_its_conversation(
    wanted: Wanted, table: Table, health: Health, own: str
) -> None:
    plain = route(Asker(SessionId(own), launch=LAUNCH), wanted, table, health, Verdict(), NOW)
    assert route(Asker(SessionId(own), launch=DRIVEN), wanted, table, health, Verdict(), NOW) == plain
