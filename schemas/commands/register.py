"""The register of all commands. Must not know any of them."""

from __future__ import annotations

from typing import Any, TypeVar

COMMANDS: dict[str, type[Any]] = {}
_C = TypeVar("_C", bound=type[Any])


def command(cls: _C) -> _C:
    """Register a command's type.

    Raises:
        TypeError: another one has this name.

    """
    if cls.TYPE in COMMANDS:
        raise TypeError(f"command type {cls.TYPE!r} is defined twice")
    COMMANDS[cls.TYPE] = cls
    return cls
