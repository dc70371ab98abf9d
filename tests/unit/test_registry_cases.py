"""Playbooks of the join: every case in which sessions have been guessed wrong elsewhere, told by all sources together."""

from __future__ import annotations

import pytest

from schemas import events as e
from schemas.evidence import Evidence, Rank
from schemas.identity import LaunchId, SessionId, process_id
from tests.story import (
    DISCOVERY,
    OTHER_TAB,
    SESSIONS,
    TAB,
    Story,
    clock,
    declared,
    header,
    holder,
    kinds,
    of,
    process,
    provisional,
)

P, Q, DAEMON = process(41), process(42), process(99)
C, D = SessionId("codex-01a1"), SessionId("codex-01b2")
L = LaunchId("launch-0123456789ab")
AT_FIRST = SessionId(L)  # until its conversation is known
TUI_OPENED = "codex_daemon"


# ------------------------------------------------------------------------------------------------ before any request


@pytest.mark.parametrize("count", [2, 20])
def test_agents_started_in_one_second_and_folder_are_told_apart(count: int) -> None:
    story = Story()
    agents = [process(100 + number, started=5000) for number in range(count)]
    for number, key in enumerate(agents):
        story.seen(key, terminal=f"wt:{number}", cwd="/w")
    for number, key in enumerate(reversed(agents)):
        story.request(f"codex-{count - 1 - number:02}", key, process_kind="tui")
    rows = story.rows()
    assert set(rows) == {f"codex-{number:02}" for number in range(count)}
    for number, key in enumerate(agents):
        row = rows[f"codex-{number:02}"]
        assert (row.process, row.terminal, row.aliases, row.verdict) == (key, f"wt:{number}", (provisional(key),), "verified")


def test_a_tui_that_was_never_prompted_is_known_by_its_lock_and_verified_only_by_a_request() -> None:
    story = Story()
    story.seen(P, terminal=TAB, cwd="/w")
    story.announce()
    story.found(P, C)
    row = story.row(C)
    assert (row.verdict, row.terminal, row.cwd, row.process, row.status) == ("unverified", TAB, "/w", P, "idle")
    assert (row.missing, row.aliases) == (("no request through the gateway yet",), (provisional(P),))
    assert kinds(story) == ["SessionSeen", "SessionIdentified"]
    story.seconds += 600
    story.request(C, P, process_kind="tui")
    assert story.row(C).verdict == "verified"
    assert kinds(story) == ["SessionVerified"]


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (
            e.Endpoint(verdict="gateway", source="-c"),
            "no request through the gateway yet; it is configured for this gateway (-c)",
        ),
        (
            e.Endpoint(verdict="other", source="config.toml", origin="https://api.example"),
            "uses another base_url (https://api.example, by config.toml), `tabwire run codex` points it here",
        ),
        (
            e.Endpoint(verdict="unknown", source="config.toml changed after it started"),
            "no request through the gateway yet; where it sends them is not known: config.toml changed after it started",
        ),
    ],
)
def test_what_is_missing_says_where_its_requests_go(endpoint: e.Endpoint, said: str) -> None:
    story = Story()
    story.seen(P, endpoint=endpoint)
    story.found(P, C)
    row = story.row(C)
    assert (row.missing, row.endpoint) == ((said,), endpoint)
    assert any(sentence.startswith("its base_url leads to ") for sentence in story.explain(C).because)
    story.request(C, P)
    assert story.row(C).missing == ()


def test_an_unreadable_process_is_a_row_that_says_why() -> None:
    story = Story()
    story.seen(P, unreadable="it runs as another user")
    row = story.row(provisional(P))
    assert (row.unreadable, row.terminal_missing) == ("it runs as another user", "it runs as another user")
    assert row.missing == ("no request through the gateway yet; its process cannot be read: it runs as another user",)
    story.seen(P, terminal=TAB)
    assert (story.row(provisional(P)).unreadable, story.row(provisional(P)).terminal) == ("", TAB)


