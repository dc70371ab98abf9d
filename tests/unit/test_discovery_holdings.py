"""Which conversations a process has: playbooks over files that were seen held, without any file."""

from __future__ import annotations

import pytest

from actors.discovery.holdings import find_holdings, open_threads
from actors.discovery.terms import Declared, Files, Head, HeldFile, Holdings
from actors.probe.agents import AgentFinding
from schemas.events.values import ProcessKind
from schemas.identity import ProcessKey

HOME = "/home/ada/.codex"
OLD = "01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60"
NEW = "01a1fb09-0000-7cf3-a2b2-400eaf1e2b60"
NEWEST = "01a1fb0a-0000-7cf3-a2b2-400eaf1e2b60"
UNORDERED = "0faabb07-5b0e-4cf3-a2b2-400eaf1e2b60"
TUI = AgentFinding("codex", "tui")
CLAUDE = AgentFinding("claude", "tui")
PROCESS = ProcessKey("host", "boot", 77, 121409)


def lock(thread: str, *, locked: bool | None = True) -> HeldFile:
    return HeldFile(f"{HOME}/thread-writer-locks/{thread}.lock", locked, written=True)


def rollout(
    thread: str, session: str | None = None, says: str | None = None, *, written: bool = True, read: bool = True
) -> HeldFile:
    head = Head(says or thread, session or says or thread) if read else None
    path = f"{HOME}/sessions/2026/11/21/rollout-2026-11-21T04-05-06-{thread}.jsonl"
    return HeldFile(path, locked=False, written=written, head=head)


def codex(*held: HeldFile, kind: ProcessKind = "tui", arguments: str = "", stored: dict[str, Head] | None = None) -> Holdings:
    agent = AgentFinding("codex", kind)
    return find_holdings(agent, PROCESS, arguments.split(), Files(held, stored or {}))


def said(holdings: Holdings) -> dict[str, list[tuple[int, str]]]:
    return {one.session: [(int(line.rank), line.kind) for line in one.evidence] for one in holdings.found}


def test_a_process_that_holds_nothing_has_nothing() -> None:
    assert codex() == Holdings()
    assert find_holdings(AgentFinding("gemini", "tui"), PROCESS, (), Files()) == Holdings()


def test_the_oldest_lock_of_a_tui_is_its_conversation_before_any_prompt() -> None:
    assert said(codex(lock(OLD))) == {f"codex-{OLD}": [(2, "lock file")]}
    assert said(codex(lock(NEW), lock(OLD))) == {f"codex-{OLD}": [(2, "lock file")]}
    assert said(codex(lock(OLD), kind="exec")) == {f"codex-{OLD}": [(2, "lock file")]}


@pytest.mark.parametrize("kind", ["daemon", "app_server", "mcp"])
def test_a_server_s_lock_alone_says_nothing_since_any_thread_may_be_a_sub_agent_s(kind: ProcessKind) -> None:
    assert codex(lock(OLD), kind=kind) == Holdings()
    assert said(codex(lock(OLD), rollout(OLD), kind=kind)) == {f"codex-{OLD}": [(2, "lock file"), (2, "rollout file")]}


def test_a_lock_whose_id_has_no_time_in_it_waits_for_its_rollout() -> None:
    assert codex(lock(UNORDERED)) == Holdings()
    assert codex(lock(OLD), lock(UNORDERED)) == Holdings()
    assert list(said(codex(lock(UNORDERED), rollout(UNORDERED)))) == [f"codex-{UNORDERED}"]


def test_a_sub_agent_or_review_is_a_thread_of_the_root_that_the_process_holds_too() -> None:
    holdings = codex(lock(OLD), rollout(OLD), lock(NEW), rollout(NEW, session=OLD))
    assert list(said(holdings)) == [f"codex-{OLD}"]
    assert holdings.rejected == ()


def test_a_later_lock_is_quiet_until_its_rollout_shows_that_it_is_a_main_thread() -> None:
    held = (lock(OLD), rollout(OLD), lock(NEW))
    assert list(said(codex(*held))) == [f"codex-{OLD}"]
    assert list(said(codex(*held, rollout(NEW, read=False)))) == [f"codex-{OLD}"]
    assert list(said(codex(*held, rollout(NEW)))) == [f"codex-{OLD}", f"codex-{NEW}"]


def test_a_sub_agent_whose_rollout_comes_before_its_root_s_makes_no_conversation() -> None:
    assert list(said(codex(lock(OLD), lock(NEW), rollout(NEW, session=OLD)))) == [f"codex-{OLD}"]


def test_a_resumed_thread_is_settled_by_the_rollout_that_is_stored() -> None:
    stored = {NEW: Head(NEW, NEW)}
    assert said(codex(lock(OLD), rollout(OLD), lock(NEW), stored=stored))[f"codex-{NEW}"] == [(2, "lock file")]
    assert codex(lock(NEW), stored={NEW: Head(NEW, OLD)}) == Holdings()


