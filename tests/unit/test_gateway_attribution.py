"""Playbooks of attribution: the evidence ranks, told as cases."""

from __future__ import annotations

from typing import Any

import pytest

from actors.gateway.attribution import (
    NO_LAUNCH,
    Attribution,
    Relation,
    Standing,
    attribute,
    caller_of,
    unknown_caller,
)
from actors.gateway.claims import NO_CLAIMS, Claims, read_claims
from actors.runtime.http.fields import Fields
from schemas.evidence import Evidence, Rank
from schemas.identity import LaunchId, ProcessKey, SessionId, TerminalKey, process_session
from schemas.launch import LaunchRecord

PROCESS = ProcessKey("host", "boot", 41, 1000, 7)
TAB, OTHER_TAB = TerminalKey("wt:1"), TerminalKey("wt:2")
ROOT = "01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60"
CHILD = "01a1fb08-0000-7cf3-a2b2-400eaf1e2b61"
SEATED = Evidence(rank=Rank.PROCESS_DECLARED, kind="environment", proves="terminal", value=TAB)
CODEX = caller_of(PROCESS, "codex", "tui", terminal=TAB, seated=(SEATED,), cwd="/src")
CURL = caller_of(PROCESS, "other", "other", terminal=TAB, seated=(SEATED,))


def codex(session: str = ROOT, thread: str = ROOT, turn: str = "{}", **more: str) -> Claims:
    fields = {"session-id": session, "thread-id": thread, "x-codex-turn-metadata": turn}
    return read_claims(Fields.of({**fields, **{name.replace("_", "-"): value for name, value in more.items()}}))


def launched(
    relation: Relation = "same", agent: str = "codex", terminal: TerminalKey | None = None, session: str | None = None
) -> Standing:
    record = LaunchRecord(
        launch=LaunchId("launch-0123456789ab"),
        agent=agent,
        token_sha256="0" * 64,
        process=PROCESS,
        created="2026-11-21T00:00:00Z",
        terminal=terminal,
        cwd="/launched",
        session=None if session is None else SessionId(session),
    )
    return Standing("living", record, relation)


def conflicts(found: Attribution) -> list[str]:
    return [one.rejected for one in found.evidence if one.conflict]


def test_a_codex_process_is_believed_its_conversation() -> None:
    found = attribute(CODEX, NO_LAUNCH, codex())
    assert (found.session, found.conversation, found.thread_kind) == (f"codex-{ROOT}", f"codex:{ROOT}", "main")
    assert (found.agent, found.terminal, found.cwd, found.process) == ("codex", TAB, "/src", PROCESS)
    assert {one.rank for one in found.evidence} == {Rank.KERNEL, Rank.PROCESS_DECLARED, Rank.REQUEST_DECLARED}
    assert conflicts(found) == []


def test_anybody_else_who_claims_a_conversation_keeps_its_own_session() -> None:
    found = attribute(CURL, NO_LAUNCH, codex())
    assert (found.session, found.conversation, found.agent) == (process_session(PROCESS), None, "other")
    assert (found.thread, found.thread_kind) == (None, "unknown")
    assert conflicts(found) == ["the caller is no codex (it is 'other')"]


def test_a_caller_that_is_not_known_is_believed_nothing() -> None:
    found = attribute(unknown_caller("2 processes hold the socket", ("41-a", "42-b")), NO_LAUNCH, codex())
    assert (found.session, found.process, found.terminal) == (None, None, None)
    assert [one.value for one in found.evidence if one.proves == "process"] == ["41-a", "42-b"]
    assert all(one.rejected for one in found.evidence)
    assert conflicts(found) == []


def test_without_claims_a_process_is_its_own_session() -> None:
    assert attribute(CODEX, NO_LAUNCH, NO_CLAIMS).session == process_session(PROCESS)
    assert attribute(CURL, NO_LAUNCH, NO_CLAIMS).session == process_session(PROCESS)


def test_the_shared_daemon_is_believed_its_conversation_and_never_a_terminal() -> None:
    daemon = caller_of(PROCESS, "codex", "daemon", terminal=TAB, seated=(SEATED,), cwd="/first/tab")
    found = attribute(daemon, NO_LAUNCH, codex())
    assert found.session == f"codex-{ROOT}"
    assert (found.terminal, found.cwd) == (None, None)
    assert "tabwire run codex" in found.terminal_missing
    (seated,) = [one for one in found.evidence if one.proves == "terminal"]
    assert (seated.value, seated.rejected) == (TAB, found.terminal_missing)


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        (codex(thread=CHILD, x_openai_subagent="review", x_codex_parent_thread_id=ROOT), "review"),
        (codex(thread=CHILD, x_openai_subagent="collab_spawn", x_codex_parent_thread_id=ROOT), "subagent"),
        (codex(turn='{"request_kind":"compaction"}'), "compaction"),
        (codex(turn="not json"), "main"),
        (codex(turn='{"thread_source":7}'), "main"),
        (codex(thread=CHILD), "unknown"),
    ],
)
def test_threads_belong_to_their_root(claims: Claims, kind: str) -> None:
    found = attribute(CODEX, NO_LAUNCH, claims)
    assert (found.session, found.thread_kind) == (f"codex-{ROOT}", kind)
    assert found.parent_thread == (ROOT if kind in ("review", "subagent") else None)


def test_a_title_request_counts_for_its_process() -> None:
    claims = codex(CHILD, CHILD, '{"thread_source":"thread_title"}')
    found = attribute(CODEX, NO_LAUNCH, claims)
    assert (found.session, found.conversation) == (process_session(PROCESS), None)
    assert (found.thread, found.thread_kind) == (CHILD, "title")
    assert conflicts(found) == []
    assert attribute(CODEX, launched(), claims).session == "launch-0123456789ab"


