"""Quota windows: what Codex writes down of them, what the registry keeps, and how people see them."""

from __future__ import annotations

from typing import Any

import pytest

from actors.cli.quota import cells, used, window
from actors.registry.quotas import quota_rows
from actors.transcripts.facts import Fact, Place, Thread
from actors.transcripts.lines import Line
from actors.transcripts.story import take
from actors.transcripts.whole import all_facts
from schemas.events import ProviderQuotaObserved, TranscriptLineRejected, TranscriptQuotaObserved, TranscriptUsageRecorded
from schemas.provider_rows import QuotaRow
from tests.story import ROLLOUT, Story, clock
from tests.transcripts.made import event, found, meta, name, sample, uuid

THREAD = uuid(1)
NOW = "2026-11-21T01:00:00Z"
FIVE_HOURS = {"used_percent": 40.0, "window_minutes": 300, "resets_at": 1_795_300_000}
WEEK = {"used_percent": 7, "window_minutes": 10_080, "resets_at": 1_795_600_000}


def facts_of(content: bytes) -> list[Fact]:
    place = Place(path=f"/r/{name(THREAD)}", file="f", thread=THREAD)
    end, lines = 0, []
    for raw in content.split(b"\n")[:-1]:
        end += len(raw) + 1
        lines.append(Line(end, raw))
    return take("codex", Thread(), place, lines)[1]


def quotas_of(*limits: Any) -> list[TranscriptQuotaObserved]:
    content = b"".join(event("token_count", info=None, rate_limits=each) for each in limits)
    return [fact for fact in facts_of(meta(THREAD) + content) if isinstance(fact, TranscriptQuotaObserved)]


def told(**fields: Any) -> ProviderQuotaObserved:
    return ProviderQuotaObserved(**({"provider": "p", "window": "primary", "source": "header"} | fields))


def shown(story: Story, now: str = NOW) -> tuple[QuotaRow, ...]:
    return quota_rows(story.state.quotas, now)


# ------------------------------------------------------------------------------------------------------------ rollouts


def test_windows_are_told_with_their_length_and_by_their_limits_name() -> None:
    first, second = quotas_of({"limit_id": "codex", "primary": FIVE_HOURS, "secondary": WEEK})
    assert (first.window, first.minutes, first.used_percent, first.resets_at) == ("codex", 300, 40.0, "2026-11-21T22:26:40Z")
    assert (second.minutes, second.used_percent) == (10_080, 7.0)
    assert first.agent_provider == "stub"


def test_a_window_is_told_again_only_when_it_changed_whatever_its_slot() -> None:
    again = {"limit_id": "codex", "primary": WEEK, "secondary": {**FIVE_HOURS, "resets_at": FIVE_HOURS["resets_at"] + 30}}
    more = {"primary": {**FIVE_HOURS, "used_percent": 41.0}}
    found = quotas_of({"limit_id": "codex", "primary": FIVE_HOURS, "secondary": WEEK}, again, more)
    assert [(fact.minutes, fact.used_percent) for fact in found] == [(300, 40.0), (10_080, 7.0), (300, 41.0)]


@pytest.mark.parametrize("nothing", [None, {}, {"primary": None, "secondary": None, "limit_id": "codex", "credits": None}])
def test_no_window_is_told_of_where_there_is_none(nothing: Any) -> None:
    assert quotas_of(nothing) == []


def test_older_versions_tell_in_how_many_seconds_a_window_is_reset() -> None:
    (fact,) = quotas_of({"primary": {"used_percent": 1, "window_minutes": 300, "resets_in_seconds": 60}})
    assert fact.resets_at == "2026-11-20T22:16:25Z"


@pytest.mark.parametrize("wrong", [{"primary": {"used_percent": -1}}, {"primary": {}}, {"primary": 3}, [], "x"])
def test_what_cannot_be_is_rejected_and_nothing_else(wrong: Any) -> None:
    content = meta(THREAD) + event("token_count", info=None, rate_limits=wrong) + event("token_count", rate_limits=None)
    rejected = [fact for fact in facts_of(content) if isinstance(fact, TranscriptLineRejected)]
    assert len(rejected) == 1