def test_a_rollout_that_is_only_read_is_no_claim() -> None:
    holdings = codex(lock(NEW), rollout(NEW), rollout(OLD, written=False))
    assert list(said(holdings)) == [f"codex-{NEW}"]
    assert holdings.rejected == ()


def test_a_lock_that_is_not_locked_is_rejected_and_one_of_which_that_cannot_be_told_counts() -> None:
    holdings = codex(lock(OLD, locked=False))
    assert holdings.found == ()
    assert [line.rejected for line in holdings.rejected] == ["it is open and not locked"]
    assert list(said(codex(lock(OLD, locked=None)))) == [f"codex-{OLD}"]


def test_a_rollout_with_another_s_id_is_a_conflict_and_promotes_nobody() -> None:
    holdings = codex(lock(NEW), rollout(NEW, says=OLD))
    assert holdings.found == ()
    assert [(line.value, line.conflict) for line in holdings.rejected] == [(OLD, True)]
    holdings = codex(lock(NEW), rollout(NEW, session=OLD))
    assert holdings.found == ()
    assert [(line.value, bool(line.rejected), line.conflict) for line in holdings.rejected] == [(OLD, True, False)]


def test_files_in_other_places_and_of_other_names_are_nobody_s() -> None:
    stray = [
        HeldFile(f"{HOME}/locks/{OLD}.lock", locked=True),
        HeldFile(f"{HOME}/thread-writer-locks/{OLD}.lock.tmp", locked=True),
        HeldFile(f"{HOME}/thread-writer-locks/x.lock", locked=True),
        HeldFile(f"{HOME}/sessions/notes-{OLD}.jsonl", locked=True),
    ]
    assert codex(*stray) == Holdings()


def test_a_resume_argument_counts_for_a_stored_main_thread_until_more_is_known() -> None:
    stored = {OLD: Head(OLD, OLD), NEW: Head(NEW, OLD)}
    assert said(codex(arguments=f"resume {OLD}", stored=stored)) == {f"codex-{OLD}": [(3, "argument")]}
    assert said(codex(lock(OLD), arguments=f"exec resume {OLD} go on", stored=stored, kind="exec")) == {
        f"codex-{OLD}": [(2, "lock file"), (3, "argument")]
    }
    assert list(said(codex(lock(NEWEST), arguments=f"resume {OLD}", stored=stored))) == [f"codex-{NEWEST}"]
    assert codex(arguments=f"resume {NEW}", stored=stored) == Holdings()
    assert codex(arguments=f"fork {OLD}", stored=stored) == Holdings()
    assert codex(arguments=f"resume {OLD}") == Holdings()
    assert codex(arguments="resume --last", stored=stored) == Holdings()


def test_threads_without_a_rollout_of_their_own_are_awaited() -> None:
    assert open_threads((lock(OLD), rollout(OLD), lock(NEW), lock(NEWEST), rollout(NEWEST, written=False))) == {NEW, NEWEST}


# ---------------------------------------------------------------------------------------------------- Claude Code

SESSION = "a3d73cad-7e25-4b86-84a8-5160a5e029b3"
OTHER = "b3d73cad-7e25-4b86-84a8-5160a5e029b3"


def claude(declared: Declared | None = None, arguments: str = "") -> Holdings:
    return find_holdings(CLAUDE, PROCESS, arguments.split(), Files(declared=declared))


def test_claude_s_file_about_its_own_process_names_the_session() -> None:
    assert said(claude(Declared("x", 77, "121409", SESSION))) == {f"claude-{SESSION}": [(3, "session file")]}


@pytest.mark.parametrize(("pid", "started"), [(78, "121409"), (77, "121408"), (77, "")])
def test_a_file_that_an_earlier_process_left_behind_proves_nothing(pid: int, started: str) -> None:
    holdings = claude(Declared("x", pid, started, SESSION))
    assert holdings.found == ()
    assert [line.value for line in holdings.rejected] == [SESSION]


def test_an_id_that_cannot_be_one_is_rejected() -> None:
    holdings = claude(Declared("x", 77, "121409", "../../etc"))
    assert holdings.found == ()
    assert len(holdings.rejected) == 1


@pytest.mark.parametrize(
    ("arguments", "session"),
    [
        (f"--resume {SESSION}", SESSION),
        (f"-r {SESSION} hello", SESSION),
        (f"--session-id={SESSION}", SESSION),
        (f"--resume {SESSION} --fork-session", None),
        (f"--resume {SESSION} --fork-session --session-id {OTHER}", OTHER),
        (f"-- --resume {SESSION}", None),
        ("--resume", None),
        ("--continue", None),
    ],
)
def test_claude_s_arguments_name_the_session_that_it_begins_with(arguments: str, session: str | None) -> None:
    assert list(said(claude(arguments=arguments))) == ([] if session is None else [f"claude-{session}"])


def test_claude_s_file_outlives_its_arguments() -> None:
    holdings = claude(Declared("x", 77, "121409", OTHER), f"--resume {SESSION}")
    assert said(holdings) == {f"claude-{OTHER}": [(3, "session file")]}
