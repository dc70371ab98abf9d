"""Codex's TUI, the real one, in a real tmux: with a process of its own, behind ``tabwire run``, and in the shared daemon."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.e2e.codex import Codex, needs_codex, prompt
from tests.e2e.system import System, running
from tests.e2e.terminal import Tmux

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.codex,
    needs_codex,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture
def codex(tmp_path: Path, system: System) -> Codex:
    codex = Codex(tmp_path, system)
    codex.login()
    return codex


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with Tmux(tmp_path / "tmux.sock") as tmux:
        yield tmux


def test_a_tui_of_its_own_is_known_by_its_pane_and_not_by_an_inherited_tab(codex: Codex, system: System, tmux: Tmux) -> None:
    pane = tmux.open(
        shlex.join([codex.binary, "--no-daemon"]), codex.environ("11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa"), codex.work
    )
    prompt(tmux, pane, "hello from a pane")
    turn = system.until(
        lambda so_far: any(e.envelope.type == "request.completed" and "codex-" in e.envelope.subject for e in so_far)
    )
    session = next(
        e.envelope.data.session for e in turn if e.envelope.type == "request.completed" and "codex-" in e.envelope.subject
    )
    row = system.sessions()[session]
    assert row["verdict"] == "verified"
    assert row["process_kind"] == "tui"
    assert row["terminal"].startswith("tmux:")
    assert row["terminal"].endswith(f":{pane}")
    titles = system.until_count("request.attributed", thread_kind="title")
    assert all(title.envelope.data.conversation is None for title in titles)
    here = [name for name, other in system.sessions().items() if name.startswith("codex-") and other["cwd"] == str(codex.work)]
    assert here == [session]  # other agents of this computer are listed too


def test_a_tui_behind_run_bypasses_the_daemon_and_is_identified(codex: Codex, system: System, tmux: Tmux) -> None:
    pane = tmux.open(shlex.join(system.command("run", "--", codex.binary)), codex.environ(), codex.work)
    (launched,) = system.until_count("launch.started")
    launch = launched.envelope.data.launch
    assert system.sessions()[launch]["verdict"] == "unverified"
    prompt(tmux, pane, "hello from a launch")
    (identified,) = system.until_count("session.identified", provisional=launch)
    session = identified.envelope.data.session  # by its lock, before the first request
    system.until_count("session.verified", session=session)
    row = system.sessions()[session]
    assert (row["verdict"], row["process_kind"], row["launch"]) == ("verified", "tui", launch)
    assert row["terminal"].endswith(f":{pane}")


def test_the_shared_daemon_verifies_conversations_and_never_claims_a_tab_of_its_own(
    codex: Codex, system: System, tmux: Tmux
) -> None:
    first, second = "22222222-bbbb-4bbb-8bbb-bbbbbbbbbbbb", "33333333-cccc-4ccc-8ccc-cccccccccccc"
    panes: dict[str, str] = {}
    try:
        for tab in (first, second):
            pane = tmux.open(shlex.join([codex.binary]), codex.environ(tab), codex.work)
            prompt(tmux, pane, f"hello from {tab[:8]}")
            turns = system.until(lambda so_far: bool({*sessions_of_daemon(so_far)} - {*panes}))
            panes.update(dict.fromkeys({*sessions_of_daemon(turns)} - {*panes}, pane))
        assert len(panes) == 2
        rows = system.sessions()
        for session, pane in panes.items():
            row = rows[session]
            assert row["verdict"] == "verified"
            # The tab is nobody's until the TUI that opened the thread is found, and then that one's.
            assert row["terminal"] is None or row["terminal"].endswith(f":{pane}")
            assert "daemon" in " ".join(system.json("explain", session)["because"])
    finally:
        codex.end_daemon()


def sessions_of_daemon(so_far: Iterable[object]) -> Iterator[str]:
    return (event.envelope.data.session for event in so_far if daemon_turn(event))  # type: ignore[attr-defined]


def daemon_turn(event: object) -> bool:
    envelope = event.envelope  # type: ignore[attr-defined]
    return (
        envelope.type == "request.attributed"
        and envelope.data.process_kind == "daemon"
        and envelope.data.conversation is not None
    )
