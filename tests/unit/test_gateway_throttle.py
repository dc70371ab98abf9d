"""How often a session may ask, as a playbook: what is asked, when, and what comes of it."""

from __future__ import annotations

from typing import Any

from actors.gateway import throttle
from actors.gateway.throttle import Throttle, caller_session, unnamed
from schemas.identity import SessionId

CODEX = SessionId("codex-01a1")
OTHER = SessionId("gemini-02b2")
NOON = 1_795_262_400_000_000_000  # 2026-11-21T12:00:00Z


class Desk:
    """A throttle and what it told."""

    def __init__(self, limit: int = 3, window: float = 10) -> None:
        self.told: list[tuple[str, Any]] = []
        self.throttle = Throttle(limit, window, lambda about, fact: self.told.append((about, fact)), lambda: NOON)

    def ask(self, *times: float, session: SessionId = CODEX) -> list[bool]:
        """Ask at these times; True where the request may go on."""
        return [not self.throttle.check(session, at) for at in times]

    @property
    def types(self) -> list[str]:
        return [fact.TYPE for _, fact in self.told]


def test_who_keeps_the_bound_is_never_refused_and_never_told_of() -> None:
    desk = Desk()
    assert all(desk.ask(*(3.34 * n for n in range(500))))
    assert desk.told == []


def test_the_window_slides() -> None:
    desk = Desk()
    assert desk.ask(0, 9, 9.5, 10, 10.5) == [True, True, True, True, False]  # the first was 10 s ago, the second was not


def test_the_one_beyond_trips_it_for_half_a_minute_and_its_refusals_prolong_nothing() -> None:
    desk = Desk()
    assert desk.ask(0, 0, 0, 1) == [True, True, True, False]
    assert desk.ask(*range(2, 31)) == [False] * 29
    assert desk.types == ["request.throttled"]
    about, fact = desk.told[0]
    assert about == "session/codex-01a1"
    assert (fact.session, fact.limit, fact.window_s, fact.until) == (CODEX, 3, 10, "2026-11-21T12:00:30.000000Z")
    assert desk.throttle.tripped == {CODEX: 30}
    assert desk.ask(31) == [True]
    assert desk.types == ["request.throttled", "request.throttle_lifted"]
    assert desk.told[1][1].refused == 30
    assert desk.throttle.tripped == {}


def test_who_trips_again_soon_is_refused_for_longer_each_time_up_to_a_bound() -> None:
    desk = Desk(limit=1)
    at, lasted = 0.0, []
    for _ in range(6):
        assert desk.ask(at, at) == [True, False]
        start = at
        while desk.ask(at := at + 1) == [False]:
            pass
        lasted.append(at - start)
        desk.throttle.check(CODEX, at)  # trips it again at once
        while desk.throttle.tripped:
            desk.throttle.sweep(at := at + 1)
        at += throttle.LONGEST
    assert lasted == [30.0] * 6  # after LONGEST in good order it begins anew
    desk = Desk(limit=1)
    at, lasted = 0.0, []
    desk.ask(at, at)
    for _ in range(6):
        start = at
        while desk.ask(at := at + 1) == [False]:
            pass
        lasted.append(at - start)
        assert desk.ask(at) == [False]
    assert lasted == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]


def test_the_end_is_told_though_nobody_asks_again() -> None:
    desk = Desk()
    desk.ask(0, 0, 0, 0)
    desk.throttle.sweep(29.9)
    assert desk.types == ["request.throttled"]
    desk.throttle.sweep(30)
    assert desk.types == ["request.throttled", "request.throttle_lifted"]
    desk.throttle.sweep(60)
    assert len(desk.told) == 2


def test_a_gateway_that_ends_tells_what_it_refused() -> None:
    desk = Desk()
    desk.ask(0, 0, 0, 0, 0)
    desk.throttle.close()
    assert desk.types == ["request.throttled", "request.throttle_lifted"]
    assert desk.told[1][1].refused == 2


def test_sessions_are_counted_apart() -> None:
    desk = Desk()
    assert desk.ask(0, 0, 0, 0) == [True, True, True, False]
    assert desk.ask(1, 1, 1, session=OTHER) == [True, True, True]


def test_the_session_that_asked_longest_ago_is_forgotten_when_there_are_too_many() -> None:
    desk = Desk(limit=1)
    desk.ask(0, 0)
    for n in range(throttle.SESSIONS):
        desk.throttle.check(SessionId(f"codex-{n}"), 1.0)
    assert desk.types == ["request.throttled", "request.throttle_lifted"]
    assert desk.ask(2) == [True]


def test_a_refusal_says_what_was_too_much_how_long_it_lasts_and_where_the_bound_is() -> None:
    desk = Desk()
    desk.ask(0, 0, 0, 0)
    text = desk.throttle.check(CODEX, 10)
    assert "more than 3 requests of this session in 10 s" in text
    assert "another 20 s" in text
    assert "gateway.session_requests" in text


def test_what_has_no_session_counts_for_its_address() -> None:
    assert unnamed("127.0.0.1:4711") == "peer-127.0.0.1"
    assert unnamed("::1:4711") == "peer-::1"
    assert unnamed("unknown") == "peer-unknown"
    assert caller_session(None, "10.0.0.7:1") == "peer-10.0.0.7"
    desk = Desk(limit=1)
    desk.ask(0, 0, session=unnamed("127.0.0.1:1"))
    assert desk.told[0][0] == "request/peer-127%2E0%2E0%2E1"
