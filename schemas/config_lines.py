"""Where a key stands in the text of a ``config.toml``. Pure.

No reader of TOML keeps lines of values, so the text is looked through for the one key that an error is about: headers, arrays
of tables by number, dotted and quoted keys. Must not know what keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

Place = tuple[str | int, ...]
"""A way into a document: names, and numbers from 1 for the tables of an array."""

_PART: Final = r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[A-Za-z0-9_-]+)"
_DOTTED: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_KEY: Final = re.compile(rf"\s*({_DOTTED})\s*=")
_PARTS: Final = re.compile(_PART)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")


def shown(place: Sequence[str | int]) -> str:
    """Write a place as people do: ``pins[2].provider``, ``providers.x.prices."gpt-5.1"``."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _PLAIN.fullmatch(part) else f'"{part}"')
    return text


def line_of(lines: Sequence[str], place: Place) -> int:
    """Find the line of a key: its own, or the first of what is inside it, else the nearest table around it, else 0."""
    best = 0
    tables: dict[Place, int] = {}
    table: Place = ()
    for number, line in _outside_of_texts(lines):
        if (header := header_of(line, tables)) is not None:
            table = header
            if table[: len(place)] == place:  # also the header of a table inside of it, which makes it
                return number
            if table == place[: len(table)]:
                best = number
        elif names := key_of(line):
            own = (*table, *names)
            if own == place[: len(own)] or own[: len(place)] == place:
                return number
    return best


def header_of(line: str, tables: dict[Place, int]) -> Place | None:
    """Read a table's header; None when the line is none. ``tables`` counts the tables of each array and is kept up here."""
    header = _HEADER.match(line)
    return None if header is None else _numbered(tuple(_names(header[2])), tables, opens=header[1] == "[[")


def key_of(line: str) -> tuple[str, ...]:
    """Read the key, dotted or not, that a line gives a value to; empty when it gives none."""
    key = _KEY.match(line)
    return () if key is None else tuple(_names(key[1]))


def _names(dotted: str) -> Iterator[str]:
    for part in _PARTS.findall(dotted):
        yield part[1:-1] if part[0] in "\"'" else part


def _numbered(names: tuple[str, ...], tables: dict[Place, int], *, opens: bool) -> Place:
    """Put the numbers of the tables that are open into a header's names; ``opens`` begins another one."""
    place: Place = ()
    for name in names[:-1]:
        place = (*place, name)
        if place in tables:
            place = (*place, tables[place])
    place = (*place, names[-1])
    if opens:
        tables[place] = tables.get(place, 0) + 1
        return (*place, tables[place])
    return place


def _outside_of_texts(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield numbered lines without those inside of a text of several lines."""
    closing = ""
    for number, line in enumerate(lines, 1):
        if closing:
            if line.count(closing) % 2:
                closing = ""
            continue
        yield number, line
        for mark in ('"""', "'''"):
            if line.count(mark) % 2 and not line.lstrip().startswith("#"):
                closing = mark
