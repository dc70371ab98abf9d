"""The head of a request as the gateway reads it, once: where it wants to go and what it says about itself.

Pure. Owns the paths that exist. Must not know sockets, nor what is decided about the head.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from actors.gateway.dialect import Api, dialect_of
from actors.runtime.http.fields import Fields
from schemas.events import Dialect

Place = Literal["api", "health", "hooks", "unknown"]

# OpenAI's and Anthropic's APIs, Gemini's, and Auggie's own, each also behind a launch token.
_PREFIX: Final = re.compile(r"(?:/s/([^/?]*))?/(v1|v1beta|auggie)(/[^?]*)?(?:\?(.*))?", re.ASCII)
_APIS: Final[dict[str, Api]] = {"v1": "v1", "v1beta": "v1beta", "auggie": "auggie"}
_HEALTH: Final = {"/health": "all", "/health/live": "live", "/health/ready": "ready"}
_HOOKS: Final = "/hooks/"
_TRICKS: Final = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)|//|\\|%2f|%5c|[^!-~]", re.IGNORECASE)
_UNPRINTABLE: Final = re.compile(r"[^!-~]")
_LINE: Final = 300
_PASSAGE: Final = "/t/"


class Target(Struct, frozen=True):
    """Where a request wants to go.

    ``rest`` is what follows the API's prefix, query included, exactly as it came. ``shown`` is the path fit for events:
    without launch token and query, either of which may hold a secret.
    """

    place: Place
    shown: str
    rest: str = ""
    token: str | None = None
    trick: bool = False
    api: Api = "v1"


class Head(Struct, frozen=True):
    """A request's head."""

    method: str
    target: Target
    fields: Fields
    dialect: Dialect
    upgrade: bool = False
    length: int | None = None


def part_passage(raw: str) -> tuple[str, str]:
    """Part a target from the token of a wider door before it, ``/t/<token>/…``: some agents can set nothing but a base URL."""
    if not raw.startswith(_PASSAGE):
        return "", raw
    passage, _, rest = raw[len(_PASSAGE) :].partition("/")
    return passage, f"/{rest}"


@lru_cache(maxsize=128)  # callers ask for few, over and over
def read_target(raw: str) -> Target:
    """Read a request target. Only the origin form is served, and no path that another reader could resolve otherwise."""
    path = raw.partition("?")[0]
    if path in _HEALTH:
        return Target("health", path, _HEALTH[path])
    found = _PREFIX.fullmatch(raw)
    if found is None:
        if path.startswith(_HOOKS):
            return Target("hooks", _shown(path), path.removeprefix(_HOOKS))
        return Target("unknown", _shown(path))
    token, api, rest, query = found.groups()
    rest = rest or "/"
    return Target(
        "api",
        _shown(path if token is None else f"/s/…/{api}{rest}"),
        rest if query is None else f"{rest}?{query}",
        token,
        bool(_TRICKS.search(rest) or (query and _UNPRINTABLE.search(query))),
        _APIS[api],
    )


def read_head(method: str, raw: str, fields: Fields, *, upgrade: bool = False, length: int | None = None) -> Head:
    """Build the head of a request from its parsed parts."""
    target = read_target(raw)
    dialect: Dialect = "unknown"
    if target.place == "api":
        dialect = dialect_of(target.rest, target.api, anthropic="anthropic-version" in fields)
    return Head(method, target, fields, dialect, upgrade, length)


def _shown(path: str) -> str:
    if path.startswith("/s/"):
        path = re.sub(r"^/s/[^/]*", "/s/…", path)
    text = path if path.isprintable() else "".join(char if char.isprintable() else "�" for char in path)
    return text if len(text) <= _LINE else text[: _LINE - 1] + "…"
