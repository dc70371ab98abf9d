"""``claude -p``, the real one: attributed to its tab and conversation, answered in its own dialect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.claude import Claude, needs_claude
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.claude, needs_claude]

TAB_A = "aaaaaaaa-1111-4111-8111-111111111111"
TAB_B = "bbbbbbbb-2222-4222-8222-222222222222"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture
def claude(tmp_path: Path, system: System) -> Claude:
    return Claude(tmp_path, system)


def test_two_at_the_same_moment_in_one_directory_are_two_verified_sessions(claude: Claude, system: System) -> None:
    both = {terminal: claude.start(f"say {terminal[:4]}", terminal=terminal) for terminal in (TAB_A, TAB_B)}
    for terminal, process in both.items():
        printed = claude.result(process)
        assert printed["result"] == f"You said: say {terminal[:4]}"
        session = printed["session_id"]
        (completed, *_) = system.until_count("request.completed", session=f"claude-{session}")
        row = system.sessions()[f"claude-{session}"]
        assert (row["verdict"], row["agent"], row["terminal"]) == ("verified", "claude", f"wt:{terminal}")
        assert row["conversation"] == f"claude:{session}"
        assert session in claude.transcripts()
        usage = completed.envelope.data.usage
        spent = printed["usage"]
        assert usage.input == spent["input_tokens"] + spent["cache_read_input_tokens"]
        assert usage.output == spent["output_tokens"]


def test_resumed_in_another_tab_it_is_the_same_session(claude: Claude, system: System) -> None:
    session = claude.ask("first", terminal=TAB_A)["session_id"]
    assert claude.ask("again", "--resume", session, terminal=TAB_B)["session_id"] == session
    system.until_count("request.completed", 2, session=f"claude-{session}")
    row = system.sessions()[f"claude-{session}"]
    assert row["terminal"] == f"wt:{TAB_B}"
    assert set(row["terminals"]) == {f"wt:{TAB_A}", f"wt:{TAB_B}"}


def test_a_tool_turn_runs_its_command(claude: Claude, system: System) -> None:
    printed = claude.ask('[echo tool="echo tool-was-here"]', "--allowedTools", "Bash")
    assert printed["result"] == "The tool said: tool-was-here"
    completed = system.until_count("request.completed", 2, session=f"claude-{printed['session_id']}")
    assert [item.envelope.data.status for item in completed] == [200, 200]


def test_a_refusal_is_told_in_its_own_words(claude: Claude, system: System) -> None:
    printed = claude.ask('[echo status=403 message="not on this plan"]', code=None)
    assert printed["is_error"]
    assert "not on this plan" in printed["result"]
    system.until_count("request.failed", session=f"claude-{printed['session_id']}", upstream_status=403)
