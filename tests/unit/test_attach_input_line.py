"""What stands in Claude Code's input line, by screens as tmux shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.attach.input_line import PROMPT, holds, input_line

RULE = "\x1b[38;5;244m" + "─" * 40
FOOT = "\x1b[39m  ⏵⏵ auto mode on (shift+tab to cycle)"


def screen(*rows: str) -> str:
    return "\n".join(("● You said: hi", "", RULE, *rows, RULE, FOOT, ""))


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (screen(f"\x1b[39m{PROMPT}\xa0\x1b[7m \x1b[0m"), ""),
        (screen(f"\x1b[38;5;246m{PROMPT}\xa0\x1b[7m\x1b[39m \x1b[0m\x1b[39m"), ""),
        (screen(f'\x1b[39m{PROMPT}\xa0\x1b[7mT\x1b[0m\x1b[2mry "fix lint errors"\x1b[0m'), ""),
        (screen(f"\x1b[39m{PROMPT}\xa0half a tho\x1b[7m \x1b[0m"), "half a tho"),
        (screen(f"\x1b[39m{PROMPT}\xa0two lines", "  second; $(id)\x1b[7m "), "two lines\n  second; $(id)"),
        (screen(f"{PROMPT}\xa0[Pasted text #1 +1 lines]"), "[Pasted text #1 +1 lines]"),
        (screen("\x1b[39m!\xa0touch x"), None),
        ("\n".join((RULE, " Do you want to proceed?", f" {PROMPT} 1. Yes", "   2. No", "", " Esc to cancel")), None),
        (f"{PROMPT} first\n\n● You said: first", None),
        (f"{RULE}\n{PROMPT} no rule below", None),
        ("", None),
    ],
)
def test_what_stands_in_it(shown: str, line: str | None) -> None:
    assert input_line(shown) == line


def test_what_was_pasted_is_recognised_and_nothing_more() -> None:
    assert holds("two lines\n  second", "two lines\nsecond")
    assert holds("a very lo\n  ng word", "a very long word")
    assert holds("[Pasted text #2]", "anything")
    assert holds("the beginning", "the beginning of what scrolls")
    assert not holds("half a thought and ours", "ours")
    assert not holds("ours and half a thought", "ours")
    assert not holds("", "ours")
    assert not holds(None, "ours")


@given(st.text(), st.text())
def test_no_screen_breaks_it(shown: str, text: str) -> None:
    line = input_line(f"{shown}\n{RULE}\n{PROMPT} {text}\n{RULE}")
    assert line is None or isinstance(holds(line, text), bool)
