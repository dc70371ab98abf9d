"""What a driven session looks like: every kind of piece, what comes again after a loss, nothing that controls a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

import pytest

from actors.cli import chat_view
from actors.cli.chat_pieces import View, answer_of, choices, tell
from actors.cli.chat_text import Span, feeds, first_lines, visible
from schemas.bridge_rows import BridgeRow, Pending, Turn
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Ended,
    FailureTold,
    Identified,
    Option,
    Piece,
    PlanStep,
    PlanUpdated,
    SettingsTold,
    StatusTold,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UsageTold,
)
from schemas.events import Usage
from schemas.identity import LaunchId, SessionId

WHEN = "2026-11-21T12:00:00Z"
YES = Option(id="ok", label="Yes", kind="allow_once")
ALWAYS = Option(id="2", label="Always", kind="allow_always")
NO = Option(id="1", label="No", kind="deny_once")
ASKED = ApprovalRequested(
    turn="m1",
    approval="a1",
    tool="shell",
    title="rm -rf build",
    detail="in /work\nas ada",
    options=(YES, ALWAYS, NO),
    expires="2026-11-21T12:05:00Z",
)


STEPS = (PlanStep(text="look", state="completed"), PlanStep(text="do", state="pending"))

SWITCHED = (SettingsTold(provider="p"), SettingsTold(provider="q", reason="p is off"))


def text(value: str, item: str = "i1", channel: Any = "reply", turn: str = "m1") -> TextAdded:
    return TextAdded(turn=turn, item=item, channel=channel, text=value)


def written(view: View, pieces: Iterable[Piece]) -> tuple[View, str]:
    """Show pieces one by one; return all that was written."""
    out = ""
    for piece in pieces:
        view, spans = tell(view, piece)
        out += "".join(span.text for span in spans)
    return view, out


def shown(*pieces: Piece) -> str:
    return written(View(agent="codex", zone=UTC, turn="m1", turns=1), pieces)[1]


def row(**more: Any) -> BridgeRow:
    known = {
        "launch": LaunchId("launch-1"),
        "session": SessionId("codex-1"),
        "agent": "codex",
        "cwd": "/w",
        "status": "working",
    }
    return BridgeRow(**{**known, "status_since": WHEN, "created": WHEN, "last_used": WHEN, **more})


def pending(*pieces: Piece, turn: str = "m1", turns: int = 1, sequence: int = 9, cut: bool = False) -> Pending:
    return Pending(bridge=row(turns=turns), run="r", sequence=sequence, turn=turn, pieces=pieces, cut=cut)


def words(spans: Iterable[Span]) -> str:
    return "".join(span.text for span in spans)


def test_a_turn_is_its_prompt_its_texts_and_what_was_used() -> None:
    view, out = written(
        View(agent="codex"),
        (
            TurnStarted(turn="m1"),
            text("two\nlines", "p", "prompt"),
            TextEnded(turn="m1", item="p", channel="prompt", length=9),
            text("hmm", "t", "thought"),
            text("Hel"),
            text("lo\n"),
            TextEnded(turn="m1", item="i1", channel="reply", length=6),
            UsageTold(turn="m1", usage=Usage(input=1200, output=7)),
            TurnEnded(turn="m1", outcome="completed"),
        ),
    )
    assert out == "> two\n  lines\nhmm\nHello\n· 1,200 tokens in, 7 out\n"
    assert (view.turn, view.turns, view.line) == ("", 1, "")


def test_turns_are_parted_by_an_empty_line() -> None:
    _, out = written(View(), (TurnStarted(turn="a"), text("x", turn="a"), TurnStarted(turn="b"), text("y", "j", turn="b")))
    assert out.startswith("x\n")
    assert out.endswith("\n\ny")


@pytest.mark.parametrize(
    ("pieces", "out"),
    [
        ((ToolStarted(turn="m1", item="t", name="shell", arguments="ls\n-l"),), "* shell: ls …\n"),
        ((ToolStarted(turn="m1", item="t", name="shell", title="shell"),), "* shell\n"),
        ((ToolEnded(turn="m1", item="t", ok=True, output="a\n\nb\n"),), "  | a\n  | \n  | b\n"),
        ((ToolEnded(turn="m1", item="t", ok=False),), "  | failed\n"),
        ((ToolEnded(turn="m1", item="t", ok=True, output="\n\n\n\na\nb\n\nc\n"),), "  | a\n  | b\n  | \n  | c\n"),
        ((ToolEnded(turn="m1", item="t", ok=True, output="a\n" * 8),), "  | a\n" * 5 + "  | … 3 more lines\n"),
        ((PlanUpdated(turn="m1", steps=STEPS),), "  [x] look\n  [ ] do\n"),
        ((FailureTold(code="x", message="it\nbroke"),), "! it\n  broke\n"),
        ((StatusTold(status="idle"),), ""),
        ((StatusTold(status="error", reason="gone mad"),), "! gone mad\n"),
        ((SettingsTold(provider="p", model="m"),), ""),
        (SWITCHED, "· provider q, model not chosen here, mode not chosen here (p is off)\n"),
        ((Identified(session=SessionId("codex-1"), conversation="1"),), "· this is codex-1\n"),
        ((Identified(session=SessionId("codex-2"), conversation="2", cleared=True),), "· a new conversation: codex-2\n"),
        ((TurnEnded(turn="m1", outcome="failed", reason="no key"),), "· failed: no key\n"),
        ((TurnEnded(turn="m1", outcome="interrupted"),), "· interrupted\n"),
        ((TurnEnded(turn="m7", outcome="interrupted", reason="not sent"),), "· a message was not given to codex: not sent\n"),
        ((Ended(reason="it was idle for 12 h"),), "· the session has ended: it was idle for 12 h\n"),
    ],
)  # fmt: skip
def test_each_kind_of_piece_has_its_look(pieces: tuple[Piece, ...], out: str) -> None:
    assert shown(*pieces) == out


def test_what_it_asks_is_shown_whole_with_what_can_be_answered() -> None:
    view, out = written(View(agent="codex", zone=UTC, turn="m1"), (ASKED,))
    assert out == (
        "? codex asks: shell: rm -rf build\n  | in /work\n  | as ada\n"
        "  [y] Yes\n  [a] Always\n  [n] No\n  denied at 12:05:00 without an answer\n"
    )
    assert view.approvals == (ASKED,)
    resolved = ApprovalResolved(turn="m1", approval="a1", option="1", allowed=False, by="deadline", reason="nobody answered")
    view, out = written(view, (resolved, resolved))
    assert out == "  denied by deadline: nobody answered\n"
    assert view.approvals == ()


def test_no_line_of_what_it_asks_is_left_out() -> None:
    asked = ApprovalRequested(
        turn="m1", approval="a", tool="shell", title=f"ls\nrm -rf ~ #{'x' * 3000}", options=(YES,), expires=WHEN
    )
    assert shown(asked).startswith(f"? codex asks: shell\n  | ls\n  | rm -rf ~ #{'x' * 3000}\n  [y]")


@pytest.mark.parametrize(
    ("typed", "option"),
    [
        *(("y", YES), ("Y", YES), (" yes ", YES), ("1", YES), ("ok", YES)),
        *(("a", ALWAYS), ("2", ALWAYS), ("n", NO), ("no", NO), ("3", NO)),
    ],
)
def test_an_answer_is_a_key_a_number_or_an_id_in_this_order(typed: str, option: Option) -> None:
    assert answer_of(ASKED, typed) == option


@pytest.mark.parametrize("typed", ["", "yy", "sure", "4", "0", "yes please", "Always"])
def test_nothing_else_answers(typed: str) -> None:
    assert answer_of(ASKED, typed) is None


def test_two_options_of_one_kind_have_different_keys() -> None:
    options = (YES, Option(id="b", label="Yes, in /w", kind="allow_once"), NO)
    asked = ApprovalRequested(turn="", approval="a", tool="t", title="", options=options, expires=WHEN)
    assert [key for key, _ in choices(asked)] == ["y", "2", "n"]


HOSTILE = "\x1b[2Ja\x07\x9b31m\u202eb\x00\u2028c\rd"


@pytest.mark.parametrize(
    "piece",
    [
        text(HOSTILE),
        text(HOSTILE, "p", "prompt"),
        ToolStarted(turn="m1", item="t", name=HOSTILE, title=HOSTILE, arguments=HOSTILE),
        ToolEnded(turn="m1", item="t", ok=False, output=HOSTILE),
        PlanUpdated(turn="m1", steps=(PlanStep(text=HOSTILE, state="pending"),)),
        ApprovalRequested(
            turn="m1",
            approval=HOSTILE,
            tool=HOSTILE,
            title=HOSTILE,
            detail=HOSTILE,
            options=(Option(id="x", label=HOSTILE, kind="allow_once"),),
            expires=HOSTILE,
        ),
        ApprovalResolved(turn="m1", approval="a", option="o", allowed=True, by=HOSTILE, reason=HOSTILE),
        StatusTold(status="error", reason=HOSTILE),
        SettingsTold(provider=HOSTILE, model=HOSTILE, mode=HOSTILE, reason=HOSTILE),
        Identified(session=SessionId(HOSTILE), conversation=HOSTILE),
        FailureTold(code=HOSTILE, message=HOSTILE),
        TurnEnded(turn="m1", outcome="failed", reason=HOSTILE),
        TurnEnded(turn="m2", outcome="failed", reason=HOSTILE),
        Ended(reason=HOSTILE),
    ],
    ids=lambda piece: type(piece).__name__,
)
def test_no_piece_controls_the_terminal(piece: Piece) -> None:
    out = shown(piece)
    assert out.replace("\n", "").isprintable()
    assert "\\x1b[2J" in out


def test_text_stays_readable() -> None:
    assert visible("tab\there, \u00a0 \u3000 \U0001f469\u200d\U0001f4bb, e\u0301") == (
        "tab    here, \u00a0 \u3000 \U0001f469\u200d\U0001f4bb, e\u0301"
    )
    assert visible("\ud800") == "\\ud800"
    assert feeds("a\r\nb\r", "") == ("a\nb", "\r")
    assert feeds("\nc", "\r") == ("\nc", "")
    assert first_lines("", 3, 10) == ()
    assert first_lines("abcdefghijk\n", 3, 10) == ("abcdefghi…",)


def test_a_reply_for_a_program_is_as_it_was_written() -> None:
    _, spans = tell(View(verbatim=True, turn="m1"), text(HOSTILE))
    assert words(spans) == HOSTILE


def test_what_is_under_way_adds_only_what_was_not_shown() -> None:
    view, _ = written(View(turns=0), (TurnStarted(turn="m1"), text("Hel"), ToolStarted(turn="m1", item="t", name="ls")))
    told = pending(
        TurnStarted(turn="m1"),
        text("Hello, "),
        text("world"),
        ToolStarted(turn="m1", item="t", name="ls"),
        ToolEnded(turn="m1", item="t", ok=True),
        ASKED,
        text("more", "i2"),
    )
    assert chat_view.missed(view, told) == 0
    view, spans = chat_view.whole(view, told)
    assert words(spans).startswith("lo, world\n? codex asks")
    assert words(spans).endswith("more")
    assert view.shown == {"i1": 12, "i2": 4}
    assert view.approvals == (ASKED,)
    again, spans = chat_view.whole(view, told)
    assert words(spans) == ""
    assert again == view


def test_an_approval_that_was_answered_out_of_sight_is_not_asked_any_more() -> None:
    view, _ = written(View(turn="m1", turns=1), (ASKED,))
    view, _ = chat_view.whole(view, pending(text("x", "i9")))
    assert view.approvals == ()


def test_of_a_cut_turn_no_text_is_guessed() -> None:
    view, _ = written(View(turns=0), (TurnStarted(turn="m1"), text("Hello")))
    view, spans = chat_view.whole(view, pending(text("lo, world"), text("all of it", "i2"), text("!", "i2"), cut=True))
    assert words(spans) == "\n· parts of this turn cannot be told any more\nall of it!"
    assert chat_view.whole(view, pending(text("lo, world"), text("all of it!", "i2"), cut=True))[1] == ()


@pytest.mark.parametrize(
    ("view", "told", "count"),
    [
        (View(), pending(turn="", turns=0), 0),
        (View(turns=3), pending(turn="", turns=3), 0),
        (View(turns=3), pending(turn="m4", turns=4), 0),
        (View(turns=3, turn="m3"), pending(turn="m3", turns=3), 0),
        (View(turns=3, turn="m3"), pending(turn="", turns=3), 1),
        (View(turns=3, turn="m3"), pending(turn="m4", turns=4), 1),
        (View(turns=3), pending(turn="", turns=5), 2),
        (View(turns=3, turn="m3"), pending(turn="m6", turns=6), 3),
        (View(turns=9), pending(turn="", turns=2), 2),
        (View(turns=9), pending(turn="x", turns=1), 0),
    ],
)
def test_turns_that_ended_out_of_sight_are_counted(view: View, told: Pending, count: int) -> None:
    assert chat_view.missed(view, told) == count


PAST = Turn(
    turn="m1",
    started=WHEN,
    pieces=(text("Hello"), StatusTold(status="error", reason="then"), TurnEnded(turn="m1", outcome="completed")),
)


def test_the_past_changes_nothing_of_the_present() -> None:
    view = View(status="idle", turn="m9", turns=9, shown={"i1": 3})
    after, spans = chat_view.past(view, (PAST, PAST))
    assert words(spans) == "Hello\n\nHello\n"
    assert (after.turn, after.shown, after.status) == ("m9", {"i1": 3}, "idle")


def test_a_missed_end_is_told_from_where_it_was_left() -> None:
    view, _ = written(View(turns=0), (TurnStarted(turn="m1"), text("Hel")))
    view, spans = chat_view.made_good(view, (PAST,))
    assert words(spans) == "lo\n"
    assert view.turn == ""


def test_a_missed_turn_that_has_another_name_in_the_history_is_told_again() -> None:
    view, _ = written(View(turns=0), (TurnStarted(turn="m1"), text("Hel")))
    view, spans = chat_view.made_good(view, (Turn(turn="t-7", started=WHEN, pieces=PAST.pieces),))
    assert words(spans) == "\n· the end of this turn was not seen\n\nHello\n"


def test_a_note_is_on_lines_of_its_own() -> None:
    view, _ = written(View(turn="m1"), (text("Hel"),))
    view, spans = chat_view.note(view, "a\x1b\nb")
    assert words(spans) == "\na\\x1b\nb\n"
