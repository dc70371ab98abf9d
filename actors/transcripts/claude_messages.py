"""By which uuid a message that a bridge gave to Claude Code stands in its transcript. Pure.

Claude Code takes a ``uuid`` with a message on stdin and writes the message under it: ``{"type": "user", "uuid": …}`` in the
transcript. So whoever knows a turn's name finds its message there, exactly, however often the same text was said.
Tried with Claude Code 2.1.329. Must not know who gives messages, nor files.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final
from uuid import UUID

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NAMES: Final = UUID("5f5c1f5a-2d8e-5d43-9f0b-6d1f6a3f7c11").bytes


def message_uuid(turn: str) -> str:
    """Return the uuid of the message that began a turn: the turn's own name where that is one, else one made of it alone."""
    if _CANONICAL.fullmatch(turn):
        return turn
    digest = hashlib.sha1(_NAMES + turn.encode(errors="surrogatepass"), usedforsecurity=False).digest()
    return str(UUID(bytes=digest[:16], version=5))
