"""Claude Code's input line as its screen shows it: whether it is there, and what stands in it. Pure.

Facts, all tried with Claude Code 2.1.329 in tmux: the input stands between two rules of ``─`` near the bottom, behind its
sign and a blank that does not break; a ``!`` in the sign's place means that a shell will run it. While it asks for a permission
there is no such line: the sign in a list of choices has no rule right above it. A proposal for an empty line is drawn dim, the
cursor in reverse. A long text that was pasted stands there as ``[Pasted text #1 +2 lines]``. Must not know tmux.
"""

from __future__ import annotations

import re
from typing import Final

PROMPT: Final = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"
_RULE: Final = re.compile(r"^\s*─{8,}")
_DIM: Final = re.compile(r"\x1b\[(?:[0-9;]*;)?2m.*?(?=\x1b\[(?:0|22|39)|$)")
_CURSOR: Final = re.compile(r"\x1b\[(?:[0-9;]*;)?7m(.)(?=\x1b\[0m)")
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
_COLLAPSED: Final = re.compile(r"\[Pasted text #\d+(?: \+\d+ lines)?\]")


def input_line(screen: str) -> str | None:
    """Return what stands in the input line of a screen, of which styles were captured too; None where there is none."""
    rows = screen.split("\n")
    plain = [_STYLE.sub("", row) for row in rows]
    for place in range(len(rows) - 2, 0, -1):
        if not plain[place].startswith(PROMPT) or not _RULE.match(plain[place - 1]):
            continue
        below = next((at for at in range(place + 1, len(plain)) if _RULE.match(plain[at])), None)
        if below is None:
            return None
        return "\n".join(_typed(row) for row in rows[place:below]).removeprefix(PROMPT).replace("\xa0", " ").strip()
    return None


def holds(line: str | None, text: str) -> bool:
    """Tell whether the input line holds a text that was pasted, and nothing else, as far as can be seen of it."""
    if line is None:
        return False
    if _COLLAPSED.fullmatch(line):
        return True
    return bool(line) and _bare(text).startswith(_bare(line)[: len(_bare(text))]) and len(_bare(line)) <= len(_bare(text))


def _typed(row: str) -> str:
    """Return what was typed of a row: not what is drawn dim, and not the cell of the cursor in front of that."""
    without = _DIM.sub("", row)
    if without != row:
        without = _CURSOR.sub("", without)
    return _STYLE.sub("", without)


def _bare(text: str) -> str:
    """Return a text without blanks, which rows wrap at."""
    return "".join(text.split())
