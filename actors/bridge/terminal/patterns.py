"""What a page means, by the patterns that were declared: is it ready, does it work, what does it ask, what is the reply. Pure.

Where a reply begins, in this order: behind the row that shows our marker, where one is used; at the first row that ``reply``
matches, or else behind the row that was typed, both counted from the prompt's line; and where numbers mean nothing (the other
screen, one that was drawn anew), behind the last row that begins as the prompt did and goes on as the message does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2s
from typing import Final

from actors.bridge.terminal.page import Page
from schemas.terminals import Opening, Question, Terminal

_HEAD: Final = 24
_SURE: Final = 3
"""So many lines alike are no chance."""
_MARKER: Final = re.compile(r" ?\[tw:[0-9a-f]{32}\]")


@dataclass(frozen=True, slots=True)
class Patterns:
    """A terminal's patterns, ready to be searched for."""

    ready: re.Pattern[str]
    busy: re.Pattern[str] | None
    end: re.Pattern[str] | None
    reply: re.Pattern[str] | None
    leave_out: tuple[re.Pattern[str], ...]
    questions: tuple[tuple[re.Pattern[str], Question], ...]
    openings: tuple[tuple[re.Pattern[str], Opening], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A message as it was typed: at which line the prompt stood and how it looked, which line is behind its echo."""

    text: str = ""
    prompt: str = ""
    anchor: int = 0
    begins: int = 0
    marker: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The lines of a reply, how wide the mark of its first one is, and whether some of it was never seen."""

    lines: tuple[str, ...] = ()
    indent: int = 0
    cut: bool = False


def compiled(terminal: Terminal) -> Patterns:
    """Return the patterns of a terminal that keeps the rules (``schemas.terminal_rules``)."""
    return Patterns(
        ready=re.compile(terminal.ready),
        busy=_maybe(terminal.busy),
        end=_maybe(terminal.end),
        reply=_maybe(terminal.reply),
        leave_out=tuple(re.compile(one) for one in terminal.leave_out),
        questions=tuple((re.compile(one.pattern, re.MULTILINE), one) for one in terminal.questions),
        openings=tuple((re.compile(one.pattern, re.MULTILINE), one) for one in terminal.openings),
    )


def _maybe(pattern: str) -> re.Pattern[str] | None:
    return re.compile(pattern) if pattern else None


def prompt_row(patterns: Patterns, page: Page) -> int | None:
    """Return the number of the lowest row that is the prompt; None when none is."""
    for place in range(len(page.rows) - 1, -1, -1):
        if patterns.ready.search(page.rows[place]):
            return page.top + place
    return None


def sign(patterns: Patterns, page: Page, prompt: int) -> str:
    """Return how the prompt looks: what of its row the pattern is of, and nothing that stands behind it for lack of a text."""
    found = patterns.ready.search(page.rows[prompt - page.top])
    return found[0] if found is not None else ""


def works(patterns: Patterns, page: Page) -> bool:
    """Tell whether a row says that the agent works."""
    return patterns.busy is not None and any(patterns.busy.search(row) for row in page.rows)


def asks(patterns: Patterns, page: Page) -> tuple[Question, str] | None:
    """Return the question that stands on the screen, and the row that it begins in."""
    for pattern, question in patterns.questions:
        if found := pattern.search(page.text):
            row = page.text[page.text.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
            return question, row.strip()
    return None


def opens(patterns: Patterns, page: Page) -> Opening | None:
    """Return the opening that stands on the screen."""
    return next((opening for pattern, opening in patterns.openings if pattern.search(page.text)), None)


def substance(patterns: Patterns, page: Page) -> tuple[int, tuple[str, ...]]:
    """Return what has to change for the screen to have changed: rows that belong to a reply, and how many left."""
    return page.top, tuple(row for row in page.rows if not _left_out(patterns, row))


def over(patterns: Patterns, page: Page, typed: Typed) -> bool:
    """Tell whether a row says that the turn is over."""
    end = patterns.end
    return end is not None and any(end.search(row) for _, row in page.between(typed.anchor, page.bottom))


def reply(patterns: Patterns, page: Page, typed: Typed, before: Reply, *, final: bool = False) -> Reply:
    """Return the reply as far as it stands there; ``before`` is what it was: its beginning may have left the other screen.

    Where nothing shows its beginning, it is what follows on ``before``; at the end (``final``), the last that looks like one.
    """
    prompt = prompt_row(patterns, page)
    last = page.bottom if prompt is None else prompt
    first, sure = _first(patterns, page, typed, last)
    rows = [row for _, row in page.between(first, last)]
    marked = [place for place, row in enumerate(rows) if patterns.reply is not None and patterns.reply.search(row)]
    whole = sure and (patterns.reply is None or bool(marked))
    if not whole and not before.lines and not (final and (sure or marked)):
        return before
    begins = marked[0 if sure else -1] if marked and (whole or not before.lines) else 0
    kept = [row for row in rows[begins:] if not _left_out(patterns, row)]
    if patterns.busy is not None:
        kept = [row for row in kept if not patterns.busy.search(row)]
    indent = before.indent if before.lines else _indent(kept)
    if patterns.reply is not None and kept and (found := patterns.reply.match(kept[0])):
        indent = found.end()
    lines = tuple(unmarked(line) for line in _trimmed(_without_mark(patterns.reply, kept, indent)))
    if whole:
        return Reply(lines, indent)
    if not before.lines:
        return Reply(lines, indent, cut=bool(lines) and page.alternate and first <= page.top + 1)
    joined = _continued(before.lines, lines)
    if joined is None:
        return Reply((*before.lines, *lines), indent, cut=True) if final else before
    return Reply(joined, indent)


def _indent(rows: Sequence[str]) -> int:
    """Return by how much all rows are indented."""
    return min((len(row) - len(row.lstrip(" ")) for row in rows if row.strip()), default=0)


def _first(patterns: Patterns, page: Page, typed: Typed, last: int) -> tuple[int, bool]:
    """Return the line from which the reply is looked for, and whether it begins there for certain."""
    if typed.marker and (behind := _behind_marker(page, typed.marker, last)) is not None:
        return behind, True
    if not page.alternate and typed.anchor <= last:
        if patterns.reply is None:
            return max(typed.begins, typed.anchor), True
        if any(patterns.reply.search(row) for _, row in page.between(typed.anchor, last)):
            return typed.anchor, True
    head = typed.text.strip().partition("\n")[0][:_HEAD]
    for number, row in reversed(list(page.between(page.top, last))):
        if typed.prompt and row.startswith(typed.prompt) and head in row:
            return number + 1, True
    return page.top, False


def _behind_marker(page: Page, marker: str, last: int) -> int | None:
    """Return the line behind the last one that shows the marker, which may go on in the next row."""
    found, begun = None, ""
    for number, row in page.between(0, last):
        if marker in begun + row:
            found = number + 1
        begun = row.removesuffix("\n") if row.endswith("\n") else ""
    return found


def shown(rows: Sequence[str]) -> list[str]:
    """Return what may be shown of rows: whole lines, without blank ones and markers of ours, also of earlier messages."""
    return [line for row in _trimmed(rows) if (line := unmarked(row))]


def unmarked(text: str) -> str:
    """Return what may be shown of a text."""
    return _MARKER.sub("", text).rstrip()


def marker(launch: str, turn: str) -> str:
    """Return the word that is put behind a message where nothing else shows where its reply begins; it is used once."""
    return f"[tw:{blake2s(f'{launch} {turn}'.encode(), digest_size=16).hexdigest()}]"


def _continued(before: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...] | None:
    """Join what was seen with what is seen after it moved up: where most of the newer lines are found among the older ones.

    What is seen now counts from there on. None where nothing is found: something between them was never seen.
    """
    if not now:
        return before
    longest, place = max(((_alike(before[place:], now), place) for place in range(len(before))), default=(0, 0))
    enough = longest >= _SURE or (longest and place + longest >= len(before) - 1)
    return (*before[:place], *now) if enough else None


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """Return with how many equal lines both begin."""
    return next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


def _left_out(patterns: Patterns, row: str) -> bool:
    return any(pattern.search(row) for pattern in patterns.leave_out)


def _without_mark(begins: re.Pattern[str] | None, rows: Sequence[str], indent: int) -> list[str]:
    """Take the mark away with which a reply's rows begin, and from the others the blanks that stand in its place."""
    if begins is None:
        return list(rows)
    blanks = " " * indent
    return [row[match.end() :] if (match := begins.match(row)) else row.removeprefix(blanks) for row in rows]


def _trimmed(rows: Sequence[str]) -> tuple[str, ...]:
    """Return lines without the blank ones around them; rows that go on in the next one become one line."""
    filled = [place for place, row in enumerate(rows) if row.strip()]
    lines: list[str] = []
    goes_on = False
    for row in rows[filled[0] : filled[-1] + 1] if filled else ():
        if goes_on:
            lines[-1] += row.rstrip()
        else:
            lines.append(row.rstrip())
        goes_on = row.endswith("\n")
    return tuple(lines)
