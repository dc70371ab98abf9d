"""Sessions with agents in terminals, step by step: when a message is typed, what is asked, when its turn ends."""

from __future__ import annotations

import pytest

from actors.bridge import adapter as seam
from actors.bridge.terminal.protocol import ENTER_LATEST, MAX_OPENINGS, READY_SECONDS
from actors.launch.plan import LaunchRefusedError
from actors.terminal.contract import Closed, Exited
from schemas.content import FailureTold, TurnEnded
from schemas.terminals import Opening, Terminal
from tests.bridge.terminal_play import BOX, CALCULATOR, TOKEN, TUI, Play, beginning, calculator, ended, repaint, tui


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


@pytest.mark.parametrize("line", [Closed(), Exited(code=0)])
def test_what_ended_by_somebody_s_wish_is_not_started_again(line: Closed | Exited) -> None:
    play = calculator()
    play.line(line)
    assert [one.resumable for one in play.said(seam.Fail)] == [False]


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