def test_an_agent_older_than_tabwire_is_listed_from_what_it_holds() -> None:
    story = Story()
    story.transcript(C, agent_provider="openai", cwd="/w", git_branch="main")
    assert story.table().sessions == ()
    story.seen(P, terminal=TAB)
    story.found(P, C, transcript=f"{SESSIONS}/rollout-01a1.jsonl")
    row = story.row(C)
    assert (row.agent_provider, row.git_branch, row.transcript) == (
        "openai",
        "main",
        f"{SESSIONS}/rollout-01a1.jsonl",
    )
    assert (row.verdict, row.terminal, row.conflicts) == ("unverified", TAB, 0)


# ------------------------------------------------------------------------------------------------ declarations


def test_a_declaration_alone_decides_the_row_but_is_never_announced_as_identified() -> None:
    story = Story()
    story.seen(P, agent="claude", terminal=TAB)
    story.found(P, "claude-c", declared("claude-c", "session file"))
    row = story.row("claude-c")
    assert (list(story.rows()), row.declared, row.terminal, row.verdict) == (["claude-c"], True, TAB, "unverified")
    assert story.explain(provisional(P)).row.session == "claude-c"
    assert kinds(story) == ["SessionSeen", "SessionSeen"]
    story.request("claude-c", P, agent="claude", process_kind="tui")
    assert story.row("claude-c").declared is False
    assert kinds(story) == ["SessionIdentified", "SessionVerified"]


def test_two_processes_that_declare_one_conversation_are_both_and_the_terminal_is_ambiguous() -> None:
    story = Story()
    for key, tab in ((P, TAB), (Q, OTHER_TAB)):
        story.seen(key, agent="claude", terminal=tab)
        story.found(key, "claude-c", declared("claude-c", "session file"))
    rows = story.rows()
    assert set(rows) == {"claude-c", provisional(P), provisional(Q)}
    assert (rows["claude-c"].terminal, rows["claude-c"].conflicts) == (None, 1)
    assert rows["claude-c"].terminal_missing == f"ambiguous: {OTHER_TAB}, {TAB}"
    (conflict,) = of(story, e.SessionConflicted)
    assert conflict.evidence.value == f"{process_id(P)}, {process_id(Q)}"
    story.exited(Q)
    row = story.row("claude-c")
    assert (row.terminal, row.conflicts, row.aliases) == (TAB, 0, (provisional(P),))


def test_what_an_argument_declares_does_not_stand_against_the_holder() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.found(P, C)
    story.seen(Q, terminal=OTHER_TAB)
    story.found(Q, C, declared(C))
    assert (story.row(C).process, story.row(C).terminal) == (P, TAB)
    claimer = story.row(provisional(Q))
    assert (claimer.conflicts, claimer.verdict) == (1, "unverified")
    assert any("holds it with rank 2" in sentence for sentence in story.explain(provisional(Q)).because)


# ------------------------------------------------------------------------------------------------ terminals


def test_a_rewritten_environment_makes_the_terminal_ambiguous_and_promotes_nothing() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.found(P, C)
    story.request(C, P, process_kind="tui", terminal=OTHER_TAB)
    row = story.row(C)
    assert (row.terminal, row.conflicts) == (None, 2)
    assert row.terminal_missing == f"ambiguous: {OTHER_TAB}, {TAB}"


def test_a_foreign_wt_session_that_discovery_rejected_is_shown_and_not_used() -> None:
    story = Story()
    foreign = Evidence(rank=Rank.PROCESS_DECLARED, kind="environment", proves="terminal", value=TAB, rejected="tmux wins")
    story.seen(P, terminal=OTHER_TAB, evidence=(foreign,))
    assert (story.row(provisional(P)).terminal, story.row(provisional(P)).conflicts) == (OTHER_TAB, 0)
    lines = [line.evidence for line in story.explain(provisional(P)).evidence]
    assert [(one.value, one.rejected) for one in lines if one.rejected] == [(TAB, "tmux wins")]


# ------------------------------------------------------------------------------------------------ daemon


def daemon_story() -> Story:
    story = Story()
    story.seen(DAEMON, kind="daemon")
    story.seen(P, terminal=TAB)
    story.seen(Q, terminal=OTHER_TAB)
    for session in (C, D):
        story.found(DAEMON, session)
        story.request(session, DAEMON, process_kind="daemon")
    return story


