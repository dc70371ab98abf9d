"""Edits of a configuration's text that leave every other line as it is. Pure.

Theory of operation
-------------------
The text is cut into statements: headers of tables, and keys with their values, which may span lines. An edit replaces, adds or
removes whole statements, so comments, order, blanks and line ends elsewhere are untouched by construction, which no library
that rewrites a whole document does (tomlkit moves tables of an array that others stand between, and takes the comment above
the next table for a part of the one before). Within a statement it is tomlkit that puts a value in another's place and keeps
the comment behind it. What is written in other ways (inline, dotted) is not edited: ``NotPlainError``.

Must not know what keys mean, nor files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from schemas.config_lines import Place, header_of, key_of, shown

_LINES: Final = re.compile(r"[^\n]*\n|[^\n]+")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class NotPlainError(ValueError):
    """A table that has no header of its own: it is written inline or by dotted keys, or it is not there."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"{shown(place)} has no table of its own in the file; edit it by hand")
        self.place = place


class Statement(Struct, frozen=True):
    """A header (no ``names``) or a key of a table: lines ``first`` to before ``end``."""

    table: Place
    names: tuple[str, ...]
    first: int
    end: int


def set_value(text: str, place: Place, key: str, value: Any) -> str:
    """Give a key of a table another value, or give it the key.

    Raises:
        NotPlainError: there is no such table, or its header is not to be found.

    """
    import tomlkit  # noqa: PLC0415 - 17 ms that no start shall wait for

    lines = _LINES.findall(text)
    found = statements(lines)
    for one in found:
        if one.table == place and one.names == (key,):
            document = tomlkit.parse("".join(lines[one.first : one.end]))
            if document[key] == value:
                return text
            document[key] = value
            return "".join([*lines[: one.first], tomlkit.dumps(document), *lines[one.end :]])
    eol = _eol(text)
    line = f"{_written(key)} = {literal(value)}{eol}"
    if not place:
        return "".join(_with_root_key(lines, found, line, eol))
    inside = [one for one in found if one.table == place]
    if not inside or inside[0].names:
        raise NotPlainError(place)
    last = inside[-1]
    before = lines[: last.end]
    if not before[-1].endswith("\n"):
        before[-1] += eol
    return "".join([*before, line, *lines[last.end :]])


def has_value(text: str, key: str) -> bool:
    """Tell whether a key stands before all tables."""
    return any(not one.table and one.names == (key,) for one in statements(_LINES.findall(text)))


def remove_value(text: str, place: Place, key: str) -> str:
    """Take a key out of a table; one that is not there is fine."""
    lines = _LINES.findall(text)
    for one in statements(lines):
        if one.table == place and one.names == (key,):
            return "".join([*lines[: one.first], *lines[one.end :]])
    return text


def add_table(text: str, place: Place, values: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """Write a new table: a table of an array behind the others of it, anything else at the end.

    ``place`` ends with a number for a table of an array. ``comments`` stand below its header.
    """
    is_array = isinstance(place[-1], int)
    names = [_written(str(part)) for part in place if isinstance(part, str)]
    header = f"[[{'.'.join(names)}]]" if is_array else f"[{'.'.join(names)}]"
    eol = _eol(text)
    block = [header, *(f"# {comment}" for comment in comments)]
    block = [f"{line}{eol}" for line in (*block, *(f"{_written(key)} = {literal(value)}" for key, value in values.items()))]
    lines = _LINES.findall(text)
    others = [one for one in statements(lines) if is_array and one.table[: len(place) - 1] == place[:-1] and one.table]
    end = others[-1].end if others else len(lines)
    before, after = lines[:end], lines[end:]
    if before and not before[-1].endswith("\n"):
        before[-1] += eol
    if before and before[-1].strip():
        block.insert(0, eol)
    if after and after[0].strip():
        block.append(eol)
    return "".join([*before, *block, *after])


def remove_table(text: str, place: Place) -> str:
    """Take a table out, with what is inside of it; comments before its header and after its last key stay.

    Raises:
        NotPlainError: there is no such table, or its header is not to be found.

    """
    lines = _LINES.findall(text)
    found = statements(lines)
    mine = [one for one in found if one.table[: len(place)] == place]
    if not mine or mine[0].names:
        raise NotPlainError(place)
    for stretch in reversed(_stretches(found, mine)):
        first, end = stretch[0].first, stretch[-1].end
        blank_before = first == 0 or not lines[first - 1].strip()
        while end < len(lines) and blank_before and not lines[end].strip():
            end += 1
        del lines[first:end]
        while first == len(lines) and lines and not lines[-1].strip():  # nothing but blanks would end the file
            del lines[-1]
            first -= 1
    return "".join(lines)


def literal(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_written(str(key))} = {literal(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(literal(one) for one in value)}]"
    import tomlkit  # noqa: PLC0415 - as above

    return str(tomlkit.item(value).as_string())


def statements(lines: Sequence[str]) -> list[Statement]:
    """Cut the lines of a TOML document into its statements."""
    found: list[Statement] = []
    tables: dict[Place, int] = {}
    table: Place = ()
    at = 0
    while at < len(lines):
        line = lines[at]
        end = at + 1
        if line.strip() and not line.lstrip().startswith("#"):
            if (header := header_of(line, tables)) is not None:
                table = header
                found.append(Statement(table, (), at, end))
            else:
                while not _whole("".join(lines[at:end])) and end < len(lines):
                    end += 1
                found.append(Statement(table, key_of(line), at, end))
        at = end
    return found


def _whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _with_root_key(lines: list[str], found: Sequence[Statement], line: str, eol: str) -> list[str]:
    """Put a key before all tables: behind the last such key, else behind the comment that the file begins with."""
    roots = [one for one in found if not one.table]
    if roots:
        return [*lines[: roots[-1].end], line, *lines[roots[-1].end :]]
    head = 0
    while head < len(lines) and lines[head].lstrip().startswith("#"):
        head += 1
    if head < len(lines) and lines[head].strip():  # it is the comment of the first table
        head = 0
    after = lines[head:]
    return [*lines[:head], *([eol] if head else []), line, *([eol] if after and after[0].strip() else []), *after]


def _stretches(found: Sequence[Statement], mine: Sequence[Statement]) -> list[list[Statement]]:
    """Part statements into those that follow each other without another one between."""
    order = {one.first: number for number, one in enumerate(found)}
    stretches: list[list[Statement]] = []
    for one in mine:
        if stretches and order[stretches[-1][-1].first] == order[one.first] - 1:
            stretches[-1].append(one)
        else:
            stretches.append([one])
    return stretches


def _written(name: str) -> str:
    return name if _BARE.fullmatch(name) else literal(name)


def _eol(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