@pytest.mark.parametrize("own", ["../../etc/passwd", "", "a/b", "x" * 200, "ä", "-x"])
def test_a_conversation_that_cannot_be_a_key_is_none(own: str) -> None:
    found = attribute(CODEX, NO_LAUNCH, codex(own, ROOT))
    assert (found.conversation, found.session) == (None, process_session(PROCESS))
    assert found.evidence[-1].rejected


def test_two_conversations_at_once_are_none() -> None:
    fields = Fields.of([("session-id", ROOT), ("session-id", CHILD), ("thread-id", ROOT)])
    assert attribute(CODEX, NO_LAUNCH, read_claims(fields)).conversation is None


def test_claude_names_its_session_and_its_subagents() -> None:
    claude = caller_of(PROCESS, "claude", "tui", terminal=TAB)
    fields = Fields.of({"x-claude-code-session-id": ROOT, "x-claude-code-agent-id": "a7"})
    found = attribute(claude, NO_LAUNCH, read_claims(fields))
    assert (found.session, found.thread, found.thread_kind, found.parent_thread) == (f"claude-{ROOT}", "a7", "subagent", ROOT)
    assert conflicts(attribute(CODEX, NO_LAUNCH, read_claims(fields))) == ["the caller is no claude (it is 'codex')"]


@pytest.mark.parametrize("relation", ["same", "descendant"])
def test_a_launch_is_believed_from_its_process_and_its_descendants(relation: Relation) -> None:
    found = attribute(CURL, launched(relation), NO_CLAIMS)
    assert (found.session, found.agent) == ("launch-0123456789ab", "codex")
    assert found.evidence[0].rank is Rank.TOLD_BY_US
    assert not found.evidence[0].rejected
    assert found.cwd == "/launched"


def test_a_stranger_with_the_token_is_a_conflict_and_stays_itself() -> None:
    found = attribute(CODEX, launched("stranger"), codex())
    assert found.launch is None
    assert found.session == f"codex-{ROOT}"
    assert conflicts(found) == ["the caller is neither the launched process nor a descendant of it"]


def test_a_token_from_nobody_known_is_not_believed_and_no_conflict() -> None:
    found = attribute(unknown_caller("hidden"), launched("unknown"), codex())
    assert (found.launch, found.session) == (None, None)
    assert conflicts(found) == []


def test_a_launch_makes_its_agent_s_header_believed() -> None:
    assert attribute(CURL, launched("descendant"), codex()).session == f"codex-{ROOT}"
    wrong = attribute(CURL, launched("descendant", agent="claude"), codex())
    assert wrong.session == "launch-0123456789ab"
    assert len(conflicts(wrong)) == 1


@pytest.mark.parametrize("agent", ["launch", "proc", "No Name", ""])
def test_a_launch_of_an_agent_that_cannot_be_named_breaks_nothing(agent: str) -> None:
    found = attribute(CURL, launched("same", agent=agent), codex())
    assert (found.session, found.conversation) == ("launch-0123456789ab", None)


def test_the_launch_s_terminal_outranks_the_environment_s() -> None:
    found = attribute(CODEX, launched(terminal=OTHER_TAB), codex())
    assert found.terminal == OTHER_TAB
    assert conflicts(found) == ["it was launched in another terminal"]
    same = attribute(CODEX, launched(terminal=TAB), codex())
    assert (same.terminal, conflicts(same)) == (TAB, [])


def test_nothing_that_is_claimed_breaks_a_fact_s_bounds() -> None:
    long: dict[str, Any] = {"x-codex-parent-thread-id": "p" * 500, "session-id": ROOT, "thread-id": "t" * 500}
    found = attribute(CODEX, NO_LAUNCH, read_claims(Fields.of(long)))
    assert (found.thread, found.parent_thread) == (None, None)


@pytest.mark.parametrize(
    ("agent", "caller", "drives", "relation", "session"),
    [
        ("gemini", "gemini", "gemini-1", "descendant", "gemini-1"),
        ("gemini", "gemini", None, "descendant", "launch-0123456789ab"),
        ("gemini", "gemini", "launch-cdef", "descendant", "launch-0123456789ab"),
        ("gemini", "gemini", "qwen-1", "descendant", "launch-0123456789ab"),
        ("gemini", "gemini", "gemini-/", "descendant", "launch-0123456789ab"),
        ("gemini", "other", "gemini-1", "descendant", "launch-0123456789ab"),  # a tool of it
        ("gemini", "qwen", "gemini-1", "descendant", "launch-0123456789ab"),
        ("codex", "codex", "codex-1", "descendant", "launch-0123456789ab"),  # it would have said so
        ("gemini", "gemini", "gemini-1", "stranger", process_session(PROCESS)),
    ],
)
def test_a_bridge_says_what_an_agent_of_few_words_does_not(
    agent: str, caller: str, drives: str | None, relation: Relation, session: str
) -> None:
    found = attribute(caller_of(PROCESS, caller, "other"), launched(relation, agent, session=drives), NO_CLAIMS)
    assert found.session == session
    assert found.conversation == ("gemini:1" if session == "gemini-1" else None)
    said = [one for one in found.evidence if one.proves == "conversation"]
    assert [(one.rank, one.value) for one in said] == ([(Rank.TOLD_BY_US, "gemini:1")] if session == "gemini-1" else [])
