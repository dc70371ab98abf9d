"""How many connections there may be: in all, of each process, and from beyond this computer. Those beyond are turned away.

A connection counts for its process from the moment the kernel names that, and until then for nobody; one from beyond this
computer counts for its address. The many from outside get at most half of all places, so that they cannot keep out those who
work here.

Pure. Must not know connections, nor what those who are turned away are told beside the reason.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from msgspec import Struct

_WHERE: Final = "in config.toml"


class Caps(Struct, frozen=True):
    """The bounds."""

    most: int = 256
    each: int = 32


class Crowd:
    """The connections that are open."""

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self.open = 0
        self.remote = 0
        self.refused = 0  # because of all
        self.refused_each = 0  # because of their process or address
        self.strangers = 0  # requests from beyond this computer that had no token
        self._of: dict[Hashable, int] = {}

    def enter(self, *, remote: bool) -> str:
        """Count a connection; why it may not stay, or nothing."""
        most = self.caps.most
        if self.open >= most or (remote and self.remote >= (most + 1) // 2):
            self.refused += 1
            return f"{self.open} connections to this gateway are open, which is all it takes (gateway.connections {_WHERE})"
        self.open += 1
        self.remote += remote
        return ""

    def name(self, who: Hashable, what: str = "process") -> str:
        """Count a connection for whose it is; why it may not stay, or nothing."""
        count = self._of.get(who, 0)
        if count >= self.caps.each:
            self.refused_each += 1
            return (
                f"this {what} has {count} connections open, which is all that one may have "
                f"(gateway.connections_per_process {_WHERE})"
            )
        self._of[who] = count + 1
        return ""

    def figures(self) -> dict[str, int]:
        """Return what is asked after: how many are open, of how many the process is known, how many may be and were refused."""
        return {
            "open": self.open,
            "named": sum(self._of.values()),
            "most": self.caps.most,
            "most_each": self.caps.each,
            "turned_away": self.refused,
            "turned_away_each": self.refused_each,
            "without_token": self.strangers,
        }

    def note(self) -> str:
        """Say who is turned away at this moment, for people; nothing when nobody is."""
        if self.refused and self.open >= self.caps.most:
            return f"connections are turned away: all {self.caps.most} are open"
        if self.refused_each and (full := sum(count >= self.caps.each for count in self._of.values())):
            return f"connections of {full} processes are turned away: each may have {self.caps.each}"
        return ""

    def leave(self, who: Hashable | None, *, remote: bool) -> None:
        """Let a connection go, and from whom it counted for if it did."""
        self.open -= 1
        self.remote -= remote
        if who is not None:
            count = self._of.pop(who) - 1
            if count:
                self._of[who] = count
