"""Rows and explanations: what a person reads, and how a session is named."""

from __future__ import annotations

import pytest

from actors.registry.replay import replay, replay_state
from actors.registry.rows import AmbiguousSessionError, UnknownSessionError, resolve
from schemas.codec import convert, encode, parse
from schemas.identity import LaunchId
from schemas.rows import Explanation, SessionTable
from tests.story import OTHER_TAB, TAB, Story, clock, header, kernel, process, provisional

P, Q = process(41), process(42)
L = LaunchId("launch-0123456789ab")


@pytest.fixture
def story() -> Story:
    told = Story()
    told.launched(L, P, terminal=TAB)
    told.request("codex-01a1fb07", P, launch=L, thread="01a1fb07", thread_kind="main")
    told.request("codex-01a1ffff", Q, terminal=OTHER_TAB)
    return told


@pytest.mark.parametrize("prefix", ["codex-01a1fb", "01a1fb", "launch-01", L, "01a1fb07", "codex-01a1fb07", "proc-41"])
def test_any_unique_prefix_of_any_id_or_alias(story: Story, prefix: str) -> None:
    assert resolve(story.state, prefix) == "codex-01a1fb07"


def test_an_ambiguous_prefix_lists_its_candidates(story: Story) -> None:
    with pytest.raises(AmbiguousSessionError, match=r"'01a1' names 2 sessions: codex-01a1fb07, codex-01a1ffff") as raised:
        resolve(story.state, "01a1")
    assert raised.value.candidates == ("codex-01a1fb07", "codex-01a1ffff")


def test_an_exact_id_wins_over_longer_ones(story: Story) -> None:
    story.request("codex-01a1fb07-2", process(43))
    assert resolve(story.state, "codex-01a1fb07") == "codex-01a1fb07"


@pytest.mark.parametrize("prefix", ["", "zzz"])
def test_an_unknown_prefix_says_so(story: Story, prefix: str) -> None:
    with pytest.raises(UnknownSessionError, match="tabwire sessions"):
        resolve(story.state, prefix)


def test_the_table_is_the_most_recently_seen_first_and_as_of_its_position(story: Story) -> None:
    told = story.table()
    assert [row.session for row in told.sessions] == ["codex-01a1ffff", "codex-01a1fb07"]
    assert (told.as_of.position, told.as_of.epoch) == (len(story.journal), "epoch-1")


def test_an_explanation_lists_statements_by_rank_with_position_time_and_actor(story: Story) -> None:
    told = story.explain(L)
    ranks = [line.evidence.rank for line in told.evidence]
    assert ranks == sorted(ranks)
    first = told.evidence[0]
    assert (first.position, first.time, first.type, first.source) == (1, clock(1), "launch.started", "/client/run/77")
    assert told.because[0].startswith("verified: the sender of request r1 is proven by rank 1 (told by us)")
    assert any(TAB in sentence and "rank 1" in sentence for sentence in told.because)


def test_an_explanation_names_what_was_rejected_and_what_is_missing() -> None:
    story = Story()
    story.request(provisional(P), P, agent="other", evidence=[header("codex-x", "the caller is no codex", conflict=True)])
    told = story.explain("proc-")
    assert told.because[0] == "unverified: no request whose sender the kernel or a launch token of ours proves"
    assert "rejected conversation codex:x (rank 4, header): the caller is no codex" in told.because
    assert any(sentence.startswith("no terminal is claimed: ") for sentence in told.because)


def test_a_gone_session_says_why() -> None:
    story = Story()
    story.request("codex-a", P, evidence=[kernel(P)])
    story.exited(P)
    assert story.explain("codex-a").because[-1].startswith(f"gone since {clock(6)}, by process: process 41-")


def test_answers_survive_the_codec(story: Story) -> None:
    assert convert(parse(encode(story.table())), SessionTable) == story.table()
    assert convert(parse(encode(story.explain(L))), Explanation) == story.explain(L)


def test_replay_to_a_position_is_the_table_of_then(story: Story) -> None:
    then = Story()
    then.launched(L, P, terminal=TAB)
    assert replay(story.journal, until_position=1) == then.table()
    assert replay(story.journal, until_time=clock(1.5)).sessions == then.table().sessions
    assert replay(story.journal) == story.table()
    assert replay_state(iter(story.journal), until_position=0).position == 0


def test_replay_refuses_what_is_no_time(story: Story) -> None:
    with pytest.raises(ValueError, match="expected RFC 3339"):
        replay(story.journal, until_time="yesterday")


def test_a_time_that_is_none_makes_a_row_idle(story: Story) -> None:
    assert {row.activity for row in replay(story.journal, now="whenever").sessions} == {"idle"}
