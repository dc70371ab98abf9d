"""The keys of a terminal by name, and what a program reads when one is pressed.

A press is written as its name (``Enter``, ``Escape``, ``Up``, ``C-c``, ``M-Enter``) or as one printable character (``y``);
several stand behind one another, parted by blanks: ``"Down Enter"``. Pure. Must not know which program reads them.
"""

from __future__ import annotations

import re
from typing import Final

NAMED: Final = {
    "Enter": "\r",
    "Escape": "\x1b",
    "Tab": "\t",
    "Backtab": "\x1b[Z",
    "Backspace": "\x7f",
    "Space": " ",
    "Up": "\x1b[A",
    "Down": "\x1b[B",
    "Right": "\x1b[C",
    "Left": "\x1b[D",
    "Home": "\x1b[H",
    "End": "\x1b[F",
    "PageUp": "\x1b[5~",
    "PageDown": "\x1b[6~",
    "Delete": "\x1b[3~",
}
MOST: Final = 32
_CONTROL: Final = re.compile(r"C-([a-z\[\\\]_])")


def keys_problem(keys: str) -> str:
    """Say what keeps a text from being keys; empty when nothing does."""
    pressed = keys.split()
    if not pressed:
        return "names no key"
    if len(pressed) > MOST:
        return f"presses {len(pressed)} keys, and no more than {MOST} may be"
    return next((f"{key!r} is no key" for key in pressed if typed(key) is None), "")


def typed(key: str) -> str | None:
    """Return what a program reads when a key is pressed; None when there is no such key."""
    if key in NAMED:
        return NAMED[key]
    if found := _CONTROL.fullmatch(key):
        return chr(ord(found[1].upper()) & 0x1F)
    if key.startswith("M-") and not key.startswith("M-M-"):
        behind = typed(key[2:])
        return None if behind is None else f"\x1b{behind}"
    return key if len(key) == 1 and key.isprintable() else None