def test_a_running_total_and_a_window_of_one_line_are_both_told() -> None:
    info = {"total_token_usage": {"total_tokens": 9}, "last_token_usage": {"total_tokens": 9}}
    content = meta(THREAD) + event("token_count", info=info, rate_limits={"primary": FIVE_HOURS})
    kinds = [type(fact) for fact in facts_of(content)[1:]]
    assert kinds == [TranscriptUsageRecorded, TranscriptQuotaObserved]


def test_the_recorded_refusal_for_usage_tells_an_exhausted_window(tmp_path: Any) -> None:
    sample(tmp_path, "codex-usage-limit-429")
    (file,) = found(tmp_path)
    story = Story()
    for fact in all_facts(file):
        story.tell(fact, source=ROLLOUT)
    (row,) = shown(story)
    assert (row.provider, row.minutes, row.exhausted, row.source) == ("agent:stub", 300, True, "transcript")
    assert cells(row, NOW) == ("agent:stub", "5 h", "exhausted (100 %)", "21 h", "transcript", "2 h ago")


# ------------------------------------------------------------------------------------------------------------ the registry


def test_codexs_slots_are_no_names_and_other_limits_are() -> None:
    story = Story()
    story.tell(told(window="primary", minutes=300, used_percent=10))
    story.tell(told(window="secondary", minutes=300, used_percent=20))
    story.tell(told(window="requests", minutes=1, remaining=5, limit=10))
    story.tell(told(window="tokens", minutes=1, remaining=0, limit=100))
    assert [(row.window, row.used_percent, row.exhausted) for row in shown(story)] == [
        ("tokens", None, True),
        ("requests", None, False),
        ("secondary", 20.0, False),
    ]


def test_a_window_whose_reset_has_passed_is_open_again() -> None:
    story = Story()
    story.tell(told(minutes=300, used_percent=100, exhausted=True, resets_at="2026-11-21T01:30:00Z"))
    (row,) = shown(story)
    assert (row.exhausted, row.reset) == (True, False)
    (row,) = shown(story, "2026-11-21T01:30:00Z")
    assert (row.exhausted, row.reset, row.used_percent, row.remaining) == (False, True, None, None)
    assert used(row) == "reset"
    assert cells(row, "2026-11-21T01:40:00Z")[3] == "10 min ago"


def test_what_was_observed_earlier_does_not_replace_what_was_observed_later() -> None:
    story = Story()
    fact: dict[str, Any] = {"session": "codex-01a1", "file": "f", "offset": 1, "thread": "t", "window": "codex", "minutes": 300}
    story.tell(TranscriptQuotaObserved(**fact, used_percent=50, at=clock(100)), source=ROLLOUT)
    story.tell(TranscriptQuotaObserved(**fact, used_percent=30, at=clock(50)), source=ROLLOUT)
    assert [row.used_percent for row in shown(story)] == [50.0]
    story.tell(TranscriptQuotaObserved(**fact, used_percent=60, at=clock(101)), source=ROLLOUT)
    assert [row.used_percent for row in shown(story)] == [60.0]


def test_windows_are_bounded() -> None:
    story = Story()
    for number in range(1_100):
        story.tell(told(provider=f"p{number}", minutes=300, used_percent=1))
    assert len(shown(story)) == 1_000
    assert "p0" not in {row.provider for row in shown(story)}


@pytest.mark.parametrize(
    ("name_", "minutes", "said"),
    [
        ("primary", 300, "5 h"),
        ("codex", 10_080, "weekly"),
        ("codex", 1440, "daily"),
        ("tokens", 1, "tokens, 1 min"),
        ("unified-5h", 300, "5 h"),
        ("requests", None, "requests"),
        ("codex", 4320, "3 d"),
    ],
)
def test_windows_are_named_by_their_length(name_: str, minutes: int | None, said: str) -> None:
    assert window(QuotaRow(provider="p", window=name_, observed=NOW, source="header", minutes=minutes)) == said
