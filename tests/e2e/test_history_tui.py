"""``tabwire run codex resume`` with Codex's real TUI: gone on with by a prefix, or refused because a server still has it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.envelope import Recorded
from tests.e2e.codex import Codex, needs_codex, prompt
from tests.e2e.system import System, running
from tests.e2e.terminal import Tmux

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.codex,
    needs_codex,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path / "home") as system:
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


def test_a_past_session_goes_on_in_this_tab(codex: Codex, system: System, tmux: Tmux) -> None:
    codex.exec("say one")
    (thread,) = codex.rollouts()
    session = f"codex-{thread}"
    pane = tmux.open(shlex.join(system.command("run", codex.binary, "resume", thread[:14])), codex.environ(), codex.work)
    prompt(tmux, pane, "say two")
    system.until_count("request.completed", 2, session=session)
    launch = system.until_count("launch.started")[0].envelope.data.launch
    row = system.sessions()[session]
    assert (row["verdict"], row["process_kind"], row["launch"], row["agent_provider"]) == ("verified", "tui", launch, "openai")
    assert row["terminal"].endswith(f":{pane}")
    assert list(codex.rollouts()) == [thread]


def ended(codex: Codex, so_far: list[Recorded]) -> set[str]:
    """Return the threads of this Codex of which a turn has ended; others of this machine are told of too."""
    told = {event.envelope.data.thread for event in so_far if event.envelope.type == "transcript.turn_ended"}
    return told & set(codex.rollouts()) if told else set()


def test_a_session_of_the_shared_daemon_is_refused_with_what_to_do(codex: Codex, system: System, tmux: Tmux) -> None:
    try:
        pane = tmux.open(shlex.join([codex.binary]), codex.environ(), codex.work)
        prompt(tmux, pane, "say one")
        turn = system.until(lambda so_far: bool(ended(codex, so_far)))
        (thread,) = ended(codex, turn)
        refused = system.tabwire(
            "run", codex.binary, "resume", thread, code=1, environ={"CODEX_HOME": str(codex.home), "HOME": str(codex.home)}
        ).stderr
        assert f"session {thread} is still open in Codex's shared background server (pid " in refused
        assert "app-server daemon stop" in refused
    finally:
        codex.end_daemon()
