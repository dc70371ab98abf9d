"""The line that a person types at a chat: bytes of a terminal become keys, keys change the line. Pure.

Owns the terminal's side of typing (UTF-8, escape sequences, pasted text) and what fits into one row of the screen. readline
cannot be used: it wants the screen for itself while it waits. Must not know what a line means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from rich.cells import cell_len

from actors.cli.text import printable

MAX_LINE: Final = 1 << 20
MAX_PAST: Final = 200
_PASTE: Final = b"\x1b[200~"
_PASTED: Final = b"\x1b[201~"
_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-9;<=>?]*[ -/]*[@-~]|O[@-~])")
_BEGUN: Final = re.compile(rb"\x1b(?:\[[0-9;<=>?]*[ -/]*|O)?")
_LONGEST_SEQUENCE: Final = 64
_BYTES: Final = {
    "left": (b"\x1b[D", b"\x1bOD", b"\x02"),
    "right": (b"\x1b[C", b"\x1bOC", b"\x06"),
    "up": (b"\x1b[A", b"\x1bOA", b"\x10"),
    "down": (b"\x1b[B", b"\x1bOB", b"\x0e"),
    "home": (b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"\x01"),
    "end": (b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"\x05"),
    "word_left": (b"\x1b[1;5D",),
    "word_right": (b"\x1b[1;5C",),
    "back": (b"\x7f", b"\x08"),
    "delete": (b"\x1b[3~",),
    "eof": (b"\x04",),
    "enter": (b"\r", b"\n"),
    "kill": (b"\x15",),
    "kill_end": (b"\x0b",),
    "kill_word": (b"\x17",),
    "redraw": (b"\x0c",),
}
_KEYS: Final = {raw: name for name, sequences in _BYTES.items() for raw in sequences}
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: a name, or text that was typed or (``pasted``) came at once."""

    name: str = ""
    text: str = field(default="", repr=False)
    pasted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is typed, where the cursor is in it, and the lines before; ``place`` is which of them is looked at."""

    text: str = ""
    at: int = 0
    past: tuple[str, ...] = ()
    place: int | None = None
    draft: str = ""


def read_keys(rest: bytes, came: bytes) -> tuple[tuple[Key, ...], bytes]:
    """Read bytes of a terminal; what may go on in the next ones is returned as the rest."""
    raw = rest + came
    keys: list[Key] = []
    at = 0
    while at < len(raw):
        key, end = _next_key(raw, at)
        if end == at:
            break
        at = end
        if key is not None:
            keys.append(key)
    return tuple(keys), raw[at:]


def press(line: Line, key: Key) -> tuple[Line, str | None]:
    """Change the line; when it was entered, return it as well."""
    if key.name == "enter":
        past = line.past if not line.text.strip() or line.past[-1:] == (line.text,) else (*line.past, line.text)
        return Line(past=past[-MAX_PAST:]), line.text
    if key.text:
        text = key.text[: MAX_LINE - len(line.text)]
        return replace(line, text=line.text[: line.at] + text + line.text[line.at :], at=line.at + len(text)), None
    if key.name in ("up", "down"):
        return _recall(line, -1 if key.name == "up" else 1), None
    return _edit(line, key.name), None


def row(line: Line, lead: str, width: int) -> tuple[str, int]:
    """Return the row of the screen that shows the line around its cursor, and the cursor's cell in it."""
    room = max(4, width - 1 - cell_len(lead))
    before = _end_of(line.text[: line.at], room * 2 // 3 if line.text[line.at :] else room - 1)
    after = _start_of(line.text[line.at :], room - cell_len(before))
    shown = f"{lead}{before}{after}"
    return shown, cell_len(lead) + cell_len(before)


def _next_key(raw: bytes, at: int) -> tuple[Key | None, int]:
    if raw.startswith(_PASTE, at):
        return _pasted(raw, at)
    if raw[at] == 0x1B:  # noqa: PLR2004 - ESC
        return _escaped(raw, at)
    if raw[at] < 0x20 or raw[at] == 0x7F:  # noqa: PLR2004 - C0 and DEL
        name = _KEYS.get(raw[at : at + 1])
        return (Key(name) if name else Key(text="    ") if raw[at] == 0x09 else None), at + 1  # noqa: PLR2004 - TAB
    return _typed(raw, at)


def _typed(raw: bytes, at: int) -> tuple[Key | None, int]:
    """Read text up to the next control character; a character of which only the first bytes are there waits."""
    end = at
    while end < len(raw) and raw[end] >= 0x20 and raw[end] != 0x7F:  # noqa: PLR2004 - C0 and DEL
        end += 1
    try:
        return Key(text=raw[at:end].decode()), end
    except UnicodeDecodeError as error:
        if error.start:
            return Key(text=raw[at : at + error.start].decode()), at + error.start
        if end == len(raw) and error.reason == "unexpected end of data":
            return None, at
        return None, at + max(1, error.end)


def _escaped(raw: bytes, at: int) -> tuple[Key | None, int]:
    """Read an escape sequence; an unknown one is no key, one that is not finished waits."""
    found = _SEQUENCE.match(raw, at)
    if found is not None:
        name = _KEYS.get(found[0])
        return (Key(name) if name else None), found.end()
    begun = _BEGUN.match(raw, at)
    assert begun is not None  # noqa: S101 - it begins with ESC
    if begun.end() == len(raw) and begun.end() - at < _LONGEST_SEQUENCE:
        return None, at
    return None, at + 1


def _pasted(raw: bytes, at: int) -> tuple[Key | None, int]:
    """Read what was pasted, whole: its line ends are part of the text and enter nothing."""
    end = raw.find(_PASTED, at)
    if end < 0 and len(raw) - at <= MAX_LINE:
        return None, at
    content = raw[at + len(_PASTE) : end if end >= 0 else len(raw)].decode(errors="replace")
    text = content.replace("\r\n", "\n").replace("\r", "\n")
    return Key(text=text, pasted=True), end + len(_PASTED) if end >= 0 else len(raw)


def _edit(line: Line, name: str) -> Line:  # noqa: PLR0911 - one return a key
    text, at = line.text, line.at
    match name:
        case "left" | "right":
            return replace(line, at=max(0, at - 1) if name == "left" else min(len(text), at + 1))
        case "home" | "end":
            return replace(line, at=0 if name == "home" else len(text))
        case "word_left" | "word_right":
            return replace(line, at=_word_start(text, at) if name == "word_left" else _word_end(text, at))
        case "back":
            return replace(line, text=text[: max(0, at - 1)] + text[at:], at=max(0, at - 1))
        case "delete" | "eof":
            return replace(line, text=text[:at] + text[at + 1 :])
        case "kill" | "kill_word":
            start = 0 if name == "kill" else _word_start(text, at)
            return replace(line, text=text[:start] + text[at:], at=start)
        case "kill_end":
            return replace(line, text=text[:at])
    return line


def _recall(line: Line, by: int) -> Line:
    """Look at an earlier or a later line; behind the latest is what was typed before."""
    place = len(line.past) if line.place is None else line.place
    draft = line.text if line.place is None else line.draft
    place = min(max(0, place + by), len(line.past))
    if place == len(line.past):
        return replace(line, text=draft, at=len(draft), place=None, draft="")
    text = line.past[place]
    return replace(line, text=text, at=len(text), place=place, draft=draft)


def _word_start(text: str, at: int) -> int:
    while at and text[at - 1].isspace():
        at -= 1
    while at and not text[at - 1].isspace():
        at -= 1
    return at


def _word_end(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    while at < len(text) and not text[at].isspace():
        at += 1
    return at


def _end_of(text: str, cells: int) -> str:
    """Return the end of a text that fits, with a sign when something is left out."""
    shown = _flat(text[-cells:] if cells > 0 else "")
    if len(text) <= cells and cell_len(shown) <= cells:
        return shown
    while shown and cell_len(shown) > cells - 1:
        shown = shown[1:]
    return f"{_ELLIPSIS}{shown}" if cells > 0 else ""


def _start_of(text: str, cells: int) -> str:
    shown = _flat(text[: max(0, cells)])
    if len(text) <= cells and cell_len(shown) <= cells:
        return shown
    while shown and cell_len(shown) > cells - 1:
        shown = shown[:-1]
    return f"{shown}{_ELLIPSIS}" if cells > 0 else ""


def _flat(text: str) -> str:
    """Show a line end as a sign of its own, and no control character."""
    return "".join("⏎" if char == "\n" else printable(char) for char in text)
