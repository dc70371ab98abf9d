"""Reads ``tabwire run …`` without typer, whose import alone takes longer than everything else that a launch does.

Only what is plainly right is read here, by the same rules; anything else (help, a mistake) is left to ``actors.cli.app``.
Pure; a property test holds both readings together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_VALUED: Final = ("--provider", "--model", "--name")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWords:
    """What stands behind ``tabwire run``."""

    command: tuple[str, ...]
    provider: str | None = None
    model: str | None = None
    name: str | None = None
    require: bool = False


def read_run(arguments: Sequence[str]) -> RunWords | None:
    """Read a ``run`` command; None when it is another one, or when typer should explain what is wrong with it."""
    if not arguments or arguments[0] != "run":
        return None
    values: dict[str, str] = {}
    require = False
    place = 1
    while place < len(arguments):
        word = arguments[place]
        name, equals, value = word.partition("=")
        if word == "--":
            place += 1
            break
        if not word.startswith("-") or word == "-":
            break
        if word == "--require":
            require = True
        elif name in _VALUED and equals:
            values[name[2:]] = value
        elif word in _VALUED and place + 1 < len(arguments) and not arguments[place + 1].startswith("-"):
            place += 1
            values[name[2:]] = arguments[place]
        else:
            return None
        place += 1
    command = tuple(arguments[place:])
    return RunWords(command=command, require=require, **values) if command else None
