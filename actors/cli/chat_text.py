"""Text of an agent as people may safely see it, piece by piece: line ends stay, nothing else controls a terminal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from actors.cli.text import printable

Style = Literal["plain", "prompt", "reply", "thought", "tool", "notice", "error", "question"]
TAB: Final = "    "
_JOINERS: Final = "\u200c\u200d"  # they make emoji and whole scripts readable, and move nothing


@dataclass(frozen=True, slots=True)
class Span:
    """Text to write behind what was written before; its only control characters are line feeds."""

    style: Style
    text: str


def visible(text: str) -> str:
    r"""Escape every character that is not plainly visible, save line feeds; a tab becomes blanks (``\x1b`` stays readable)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _seen(char) for char in text)


def unbroken(text: str) -> str:
    """Make one line of a text: its first one, with a sign that there is more."""
    first, _, rest = text.strip().partition("\n")
    return f"{visible(first.rstrip())} …" if rest else visible(first.rstrip())


def feeds(text: str, kept: str) -> tuple[str, str]:
    r"""Read ``\r\n`` as a line feed; line ends behind the last visible character are kept back until more comes."""
    whole = kept + text
    shown = whole.rstrip("\r\n")
    return shown.replace("\r\n", "\n"), whole[len(shown) :]


def first_lines(text: str, most: int, width: int) -> tuple[str, ...]:
    """Return the first lines of a text, each cut where it is too long; the last one says how many are left out."""
    lines = text.strip("\n").split("\n") if text.strip("\n") else []
    shown = [visible(line if len(line) <= width else f"{line[: width - 1]}…") for line in lines[:most]]
    if len(lines) > most:
        left = len(lines) - most
        shown.append(f"… {left} more line{'s' if left > 1 else ''}")
    return tuple(shown)


def _seen(char: str) -> str:
    if char == "\t":
        return TAB
    if char in _JOINERS or (char.isspace() and ord(char) > 0x9F and char not in "\u2028\u2029"):  # noqa: PLR2004 - the end of C1
        return char
    return printable(char)