def test_tuis_of_a_daemon_are_rows_that_say_why_they_cannot_be_joined() -> None:
    story = daemon_story()
    rows = story.rows()
    assert set(rows) == {C, D, provisional(P), provisional(Q)}
    assert [(rows[name].verdict, rows[name].terminal) for name in (C, D)] == [("verified", None)] * 2
    for key in (P, Q):
        (first, second) = rows[provisional(key)].missing
        assert first == "no request through the gateway yet"
        assert "`tabwire run codex` or `codex --no-daemon`" in second


def test_an_argument_of_a_daemon_s_tui_proves_no_tab() -> None:
    story = daemon_story()
    story.found(P, C, declared(C))
    rows = story.rows()
    assert (rows[C].terminal, rows[C].process, rows[C].conflicts) == (None, DAEMON, 0)
    assert (rows[provisional(P)].conflicts, rows[provisional(P)].terminal) == (0, TAB)
    said = [line.evidence for line in story.explain(provisional(P)).evidence if line.evidence.rejected]
    assert [(one.value, one.conflict) for one in said] == [("codex:01a1", False)]


def test_the_daemon_s_own_account_of_who_opened_a_conversation_gives_it_a_tab() -> None:
    story = daemon_story()
    story.found(P, C, declared(C, TUI_OPENED))
    rows = story.rows()
    assert set(rows) == {C, D, provisional(Q)}
    assert (rows[C].terminal, rows[C].process, rows[C].verdict, rows[C].conflicts) == (TAB, DAEMON, "verified", 0)
    assert (rows[C].aliases, rows[D].terminal) == ((provisional(P),), None)
    assert of(story, e.SessionIdentified) == []  # a declaration may have to be taken back
    story.exited(P)
    assert (story.row(C).activity, story.row(C).terminal, story.row(C).terminals) == ("active", None, (TAB,))


def test_who_started_the_daemon_is_no_parent_of_what_it_has() -> None:
    story = daemon_story()
    story.seen(DAEMON, kind="daemon", parent=P)
    story.found(P, C, declared(C, TUI_OPENED))
    assert [(story.row(name).relation, story.row(name).parent) for name in (C, D)] == [(None, None)] * 2


# ------------------------------------------------------------------------------------------------ hooks and launches


def test_a_hook_identifies_and_verifies_nothing() -> None:
    story = Story()
    story.launched(L, P)
    story.announce()
    story.hook(C, P, "SessionStart", evidence=(header(C),))
    assert (list(story.rows()), story.row(C).aliases, story.row(C).verdict) == ([C], (AT_FIRST, provisional(P)), "unverified")
    assert "SessionIdentified" in kinds(story)


def test_a_hook_of_nobody_s_conversation_is_kept_with_its_process() -> None:
    story = Story()
    story.seen(P)
    story.hook(None, P, "Stop", evidence=(header(C, "the caller is no codex", conflict=True),))
    assert story.row(provisional(P)).conflicts == 1


def test_a_launch_is_identified_by_what_its_process_holds() -> None:
    story = Story()
    story.launched(L, P, terminal=TAB)
    story.announce()
    story.found(P, C)
    assert (list(story.rows()), story.row(C).launch, story.row(C).terminal) == ([C], L, TAB)
    identified = of(story, e.SessionIdentified)
    assert identified == [e.SessionIdentified(session=C, provisional=AT_FIRST)]


def test_what_was_announced_stays_an_alias_though_an_earlier_conversation_is_told_late() -> None:
    story = Story()
    story.seen(P)
    story.request(D, P, process_kind="tui")
    story.announce()
    story.found(P, C, source=DISCOVERY)
    assert story.row(D).aliases == (provisional(P),)
    assert story.row(C).relation == "succeeds"


def test_started_by_a_process_is_said_with_position_time_and_actor() -> None:
    story = Story()
    story.seen(P, terminal=TAB)
    story.found(P, C)
    line = next(one for one in story.explain(C).evidence if one.evidence.kind == "rollout held open")
    assert (line.position, line.time, line.source, line.process) == (2, clock(2), DISCOVERY, process_id(P))
    assert line.evidence == holder(C)
