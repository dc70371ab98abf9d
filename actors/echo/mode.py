"""What can be asked of one reply: its text, its pace, a tool call, or a way to fail. Pure.

A mode comes from a directive in the prompt or from the control address; both bring names with text values, and this is
the one place that knows the names, their values and which of them exclude each other. Must not know dialects or sockets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

FaultKind = Literal["cut", "reset", "silence", "end", "garbage"]

MAX_DELTAS = 100_000
MAX_TEXT = 16 * 1024 * 1024
MAX_WAIT = 3600.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)")
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_WORD = re.compile(r"[\x21-\x7e]{1,128}")


class ModeError(ValueError):
    """A mode that cannot be played; the message names the offending part and lists what is known."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How the wire misbehaves, after ``at`` events; ``at`` None is before the head of the reply."""

    kind: FaultKind
    at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One reply as it was asked for; the empty mode is a plain echo."""

    say: str | None = None
    words: int | None = None
    bytes: int | None = None
    deltas: int | None = None
    pace: float = 0.0
    wait: float = 0.0
    tool: str | None = None
    call: str | None = None
    namespace: str = ""
    arguments: str = "{}"
    status: int | None = None
    body: str | None = None
    message: str = ""
    code: str = ""
    type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None
    failed: str | None = None
    error: str | None = None
    incomplete: str | None = None
    model: str | None = None
    usage: bool = True
    input: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int = 0
    split: int | None = None
    join: bool = False


ECHO = Mode()


def _count(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ModeError(f"expected a whole number from {low} to {high}, got {value!r}")
        return int(value)

    return read


def _duration(value: str) -> float:
    match = _DURATION.fullmatch(value)
    seconds = float(match[1]) * _UNITS[match[2]] if match else MAX_WAIT + 1
    if seconds > MAX_WAIT:
        raise ModeError(f"expected a duration up to {MAX_WAIT:.0f} s such as 50ms, 2s or 1m, got {value!r}")
    return seconds


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise ModeError(f"expected at most {MAX_TEXT} characters, got {len(value)}")
    return value


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        raise ModeError(f"expected a word of 1 to 128 printable characters, got {value!r}")
    return value


def _flag(value: str) -> bool:
    if value not in ("", "yes", "no"):
        raise ModeError(f"expected nothing, yes or no, got {value!r}")
    return value != "no"


def _point(value: str) -> int | None:
    return None if value == "head" else _count(0, MAX_DELTAS)(value)


def _header(value: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(value)
    if match is None or match[1].lower() in _FRAMING:
        raise ModeError(f"expected 'name: value' that is not about framing, got {value!r}")
    return match[1], match[2]


_SIMPLE: dict[str, Callable[[str], Any]] = {
    "say": _text,
    "words": _count(1, MAX_DELTAS),
    "bytes": _count(1, MAX_TEXT),
    "deltas": _count(0, MAX_DELTAS),
    "pace": _duration,
    "wait": _duration,
    "tool": _text,
    "call": _word,
    "namespace": _word,
    "arguments": _text,
    "status": _count(200, 599),
    "body": _text,
    "message": _text,
    "code": _word,
    "type": _word,
    "failed": _word,
    "error": _word,
    "incomplete": _word,
    "model": _word,
    "usage": _flag,
    "input": _count(0, 10**9 - 1),
    "cached": _count(0, 10**9 - 1),
    "output": _count(0, 10**9 - 1),
    "reasoning": _count(0, 10**9 - 1),
    "split": _count(1, MAX_TEXT),
    "join": _flag,
}
_FAULTS: tuple[FaultKind, ...] = ("cut", "reset", "silence", "end", "garbage")
KNOWN = tuple(sorted((*_SIMPLE, *_FAULTS, "header", "retry-after")))
_ONE_OF: tuple[tuple[str, ...], ...] = (
    ("say", "words", "bytes"),
    _FAULTS,
    ("failed", "error", "incomplete", "status", "tool", "call"),
)


def build_mode(pairs: Iterable[tuple[str, str]]) -> Mode:
    """Build a mode from names and text values, as a directive or a control request brings them.

    Raises:
        ModeError: an unknown name, a value out of its bounds, or names that exclude each other.

    """
    given = tuple(pairs)
    _check_names(tuple(name for name, _ in given))
    mode = Mode()
    for name, value in given:
        try:
            mode = _with(mode, name, value)
        except ModeError as error:
            raise ModeError(f"{name}: {error}") from error
    if mode.deltas and mode.bytes is not None and mode.bytes < mode.deltas:
        raise ModeError(f"deltas: {mode.deltas} pieces cannot be made of {mode.bytes} bytes")
    return mode


def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in KNOWN:
            raise ModeError(f"unknown name {name!r}; known: {', '.join(KNOWN)}")
        if name != "header" and names.count(name) > 1:
            raise ModeError(f"{name}: given twice")
    for group in _ONE_OF:
        chosen = [name for name in names if name in group]
        if len(chosen) > 1:
            raise ModeError(f"{' and '.join(chosen)} exclude each other; choose one of {', '.join(group)}")


def _with(mode: Mode, name: str, value: str) -> Mode:
    if name in _FAULTS:
        return replace(mode, fault=Fault(name, _point(value)))
    if name == "header":
        return replace(mode, headers=(*mode.headers, _header(value)))
    if name == "retry-after":
        return replace(mode, headers=(*mode.headers, ("retry-after", _word(value))))
    return replace(mode, **{name: _SIMPLE[name](value)})


def show_mode(mode: Mode) -> dict[str, Any]:
    """Return what of a mode differs from a plain echo, for records; texts are given by their length only."""
    shown: dict[str, Any] = {}
    for each in fields(Mode):
        value = getattr(mode, each.name)
        if value == getattr(ECHO, each.name):
            continue
        if isinstance(value, Fault):
            shown[value.kind] = "head" if value.at is None else value.at
        elif each.name in ("say", "tool", "arguments", "body", "message"):
            shown[each.name] = f"({len(value)} characters)"
        else:
            shown[each.name] = value
    return shown
