"""Playbooks of identity: what verifies a conversation, what a launch is called before it is known, and who may not claim it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.registry.fold import Limits, State
from schemas import events as e
from schemas.events.values import ProcessKind
from schemas.evidence import Evidence, Rank, Subject
from schemas.identity import LaunchId, SessionId, process_id
from tests.story import GATEWAY, OTHER_TAB, TAB, Story, header, holder, kernel, process, provisional

P, Q, DAEMON = process(41), process(42), process(99)
C, D = SessionId("codex-01a1"), SessionId("codex-01b2")
L = LaunchId("launch-0123456789ab")
AT_FIRST = SessionId(L)  # until its conversation is known


# ------------------------------------------------------------------------------------------------ verdict


def test_a_request_from_a_kernel_proven_process_verifies_its_conversation() -> None:
    story = Story()
    story.request(C, P, terminal=TAB, cwd="/w")
    row = story.row(C)
    assert (row.verdict, row.activity, row.requests, row.terminal) == ("verified", "active", 1, TAB)
    assert (row.conversation, row.process, row.cwd, row.missing) == ("codex:01a1", P, "/w", ())
    assert (row.routing_provider, row.requested_model, row.served_model) == ("echo", "m", "m-served")


def test_a_launch_token_verifies_without_a_known_process() -> None:
    story = Story()
    story.request(C, None, launch=L)
    assert story.row(C).verdict == "verified"


@pytest.mark.parametrize("rank", [Rank.PROCESS_DECLARED, Rank.REQUEST_DECLARED, Rank.TRANSCRIPT_DECLARED])
def test_lower_ranks_never_verify(rank: Rank) -> None:
    story = Story()
    said = Evidence(rank=rank, kind="x", proves="conversation", value="codex:01a1")
    for _ in range(50):
        story.request(C, P, evidence=[said])
    row = story.row(C)
    assert row.verdict == "unverified"
    assert row.missing == ("no request whose sender the kernel or a launch token of ours proves",)


def test_rejected_evidence_never_verifies() -> None:
    story = Story()
    said = Evidence(rank=Rank.KERNEL, kind="socket owner", proves="process", value=process_id(P), rejected="two owners")
    story.request(C, P, evidence=[said])
    assert story.row(C).verdict == "unverified"


@pytest.mark.parametrize("proves", ["terminal", "agent"])
def test_evidence_about_terminal_or_agent_never_verifies(proves: Subject) -> None:
    story = Story()
    said = Evidence(rank=Rank.KERNEL, kind="x", proves=proves, value="x")
    story.request(C, P, evidence=[said])
    assert story.row(C).verdict == "unverified"


def test_evidence_without_process_or_launch_never_verifies() -> None:
    story = Story()
    story.request(C, None, evidence=[kernel(P)])
    assert story.row(C).verdict == "unverified"


def test_an_agent_without_conversation_ids_is_verified_by_its_process() -> None:
    story = Story()
    story.request(provisional(P), P, agent="gemini")
    row = story.row(provisional(P))
    assert (row.verdict, row.provisional, row.agent) == ("verified", True, "gemini")


def test_a_models_list_alone_verifies_no_provisional_session() -> None:
    story = Story()
    story.request(provisional(P), P, method="GET")
    row = story.row(provisional(P))
    assert (row.verdict, row.requests) == ("unverified", 1)
    assert row.missing == ("no model request yet: only auxiliary requests came through the gateway",)


def test_unattributed_requests_are_counted_apart() -> None:
    story = Story()
    story.request(None, None)
    story.request(None, None, end="failed")
    assert story.table().sessions == ()
    assert story.table().unattributed == 2
    assert story.state.flights == {}


# ------------------------------------------------------------------------------------------------ provisional and identified


def test_a_launch_is_a_provisional_session_until_its_conversation_is_proven() -> None:
    story = Story()
    story.launched(L, P, terminal=TAB, cwd="/w", provider="local", model="big")
    row = story.row(L)
    assert (row.provisional, row.verdict, row.terminal, row.launch) == (True, "unverified", TAB, L)
    assert row.missing == ("no request through the gateway yet",)
    story.request(C, P, launch=L, terminal=TAB)
    assert list(story.rows()) == [C]
    row = story.row(C)
    assert row.aliases == (AT_FIRST, provisional(P))
    assert (row.launch, row.preferred_provider, row.preferred_model, row.cwd) == (L, "local", "big", "/w")
    kinds = [type(effect.data).__name__ for effect in story.announce()]
    assert kinds == ["SessionSeen", "SessionSeen", "SessionIdentified", "SessionVerified"]
    assert story.announce() == []


def test_a_launch_told_after_its_first_request_never_has_a_row_of_its_own() -> None:
    story = Story()
    story.request(C, P, launch=L)
    story.announce()
    story.launched(L, P, terminal=TAB)
    assert list(story.rows()) == [C]
    assert story.row(C).terminal == TAB
    assert story.announce() == []


def test_a_launch_of_a_process_whose_conversation_is_known_already_is_its_alias() -> None:
    story = Story()
    story.request(C, P)
    story.launched(L, P)
    assert list(story.rows()) == [C]
    assert story.row(C).aliases == (AT_FIRST, provisional(P))


def test_a_process_seen_before_its_first_request_is_identified_once() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    assert story.row(provisional(P)).missing == ("no request through the gateway yet",)
    story.announce()
    story.request(C, P)
    story.request(C, P)
    identified = [effect.data for effect in story.announce() if isinstance(effect.data, e.SessionIdentified)]
    assert identified == [e.SessionIdentified(session=C, provisional=provisional(P))]
    assert story.row(C).aliases == (provisional(P),)
    assert story.row(C).terminal == TAB


def test_a_second_conversation_of_a_process_is_a_session_of_its_own_without_alias() -> None:
    story = Story()
    story.launched(L, P)
    story.request(C, P, launch=L, process_kind="tui")
    story.request(D, P, launch=L, process_kind="tui")
    assert story.row(C).aliases == (AT_FIRST, provisional(P))
    assert story.row(D).aliases == ()
    assert story.row(D).launch == L
    story.announce()
    story.exited(P)
    assert {row.activity for row in story.rows().values()} == {"gone"}


def test_the_process_of_a_launch_seen_first_becomes_an_alias_of_the_launch() -> None:
    story = Story()
    story.seen(P)
    story.announce()
    story.launched(L, P)
    assert list(story.rows()) == [L]
    assert story.row(L).aliases == (provisional(P),)
    story.request(C, P, launch=L)
    assert story.row(C).aliases == (AT_FIRST, provisional(P))
    assert story.explain(provisional(P)).row.session == C


def test_title_requests_count_for_the_process_only() -> None:
    story = Story()
    story.request(provisional(P), P, thread_kind="title", thread="X")
    assert story.row(provisional(P)).verdict == "unverified"
    story.request(C, P, thread_kind="main", thread="01a1")
    story.request(provisional(P), P, thread_kind="title", thread="Y")
    row = story.row(C)
    assert (list(story.rows()), row.requests, row.auxiliary_requests) == ([C], 1, 2)


def test_a_title_request_under_a_conversation_is_counted_for_its_process() -> None:
    story = Story()
    story.request("codex-title", P, thread_kind="title")
    assert list(story.rows()) == [provisional(P)]
    story.request("codex-title", P, thread_kind="title", launch=L)
    assert "codex-title" not in story.state.sessions
    story.request("codex-title", None, thread_kind="title")
    assert story.table().unattributed == 1


def test_sub_agents_and_reviews_are_threads_of_their_conversation() -> None:
    story = Story()
    story.request(C, P, thread="01a1", thread_kind="main")
    story.request(C, P, thread="child-1", thread_kind="review", parent_thread="01a1")
    story.request(C, P, thread="child-2", thread_kind="subagent", parent_thread="01a1")
    assert list(story.rows()) == [C]
    assert story.row(C).requests == 3
    said = story.explain("child-2")
    assert said.row.session == C
    assert any("1 review" in sentence and "1 subagent" in sentence for sentence in said.because)


def test_other_callers_are_listed_as_other() -> None:
    story = Story()
    story.seen(P, agent="other", kind="other")
    assert story.table().sessions == ()
    story.request(provisional(P), P, agent="other", process_kind="other")
    assert story.row(provisional(P)).agent == "other"


@pytest.mark.parametrize("kind", ["app_server", "mcp"])
def test_a_process_that_serves_many_conversations_is_none_of_them(kind: ProcessKind) -> None:
    story = Story()
    story.seen(P, kind=kind)
    assert list(story.rows()) == [provisional(P)]
    story.request(C, P, process_kind=kind)
    story.request(D, P, process_kind=kind)
    assert set(story.rows()) == {C, D}
    assert story.row(C).aliases == ()
    assert story.explain(provisional(P)).row.session == provisional(P)


# ------------------------------------------------------------------------------------------------ shared daemon


def test_a_daemon_verifies_conversations_and_claims_no_terminal() -> None:
    story = Story()
    story.seen(DAEMON, kind="daemon", terminal=TAB)
    story.seen(Q, kind="tui", terminal=OTHER_TAB)
    story.request(C, DAEMON, process_kind="daemon", terminal_missing="it serves many tabs")
    story.request(D, DAEMON, process_kind="daemon", terminal=TAB)
    for session in (C, D):
        row = story.row(session)
        assert (row.verdict, row.terminal, row.terminals, row.aliases) == ("verified", None, (), ())
        assert row.terminal_missing == "it serves many tabs"
    tui = story.row(provisional(Q))
    assert (tui.verdict, tui.terminal) == ("unverified", OTHER_TAB)
    assert any("tabwire run codex" in sentence for sentence in tui.missing)
    assert provisional(DAEMON) not in story.rows()
    assert all(effect.data.session != provisional(DAEMON) for effect in story.announce())


def test_titles_of_a_daemon_make_no_row() -> None:
    story = Story()
    story.request(provisional(DAEMON), DAEMON, process_kind="daemon", thread_kind="title")
    assert story.table().sessions == ()
    assert story.announce() == []
    assert story.explain(provisional(DAEMON)).row.requests == 1


# ------------------------------------------------------------------------------------------------ conflicts


def test_a_forged_header_changes_nothing_for_its_victim() -> None:
    story = Story()
    story.request(C, P, terminal=TAB)
    story.announce()
    before = story.row(C)
    for _ in range(3):
        forged = header(C, "the caller is no codex", conflict=True)
        story.request(provisional(Q), Q, agent="other", process_kind="other", evidence=[kernel(Q), forged])
    assert story.row(C) == before
    assert story.row(provisional(Q)).conflicts == 1
    conflicted = [effect.data for effect in story.announce() if isinstance(effect.data, e.SessionConflicted)]
    assert [(data.session, data.evidence.value) for data in conflicted] == [(provisional(Q), "codex:01a1")]
    lines = [line for line in story.explain(provisional(Q)).evidence if line.evidence.conflict]
    assert [line.repeated for line in lines] == [3]


@pytest.mark.parametrize("holder_first", [True, False])
def test_a_conversation_held_by_one_process_is_not_anothers_by_header(*, holder_first: bool) -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.seen(Q, terminal=OTHER_TAB)
    told: list[Callable[[], object]] = [
        lambda: story.request(C, P, evidence=[kernel(P), holder(C), header(C)], usage=e.Usage(input=5, total=5)),
        lambda: story.request(C, Q, usage=e.Usage(input=100, total=100)),
    ]
    for one in told if holder_first else reversed(told):
        one()
    row, claimer = story.row(C), story.row(provisional(Q))
    assert (row.requests, row.terminal, row.usage, row.process) == (1, TAB, e.Usage(input=5, total=5), P)
    assert (claimer.requests, claimer.conflicts, claimer.terminal) == (1, 1, OTHER_TAB)
    assert any(isinstance(effect.data, e.SessionConflicted) for effect in story.announce())
    story.request(C, Q, evidence=[kernel(Q), holder(C), header(C)])
    assert story.row(C).requests == 3


def test_a_resume_in_another_tab_is_the_same_session() -> None:
    story = Story()
    story.request(C, P, terminal=TAB)
    story.announce()
    story.exited(P)
    story.announce()
    assert story.row(C).activity == "gone"
    story.request(C, Q, terminal=OTHER_TAB)
    row = story.row(C)
    assert (row.terminal, row.terminals, row.requests, row.conflicts) == (OTHER_TAB, (TAB, OTHER_TAB), 2, 0)
    assert [type(effect.data) for effect in story.announce()] == [e.SessionReturned]


def test_a_better_ranked_terminal_stands_and_the_other_is_a_conflict() -> None:
    story = Story()
    story.launched(L, P, terminal=OTHER_TAB)
    story.seen(P, terminal=TAB, launch=L)
    row = story.row(L)
    assert (row.terminal, row.conflicts) == (OTHER_TAB, 1)
    said = [line.evidence for line in story.explain(L).evidence if line.evidence.proves == "terminal"]
    assert [(one.value, one.conflict) for one in said] == [(OTHER_TAB, False), (TAB, True)]


def test_terminals_of_equal_rank_are_ambiguous_with_candidates() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.seen(P, terminal=OTHER_TAB, source=GATEWAY)
    row = story.row(provisional(P))
    assert row.terminal is None
    assert row.terminal_missing == f"ambiguous: {OTHER_TAB}, {TAB}"


def test_conflicts_are_bounded_and_the_rest_counted() -> None:
    story = Story(State(limits=Limits(conflicts=2)))
    for number in range(5):
        story.request(provisional(P), P, evidence=[kernel(P), header(f"codex-x{number}", "no", conflict=True)])
    assert story.row(provisional(P)).conflicts == 5
    assert len([effect for effect in story.announce() if isinstance(effect.data, e.SessionConflicted)]) == 2
