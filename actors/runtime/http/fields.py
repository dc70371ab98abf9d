"""Header fields as they came: their order, their spelling, and a quick answer to what a name says.

Pure. Names are asked for in lower case, as all of ours are written. Must not know what any field means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

Pair = tuple[str, str]

_NAMES_KEPT: Final = 1024
_names: dict[bytes, str] = {}  # agents and providers spell few names, over and over


class Fields:
    """Header fields; a name that came several times answers with its first value."""

    __slots__ = ("_first", "pairs")

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self._first = {name.lower(): value for name, value in reversed(pairs)}

    @classmethod
    def of(cls, fields: Iterable[Pair] | dict[str, str]) -> Self:
        """Take fields from wherever they are."""
        return cls(list(fields.items() if isinstance(fields, dict) else fields))

    @classmethod
    def read(cls, raw: list[tuple[bytes, bytes]]) -> Self:
        """Take fields as a parser cut them; a value that is not UTF-8 keeps its bytes (``surrogateescape``)."""
        return cls(
            [
                (_names.get(name) or _spelled(name), value.rstrip(b" \t").decode("utf-8", "surrogateescape"))
                for name, value in raw
            ]
        )

    @property
    def distinct(self) -> bool:
        """Tell whether no name came twice."""
        return len(self._first) == len(self.pairs)

    @property
    def names(self) -> str:
        """Return every name once, in lower case, with blanks between."""
        return " ".join(self._first)

    def get(self, name: str, default: str = "") -> str:
        """Return what a name says first."""
        return self._first.get(name, default)

    def getall(self, name: str) -> list[str]:
        """Return everything that a name says, in order."""
        return [value for each, value in self.pairs if each.lower() == name] if name in self._first else []

    def items(self) -> list[Pair]:
        """Return all fields in order; not to be changed."""
        return self.pairs

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __repr__(self) -> str:
        return f"Fields({self.pairs!r})"


def _spelled(name: bytes) -> str:
    text = name.decode("utf-8", "surrogateescape")
    if len(_names) < _NAMES_KEPT:
        _names[name] = text
    return text
