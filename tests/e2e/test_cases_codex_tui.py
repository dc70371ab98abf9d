"""Sessions of Codex's TUI in processes of their own, the real one in a real tmux: before, between and after prompts."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.cases import Tui, own_codex, rows_when, sessions_of
from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import DEADLINE, System, running
from tests.e2e.terminal import Tmux

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.codex,
    needs_codex,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

FOREIGN_TAB = "77777777-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture
def codex(tmp_path: Path, system: System) -> Codex:
    return own_codex(tmp_path / "codex", system)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with Tmux(tmp_path / "tmux.sock") as tmux:
        yield tmux


def test_opened_and_never_prompted_it_has_a_row_that_says_what_is_missing(codex: Codex, system: System, tmux: Tmux) -> None:
    tui = Tui.open(tmux, codex, "--no-daemon", tab=FOREIGN_TAB).ready()
    thread = tui.thread(codex)
    row = rows_when(system, lambda rows: f"codex-{thread}" in rows)[f"codex-{thread}"]
    assert not codex.rollouts()
    assert (row.verdict, row.process_kind, row.requests) == ("unverified", "tui", 0)
    assert row.process is not None
    assert row.process.pid == tui.pid
    assert row.terminal is not None
    assert row.terminal.startswith("tmux:")
    assert row.terminal.endswith(f":{tui.pane}")
    assert row.cwd == str(codex.work)
    assert any("no request" in one for one in row.missing), row.missing
    assert row.endpoint is not None
    # Codex writes its own config.toml as it starts: whoever reads it after that cannot know what was in it before.
    assert row.endpoint.verdict in ("gateway", "unknown"), row.endpoint
    assert len(sessions_of(rows_when(system, lambda rows: rows), tui.pid)) == 1

    tui.prompt("/quit")
    rows_when(system, lambda rows: rows[f"codex-{thread}"].activity == "gone")


def test_prompted_much_later_it_is_the_same_session(codex: Codex, system: System, tmux: Tmux, tmp_path: Path) -> None:
    """Nothing depends on how long ago a TUI was opened: much else happens in between, and Tabwire itself is another one."""
    tui = Tui.open(tmux, codex, "--no-daemon", tab=FOREIGN_TAB).ready()
    thread = tui.thread(codex)
    session = f"codex-{thread}"
    rows_when(system, lambda rows: session in rows)
    own_codex(tmp_path / "another", system).exec("something else", terminal="another-tab")
    system.tabwire("down")
    system.tabwire("up")
    own_codex(tmp_path / "third", system).exec("something else again", terminal="another-tab")
    before = rows_when(system, lambda rows: session in rows and rows[session].activity != "gone")[session]
    assert before.verdict == "unverified"

    tui.prompt("at last")
    row = rows_when(system, lambda rows: rows[session].verdict == "verified" and rows[session].requests == 1)[session]
    assert (row.terminal, row.process, row.first_seen) == (before.terminal, before.process, before.first_seen)
    assert len(sessions_of(rows_when(system, lambda rows: rows), tui.pid)) == 1


def test_new_begins_a_session_that_succeeds_the_old_one(codex: Codex, system: System, tmux: Tmux) -> None:
    tui = Tui.open(tmux, codex, "--no-daemon").ready()
    tui.prompt("the first conversation")
    first = tui.thread(codex)
    rows_when(system, lambda rows: f"codex-{first}" in rows and rows[f"codex-{first}"].verdict == "verified")
    tmux.wait_for(tui.pane, "You said")

    # Two locks of one process could be a thread and its sub-agent: the second conversation is known by its rollout.
    tui.prompt("/new")
    tmux.wait_for(tui.pane, "Ask Codex")
    tui.prompt("the second conversation")
    rows = rows_when(
        system,
        lambda rows: (
            len(sessions_of(rows, tui.pid)) == 2 and all(row.verdict == "verified" for row in sessions_of(rows, tui.pid))
        ),
    )
    (second,) = {row.session for row in sessions_of(rows, tui.pid)} - {f"codex-{first}"}
    rows = rows_when(system, lambda rows: rows[second].relation is not None)
    assert (rows[second].relation, rows[second].parent) == ("succeeds", f"codex-{first}")
    assert rows[second].terminal == rows[f"codex-{first}"].terminal
    assert not set(rows[second].aliases) & set(rows[f"codex-{first}"].aliases)
    assert (rows[second].requests, rows[f"codex-{first}"].requests) == (1, 1)
    titles = system.until_count("request.attributed", thread_kind="title")
    assert all(title.envelope.data.conversation is None for title in titles)
    assert len(sessions_of(rows, tui.pid)) == 2


def test_resumed_in_another_tab_it_is_one_session_that_moved(codex: Codex, system: System, tmux: Tmux) -> None:
    first = Tui.open(tmux, codex, "--no-daemon").ready()
    first.prompt("begun here")
    thread = first.thread(codex)
    session = f"codex-{thread}"
    left = rows_when(system, lambda rows: session in rows and rows[session].verdict == "verified")[session].terminal
    tmux.wait_for(first.pane, "You said")
    first.prompt("/quit")
    rows_when(system, lambda rows: rows[session].activity == "gone")

    second = Tui.open(tmux, codex, "--no-daemon", "resume", thread).ready()
    there = rows_when(system, lambda rows: [row.session for row in sessions_of(rows, second.pid)] == [session])[session]
    assert there.activity != "gone"
    assert there.terminal is not None
    assert there.terminal.endswith(f":{second.pane}")
    second.prompt("and resumed there")
    row = rows_when(system, lambda rows: rows[session].requests == 2)[session]
    assert row.verdict == "verified"
    assert set(row.terminals) == {left, there.terminal}


@pytest.mark.fault
def _stopped(pid: int) -> None:
    """Wait until every thread of a process has taken the signal that stops it."""
    deadline = time.monotonic() + DEADLINE
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "the process does not stop"
        time.sleep(0.01)


def test_killed_it_is_gone_stopped_it_is_not_and_nobody_takes_its_place(codex: Codex, system: System, tmux: Tmux) -> None:
    tui = Tui.open(tmux, codex, "--no-daemon").ready()
    thread = tui.thread(codex)
    session, pid = f"codex-{thread}", tui.pid
    rows_when(system, lambda rows: session in rows)
    os.kill(pid, signal.SIGSTOP)
    _stopped(pid)
    another = Tui.open(tmux, codex, "--no-daemon").ready()
    rows = rows_when(system, lambda rows: sessions_of(rows, another.pid))
    assert rows[session].activity != "gone"

    os.kill(pid, signal.SIGKILL)
    row = rows_when(system, lambda rows: rows[session].activity == "gone")[session]
    assert row.verdict == "unverified"
    stale = codex.home / "thread-writer-locks" / f"{thread}.lock"
    assert stale.exists()
    rows = rows_when(system, lambda rows: rows)
    assert [row.activity for row in sessions_of(rows, another.pid)] != ["gone"]
    assert session not in {row.session for row in sessions_of(rows, another.pid)}


def test_agents_older_than_tabwire_are_seen_when_it_comes(tmp_path: Path, tmux: Tmux) -> None:
    system = System(tmp_path / "home")
    codex = own_codex(tmp_path / "codex", system)
    tui = Tui.open(tmux, codex, "--no-daemon", tab=FOREIGN_TAB).ready()
    thread = tui.thread(codex)
    system.tabwire("up")
    try:
        row = rows_when(system, lambda rows: f"codex-{thread}" in rows)[f"codex-{thread}"]
        assert row.verdict == "unverified"
        assert row.terminal is not None
        assert row.terminal.endswith(f":{tui.pane}")
        tui.prompt("hello at last")
        rows_when(system, lambda rows: rows[f"codex-{thread}"].verdict == "verified")
    finally:
        system.tabwire("down")
