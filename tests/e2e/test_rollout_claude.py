"""What the watcher says of the real Claude Code's transcripts: a session, its resumption, usage by response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.claude import Claude, needs_claude
from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, needs_claude]


@pytest.fixture(scope="module")
def claude(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claude]:
    home = tmp_path_factory.mktemp("tabwire")
    system = System(home / "home")
    claude = Claude(home, system)
    system.tabwire("up", environ={"CLAUDE_CONFIG_DIR": str(claude.folder)})
    try:
        yield claude
    finally:
        system.tabwire("down")


def facts(system: System, type_: str, count: int, **fields: Any) -> list[Any]:
    return [one.envelope.data for one in system.until_count(f"transcript.{type_}", count, **fields)]


def test_a_session_and_its_resumption(claude: Claude) -> None:
    system = claude.system
    first = claude.ask("say rutabaga")
    session = f"claude-{first['session_id']}"
    (seen,) = facts(system, "seen", 1, session=session)
    assert (seen.cwd, seen.thread_kind, seen.thread) == (str(claude.work), "main", first["session_id"])
    claude.ask("say parsnip", "--resume", first["session_id"])
    ended = facts(system, "turn_ended", 2, session=session)
    assert [one.outcome for one in ended] == ["completed", "completed"]
    assert [one.turn for one in facts(system, "turn_started", 2, session=session)] == [one.turn for one in ended]
    lines = claude.transcripts()[first["session_id"]]
    said = {line["message"]["id"] for line in lines if line["type"] == "assistant"}
    used = facts(system, "usage_recorded", len(said), session=session)
    assert {one.response for one in used} == said
    completed = system.until_count("request.completed", len(said), session=session)
    sent = {one.envelope.data.response: one.envelope.data.usage for one in completed}
    for one in used:  # the same response, counted the same, by both ways
        assert sent[one.response] == one.usage
    assert not facts(system, "line_rejected", 0)
    journal = b"".join(file.read_bytes() for file in (system.home / "state/journal").iterdir())
    assert b"rutabaga" not in journal
    assert b"parsnip" not in journal


def test_a_sub_agent_belongs_to_its_session(claude: Claude) -> None:
    system = claude.system
    call = r'[echo call=Agent arguments="{\"description\":\"d\",\"prompt\":\"a child\",\"subagent_type\":\"general-purpose\"}"]'
    session = f"claude-{claude.ask(call + '[echo say=done]', '--allowedTools', 'Agent')['session_id']}"
    (main,) = facts(system, "seen", 1, session=session, thread_kind="main")
    (child,) = facts(system, "seen", 1, session=session, thread_kind="subagent")
    assert child.parent_thread == main.thread
    assert f"/{main.thread}/subagents/agent-{child.thread}.jsonl" in child.path
    (ended,) = facts(system, "turn_ended", 1, session=session, thread=child.thread)
    assert ended.outcome == "completed"
    used = facts(system, "usage_recorded", 1, session=session, thread=child.thread)
    completed = system.until_count("request.completed", 1, session=session, response=used[0].response)
    assert completed[0].envelope.data.usage == used[0].usage


def test_a_refused_turn_failed(claude: Claude) -> None:
    session = f"claude-{claude.ask('[echo status=403 message=no]', code=None)['session_id']}"
    (ended,) = facts(claude.system, "turn_ended", 1, session=session)
    assert ended.outcome == "failed"
    assert ended.code
