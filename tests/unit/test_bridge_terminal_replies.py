"""What is told of replies that stand on screens: as they come, drawn anew, longer than the screen, behind markers; notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.bridge import adapter as seam
from actors.bridge.terminal.page import Page, turned
from actors.terminal.contract import Drawn, Exited, Opened, decode_up
from schemas.content import TextEnded, TurnEnded
from schemas.terminals import Terminal
from tests.bridge.terminal_play import ASKS, BOX, CALCULATOR, Play, calculator, ended, repaint, tui

TAPES = Path(__file__).parents[1] / "bridge/tapes"
PROMPT = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"
CLAUDE_TUI = Terminal(
    program="claude",
    ready=f"^{PROMPT}$",
    busy="esc to interrupt",
    reply="^\N{BLACK CIRCLE} ",
    leave_out=("^\N{BOX DRAWINGS LIGHT HORIZONTAL}+$", r"/effort$", r"^\S \w+ for \d+s"),
)


def test_long_replies_are_told_as_they_come_and_lines_are_whole() -> None:
    play = calculator()
    play.prompt("go")
    play.draw("\r\n" + "".join(f"row {number}\r\n" for number in range(20)) + "y" * 100)
    play.wait(1)
    assert play.text().startswith("row 0\nrow 1\n")
    assert ended(play) == []
    play.draw("z\r\n>>> ")
    play.settle()
    assert play.text().split("\n") == [*(f"row {number}" for number in range(20)), "y" * 100 + "z"]
    assert len(play.said(TextEnded)) == 1


def test_what_is_drawn_anew_in_another_way_is_another_text() -> None:
    play = tui()
    play.prompt("hello", echo=False)
    repaint(play, "| > hello", "* one", "  two", "  three", "esc to stop", BOX)
    play.wait(1)
    assert play.text() == "one\ntwo"
    repaint(play, "| > hello", "* one", "  2", BOX)
    play.settle()
    assert [one.item for one in play.said(TextEnded)] == ["reply-0", "reply-1"]
    assert play.text() == "one\ntwo2"


def test_a_reply_longer_than_the_other_screen_is_put_together() -> None:
    play = tui()
    play.draw(f"\x1b[?1049h\x1b[H{BOX}")
    play.settle()
    play.prompt("count", echo=False)
    said = ["* line 0", *(f"  line {number}" for number in range(1, 30))]
    for end in range(1, 31):
        repaint(play, *["| > count", *said[:end]][-7:], "esc to stop", BOX)
        play.wait(1)
    repaint(play, *said[-7:], BOX)
    play.settle()
    assert play.text().split("\n") == [f"line {number}" for number in range(30)]
    assert len(ended(play)) == 1


@pytest.mark.parametrize("seen", [True, False])
def test_a_reply_of_which_a_part_was_never_seen_says_so(seen: bool) -> None:  # noqa: FBT001 - both ways
    play = tui()
    play.draw(f"\x1b[?1049h\x1b[H{BOX}")
    play.settle()
    play.prompt("count", echo=False)
    if seen:
        repaint(play, "| > count", "* one", "  two", "  three", "esc to stop", BOX)
        play.wait(1)
    repaint(play, "| > count" if not seen else "  8", "  9", "  10", "esc to stop", BOX)  # at the top, whatever is below
    play.wait(1)
    repaint(play, "| > count" if not seen else "  8", "  9", "  10", BOX)
    play.settle()
    assert play.text() == ("one\ntwo\nthree\n8\n9\n10" if seen else "9\n10")
    assert "drawn over before it could be read" in play.text(channel="notice")
    assert len(ended(play)) == 1


def test_work_that_nobody_asked_for_is_a_turn_of_its_own() -> None:
    play = tui()
    repaint(play, "| > typed in the window", "* Well", "esc to stop", BOX)
    (woke,) = play.said(seam.Woke)
    repaint(play, "| > typed in the window", "* Well", BOX)
    play.settle()
    assert ended(play) == [TurnEnded(turn=woke.turn, outcome="completed")]
    assert play.text(woke.turn) == "Well"


def test_a_marker_shows_where_the_reply_begins_and_never_shows() -> None:
    play = Play(Terminal(program="p", ready="^>$", marker=True, columns=100, rows=10))
    play.draw("\x1b[?1049h\x1b[H>")
    play.settle()
    for turn in ("t1", "t2"):
        play.prompt("same", turn, echo=False)
        repaint(play, "same", "an old reply", play.typed[-2], f"said {play.typed[-2]}", "same", ">")
        play.settle()
    first, second = play.typed[0], play.typed[2]
    assert first != second
    assert first.startswith("same [tw:")
    assert (play.text("t1"), play.text("t2")) == ("same", "same")


def test_a_marker_that_goes_on_in_the_next_row_is_one_and_is_in_no_question() -> None:
    terminal = Terminal(program="p", ready="^>$", marker=True, columns=30, rows=10, questions=(ASKS,))
    play = Play(terminal)
    play.draw(">")
    play.settle()
    play.prompt("hello")
    play.draw("\r\nsaid\r\nRun it?")
    play.settle()
    (asked,) = play.said(seam.Ask)
    assert "[tw:" not in asked.detail
    play.take(seam.Decide(approval="question-1", option="yes"))
    play.draw(" y\r\n>")
    play.settle()
    assert play.text() == "said\nRun it? y"
    play.line(Exited(code=0))
    assert "[tw:" not in play.said(seam.Fail)[0].message


def test_its_end_is_told_with_its_last_rows() -> None:
    play = calculator()
    play.prompt("quit")
    play.draw("\r\nbye\r\nreally")
    play.line(Exited(code=3))
    assert play.text() == "bye\nreally"
    (failed,) = play.said(seam.Fail)
    assert (failed.code, failed.resumable) == ("agent_exited", True)
    assert failed.message == "agent: exited with 3; its last rows: >>> quit / bye / really"


def test_the_first_turn_says_where_its_window_is() -> None:
    play = Play(CALCULATOR)
    play.line(Opened(pid=7, attach="tmux attach -t x"))
    play.draw(">>> ")
    play.settle()
    for turn in ("t1", "t2"):
        play.prompt("1", turn)
        play.draw("\r\n1\r\n>>> ")
        play.settle()
    assert play.text("t1", "notice") == "agent runs in a window of tmux: tmux attach -t x"
    assert play.text("t2", "notice") == ""


def test_lines_that_went_by_too_fast_are_missed_aloud() -> None:
    play = calculator()
    play.prompt("yes")
    play.draw("\r\n" + "y\r\n" * 3_000 + ">>> ")
    play.settle()
    assert "lines went by too fast" in play.text(channel="notice")


def test_a_page_keeps_the_numbers_of_its_lines() -> None:
    page = turned(Page(), Drawn(changed=((0, "a"), (1, "b")), size=(2, 9)))
    page = turned(page, Drawn(changed=((0, "b"), (1, "c")), size=(2, 9), left=("a",)))
    assert list(page.between(0, 9)) == [(0, "a"), (1, "b"), (2, "c")]
    page = turned(page, Drawn(size=(2, 9), left=("y",), lost=5))
    assert (page.top, page.past, page.lost) == (7, ("y",), 6)


def test_the_recorded_screen_of_claude_code_is_read() -> None:
    """Play what its TUI showed (2.1.329) when a message was typed and answered."""
    play = Play(CLAUDE_TUI)
    lines = [decode_up(raw) for raw in (TAPES / "terminal_claude.jsonl").read_bytes().splitlines()]
    screens = iter([line for line in lines if isinstance(line, Drawn)])
    for screen in screens:
        play.line(screen)
        if any(row == PROMPT for row in play.state.page.rows):
            break
    play.wait(2)
    assert len(play.said(seam.Greeted)) == 1
    play.take(seam.Prompt(turn="t1", text="my name is Bob"))
    for screen in screens:
        play.line(screen)
        play.wait(0.2)
        if any(row.startswith(f"{CLAUDE_TUI.reply[1]} You said") for row in play.state.page.rows):
            break
    play.wait(4)
    assert play.typed == ["my name is Bob", "<Enter>"]
    assert ended(play) == [TurnEnded(turn="t1", outcome="completed")]
    assert play.text("t1") == "You said: my name is Bob"
