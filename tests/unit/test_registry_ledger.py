"""The ledger: each response once, whoever tells of it, where it counts, and what it costs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.registry.fold import Limits, State
from actors.registry.ledger_rows import Question, usage_table
from actors.registry.replay import replay_state
from actors.registry.rows import as_of
from actors.transcripts.whole import all_facts
from schemas import events as e
from schemas.config import Price
from schemas.identity import SessionId
from schemas.provider_rows import UsageRow, UsageTable
from tests.story import GATEWAY, ROLLOUT, Story, clock, process, provisional
from tests.transcripts.made import SAMPLES, found
from tests.transcripts.made import sample as put

C, D = SessionId("codex-01a1"), SessionId("codex-02b2")
P = process(100)
TEN = e.Usage(input=10, cached_input=4, output=5, reasoning=2, total=15)
LESS = e.Usage(input=10, cached_input=4, output=3, reasoning=1, total=13)


def asked(state: State, prices: Any = None, **question: Any) -> UsageTable:
    return usage_table(state, Question(**question), prices or {}, as_of(state, state.time or clock(0)), 1000)


def rows(story: Story, **question: Any) -> dict[str, UsageRow]:
    return {row.key: row for row in asked(story.state, **question).rows}


def end(story: Story, name: str, session: str | None = C, **fields: Any) -> None:
    """Tell the end of a request with fields that a story does not know."""
    told = {"request": name, "session": session, "timing": e.Timing(total_ms=1), "status": 200, "provider": "echo"}
    story.tell(e.RequestCompleted(**(told | {"bytes_in": 1, "bytes_out": 1} | fields)))


def test_a_response_told_by_request_and_transcript_counts_once_and_says_so() -> None:
    story = Story()
    story.request(C, P, usage=TEN, response="r-1", cwd="/w")
    story.spent(C, "r-1", TEN)
    row = rows(story)[C]
    assert (row.usage, row.responses, row.requests, row.from_transcripts, row.differing) == (TEN, 1, 1, 0, 0)
    (record,) = asked(story.state, audit=10).records
    assert (record.request_usage, record.transcript_usage, record.differing) == (TEN, TEN, False)


@pytest.mark.parametrize("first", ["request", "transcript"])
def test_sums_do_not_depend_on_who_spoke_first_and_disagreement_is_counted(first: str) -> None:
    story = Story()
    story.transcript(C, agent_provider="openai", cwd="/w")
    if first == "transcript":
        story.spent(C, "r-1", LESS)
    story.request(C, P, usage=TEN, response="r-1", cwd="/w")
    if first == "request":
        story.spent(C, "r-1", LESS)
    assert set(rows(story, by="provider")) - {"agent:openai"} == {"echo"}
    total = asked(story.state).total
    assert (total.usage, total.responses, total.differing, total.from_transcripts) == (TEN, 1, 1, 0)
    (record,) = asked(story.state, audit=1).records
    assert record.differing
    assert (record.request_usage, record.transcript_usage) == (TEN, LESS)
    assert (record.provider, record.model) == ("echo", "m-served")


def test_what_only_a_transcript_tells_counts_for_the_agents_own_provider() -> None:
    story = Story()
    story.transcript(C, agent_provider="openai", cwd="/w")
    story.spent(C, "r-1", TEN)
    total = asked(story.state, {"openai": {"": Price(input=1, output=1)}}).total
    assert (total.from_transcripts, total.unpriced, total.cost_usd) == (1, 1, None)
    assert set(rows(story, by="provider")) == {"agent:openai"}
    assert set(rows(story, by="project")) == {"/w"}


def test_changes_of_a_running_total_have_no_id_and_count_each() -> None:
    story = Story()
    for offset in (10, 20):
        fact = e.TranscriptUsageRecorded(session=C, file="f", offset=offset, thread="01a1", response="", usage=TEN)
        story.tell(fact, source=ROLLOUT)
    assert asked(story.state).total.usage.total == 30
    (transcript,) = story.state.transcripts.values()
    assert transcript.unseen is not None
    assert transcript.unseen.total == 30


def test_the_same_id_of_another_session_or_another_provider_is_another_response() -> None:
    story = Story()
    story.request(C, P, usage=TEN, response="resp_1")
    story.request(D, P, usage=TEN, response="resp_1")
    name = story.request(C, P, end="")
    end(story, name, provider="other", usage=TEN, response="resp_1")
    assert asked(story.state).total.responses == 3
    assert rows(story, by="provider")["other"].usage == TEN
    story.request(C, P, usage=TEN, response="resp_1")
    assert asked(story.state).total.responses == 3


def test_failures_cancellations_and_retries_are_no_responses() -> None:
    story = Story()
    name = story.request(C, P, end="")
    story.tell(e.RequestRetried(request=name, session=C, provider="echo", code="status", message="500", attempt=1))
    end(story, name, provider="other", usage=TEN, response="r-1", attempts=2)
    story.request(C, P, end="failed")
    story.request(C, P, end="cancelled", usage=LESS, response="r-2")
    row = rows(story)[C]
    assert (row.requests, row.responses, row.failures, row.cancellations) == (3, 2, 2, 1)
    by_provider = rows(story, by="provider")
    assert (by_provider["echo"].failures, by_provider["echo"].requests) == (1, 0)
    assert (by_provider["other"].failures, by_provider["other"].requests) == (0, 1)


def test_titles_count_for_their_process_and_never_for_the_conversation() -> None:
    story = Story()
    story.request(C, P, usage=TEN, response="r-1")
    story.request(C, P, usage=LESS, response="r-2", thread="title-1", thread_kind="title")
    found = rows(story)
    assert found[C].usage == TEN
    assert found[provisional(P)].usage == LESS
    assert asked(story.state).total.responses == 2


def test_what_nobody_known_sent_counts_for_its_provider_if_one_was_asked() -> None:
    story = Story()
    story.request(None, None, usage=TEN, response="r-1", conversation=None)
    story.request(None, None, end="failed", conversation=None)
    table = asked(story.state)
    assert [(row.key, row.responses, row.usage) for row in table.rows] == [("", 1, TEN)]
    assert rows(story, by="provider").keys() == {"echo"}


def test_what_was_counted_before_the_conversation_was_known_is_the_conversations() -> None:
    story = Story()
    story.launched("launch-1", P)
    story.request("launch-1", P, usage=TEN, response="r-1", launch="launch-1")
    story.request(C, P, usage=LESS, response="r-2", launch="launch-1")
    assert rows(story)[C].responses == 2


def test_sub_agents_and_reviews_count_inside_their_root_and_a_fork_for_itself() -> None:
    story = Story()
    story.request(C, P, usage=TEN, response="r-1", thread="01a1", thread_kind="main")
    story.request(C, P, usage=TEN, response="r-2", thread="child", thread_kind="subagent")
    story.transcript(D, forked_from="codex:01a1")
    story.spent(D, "r-3", TEN)
    found = rows(story)
    assert (found[C].responses, found[D].responses) == (2, 1)


def test_costs_are_of_the_prices_at_the_question_and_the_cached_part_is_part_of_input() -> None:
    story = Story()
    story.request(C, P, usage=TEN, response="r-1")
    name = story.request(C, P, end="")
    end(story, name, usage=TEN, response="r-2", served_model="free-of-price")
    priced = {"echo": {"m-served": Price(input=1e6, cached_input=1e5, output=2e6)}}
    row = asked(story.state, priced).rows[0]
    assert row.cost_usd == 6 * 1 + 4 * 0.1 + 5 * 2
    assert row.unpriced == 1
    plain = {"echo": {"m-served": Price(input=1e6, output=2e6)}}
    assert asked(story.state, plain).rows[0].cost_usd == 20
    assert asked(story.state).rows[0].cost_usd is None


def test_days_and_since_and_session_filter() -> None:
    story = Story()
    story.request(C, P, usage=TEN, response="r-1")
    story.seconds = 86_400.0
    story.request(D, P, usage=TEN, response="r-2")
    assert [row.key for row in asked(story.state, by="day").rows] == ["2026-11-22", "2026-11-21"]
    assert asked(story.state, since="2026-11-22").total.responses == 1
    assert asked(story.state, session=C).total.responses == 1
    assert asked(story.state, session=C, since="2026-11-22").rows == ()


def test_the_oldest_days_are_folded_into_one_sum_that_keeps_providers_and_models() -> None:
    story = Story(State(limits=Limits(cells=2)))
    story.request(C, P, usage=LESS, response="r-1")
    story.seconds = 86_400.0
    story.request(C, P, usage=TEN, response="r-2")
    story.seconds = 2 * 86_400.0
    story.request(D, P, usage=TEN, response="r-3")
    story.spent(C, "r-1", TEN)  # late, and still counted where it went
    told = asked(story.state, by="day")
    assert told.before == "2026-11-21"
    assert [(row.key, row.usage.total) for row in told.rows] == [("2026-11-23", 15), ("2026-11-22", 15), ("before", 15)]
    assert told.total.responses == 3
    assert told.total.differing == 1
    assert rows(story, by="model").keys() == {"m-served"}
    assert asked(story.state, since="2026-11-21").total.responses == 2


def test_one_day_that_is_too_much_gives_up_sessions_and_projects_and_no_token() -> None:
    story = Story(State(limits=Limits(cells=2)))
    for number in range(6):
        story.request(f"codex-{number}", P, usage=TEN, response=f"r-{number}")
    story.spent("codex-5", "r-5", LESS)
    assert asked(story.state).total.usage.total == 90
    assert rows(story)[""].responses == 4
    assert len(story.state.ledger.cells) == 3


def test_a_claim_on_anothers_conversation_is_counted_for_the_process_that_made_it() -> None:
    story = Story()
    other = process(200)
    story.seen(P)
    story.found(P, C)
    story.request(C, P, usage=TEN, response="r-1")
    story.request(C, other, usage=LESS, response="r-2")
    story.request(C, other, usage=LESS, response="r-3")
    total = sum(row.responses for row in rows(story).values())
    assert total == 3
    assert rows(story)[C].usage.total in (15, 28)  # the first one came before its claim was judged


@pytest.mark.parametrize("sample", sorted(path.stem for path in SAMPLES.glob("codex-*.jsonl")))
def test_recorded_rollouts_add_up_to_their_own_records(sample: str, tmp_path: Any) -> None:
    put(tmp_path, sample)
    (file,) = found(tmp_path)
    story = Story()
    for fact in all_facts(file):
        story.tell(fact, source=ROLLOUT)
    raw = [json.loads(line) for line in (SAMPLES / f"{sample}.jsonl").read_text().splitlines()]
    records = {line["payload"]["response_id"]: line["payload"]["usage"] for line in raw if line["type"] == "token_usage_record"}
    total = asked(story.state).total
    assert total.responses == len(records)
    assert total.usage.total == sum(each["total_tokens"] for each in records.values())
    assert total.usage.cached_input == sum(each["cached_input_tokens"] for each in records.values())


def test_replay_has_the_same_ledger_as_the_living_fold() -> None:
    story = Story()
    for number in range(20):
        story.request(C if number % 3 else D, P, usage=TEN, response=f"r-{number % 15}", cwd=f"/w{number % 2}")
        if number % 4 == 0:
            story.spent(C, f"r-{number}", LESS)
    story.announce()
    again = replay_state(story.journal)
    for by in ("session", "provider", "model", "project", "day"):
        assert asked(again, by=by, audit=100) == asked(story.state, by=by, audit=100)


def test_only_actors_tell_of_quotas() -> None:
    story = Story()
    fact = e.ProviderQuotaObserved(provider="p", window="tokens", source="header", remaining=3)
    story.tell(fact, source="/client/x/1")
    assert story.state.quotas.windows == {}
    story.tell(fact, source=GATEWAY)
    assert len(story.state.quotas.windows) == 1
