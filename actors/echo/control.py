"""How control requests are read. Pure."""

from __future__ import annotations

from typing import Any, get_args

import orjson

from actors.echo.directive import parse_mode
from actors.echo.exchanges import MAX_WAITING, Waiting
from actors.echo.mode import Mode, ModeError, build_mode
from actors.echo.plan import Kind

_KINDS = (*get_args(Kind), "any")
_FIELDS = ("mode", "session", "kind", "count")


def parse_next(body: bytes) -> tuple[Waiting, ...]:
    """Read the body of ``POST /control/next``: one object or a list of them.

    Raises:
        ModeError: not JSON, an unknown field, or a mode that cannot be played; the message names it.

    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ModeError(f"the body is not JSON: {error}") from error
    return tuple(_waiting(each) for each in (document if isinstance(document, list) else [document]))


def _waiting(entry: Any) -> Waiting:
    if not isinstance(entry, dict) or "mode" not in entry:
        raise ModeError('expected {"mode": …} or a list of them')
    if unknown := [name for name in entry if name not in _FIELDS]:
        raise ModeError(f"unknown field {unknown[0]!r}; known: {', '.join(_FIELDS)}")
    session, kind, count = entry.get("session", ""), entry.get("kind", "turn"), entry.get("count", 1)
    if not isinstance(session, str):
        raise ModeError("session: expected a text")
    if kind not in _KINDS:
        raise ModeError(f"kind: expected one of {', '.join(_KINDS)}, got {kind!r}")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_WAITING:
        raise ModeError(f"count: expected a whole number from 1 to {MAX_WAITING}, got {count!r}")
    return Waiting(mode=_mode(entry["mode"]), session=session, kind=kind, count=count)


def _mode(given: Any) -> Mode:
    if isinstance(given, str):
        return parse_mode(given)
    if not isinstance(given, dict):
        raise ModeError('mode: expected a text such as "status=503" or an object such as {"status": 503}')
    pairs: list[tuple[str, str]] = []
    for name, value in given.items():
        pairs.extend((name, _value(name, each)) for each in (value if isinstance(value, list) else [value]))
    return build_mode(pairs)


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return str(value)
    raise ModeError(f"{name}: expected a text or a number, got {type(value).__name__}")
