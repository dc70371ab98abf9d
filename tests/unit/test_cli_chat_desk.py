"""What a person at a chat means, and what typing does to the line."""

from __future__ import annotations

import pytest

from actors.cli.chat_desk import HELP, Action, Answer, Change, Do, Send, ShowTurns, Tell, interrupted, lead, read_line
from actors.cli.chat_line import Key, Line, press, read_keys, row
from actors.cli.chat_pieces import View
from schemas.content import ApprovalRequested, Option

YES = Option(id="ok", label="Yes", kind="allow_once")
NO = Option(id="no", label="No", kind="deny_once")
ASKED = ApprovalRequested(turn="t", approval="a1", tool="shell", title="rm", options=(YES, NO), expires="2026-11-21T12:00:00Z")


@pytest.mark.parametrize(
    ("typed", "action"),
    [
        ("", Do("nothing")),
        ("  \n ", Do("nothing")),
        ("fix it", Send("fix it")),
        (" /not a command", Send(" /not a command")),
        ("//compact now", Send("/compact now")),
        ("/help", Tell(HELP)),
        ("/model gpt-6", Change(model="gpt-6")),
        ("/model", Do("settings")),
        ("/provider local", Change(provider="local")),
        ("/provider -", Change(provider="")),
        ("/mode  read-only ", Change(mode="read-only")),
        ("/history", ShowTurns(10)),
        ("/history 3", ShowTurns(3)),
        ("/clear", Do("clear")),
        ("/fork", Do("fork")),
        ("/interrupt", Do("interrupt")),
        ("/close", Do("close")),
        ("/quit", Do("leave")),
    ],
)
def test_a_line_is_a_message_or_a_command(typed: str, action: Action) -> None:
    assert read_line(typed, ()) == action


@pytest.mark.parametrize(
    "typed", ["/nonsense", "/", "/history 0", "/history 201", "/history ²", "/history 99999999999999999999", "/clear all", "/model a b", "/model -", "/approve", "/approve y"]  # noqa: E501 - a list
)  # fmt: skip
def test_a_mistake_is_said_and_sends_nothing(typed: str) -> None:
    action = read_line(typed, ())
    assert isinstance(action, Tell)
    assert action.error


def test_while_it_asks_a_line_is_an_answer_or_nothing() -> None:
    assert read_line("y", (ASKED,)) == Answer("a1", "ok")
    assert read_line("/approve no", (ASKED,)) == Answer("a1", "no")
    assert read_line("/approve", (ASKED,)) == Do("questions")
    assert read_line("/interrupt", (ASKED,)) == Do("interrupt")
    for typed in ("yes, and also run the tests", "//y", "fix it"):
        action = read_line(typed, (ASKED,))
        assert isinstance(action, Tell)
        assert "y, n" in action.text


def test_ctrl_c_rubs_out_then_stops_then_leaves() -> None:
    assert interrupted(None, 10.0, running=True, typed=True) == (Do("rub_out"), None)
    assert interrupted(None, 10.0, running=True, typed=False) == (Do("interrupt"), 10.0)
    assert interrupted(10.0, 12.0, running=True, typed=False) == (Do("leave"), None)
    assert interrupted(10.0, 12.1, running=True, typed=False) == (Do("interrupt"), 12.1)
    action, last = interrupted(None, 10.0, running=False, typed=False)
    assert isinstance(action, Tell)
    assert interrupted(last, 11.0, running=False, typed=False) == (Do("leave"), None)


def test_the_row_says_who_listens() -> None:
    assert lead(View(agent="codex", status="idle")) == "codex> "
    assert lead(View(agent="codex", status="waiting_input")) == "codex (waiting input)> "
    assert lead(View(agent="codex", status="waiting_permission", approvals=(ASKED,))) == "y/n> "


def typed(*parts: bytes, line: Line | None = None) -> tuple[Line, list[str]]:
    line, entered, rest = line or Line(), [], b""
    for part in parts:
        keys, rest = read_keys(rest, part)
        for key in keys:
            line, done = press(line, key)
            entered += [] if done is None else [done]
    return line, entered


@pytest.mark.parametrize(
    ("keys", "text", "at"),
    [
        (b"abc", "abc", 3),
        (b"abc\x1b[D\x1b[DX", "aXbc", 2),
        (b"abc\x01X\x05Y", "XabcY", 5),
        (b"abc\x7f\x08", "a", 1),
        (b"abc\x1b[H\x1b[3~\x04", "c", 0),
        (b"one two \x17", "one ", 4),
        (b"one two\x15", "", 0),
        (b"one two\x1b[1;5D\x0b", "one ", 4),
        (b"one two\x01\x1b[1;5CX", "oneX two", 4),
        (b"a\tb", "a    b", 6),
        (b"\x1b[A\x1b[99;9Zab\x1bxc\x00", "abxc", 4),
        ("héll\N{GRINNING FACE}".encode(), "héll\N{GRINNING FACE}", 5),
        (b"a\xff\xfeb", "ab", 2),
    ],
)
def test_keys_change_the_line(keys: bytes, text: str, at: int) -> None:
    line, entered = typed(keys)
    assert (line.text, line.at, entered) == (text, at, [])
    split, entered = typed(*(keys[place : place + 1] for place in range(len(keys))))
    assert (split.text, split.at) == (text, at)


def test_pasted_line_ends_enter_nothing() -> None:
    line, entered = typed(b"say \x1b[200~one\r\ntwo\x03\x1b[31m\rthree\x1b[2", b"01~!", b"\r")
    assert entered == ["say one\ntwo\x03\x1b[31m\nthree!"]
    assert line == Line(past=tuple(entered))


def test_earlier_lines_come_back_and_what_was_typed_stays() -> None:
    line, entered = typed(b"one\rtwo\rtwo\r \rdra")
    assert entered == ["one", "two", "two", " "]
    up, _ = typed(b"\x1b[A\x1b[A\x1b[A", line=line)
    assert up.text == "one"
    down, _ = typed(b"\x1b[B\x1b[B\x1b[B", line=up)
    assert (down.text, down.at) == ("dra", 3)


def test_a_long_line_shows_what_is_around_the_cursor() -> None:
    assert row(Line(text="abc", at=3), "x> ", 20) == ("x> abc", 6)
    shown, cursor = row(Line(text="0123456789" * 5, at=50), "x> ", 20)
    assert shown.startswith("x> …")
    assert shown.endswith("789")
    assert cursor == len(shown) <= 19
    shown, cursor = row(Line(text="0123456789" * 5, at=25), "x> ", 20)
    assert shown[cursor] == "5"
    assert shown.endswith("…")
    assert row(Line(text="a\nb\x1b", at=4), "", 20)[0] == "a⏎b\\x1b"


def test_redraw_and_unknown_keys_change_nothing() -> None:
    line = Line(text="abc", at=1)
    for name in ("redraw", "eof_of_something", ""):
        assert press(line, Key(name)) == (line, None)
