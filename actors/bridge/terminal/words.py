"""What can be typed word for word into a terminal, and how; what cannot is refused with the reason. Pure.

A terminal takes some characters for keys: one that ends a line sends it, a tab completes, Escape may do anything. Between the
marks of a paste a program takes lines and tabs for text; no program can be trusted with the other controls.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from actors.bridge.terminal.page import Page
from actors.terminal.contract import Ask, Press, Type
from schemas.terminals import Terminal

MAX_TEXT: Final = 1_048_576
MAX_LINE: Final = 4_000
"""Bytes of a line that the system gathers (Linux takes 4,095); what is longer would be cut without a word."""


def refusal(text: str, page: Page, terminal: Terminal) -> str:  # noqa: PLR0911 - one for each reason
    """Say why a message cannot be typed as it is; empty when it can."""
    if not text.strip():
        return "there is nothing in it that could be typed"
    if len(text) > MAX_TEXT:
        return f"{len(text)} characters are more than the {MAX_TEXT} that are typed at once; put them into a file"
    for place, one in enumerate(text, 1):
        if one not in "\n\t" and unicodedata.category(one) in ("Cc", "Cs"):
            return f"character {place} (U+{ord(one):04X}) would be a key in a terminal; take it out"
    if page.paste:
        return ""
    if "\t" in text:
        return "a tab would be a key there, since the program takes no paste; write blanks"
    if "\n" in text and not terminal.newline:
        return "its lines would be sent one by one, since the program takes no paste; write it in one line"
    if page.lines and any(len(line.encode()) > MAX_LINE for line in text.split("\n")):
        return f"a line of more than {MAX_LINE} bytes would be cut, since the program reads whole lines; make it shorter"
    return ""


def typing(text: str, page: Page, terminal: Terminal) -> Iterator[Ask]:
    """Yield what types a message that is not refused."""
    if page.paste or "\n" not in text:
        yield Type(text=text)
        return
    for number, line in enumerate(text.split("\n")):
        if number:
            yield Press(keys=terminal.newline)
        if line:
            yield Type(text=line)
