"""Which header fields pass, both ways: what belongs to one connection stops here, and so do the caller's credentials.

Pure. Unknown fields pass unchanged and in order. Must not know where a provider is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

from actors.runtime.http.fields import Fields
from schemas.events import Dialect

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
    {
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-goog-user-project",
        "cookie",
        "chatgpt-account-id",
        "openai-organization",
        "openai-project",
    }
)
_QUERY_CREDENTIALS: Final = ("key", "access_token")  # of Google's APIs
# Ours to set: the address, the framing, and an answer that can be read in passing.
_OURS: Final = frozenset({"host", "content-length", "expect", "accept-encoding"})
_REQUEST: Final = _HOP | _OURS | CREDENTIALS
_REQUEST_PASSTHROUGH: Final = _HOP | _OURS
_ANSWER: Final = _HOP | {"set-cookie"}
_OWN: Final = "x-tabwire-"


def request_fields(fields: Fields, *, passthrough: bool) -> list[tuple[str, str]]:
    """Return the fields of a request that go on to its provider."""
    stops = _stops_login_passed if passthrough else _stops_request
    return _passing(fields.items(), stops, _named(fields))


def answer_fields(fields: Fields, *, passthrough: bool) -> list[tuple[str, str]]:
    """Return the fields of an answer that go on to the caller."""
    return _passing(fields.items(), _stops_hop if passthrough else _stops_answer, _named(fields))


def request_path(dialect: Dialect, path: str, *, passthrough: bool) -> str:
    """Return the path that goes on to a provider: Google's APIs take credentials in the query too."""
    if passthrough or dialect != "gemini.generate" or "?" not in path:
        return path
    plain, _, query = path.partition("?")
    kept = [pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]).lower() not in _QUERY_CREDENTIALS]
    return f"{plain}?{'&'.join(kept)}" if kept else plain


def _passing(items: Iterable[tuple[str, str]], stops: Callable[[str], bool], connection: str) -> list[tuple[str, str]]:
    passed = [(name, value) for name, value in items if not stops(name)]
    if connection and connection not in ("keep-alive", "close"):
        named = {name.strip().lower() for name in connection.split(",")}
        passed = [(name, value) for name, value in passed if name.lower() not in named]
    return passed


def _named(fields: Fields) -> str:
    return ",".join(fields.getall("connection")) if "connection" in fields else ""


def _stopping(stop: frozenset[str]) -> Callable[[str], bool]:
    """Build a test of names; names recur, in few spellings."""

    @lru_cache(maxsize=512)
    def stops(name: str) -> bool:
        lower = name.lower()
        return lower in stop or lower.startswith(_OWN)

    return stops


_stops_request: Final = _stopping(_REQUEST)
_stops_login_passed: Final = _stopping(_REQUEST_PASSTHROUGH)
_stops_answer: Final = _stopping(_ANSWER)
_stops_hop: Final = _stopping(_HOP)
