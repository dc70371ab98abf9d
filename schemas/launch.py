"""The record of a launch, as the launcher leaves it for the gateway in ``launches/<launch>.json``.

The file stands in for the bus where the bus may be away: it is written (0600, atomically) before the agent runs, and the
gateway believes a launch token only with it. The token itself is not in it, only its SHA-256. Must not know files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from schemas.identity import LaunchId, ProcessKey, SessionId, TerminalKey

TOKEN_BYTES = 32
TOKEN_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRecord:
    """What was launched, by which process, and what it asked for. ``created`` is RFC 3339 in UTC.

    ``session`` is the session that a bridge drives by it, as far as that is known: its pins hold for requests that name no
    conversation. It alone may change while the launch lives, and ``provider``, which may be given up.
    """

    launch: LaunchId
    agent: str
    token_sha256: str
    process: ProcessKey
    created: str
    terminal: TerminalKey | None = None
    cwd: str | None = None
    provider: str | None = None
    model: str | None = None
    session: SessionId | None = None


def token_digest(token: str) -> str:
    """Return the form in which a token is kept: the SHA-256 of its text, in hex."""
    return sha256(token.encode()).hexdigest()


def redact_token(path: str) -> str:
    """Return a request path with its launch token replaced, fit for events, logs and error texts."""
    return re.sub(r"^/s/[^/]+", "/s/…", path)
