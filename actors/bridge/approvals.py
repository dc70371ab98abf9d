"""What a driven agent waits to be allowed, and who answered first. Pure; times come in as arguments.

The first answer counts; whoever comes later is told who was first, as long as that is remembered (``REMEMBERED``).
Must not know how an answer reaches the agent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from schemas.content import Option

MAX_OPEN: Final = 64
REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One question that is open until ``expires``, on the steady clock."""

    id: str
    options: tuple[Option, ...]
    expires: float

    def option(self, name: str) -> Option | None:
        """Find an option by its id."""
        return next((option for option in self.options if option.id == name), None)


@dataclass(frozen=True, slots=True)
class Approvals:
    """The open ones in the order of asking, and by whom the last ones were resolved."""

    open: tuple[Approval, ...] = ()
    resolved: tuple[tuple[str, str], ...] = ()

    def find(self, name: str) -> Approval | None:
        """Return the open one of this id."""
        return next((approval for approval in self.open if approval.id == name), None)

    def resolver(self, name: str) -> str | None:
        """Return who resolved it, None when nobody did or it is forgotten."""
        return next((by for one, by in reversed(self.resolved) if one == name), None)

    def asked(self, approval: Approval) -> Approvals:
        """Add one; the caller has seen that there is room and that its id is not open."""
        return replace(self, open=(*self.open, approval))

    def settled(self, name: str, by: str) -> Approvals:
        """Move one from the open to the resolved."""
        return Approvals(
            open=tuple(approval for approval in self.open if approval.id != name),
            resolved=(*self.resolved, (name, by))[-REMEMBERED:],
        )

    def next_deadline(self) -> float | None:
        """Return when the first of them expires."""
        return min((approval.expires for approval in self.open), default=None)
