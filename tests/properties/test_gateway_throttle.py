"""What holds of the throttle however anybody asks."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.throttle import LONGEST, SHORTEST, Throttle
from schemas.identity import SessionId

SESSIONS = st.sampled_from([SessionId("codex-a"), SessionId("gemini-b")])
ASKED = st.lists(st.tuples(SESSIONS, st.floats(0, 40, allow_nan=False)), max_size=120)
EXACT = 1e-6  # sums of floating-point steps


@given(limit=st.integers(1, 5), window=st.integers(1, 20), asked=ASKED, sweeps=st.booleans())
def test_it_lets_in_no_more_than_the_bound_and_refuses_nobody_without_telling(
    *, limit: int, window: int, asked: list[tuple[SessionId, float]], sweeps: bool
) -> None:
    told: list[Any] = []
    subject = Throttle(limit, window, lambda _, fact: told.append(fact), lambda: 0)
    let_in: dict[str, list[float]] = {}
    refused: dict[str, list[float]] = {}
    now = 0.0
    for session, step in asked:
        now += step
        if sweeps:
            subject.sweep(now)
        (refused if subject.check(session, now) else let_in).setdefault(session, []).append(now)
    subject.close()
    for times in let_in.values():
        for first, last in zip(times, times[limit:], strict=False):
            assert last - first >= window - EXACT
    for session in {session for session, _ in asked}:
        facts = [fact for fact in told if fact.session == session]
        assert [fact.TYPE for fact in facts] == ["request.throttled", "request.throttle_lifted"] * (len(facts) // 2)
        assert sum(fact.refused for fact in facts[1::2]) == len(refused.get(session, []))


@given(limit=st.integers(1, 5), gaps=st.lists(st.floats(0, 2 * LONGEST, allow_nan=False), max_size=40))
def test_it_refuses_for_no_longer_than_its_longest_and_only_after_the_bound_was_broken(limit: int, gaps: list[float]) -> None:
    subject = Throttle(limit, 10, lambda *_: None, lambda: 0)
    session, now = SessionId("codex-a"), 0.0
    seen: list[float] = []
    since: float | None = None
    for gap in gaps:
        now += gap
        if subject.check(session, now):
            if since is None:
                assert len([at for at in seen if at > now - 10]) >= limit
                since = now
            assert now - since < LONGEST + EXACT
        else:
            if since is not None:
                assert now - since >= SHORTEST - EXACT
            since = None
            seen.append(now)
