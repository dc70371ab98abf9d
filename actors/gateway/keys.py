"""Provider keys: read once from where the configuration points, and held in a type that cannot be printed.

Must not know providers or requests. A key never leaves this process but in the header of a request to its own provider.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

_HIDDEN: Final = "[secret]"
_HAS_MODES = hasattr(os, "getuid")  # Windows has access lists instead, and a user's folders are closed to others by theirs
_MAX_KEY: Final = 16 * 1024


class KeyMissingError(Exception):
    """A key reference that yields no key; the message names the reference, never what it holds."""


class Secret:
    """A value that is told to ``reveal()`` alone: not to print, log, format, pickle, compare or hash."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value; call it only where it is put on the wire."""
        return self.__value

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a secret has no {name!r}")


def read_key(reference: str, environ: Mapping[str, str]) -> Secret:
    """Read the key that ``env:NAME`` or ``file:/path`` refers to.

    Raises:
        KeyMissingError: the variable is unset or empty, or the file is absent, open to others, empty or not one line.

    """
    scheme, _, where = reference.partition(":")
    if scheme == "env":
        value = environ.get(where, "").strip()
        if not value:
            raise KeyMissingError(f"environment variable {where} is not set; set it where `tabwire up` is started")
    elif scheme == "file":
        value = _read_file(Path(where))
    else:
        raise KeyMissingError(f"key reference of kind {scheme!r} is not known; use env:NAME or file:/path")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise KeyMissingError(f"what {scheme}:{where} holds is not a key: expected one line of printable characters")
    return Secret(value)


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if _HAS_MODES and mode & 0o077:
                raise KeyMissingError(f"key file {path} is open to others (mode {mode:04o}); run: chmod 600 {path}")
            raw = file.read(_MAX_KEY + 1)
    except OSError as error:
        raise KeyMissingError(f"key file {path} cannot be read: {error.strerror}") from None
    text = raw.decode("utf-8", "replace").strip()
    if not text or len(raw) > _MAX_KEY:
        raise KeyMissingError(f"key file {path} holds no key")
    return text
