"""What a person means by the target of a pin: never a guess, and every refusal says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from actors.cli.failures import CommandFailedError
from actors.cli.target import Target, find_pinned, find_target
from schemas.config import PinKind
from schemas.identity import SessionId
from schemas.provider_rows import PinRow
from schemas.rows import AsOf, SessionRow, SessionTable, Verdict

WHEN = "2026-11-21T08:00:00Z"


def row(session: str, verdict: Verdict = "verified", **more: Any) -> SessionRow:
    return SessionRow(
        session=SessionId(session),
        agent="codex",
        provisional=False,
        verdict=verdict,
        activity="active",
        first_seen=WHEN,
        last_seen=WHEN,
        **more,
    )


TABLE = SessionTable(
    as_of=AsOf(epoch="e", position=1, time=WHEN),
    sessions=(
        row("codex-01a1", conversation="codex:01a1", aliases=("launch-77",), terminal="wt:aaaa-1"),
        row("codex-01b2", conversation="codex:01b2", terminals=("wt:aaaa-2", "tmux:/t,1:%3")),
        row("proc-9-ab", "unverified", missing=("no request through the gateway yet",), terminal="wt:bbbb", cwd="/home/ada/w"),
    ),
)


def meant(text: str, kind: PinKind | None = None, table: SessionTable | None = TABLE) -> tuple[str, str]:
    found = find_target(text, kind, table)
    return found.kind, found.key


def refused(text: str, kind: PinKind | None = None, table: SessionTable | None = TABLE) -> CommandFailedError:
    with pytest.raises(CommandFailedError) as caught:
        find_target(text, kind, table)
    return caught.value


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("codex-01a1", None, ("session", "codex-01a1")),
        ("01b", None, ("session", "codex-01b2")),
        ("launch-7", None, ("session", "codex-01a1")),
        ("wt:aaaa-2", None, ("terminal", "wt:aaaa-2")),
        ("wt:b", None, ("terminal", "wt:bbbb")),
        ("wt:never-seen", None, ("terminal", "wt:never-seen")),
        ("tmux:/t,1:%3", None, ("terminal", "tmux:/t,1:%3")),
        ("/no/such/folder/", None, ("project", "/no/such/folder")),
        ("/no/../such", None, ("project", "/such")),
    ],
)
def test_what_is_meant(text: str, kind: PinKind | None, found: tuple[str, str]) -> None:
    assert meant(text, kind) == found


def test_a_folder_is_meant_whole_and_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    for text in ("link", "./link", str(tmp_path / "link")):
        assert meant(text) == ("project", str((tmp_path / "real").resolve()))
    assert meant(".", "project") == ("project", str(tmp_path.resolve()))


def test_a_name_that_is_a_folder_and_a_session_is_ambiguous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "01a1").mkdir()
    monkeypatch.chdir(tmp_path)
    error = refused("01a1")
    assert error.code == 2
    assert "codex-01a1 (--session)" in str(error)
    assert "(--project)" in str(error)
    assert meant("01a1", "session") == ("session", "codex-01a1")
    assert meant("01a1", "project")[0] == "project"


@pytest.mark.parametrize(
    ("text", "kind", "code", "said"),
    [
        ("codex-", None, 2, "codex-01a1, codex-01b2"),
        ("wt:aaaa", None, 2, "wt:aaaa-1, wt:aaaa-2"),
        ("nothing", None, 2, "is no session"),
        ("nothing", "terminal", 2, "is no terminal key"),
        ("", None, 2, "empty target"),
        ("proc-9", None, 1, "no request through the gateway yet; pin its terminal (tabwire pin wt:bbbb …) or its folder"),
    ],
)
def test_what_is_refused(text: str, kind: PinKind | None, code: int, said: str) -> None:
    error = refused(text, kind)
    assert error.code == code
    assert said in str(error)


def test_without_a_registry_only_what_needs_none_can_be_meant() -> None:
    assert meant("wt:x1", None, None) == ("terminal", "wt:x1")
    assert meant("/w", None, None) == ("project", "/w")
    assert "tabwire up" in str(refused("codex-01a1", None, None))


PINS = (
    PinRow(kind="session", target="codex-01a1", provider="a"),
    PinRow(kind="terminal", target="wt:aaaa-1", provider="a"),
    PinRow(kind="project", target="/home/ada/w", provider="a"),
    PinRow(kind="session", target="codex-01a9", provider="a"),
)


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("codex-01a1", None, Target("session", "codex-01a1")),
        ("launch-77", None, Target("session", "codex-01a1")),
        ("01a9", None, Target("session", "codex-01a9")),
        ("wt:", None, Target("terminal", "wt:aaaa-1")),
        ("/home/ada/w/", None, Target("project", "/home/ada/w")),
        ("/home", "project", Target("project", "/home/ada/w")),
    ],
)
def test_what_is_pinned_is_found(text: str, kind: PinKind | None, found: Target) -> None:
    assert find_pinned(text, kind, PINS, TABLE) == found


@pytest.mark.parametrize(("text", "said"), [("codex-01a", "2 things"), ("nothing", "is pinned (tabwire pins list)")])
def test_what_is_not_pinned_or_several(text: str, said: str) -> None:
    with pytest.raises(CommandFailedError, match=re.escape(said)):
        find_pinned(text, None, PINS, None)
