"""What every command has in common: a help with its exit codes, completion, no colour when none is wanted, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.system import DEADLINE, System
from tests.transcript_files import thread_id, write_rollout

pytestmark = pytest.mark.e2e
COMMANDS = [
    *(("up",), ("down",), ("status",), ("run",), ("sessions",), ("tail",), ("replay",), ("explain",), ("hook",), ("history",)),
    *(("usage",), ("quota",)),
    *(("chat",), ("agents",), ("bridges",), ("bridges", "close"), ("bridges", "reset")),
    *(("review",), ("review", "start"), ("review", "send-back"), ("review", "delete")),
    *(("history", "show"), ("events", "export"), ("config", "path"), ("config", "validate")),
]


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path / "home", '[providers.mine]\nbase_url = "https://example.invalid/v1"\nauth = "none"')


def completed(system: System, *words: str, **environ: str) -> list[str]:
    """Ask for completion as bash does."""
    asked = {"_TABWIRE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("tabwire", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-m", "actors.cli"],
        env=system.environ({**asked, **environ}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_that_names_its_exit_codes(system: System, command: tuple[str, ...]) -> None:
    shown = system.tabwire(*command, "--help").stdout
    assert shown.startswith(f"Usage: tabwire {' '.join(command)}")
    assert "Exit code" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("words", [("--nonsense",), ("sessions", "--nonsense"), ("history", "--limit", "0"), ("explain",)])
def test_a_mistake_is_one_line_and_code_2(system: System, words: tuple[str, ...]) -> None:
    said = system.tabwire(*words, code=2).stderr
    assert "--help" in said
    assert len(said.splitlines()) == 1


def test_words_are_completed_also_while_nothing_runs(system: System) -> None:
    assert "sessions" in completed(system, "se")
    assert completed(system, "hook", "c") == ["codex", "claude"]
    assert completed(system, "history", "--agent", "cl") == ["claude"]
    assert completed(system, "run", "--provider", "m") == ["mine"]
    assert completed(system, "explain", "codex-") == []
    home = system.home / "codex"
    write_rollout(home, thread_id(1))
    assert completed(system, "history", "show", "01a1", CODEX_HOME=str(home)) == [thread_id(1)]


def test_history_needs_no_system_and_leaves_none_behind(system: System) -> None:
    home = system.home / "codex"
    write_rollout(home, thread_id(1))
    environ = {"CODEX_HOME": str(home), "CLAUDE_CONFIG_DIR": str(home), "NO_COLOR": "1"}
    assert thread_id(1) in system.tabwire("history", environ=environ).stdout
    assert thread_id(1) in system.tabwire("history", "show", "01a1", environ=environ).stdout
    assert "no past session" in system.tabwire("history", "show", "ff", code=1, environ=environ).stderr
    assert {one.name for one in system.home.iterdir()} == {"codex", "config.toml"}


def test_a_folder_that_cannot_be_read_is_one_line(system: System) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every folder")
    home = system.home / "codex"
    write_rollout(home, thread_id(1))
    (home / "sessions").chmod(0)
    said = system.tabwire("history", code=1, environ={"CODEX_HOME": str(home)}).stderr
    assert "sessions: Permission denied" in said
