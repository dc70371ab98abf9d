"""Past sessions from agents' own files: what is listed, in which order, how one is named, and what never leaves a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.cli import past
from actors.cli.failures import CommandFailedError
from actors.cli.history import detail_lines, named, show_history, show_one
from tests.transcript_files import PROMPT, thread_id, write_claude, write_rollout

A, B, C = thread_id(1), thread_id(2), thread_id(3)
REVIEW = thread_id(4)
ARCHIVED = thread_id(1, 9)
CLAUDE = "230d7c45-ed50-48d3-ac75-9b5da97881ca"
Output = Callable[[], tuple[str, str]]


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    codex, claude = tmp_path / "codex", tmp_path / "claude"
    write_rollout(codex, A, minute=1)
    write_rollout(codex, B, minute=5, compressed=True, cwd="/home/ann/other", model_provider="mine")
    write_rollout(codex, C, minute=3, forked_from_id=A, cwd="/home/ann/shop/part")
    write_rollout(codex, REVIEW, minute=4, session_id=C, source={"subagent": "review"}, parent_thread_id=C)
    write_rollout(codex, ARCHIVED, minute=6, folder="archived_sessions")
    write_claude(claude, CLAUDE, minute=2)
    (codex / "session_index.jsonl").write_text(f'{{"id":"{A}","thread_name":"the shop"}}\n')
    (codex / "sessions/2026/11/21/notes.jsonl").write_text("{}")
    monkeypatch.setenv("CODEX_HOME", str(codex))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(claude))
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path


@pytest.fixture
def output(capfdbinary: pytest.CaptureFixture[bytes]) -> Output:
    def read() -> tuple[str, str]:
        out, err = capfdbinary.readouterr()
        return out.decode(), err.decode()

    return read


def listed(output: Output, **options: Any) -> list[dict[str, Any]]:
    given = {"agent": None, "cwd": None, "archived": False, "limit": 20, "preview": False, **options}
    show_history(json=True, **given)
    rows: list[dict[str, Any]] = json.loads(output()[0])["sessions"]
    return rows


@pytest.mark.usefixtures("homes")
def test_conversations_are_listed_the_latest_changed_first(output: Output) -> None:
    rows = listed(output)
    assert [row["thread"] for row in rows] == [B, C, CLAUDE, A]
    assert next(row["thread"] for row in listed(output, archived=True)) == ARCHIVED
    assert [row["thread"] for row in listed(output, agent="claude")] == [CLAUDE]
    assert [row["thread"] for row in listed(output, cwd="/home/ann/shop")] == [C, A]
    assert [row["thread"] for row in listed(output, limit=2)] == [B, C]
    first = rows[0]
    assert (first["agent_provider"], first["compressed"], first["cwd"]) == ("mine", True, "/home/ann/other")
    assert (rows[1]["forked_from"], rows[3]["git_branch"], rows[3]["origin"]) == (f"codex:{A}", "main", "exec")
    assert {(row["title"], row["preview"]) for row in rows} == {(None, None)}


@pytest.mark.usefixtures("homes")
def test_what_was_typed_shows_only_when_it_is_asked_for(output: Output) -> None:
    assert PROMPT not in json.dumps(listed(output, archived=True))
    rows = {row["thread"]: row for row in listed(output, preview=True)}
    assert {row["preview"] for row in rows.values()} == {PROMPT}
    assert rows[A]["title"] == "the shop"
    show_history(json=False, agent=None, cwd=None, archived=False, limit=1, preview=False)
    out, err = output()
    assert out.split("\n")[0].split() == ["session", "agent", "changed", "claimed", "from", "folder"]
    assert out.split("\n")[1].split() == [B, "codex", "2026-11-21T02:05:00Z", "mine", "exec", "/home/ann/other"]
    assert PROMPT not in out
    assert "the latest 1 out of" in err


@pytest.mark.usefixtures("homes")
def test_one_session_is_read_to_its_end(output: Output) -> None:
    show_one(C[:9], json=True, preview=False)
    out, _ = output()
    assert PROMPT not in out
    detail = json.loads(out)
    assert (detail["turns"], detail["completed"], detail["working_ms"]) == (1, 1, 1500)
    assert (detail["usage"]["input"], detail["usage"]["cached_input"], detail["usage"]["output"]) == (100, 60, 7)
    assert (detail["models"], detail["row"]["thread"]) == (["gpt-5.1-codex"], C)
    assert [(row["thread"], row["thread_kind"]) for row in detail["threads"]] == [(REVIEW, "review")]
    show_one(f"codex-{C}", json=False, preview=True)
    shown = output()[0]
    for said in (f"tabwire run codex resume {C}", f"from {A}", f"{REVIEW}  review", "git main abcdef012345", PROMPT):
        assert said in shown
    show_one(CLAUDE[:6], json=True, preview=False)
    claude = json.loads(output()[0])
    assert (claude["usage"]["input"], [row["thread_kind"] for row in claude["threads"]]) == (15, ["subagent"])


@pytest.mark.usefixtures("homes")
def test_a_session_is_named_by_any_unique_beginning() -> None:
    found = past.transcripts(os.environ)
    assert named(found, A).name.thread == A
    assert named(found, "01a1fb02").name.thread == B
    with pytest.raises(CommandFailedError, match="no past session") as unknown:
        named(found, "ffff")
    assert unknown.value.code == 1
    with pytest.raises(CommandFailedError, match="names 2 sessions") as ambiguous:
        named(found, "01a1fb01")
    assert ambiguous.value.code == 2
    assert A in str(ambiguous.value)
    assert f"{ARCHIVED} (codex in /home/ann/shop, archived)" in str(ambiguous.value)
    with pytest.raises(CommandFailedError, match="codex, claude"):
        show_history(json=True, agent="gemini", cwd=None, archived=False, limit=1, preview=False)


def test_files_that_are_no_sessions_cost_nothing_but_a_word(homes: Path, output: Output) -> None:
    folder = homes / "codex/sessions/2026/11/21"
    torn = write_rollout(homes / "codex", thread_id(9), minute=30)
    torn.write_bytes(b'{"type":"other"}\n')
    os.mkfifo(folder / f"rollout-2026-11-21T02-40-00-{thread_id(10)}.jsonl")
    (folder / f"rollout-2026-11-21T02-40-00-{thread_id(11)}.jsonl").symlink_to(homes / "codex/session_index.jsonl")
    (folder / f"rollout-2026-11-21T02-40-00-{thread_id(12)}.jsonl").write_bytes(b"")
    assert [row["thread"] for row in listed(output)] == [B, C, CLAUDE, A]
    show_history(json=False, agent=None, cwd=None, archived=False, limit=20, preview=False)
    assert "1 file could not be read" in output()[1]
    with pytest.raises(CommandFailedError, match="does not say whose it is"):
        show_one(thread_id(9), json=False, preview=False)


def test_without_any_file_it_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: Output) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "no"))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "none"))
    show_history(json=False, agent=None, cwd=None, archived=False, limit=20, preview=False)
    assert str(tmp_path / "no") in output()[1]


@pytest.mark.usefixtures("homes")
def test_details_are_lines_that_can_be_printed_anywhere() -> None:
    found = past.transcripts(os.environ)
    detail = past.detail(named(found, A), found)
    assert detail is not None
    lines = list(detail_lines(detail, "2026-11-21T03:00:00Z"))
    assert lines[0] == f"{A}  codex  main"
    assert "  turns     1: 1 completed, 0 aborted, 0 failed, 0:00:02 at work" in lines
