"""What must hold of a declared terminal beyond the types of its values. Pure; as ``schemas.config_rules``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from schemas.config_lines import Place
from schemas.config_rules import Broken
from schemas.keys import keys_problem
from schemas.terminals import Terminal

PLACES: Final = ("openai", "anthropic", "gemini", "key")
TAKEN: Final = ("launch", "proc", "other", "aider", "codex", "claude", "gemini", "opencode", "qwen", "auggie")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_KEYS: Final = 'such as "Enter", "C-c", "Escape", "y" or "Down Enter"'


def terminal_name(name: str) -> Broken | None:
    """Check what an agent with nothing but a terminal is called."""
    if not _NAME.fullmatch(name):
        return Broken((), "not an agent's name", "use a lower-case word of a-z 0-9 _")
    if name in TAKEN:
        return Broken((), "is the name of something that Tabwire knows itself", f"choose another, such as {name}_tui")
    return None


def terminal(given: Terminal) -> Broken | None:
    """Check a terminal: its program, its patterns, its keys, what it is told of the gateway."""
    if not given.program or not given.program.isprintable():
        return Broken(("program",), f"not a program: {given.program!r}", "name it as on PATH, or by its whole path")
    return (
        next((broken for place, pattern in _patterns(given) if (broken := _pattern(place, pattern))), None)
        or next((broken for place, keys in _keys(given) if (broken := _pressed(place, keys))), None)
        or _texts(given)
        or _environ(given)
    )


def _patterns(given: Terminal) -> Iterator[tuple[Place, str]]:
    yield ("ready",), given.ready
    for name in ("busy", "end", "reply"):
        if pattern := getattr(given, name):
            yield (name,), pattern
    for pattern in given.leave_out:
        yield ("leave_out",), pattern
    for number, question in enumerate(given.questions, 1):
        yield ("questions", number, "pattern"), question.pattern
    for number, opening in enumerate(given.openings, 1):
        yield ("openings", number, "pattern"), opening.pattern


def _pattern(place: Place, pattern: str) -> Broken | None:
    try:
        if re.compile(pattern, re.MULTILINE).search(""):
            return Broken(place, f"matches an empty row: {pattern!r}", "say what has to stand there")
    except (re.error, OverflowError, RecursionError) as error:
        return Broken(place, f"not a regular expression: {error}", "in '…' a backslash stands for itself")
    return None


def _keys(given: Terminal) -> Iterator[tuple[Place, str]]:
    yield ("interrupt",), given.interrupt
    for name in ("newline", "quit"):
        if keys := getattr(given, name):
            yield (name,), keys
    for number, question in enumerate(given.questions, 1):
        yield ("questions", number, "yes"), question.yes
        yield ("questions", number, "no"), question.no
        if question.always:
            yield ("questions", number, "always"), question.always
    for number, opening in enumerate(given.openings, 1):
        yield ("openings", number, "keys"), opening.keys


def _pressed(place: Place, keys: str) -> Broken | None:
    problem = keys_problem(keys)
    return Broken(place, problem, _KEYS) if problem else None


def _texts(given: Terminal) -> Broken | None:
    if given.clear and not given.clear.isprintable():
        return Broken(("clear",), "is not one line of text", 'such as "/clear"')
    if given.model and not any("{model}" in word for word in given.model):
        return Broken(("model",), "does not say where the model goes", 'such as ["--model", "{model}"]')
    if given.socket and not (given.window == "tmux" and PurePath(given.socket).is_absolute()):
        what = "is not an absolute path" if given.window == "tmux" else 'is for window = "tmux"'
        return Broken(("socket",), what, "leave it out for your usual tmux server")
    if any("\0" in word for word in (*given.arguments, *given.model)):
        return Broken(("arguments",), "has a NUL in it", "no argument of a program can")
    return None


def _environ(given: Terminal) -> Broken | None:
    for name, value in given.environ.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            return Broken(("environ", name), "cannot be a variable", "use letters, digits and _")
        if strange := [place for place in _PLACE.findall(value) if place not in PLACES]:
            known = ", ".join(f"{{{place}}}" for place in PLACES)
            return Broken(("environ", name), f"{{{strange[0]}}} means nothing", f"known here: {known}")
    return None
