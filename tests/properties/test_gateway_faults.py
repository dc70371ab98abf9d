"""Whatever a provider refuses with, it is read, answered with a status that ends the request, and bounded."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.faults import adapt, outcome_of, read_fault
from actors.gateway.health import Health, observed
from actors.gateway.quota import NOTHING_TOLD, read_quotas, told_quotas
from actors.runtime.http.fields import Fields
from schemas.codec import encode
from schemas.config import Breaker
from schemas.events import Dialect

NOON = 1_795_000_000.0
DIALECTS = st.sampled_from(
    ["openai.responses", "openai.chat", "anthropic.messages", "gemini.generate", "auggie", "openai.other"]
)
WORDS = st.sampled_from(
    ["error", "code", "type", "status", "message", "details", "violations", "quotaId", "retryDelay", "resets_at", "response"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 53), 1 << 53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=40),
        st.sampled_from(
            ["usage_limit_reached", "RESOURCE_EXHAUSTED", "try again in 9s", "34.5s", "overloaded", "RequestsPerDay"]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(orjson.dumps),
    VALUES.map(lambda value: b"event: x\ndata: " + orjson.dumps(value) + b"\n\n"),
)
NAMES = st.sampled_from(
    [
        "retry-after",
        "Retry-After-Ms",
        "date",
        "x-should-retry",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
        "x-codex-primary-used-percent",
        "x-codex-primary-reset-at",
        "x-codex-primary-window-minutes",
        "anthropic-ratelimit-unified-status",
        "anthropic-ratelimit-unified-5h-utilization",
        "anthropic-ratelimit-unified-5h-reset",
        "anthropic-ratelimit-unified-reset",
        "anthropic-ratelimit-requests-limit",
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30),
    st.sampled_from(
        ["0", "1", "100", "1e308", "-1", "nan", "6m0s", "2026-11-21T09:00:00Z", "9999-12-31", "1795300000", "rejected"]
    ),
    st.dates().map(lambda day: day.strftime("%a, %d %b %Y 00:00:00 GMT")),
)
FIELDS = st.lists(st.tuples(NAMES, TEXTS), max_size=6).map(Fields)


@given(DIALECTS, st.integers(200, 599), FIELDS, BODIES, st.sampled_from(["", "own login"]))
def test_every_refusal_is_read_and_answered(dialect: Dialect, status: int, fields: Fields, body: bytes, own_login: str) -> None:
    fault = read_fault(dialect, status, fields, body, NOON)
    for time in (fault.retry_after, fault.resets_at):
        assert time is None or (math.isfinite(time) and time >= 0)
    assert len(fault.code) <= 64
    assert len(fault.message) <= 500
    adapted = adapt(dialect, fault, status, provider="acme", passthrough=bool(own_login), body=body)
    if adapted is not None:
        assert 400 <= adapted.status < 600
        names = [name.lower() for name, _ in adapted.fields]
        assert names.count("x-should-retry") <= 1 or names.count("x-should-retry") <= len(fields.getall("x-should-retry"))
        assert adapted.body == body or orjson.loads(adapted.body)
    health, facts = observed(
        Health(), Breaker(failures=1), outcome_of(fault, "acme", "m", NOON, passthrough=bool(own_login)), NOON
    )
    for fact in facts:
        assert msgspec.json.decode(encode(fact), type=type(fact)) == fact
    assert len(health.blocks) + len(health.circuits) <= 1


@given(FIELDS)
def test_every_header_is_read_for_quotas(fields: Fields) -> None:
    windows = read_quotas(fields, NOON)
    known, facts = told_quotas(NOTHING_TOLD, "acme", windows, None)
    for fact in facts:
        assert msgspec.json.decode(encode(fact), type=type(fact)) == fact
    assert told_quotas(known, "acme", windows, None)[1] == () or len({each.name for each in windows}) < len(windows)
