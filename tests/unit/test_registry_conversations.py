"""The hard cases of conversations: several of one process, one that goes elsewhere, and the files that they are written to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.registry.fold import Limits, State
from actors.registry.statements import rejected
from schemas import events as e
from schemas.identity import SessionId, process_id
from tests.story import (
    DISCOVERY,
    OTHER_TAB,
    ROLLOUT,
    SESSIONS,
    TAB,
    Story,
    declared,
    header,
    kernel,
    kinds,
    of,
    process,
    provisional,
)

P, Q, DAEMON = process(41), process(42), process(99)
C, D = SessionId("codex-01a1"), SessionId("codex-01b2")


# ------------------------------------------------------------------------------------------------ several of one process


def test_new_in_a_tui_begins_a_session_that_succeeds_the_first() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.found(P, C)
    story.request(C, P, process_kind="tui")
    story.announce()
    story.found(P, D)  # the lock of the first stays open
    story.request(D, P, process_kind="tui")
    rows = story.rows()
    assert (rows[C].aliases, rows[D].aliases) == ((provisional(P),), ())
    assert (rows[D].relation, rows[D].parent, rows[D].terminal) == ("succeeds", C, TAB)
    assert (rows[C].activity, rows[C].relation) == ("active", None)
    assert of(story, e.SessionLinked) == [e.SessionLinked(session=D, relation="succeeds", to=C)]
    assert any(C in sentence and "before it" in sentence for sentence in story.explain(D).because)


def test_clear_ends_the_former_session_and_begins_one_that_succeeds_it() -> None:
    story = Story()
    story.seen(P, agent="claude", terminal=TAB)
    story.found(P, "claude-a", declared("claude-a", "session file"))
    story.request("claude-a", P, agent="claude", process_kind="tui")
    story.announce()
    story.found(P, "claude-b", declared("claude-b", "session file"))
    story.lost(P, "claude-a", "the process does not declare it any more; it has another one")
    rows = story.rows()
    assert (rows["claude-a"].activity, rows["claude-b"].relation, rows["claude-b"].parent) == ("gone", "succeeds", "claude-a")
    assert (rows["claude-a"].aliases, rows["claude-b"].terminal) == ((provisional(P),), TAB)
    gone = of(story, e.SessionGone)
    assert [data.reason for data in gone] == [
        f"process {process_id(P)} left it: the process does not declare it any more; it has another one"
    ]
    story.request("claude-a", P, agent="claude", process_kind="tui")
    assert story.row("claude-a").activity == "active"
    assert kinds(story) == ["SessionReturned"]


def test_a_fork_has_a_parent() -> None:
    story = Story()
    story.request(D, P)
    story.transcript(D, forked_from="codex:01a1")
    row = story.row(D)
    assert (row.relation, row.parent) == ("forks", C)
    assert of(story, e.SessionLinked) == [e.SessionLinked(session=D, relation="forks", to=C)]


def test_a_fork_in_the_same_tui_forks_and_does_not_merely_succeed() -> None:
    story = Story()
    story.found(P, C)
    story.found(P, D)
    story.transcript(D, forked_from="codex:01a1")
    assert (story.row(D).relation, story.row(D).parent) == ("forks", C)
    assert of(story, e.SessionLinked) == [e.SessionLinked(session=D, relation="forks", to=C)]


def test_reviews_and_sub_agents_are_threads_of_their_root_by_files_and_by_requests() -> None:
    story = Story()
    story.seen(P)
    story.found(P, C)
    story.request(C, P, thread="01a1", thread_kind="main", process_kind="tui")
    story.request(C, P, thread="child", thread_kind="review", process_kind="tui")
    story.transcript(C, thread="child", kind="review")
    story.transcript(C, thread="other", kind="subagent")
    assert (list(story.rows()), story.row(C).threads) == ([C], 2)
    story.found(P, "codex-child")  # its lock alone names a thread
    story.found(P, "codex-other")
    assert list(story.rows()) == [C]
    assert {"codex-child", "codex-other"} <= set(story.row(C).aliases)
    assert story.explain("other").row.session == C


def test_a_file_cannot_take_a_conversation_that_has_requests_into_another() -> None:
    story = Story()
    story.request(C, P)
    story.transcript(D, thread="01a1", kind="subagent")
    assert list(story.rows()) == [C]
    assert story.row(C).verdict == "verified"


def test_a_title_request_is_no_session_even_when_its_lock_is_seen() -> None:
    story = Story()
    story.seen(P)
    story.found(P, C)
    story.request(provisional(P), P, thread_kind="title", thread="x", process_kind="tui")
    story.found(P, "codex-x")
    assert list(story.rows()) == [C]
    assert story.row(C).auxiliary_requests == 1


def test_a_child_of_another_agent_has_that_agent_s_session_as_parent() -> None:
    story = Story()
    story.request("claude-a", P, agent="claude", process_kind="tui")
    story.seen(Q, kind="exec", parent=P)
    story.request(C, Q)
    row = story.row(C)
    assert (row.parent, row.relation) == ("claude-a", None)
    assert any("started by an agent that has claude-a" in sentence for sentence in story.explain(C).because)
    story.request("claude-b", P, agent="claude", process_kind="tui")
    assert story.row(C).parent is None  # which of the two it was nobody says


# ------------------------------------------------------------------------------------------------ elsewhere


def test_resume_in_another_tab_told_in_the_wrong_order_ends_right() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.found(P, C)
    story.request(C, P, process_kind="tui")
    story.seen(Q, terminal=OTHER_TAB)
    story.seconds += 5
    story.request(C, Q, process_kind="tui")
    assert story.row(C).process == P  # its holder lives as far as was told
    story.found(Q, C)
    story.exited(P)
    row = story.row(C)
    assert (row.process, row.terminal, row.terminals, row.conflicts, row.requests) == (Q, OTHER_TAB, (TAB, OTHER_TAB), 0, 2)
    assert set(row.aliases) == {provisional(P), provisional(Q)}


def test_an_exit_that_was_missed_and_told_late_does_not_return_twice() -> None:
    story = Story()
    story.request(C, P)
    story.announce()
    story.exited(P)
    assert kinds(story) == ["SessionGone"]
    story.exited(P)
    story.found(Q, C)
    assert kinds(story) == ["SessionReturned"]
    story.request(C, Q)
    story.tell(e.ProcessExited(process=P), source=DISCOVERY)
    assert kinds(story) == []
    assert story.row(C).activity == "active"


def test_a_forged_claim_does_not_come_to_life_with_the_exit_of_its_victim() -> None:
    story = Story()
    story.found(P, C)
    story.request(C, P)
    story.request(C, Q)
    assert story.row(provisional(Q)).conflicts == 1
    story.exited(P)
    assert (story.row(C).activity, story.row(C).process, story.row(C).requests) == ("gone", P, 1)
    story.request(C, Q)  # now nobody has it: a resume
    assert (story.row(C).activity, story.row(C).process) == ("active", Q)


def test_two_processes_that_hold_one_conversation_are_a_conflict() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.seen(Q, terminal=OTHER_TAB)
    story.found(P, C)
    story.found(Q, C)
    row = story.row(C)
    assert (row.terminal, row.conflicts) == (None, 1)
    said = [line.evidence for line in story.explain(C).evidence if line.evidence.conflict]
    assert [one.kind for one in said] == ["several processes"]


def test_a_recycled_pid_is_another_process() -> None:
    story = Story()
    again = process(41, started=9000)
    story.request(C, P, terminal=TAB)
    story.exited(P)
    story.request(D, again, terminal=OTHER_TAB)
    assert (story.row(C).activity, story.row(D).activity) == ("gone", "active")
    assert story.row(D).terminal == OTHER_TAB


@pytest.mark.parametrize("why", ["two processes share the socket", "the connection's owner is gone"])
def test_an_unproven_sender_verifies_nothing(why: str) -> None:
    story = Story()
    story.request(None, None, evidence=[rejected(one, why, conflict=False) for one in (kernel(P), kernel(Q))])
    assert (story.table().sessions, story.table().unattributed) == ((), 1)


def test_a_proxy_between_is_a_caller_of_its_own() -> None:
    story = Story()
    story.found(P, C)
    claim = header(C, "the caller is no codex", conflict=True)
    story.request(provisional(Q), Q, agent="other", process_kind="other", evidence=[kernel(Q), claim])
    assert (story.row(C).verdict, story.row(C).requests) == ("unverified", 0)
    assert (story.row(provisional(Q)).agent, story.row(provisional(Q)).conflicts) == ("other", 1)


# ------------------------------------------------------------------------------------------------ transcripts


def test_a_file_with_another_s_id_is_set_aside_and_reported() -> None:
    story = Story()
    right, forged = f"{SESSIONS}/rollout-01a1.jsonl", "/tmp/rollout-01a1.jsonl"
    story.request(C, P)
    story.transcript(C, agent_provider="openai", path=right)
    assert story.row(C).agent_provider == "openai"
    story.transcript(C, agent_provider="evil", path=forged, file="file-forged")
    row = story.row(C)
    assert (row.agent_provider, row.conflicts, row.verdict) == (None, 1, "verified")
    story.found(P, C, transcript=right)
    row = story.row(C)
    assert (row.agent_provider, row.transcript, row.conflicts) == ("openai", right, 1)
    said = [line.evidence for line in story.explain(C).evidence if line.evidence.kind == "transcript"]
    assert [one.note for one in said] == [forged]
    assert said[0].rejected == f"the kernel sees the process of this conversation hold {right} open"


def test_an_archived_file_is_the_same_file() -> None:
    story = Story()
    story.request(C, P)
    story.transcript(C)
    archived = "/home/u/.codex/archived_sessions/rollout-01a1.jsonl"
    story.tell(e.TranscriptMoved(session=C, file="file-01a1", path=archived, archived=True), source=ROLLOUT)
    assert (story.row(C).transcript, story.row(C).conflicts) == (archived, 0)


@pytest.mark.parametrize("request_first", [True, False])
def test_a_response_that_both_tell_of_counts_once(*, request_first: bool) -> None:
    story = Story()
    told: list[Callable[[], object]] = [
        lambda: story.request(C, P, usage=e.Usage(input=10, total=10), response="resp-1"),
        lambda: story.spent(C, "resp-1", e.Usage(input=10, output=5, total=15)),
    ]
    for one in told if request_first else reversed(told):
        one()
    story.spent(C, "resp-2", e.Usage(input=1, total=1))
    row = story.row(C)
    assert row.usage == e.Usage(input=11, output=5, total=16)
    assert row.transcript_usage == e.Usage(input=1, total=1)


def test_transcripts_without_a_process_are_bounded_and_make_no_rows() -> None:
    story = Story(State(limits=Limits(transcripts=5)))
    for number in range(20):
        story.transcript(f"codex-{number}")
    assert (len(story.state.transcripts), story.state.sessions) == (5, {})
    assert story.state.counted["transcripts forgotten"] == 15
