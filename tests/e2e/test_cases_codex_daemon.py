"""Codex's shared daemon with several TUIs: which conversation belongs to which tab, as the daemon and the kernel say it.

The daemon says at which port the TUI that opened a thread listens, the kernel who listens there. Every claim is checked
against what the pane itself shows.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.envelope import Recorded
from tests.e2e.cases import Tui, own_codex, rows_when, sessions_of
from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import System, running
from tests.e2e.terminal import Tmux

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.codex,
    needs_codex,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

TABS = ("22222222-bbbb-4bbb-8bbb-bbbbbbbbbbbb", "33333333-cccc-4ccc-8ccc-cccccccccccc")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture
def codex(tmp_path: Path, system: System) -> Iterator[Codex]:
    codex = own_codex(tmp_path / "codex", system)
    yield codex
    codex.end_daemon()


@pytest.fixture
def tmux(tmp_path: Path, codex: Codex) -> Iterator[Tmux]:
    assert codex
    with Tmux(tmp_path / "tmux.sock") as tmux:
        yield tmux


def opened_by(tui: Tui, thread: str, so_far: list[Recorded]) -> bool:
    """Tell whether it was published that this TUI opened this thread of the daemon."""
    return any(
        item.envelope.type == "process.conversation_found"
        and item.envelope.data.process.pid == tui.pid
        and item.envelope.data.thread == thread
        and any(said.kind == "codex_daemon" and said.rank == 3 for said in item.envelope.data.evidence)
        for item in so_far
    )


def found_last(so_far: list[Recorded]) -> bool:
    """Tell whether the last event could change what was opened."""
    return so_far[-1].envelope.type == "process.conversation_found"


def opened(tui: Tui, so_far: list[Recorded]) -> list[str]:
    """Return the threads that this TUI was published to have opened, in order."""
    found: dict[str, Any] = {}
    pid = tui.pid
    for item in so_far:
        data = item.envelope.data
        if item.envelope.type == "process.conversation_found" and data.process.pid == pid:
            found[data.thread] = None
    return list(found)


def prompted(codex: Codex, text: str) -> str:
    """Return the thread whose rollout holds a prompt: Codex's own account of which is which."""
    (thread,) = (thread for thread, rollout in codex.rollouts().items() if text in "".join(map(str, rollout.lines)))
    return thread


def test_each_conversation_is_joined_to_the_tab_that_opened_it(codex: Codex, system: System, tmux: Tmux) -> None:
    tuis = [Tui.open(tmux, codex, tab=tab) for tab in TABS]
    for tui in tuis:
        tui.ready()
    so_far = system.until(lambda so_far: found_last(so_far) and all(opened(tui, so_far) for tui in tuis))
    before = [opened(tui, so_far) for tui in tuis]
    assert [len(threads) for threads in before] == [1, 1]

    for tui, word in zip(tuis, ("first-pane", "second-pane"), strict=True):
        tui.prompt(word)
        tmux.wait_for(tui.pane, f"You said: {word}")
    threads = [prompted(codex, word) for word in ("first-pane", "second-pane")]
    assert [[thread] for thread in threads] == before
    for tui, thread in zip(tuis, threads, strict=True):
        session = f"codex-{thread}"
        row = rows_when(system, lambda rows: session in rows and rows[session].verdict == "verified")[session]  # noqa: B023
        assert row.process_kind == "daemon"
        assert row.terminal is not None
        assert row.terminal.endswith(f":{tui.pane}")
        assert not any(terminal.startswith("wt:") for terminal in row.terminals), row.terminals

    # A new conversation in each, and each is joined again.
    for tui in tuis:
        tui.prompt("/new")
    so_far = system.until(lambda so_far: found_last(so_far) and all(len(opened(tui, so_far)) == 2 for tui in tuis))
    for tui, word in zip(tuis, ("third-word", "fourth-word"), strict=True):
        tui.prompt(word)
        tmux.wait_for(tui.pane, f"You said: {word}")
        assert opened(tui, so_far)[1] == prompted(codex, word)

    # Killed, it leaves its conversations to nobody; resumed from the file elsewhere, they are that tab's.
    killed = tuis[0].pid
    os.kill(killed, signal.SIGKILL)
    rows_when(
        system, lambda rows: all(row.activity == "gone" for row in sessions_of(rows, killed) if row.process_kind == "tui")
    )


def test_asking_leaves_no_trace_in_what_the_daemon_sends(codex: Codex, system: System, tmux: Tmux) -> None:
    tui = Tui.open(tmux, codex, tab=TABS[0]).ready()
    system.until(lambda so_far: bool(opened(tui, so_far)))
    tui.prompt("who am I")
    tmux.wait_for(tui.pane, "You said: who am I")
    requests = httpx.get(f"{system.echo_url}/control/requests", trust_env=False).json()["requests"]
    thread = prompted(codex, "who am I")
    (agent,) = {str(dict(one["headers"])["user-agent"]) for one in requests if one["session"] == thread}
    assert agent.startswith("codex-tui/")
    assert agent.endswith("(codex-tui; 0.169.0)")


def test_resumed_from_its_file_it_is_the_tab_of_whoever_resumed_it(codex: Codex, system: System, tmux: Tmux) -> None:
    codex.exec("begun by exec", terminal="of-exec")
    (thread,) = codex.rollouts()
    tui = Tui.open(tmux, codex, "resume", thread, tab=TABS[1]).ready()
    system.until(lambda so_far: opened_by(tui, thread, so_far))
    tui.prompt("gone on here")
    session = f"codex-{thread}"
    row = rows_when(system, lambda rows: rows[session].requests == 2)[session]
    assert row.verdict == "verified"
    assert row.terminal is not None
    assert row.terminal.endswith(f":{tui.pane}")


def test_open_in_two_tabs_it_is_not_claimed_for_either(codex: Codex, system: System, tmux: Tmux) -> None:
    """The daemon says who opened a thread, not who shows it; two tabs that may are candidates and no answer."""
    first = Tui.open(tmux, codex, tab=TABS[0]).ready()
    first.prompt("opened here")
    tmux.wait_for(first.pane, "You said: opened here")
    thread = prompted(codex, "opened here")
    session = f"codex-{thread}"
    rows_when(system, lambda rows: session in rows and rows[session].terminal)
    second = Tui.open(tmux, codex, "resume", thread, tab=TABS[1]).ready()
    tmux.wait_for(second.pane, "You said: opened here")
    rows_when(system, lambda rows: sessions_of(rows, second.pid) and rows[session].terminal is None)
    second.prompt("but typed there")
    row = rows_when(system, lambda rows: rows[session].requests == 2)[session]
    assert (row.verdict, row.terminal) == ("verified", None)
    assert row.terminal_missing
