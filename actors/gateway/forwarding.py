"""Which header fields pass, both ways: what belongs to one connection stops here, and so do the caller's credentials.

Pure. Unknown fields pass unchanged and in order. Must not know where a provider is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from actors.gateway.head import Fields

_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What says who the caller is toward a provider, by any API that agents speak.
CREDENTIALS: Final = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "chatgpt-account-id", "openai-organization"}
)
# Ours to set: the address, the framing, and an answer that can be read in passing.
_OURS: Final = frozenset({"host", "content-length", "expect", "accept-encoding"})
_REQUEST: Final = _HOP | _OURS | CREDENTIALS
_REQUEST_PASSTHROUGH: Final = _HOP | _OURS
_ANSWER: Final = _HOP | {"set-cookie"}
_OWN: Final = "x-tabwire-"


def request_fields(fields: Fields, *, passthrough: bool) -> list[tuple[str, str]]:
    """Return the fields of a request that go on to its provider."""
    stop = _REQUEST_PASSTHROUGH if passthrough else _REQUEST
    return _passing(fields.items(), stop, fields.get("connection", ""))


def answer_fields(fields: Fields, *, passthrough: bool) -> list[tuple[str, str]]:
    """Return the fields of an answer that go on to the caller."""
    return _passing(fields.items(), _HOP if passthrough else _ANSWER, fields.get("connection", ""))


def _passing(items: Iterable[tuple[str, str]], stop: frozenset[str], connection: str) -> list[tuple[str, str]]:
    named: Iterable[str] = ()
    if connection and connection not in ("keep-alive", "close"):
        named = {name.strip().lower() for name in connection.split(",")}
    passed = []
    for name, value in items:
        lower = name.lower()
        if lower not in stop and lower not in named and not lower.startswith(_OWN):
            passed.append((name, value))
    return passed
