"""Sessions with agents in terminals, step by step: when a message is typed, when its turn ends, what is its reply."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.bridge import adapter as seam
from actors.bridge.terminal.page import Page, turned
from actors.bridge.terminal.protocol import ENTER_LATEST, MAX_OPENINGS, READY_SECONDS
from actors.launch.plan import LaunchRefusedError
from actors.terminal.contract import Closed, Drawn, Exited, Opened, decode_up
from schemas.content import FailureTold, TextEnded, TurnEnded
from schemas.terminals import Opening, Question, Terminal
from tests.bridge.terminal_play import TOKEN, Play, beginning

TAPES = Path(__file__).parents[1] / "bridge/tapes"
PROMPT = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"
CALCULATOR = Terminal(program="calc", ready="^>>>$", columns=40, rows=8)
ASKS = Question(pattern=r"^Run it\?$", yes="y", no="n")
TUI = Terminal(
    program="tui",
    ready="^[|] >$",
    busy="esc to stop",
    reply="^[*] ",
    leave_out=("^-+$",),
    questions=(Question(pattern=r"^Run it\?", yes="1", always="2", no="Escape", tool="shell"),),
    interrupt="Escape",
    clear="/new",
    columns=40,
    rows=12,
)
CLAUDE_TUI = Terminal(
    program="claude",
    ready=f"^{PROMPT}$",
    busy="esc to interrupt",
    reply="^\N{BLACK CIRCLE} ",
    leave_out=("^\N{BOX DRAWINGS LIGHT HORIZONTAL}+$", r"/effort$", r"^\S \w+ for \d+s"),
)
BOX = "----------\r\n| >\r\n----------"


def calculator() -> Play:
    """Return one that is at its prompt."""
    play = Play(CALCULATOR)
    play.draw(">>> ")
    play.settle()
    return play


def tui(terminal: Terminal = TUI) -> Play:
    play = Play(terminal)
    play.draw(f"Welcome\r\n{BOX}\x1b[2A\x1b[4G")
    play.settle()
    return play


def repaint(play: Play, *rows: str) -> None:
    """Let a program draw its whole screen anew."""
    play.draw("\x1b[2J\x1b[H" + "\r\n".join(rows))


def ended(play: Play) -> list[TurnEnded]:
    return play.said(TurnEnded)


def test_the_first_quiet_prompt_is_the_greeting() -> None:
    play = Play(CALCULATOR)
    play.draw("calc 1.0\r\n")
    play.settle()
    assert play.said(seam.Greeted) == []
    play.draw(">>> ")
    assert play.said(seam.Greeted) == []
    play.settle()
    assert len(play.said(seam.Greeted)) == 1


def test_openings_are_passed_by_their_keys_and_not_for_ever() -> None:
    play = Play(Terminal(program="p", ready="^>$", openings=(Opening(pattern="Trust this folder", keys="Down Enter"),)))
    play.draw("Trust this folder?\r\n>")
    play.wait(1000)
    assert play.typed == ["<Down Enter>"] * MAX_OPENINGS
    repaint(play, ">")
    play.settle()
    assert len(play.said(seam.Greeted)) == 1


def test_a_message_is_typed_and_then_sent_by_an_enter_of_its_own() -> None:
    play = calculator()
    play.take(seam.Prompt(turn="t1", text="6*7"))
    assert play.typed == ["6*7"]
    play.wait(CALCULATOR.enter_seconds - 0.01)
    play.draw("6*7")  # it was not quiet since: Enter waits on
    play.wait(CALCULATOR.enter_seconds - 0.01)
    assert play.typed == ["6*7"]
    play.wait(0.02)
    assert play.typed == ["6*7", "<Enter>"]
    play.draw("\r\n42\r\n>>> ")
    assert ended(play) == []
    play.settle()
    assert ended(play) == [TurnEnded(turn="t1", outcome="completed")]
    assert play.text() == "42"


def test_enter_does_not_wait_for_a_screen_that_never_rests() -> None:
    play = calculator()
    play.take(seam.Prompt(turn="t1", text="1"))
    for number in range(200):
        play.draw(f"\x1b7\x1b[5;1H{number}\x1b8")
        play.wait(0.1)
        if "<Enter>" in play.typed:
            break
    assert play.now < ENTER_LATEST + 2


def test_a_message_waits_for_the_prompt_and_not_for_ever() -> None:
    play = calculator()
    play.draw("typed by a person")
    play.take(seam.Prompt(turn="t1", text="1+1"))
    assert play.typed == []
    play.draw("\r\x1b[K>>> ")
    play.settle()
    assert play.typed == ["1+1"]
    other = calculator()
    other.draw("typed by a person")
    other.take(seam.Prompt(turn="t1", text="1+1"))
    other.wait(READY_SECONDS + 1)
    assert [one.code for one in other.said(FailureTold)] == ["not_ready"]
    assert (ended(other)[0].outcome, other.typed) == ("failed", [])


@pytest.mark.parametrize(
    "text", ["up \x1b[A", "and\r", "NUL \0", "\x7f", "\x9b", "two\nlines", "a\ttab", "", "  ", "x" * 1_048_577, "\ud800"]
)
def test_what_cannot_be_typed_word_for_word_is_refused(text: str) -> None:
    play = calculator()
    play.take(seam.Prompt(turn="t1", text=text))
    assert [one.code for one in play.said(FailureTold)] == ["cannot_type"]
    assert ended(play)[0].reason.startswith("not typed: ")
    assert play.typed == []
    play.prompt("1", "t2")
    play.draw("\r\n1\r\n>>> ")
    play.settle()
    assert ended(play)[-1] == TurnEnded(turn="t2", outcome="completed")


def test_lines_and_tabs_are_pasted_where_the_program_takes_a_paste() -> None:
    play = calculator()
    play.draw("\x1b[?2004h")
    play.take(seam.Prompt(turn="t1", text="two\n\tlines"))
    assert play.typed == ["two\n\tlines"]


def test_lines_are_parted_by_keys_that_send_nothing() -> None:
    play = Play(Terminal(program="p", ready="^>$", newline="M-Enter"))
    play.draw(">")
    play.settle()
    play.take(seam.Prompt(turn="t1", text="two\nlines"))
    assert play.typed == ["two", "<M-Enter>", "lines"]


def test_a_line_that_the_system_would_cut_is_refused() -> None:
    play = Play(CALCULATOR)
    play.draw(">>> ", lines=True)
    play.settle()
    play.take(seam.Prompt(turn="t1", text="x" * 4_001))
    assert "would be cut" in play.said(FailureTold)[0].message


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


def test_a_turn_does_not_end_before_the_agent_was_seen_at_work_or_had_time_for_it() -> None:
    play = tui()
    play.prompt("hello", echo=False)
    repaint(play, "| > hello", BOX)  # taken, and not begun yet
    play.settle()
    assert ended(play) == []
    repaint(play, "| > hello", "* Hi", "  there", "working, esc to stop", BOX)
    play.settle()
    assert ended(play) == []
    repaint(play, "| > hello", "* Hi", "  there", BOX)
    play.settle()
    assert (play.text(), len(ended(play))) == ("Hi\nthere", 1)
    play.prompt("again", "t2", echo=False)
    repaint(play, "| > hello", "* Hi", "  there", "| > again", "* At once", BOX)
    play.wait(TUI.start_seconds + 1)
    assert (play.text("t2"), len(ended(play))) == ("At once", 2)


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


def test_a_question_is_asked_and_answered_by_its_keys() -> None:
    play = tui()
    play.prompt("touch x", echo=False)
    repaint(play, "* Shell", "Run it?", "1 yes 2 always")
    play.settle()
    (asked,) = play.said(seam.Ask)
    assert (asked.approval, asked.tool, asked.title) == ("question-1", "shell", "Run it?")
    assert [option.kind for option in asked.options] == ["allow_once", "allow_always", "deny_once"]
    play.take(seam.Decide(approval="question-1", option="always"))
    assert play.typed[-1] == "<2>"
    repaint(play, "* Shell", "Run it?", "1 yes 2 always (again)")
    play.settle()
    assert [one.approval for one in play.said(seam.Ask)] == ["question-1", "question-2"]
    play.take(seam.Decide(approval="question-2", option=None))
    assert play.typed[-1] == "<Escape>"
    repaint(play, "* Denied", BOX)
    play.settle()
    assert ended(play) == [TurnEnded(turn="t1", outcome="completed")]


def test_a_question_that_was_answered_in_the_window_is_withdrawn() -> None:
    play = tui()
    play.prompt("touch x", echo=False)
    repaint(play, "Run it?")
    play.settle()
    repaint(play, "* Done", BOX)
    play.wait(2)
    assert [one.approval for one in play.said(seam.Withdrawn)] == ["question-1"]
    play.wait(TUI.start_seconds)
    assert len(ended(play)) == 1
    play.take(seam.Decide(approval="question-1", option="yes"))
    assert play.typed == ["touch x", "<Enter>"]


def test_what_is_asked_before_the_first_prompt_is_asked_too() -> None:
    play = Play(TUI)
    play.draw("Run it?")
    play.settle()
    assert len(play.said(seam.Ask)) == 1
    play.take(seam.Decide(approval="question-1", option="yes"))
    repaint(play, BOX)
    play.settle()
    assert len(play.said(seam.Greeted)) == 1


def test_an_interrupt_presses_its_key_and_the_next_prompt_is_the_end() -> None:
    play = tui()
    play.prompt("hello", echo=False)
    repaint(play, "| > hello", "* one", "esc to stop", BOX)
    play.take(seam.Interrupt())
    assert play.typed[-1] == "<Escape>"
    repaint(play, "| > hello", "* one", BOX)
    play.settle()
    assert ended(play) == [TurnEnded(turn="t1", outcome="interrupted")]


def test_an_interrupt_before_it_is_typed_types_nothing() -> None:
    play = calculator()
    play.draw("busy")
    play.take(seam.Prompt(turn="t1", text="1"))
    play.take(seam.Interrupt())
    assert (ended(play), play.typed) == ([TurnEnded(turn="t1", outcome="interrupted")], [])


def test_an_interrupt_before_enter_sends_nothing() -> None:
    play = calculator()
    play.take(seam.Prompt(turn="t1", text="1"))
    play.draw("1")
    play.take(seam.Interrupt())
    play.draw("^C\r\n>>> ")
    play.wait(10)
    assert (play.typed, [one.outcome for one in ended(play)]) == (["1", "<C-c>"], ["interrupted"])


def test_cleared_by_its_command() -> None:
    play = tui()
    play.take(seam.Clear())
    repaint(play, "| > /new", BOX)
    play.wait(1)
    repaint(play, "Welcome", BOX)
    play.wait(TUI.start_seconds + 1)
    assert play.typed == ["/new", "<Enter>"]
    assert play.said(seam.Changed) == [seam.Changed()]
    assert ended(play) == []


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


@pytest.mark.parametrize("line", [Closed(), Exited(code=0)])
def test_what_ended_by_somebody_s_wish_is_not_started_again(line: Closed | Exited) -> None:
    play = calculator()
    play.line(line)
    assert [one.resumable for one in play.said(seam.Fail)] == [False]


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


def test_how_it_is_started() -> None:
    declared = Play(CALCULATOR).adapter
    command = declared.plan(beginning(program="/bin/calc", arguments=("--quiet",)))
    assert command.argv[-2:] == ("-m", "actors.terminal")
    assert command.environ["OPENAI_BASE_URL"] == f"http://127.0.0.1:8129/s/{TOKEN}/v1"
    assert TOKEN not in " ".join(command.argv)
    assert declared.begin(beginning(program="/bin/calc", arguments=("--quiet",))).open.argv == ("/bin/calc", "--quiet")
    with pytest.raises(LaunchRefusedError, match="declare it"):
        declared.plan(beginning(program="/bin/calc", model="m"))


def test_it_is_pointed_at_the_gateway_as_declared() -> None:
    places = {"BASE": "{openai}", "ROOT": "{anthropic}/x", "THE_KEY": "{key}", "OWN_KEY": "{key}", "PLAIN": "x"}
    terminal = Terminal(program="p", ready="^>$", environ=places, model=("-m", "{model}"), window="tmux", quit="C-d")
    adapter = Play(terminal).adapter
    command = adapter.plan(beginning(program="/bin/p", environ={"OWN_KEY": "mine"}, model="m"))
    root = f"http://127.0.0.1:8129/s/{TOKEN}"
    assert dict(command.environ) == {
        "BASE": f"{root}/v1",
        "ROOT": f"{root}/x",
        "THE_KEY": "tabwire-placeholder",
        "PLAIN": "x",
    }
    opened = adapter.begin(beginning(program="/bin/p", model="m")).open
    assert (opened.argv, opened.window, opened.name, opened.farewell) == (
        ("/bin/p", "-m", "m"),
        "tmux",
        "tabwire-agent-0123456789ab",
        "C-d",
    )
    assert adapter.FACTS.protocol == "terminal (tmux)"


def test_what_is_no_line_of_a_terminal_is_noted() -> None:
    play = calculator()
    play.take(seam.LineCame(b"nonsense"))
    play.take(seam.LineSkipped(99, b"{"))
    play.take(seam.Change(model="m"))
    play.take(seam.Passed(name="quiet"))
    assert len(play.said(seam.Note)) == 2
    assert play.said(seam.Changed)[0].refused


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
