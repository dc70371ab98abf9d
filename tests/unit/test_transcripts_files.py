"""Transcripts as files: their names and homes, compressed ones, huge ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from actors.transcripts.lines import name_of
from actors.transcripts.tree import Root, home_of, name_below, roots
from actors.transcripts.whole import all_facts, first_facts
from schemas.events import (
    TranscriptLineRejected,
)
from tests.transcripts.made import found, meta, name, rollout, sample, types, usage, uuid

THREAD = uuid(1)


@pytest.mark.parametrize(
    ("parts", "known"),
    [
        (("2026", "11", "20", name(THREAD)), True),
        ((name(THREAD),), True),
        ((f"{name(THREAD)}.zst",), True),
        (("1", "2", "3", "4", "5", name(THREAD)), False),
        ((f"{name(THREAD)}.bak",), False),
        ((name("../../../../etc/passwd"),), False),
        ((name(THREAD).replace("2026-11", "2026-13"),), False),
        ((name(THREAD).replace("2026", "1970"),), False),
        ((f"rollout-{THREAD}.jsonl",), False),
        ((name(THREAD).upper(),), False),
        ((f"{name(THREAD)}\n",), False),
        ((), False),
    ],
)
def test_names_of_rollouts(parts: tuple[str, ...], known: bool) -> None:  # noqa: FBT001 - a table's column
    assert (name_below(Root("codex", "/s"), parts) is not None) is known


def test_names_of_claude_s_transcripts() -> None:
    root = Root("claude", "/projects")
    main = name_below(root, ("-p", f"{THREAD}.jsonl"))
    sub = name_below(root, ("-p", THREAD, "subagents", "agent-a1b2.jsonl"))
    loose = name_below(root, ("-p", "agent-a1b2.jsonl"))
    assert main is not None
    assert sub is not None
    assert loose is not None
    assert [(one.thread, one.session, one.subagent) for one in (main, sub, loose)] == [
        (THREAD, THREAD, False),
        ("a1b2", THREAD, True),
        ("a1b2", "", True),
    ]
    assert name_below(root, ("-p", THREAD, "subagents", "agent-a1.meta.json")) is None


def test_the_home_of_a_transcript() -> None:
    assert home_of("codex", f"/h/.codex/sessions/2026/11/20/{name(THREAD)}") == "/h/.codex"
    assert home_of("codex", f"/h/.codex/archived_sessions/{name(THREAD)}") == "/h/.codex"
    assert home_of("claude", f"/h/.claude/projects/-p/{THREAD}.jsonl") == "/h/.claude"
    assert home_of("codex", "/tmp/x.jsonl") is None
    assert home_of("auggie", "/h/sessions/x") is None
    assert [root.archive for root in roots("codex", "/h")] == [False, True]


def test_a_compressed_file_says_the_same(tmp_path: Path) -> None:
    file = sample(tmp_path, "codex-appserver-spawn-compact")
    (one,) = found(tmp_path)
    plain = list(all_facts(one))
    packed = file.with_name(f"{file.name}.zst")
    packed.write_bytes(zstandard.compress(file.read_bytes()))
    file.unlink()
    (one,) = found(tmp_path)
    assert one.name.compressed
    told = list(all_facts(one))
    assert [fact.offset for fact in told] == [fact.offset for fact in plain]
    assert {fact.file for fact in told} == {fact.file for fact in plain}
    assert types(first_facts(one))[0] == "seen"


@pytest.mark.parametrize("content", [b"not zstd", zstandard.compress(b"x" * 100)[:-8], b""])
def test_a_compressed_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = rollout(tmp_path, THREAD, b"")
    file.with_name(f"{file.name}.zst").write_bytes(content)
    file.unlink()
    (one,) = found(tmp_path)
    try:
        assert list(all_facts(one)) == []
    except OSError as error:
        assert "unpacked" in str(error)  # noqa: PT017 - either is right


def test_of_a_huge_file_the_beginning_and_the_end_are_read(tmp_path: Path) -> None:
    file = rollout(tmp_path, THREAD, meta(THREAD) + usage("first"))
    with file.open("r+b") as handle:
        handle.truncate(40 << 30)
        handle.seek(0, 2)
        handle.write(b"\n" + usage("last"))
    (one,) = found(tmp_path)
    told = list(all_facts(one))
    assert types(told) == ["seen", "usage_recorded", "line_rejected", "usage_recorded"]
    assert isinstance(told[2], TranscriptLineRejected)
    assert "its beginning and its last" in told[2].reason
    assert told[2].length > 39 << 30


def test_a_name_by_content_needs_a_whole_first_line_or_much_of_it() -> None:
    assert name_of(b"abc") is None
    assert name_of(b"abc\n") == name_of(b"abc\ndef") != name_of(b"abd\n")
    assert name_of(b"x" * 70_000) == name_of(b"x" * 80_000)
