"""The mark that every process of a run carries in its environment, with all that it starts: pure."""

from __future__ import annotations

from typing import Final

OWNER_VARIABLE: Final = "TABWIRE_OWNER"


def owner_mark(run: str, actor: str = "", incarnation: str = "") -> str:
    """Return what marks a child and everything it starts: ``<run>.<actor>.<incarnation>``, or the prefix of a whole run."""
    return f"{run}.{actor}.{incarnation}" if actor else f"{run}."
