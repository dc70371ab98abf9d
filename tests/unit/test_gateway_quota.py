"""The quota windows that answers tell of, in three spellings, and which changes are worth a fact."""

from __future__ import annotations

import pytest

from actors.gateway.quota import NOTHING_TOLD, Window, read_quotas, told_quotas
from actors.runtime.http.fields import Fields
from schemas.identity import SessionId

NOON = 1_795_000_000.0
ME = SessionId("codex-1")


def windows(**fields: str) -> tuple[Window, ...]:
    return read_quotas(Fields([(name.replace("_", "-"), value) for name, value in fields.items()]), NOON)


def test_codex_tells_of_two_windows_by_their_length() -> None:
    told = windows(
        x_codex_primary_used_percent="42.5",
        x_codex_primary_window_minutes="300",
        x_codex_primary_reset_at="1795003600",
        x_codex_secondary_used_percent="100",
        x_codex_secondary_window_minutes="10080",
        x_codex_secondary_reset_after_seconds="86400",
    )
    assert told == (
        Window("primary", 42.5, minutes=300, resets_at=NOON + 3600),
        Window("secondary", 100.0, minutes=10080, resets_at=NOON + 86400, exhausted=True),
    )


def test_openai_counts_requests_and_tokens() -> None:
    told = windows(
        x_ratelimit_limit_requests="500",
        x_ratelimit_remaining_requests="499",
        x_ratelimit_reset_requests="120ms",
        x_ratelimit_limit_tokens="1000",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="1h0m0s",
    )
    assert told == (
        Window("requests", 0.2, 500, 499, resets_at=NOON + 0.12, short=True),
        Window("tokens", 100.0, 1000, 0, resets_at=NOON + 3600, exhausted=True),
    )


def test_anthropic_counts_and_tells_of_a_subscriptions_windows() -> None:
    told = windows(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="25",
        anthropic_ratelimit_requests_reset="2026-11-18T11:07:40Z",
        anthropic_ratelimit_input_tokens_limit="100",
        anthropic_ratelimit_input_tokens_remaining="100",
        anthropic_ratelimit_unified_status="rejected",
        anthropic_ratelimit_unified_5h_status="rejected",
        anthropic_ratelimit_unified_5h_utilization="1.0",
        anthropic_ratelimit_unified_5h_reset="1795003600",
        anthropic_ratelimit_unified_7d_opus_utilization="0.5",
    )
    assert told == (
        Window("requests", 50.0, 50, 25, resets_at=NOON + 60, short=True),
        Window("input_tokens", 0.0, 100, 100, short=True),
        Window("5h", 100.0, minutes=300, resets_at=NOON + 3600, exhausted=True),
        Window("7d-opus", 50.0, minutes=10080),
    )


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "many", "1e999", "9" * 40])
def test_what_is_no_number_is_no_window(value: str) -> None:
    assert windows(x_codex_primary_used_percent=value) == ()
    assert windows(x_ratelimit_limit_requests=value, x_ratelimit_remaining_requests="3") == ()
    told = windows(x_codex_primary_used_percent="1", x_codex_primary_reset_at=value, x_codex_primary_window_minutes=value)
    assert told == (Window("primary", 1.0),)


def test_an_answer_that_tells_nothing_is_nothing() -> None:
    assert read_quotas(Fields([("content-type", "text/event-stream")]), NOON) == ()


def test_a_fact_is_told_when_a_window_changed_noticeably() -> None:
    def facts(*seen: Window) -> list[tuple[str, float | None]]:
        known, told = NOTHING_TOLD, []
        for window in seen:
            known, new = told_quotas(known, "acme", (window,), ME)
            told += [(fact.window, fact.used_percent) for fact in new]
        return told

    day = NOON + 86_400
    steady = [Window("primary", 10 + number / 100, resets_at=day + number) for number in range(50)]
    assert facts(*steady) == [("primary", 10)]
    assert facts(*[Window("primary", 10 + number / 10, resets_at=day) for number in range(50)]) == [
        ("primary", 10 + number) for number in range(5)
    ]
    assert len(facts(Window("primary", 10, resets_at=day), Window("primary", 10, resets_at=day + 3600))) == 2
    assert len(facts(Window("primary", 100, resets_at=day), Window("primary", 100, resets_at=day, exhausted=True))) == 2
    short = [Window("tokens", number % 9, 1000, resets_at=NOON + number, short=True) for number in range(100)]
    assert len(facts(*short)) == 1


def test_a_fact_says_whose_request_learned_of_it() -> None:
    _, (fact,) = told_quotas(NOTHING_TOLD, "acme", (Window("primary", 42.5, minutes=300, resets_at=NOON),), ME)
    assert (fact.provider, fact.window, fact.source, fact.session) == ("acme", "primary", "header", ME)
    assert (fact.used_percent, fact.minutes, fact.resets_at) == (42.5, 300, "2026-11-18T11:06:40Z")


def test_the_windows_of_a_provider_are_bounded() -> None:
    fields = {f"anthropic_ratelimit_unified_w{number}_utilization": "0.1" for number in range(99)}
    told = windows(anthropic_ratelimit_unified_status="allowed", **fields)
    assert len(told) == 16
    known = NOTHING_TOLD
    for number in range(99):
        known, _ = told_quotas(known, "acme", (Window(f"w{number}", 1.0),), None)
    assert len(known) == 16
