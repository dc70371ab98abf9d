"""The lists of models in every API's shape: what is asked for, what a provider's own list says, what the caller is told.

Pure. An entry of a provider's own list goes on as it came, with everything that the provider says of the model; what only the
configuration names gets an entry of its own. Codex is answered with an empty catalogue: any entry replaces its own catalogue
as a whole, instructions included, and of a model that is in neither it knows what it needs. Must not know how providers are
asked, nor which of them there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote

import orjson
from msgspec import Struct

from actors.gateway.dialect import error_body
from actors.gateway.head import Head
from schemas.config import ServedDialect
from schemas.events import Dialect

Shape = Literal["openai", "codex", "anthropic", "gemini"]
Entry = dict[str, Any]

# Which dialects of a provider a caller of each shape may speak; the first that it serves is the one in which it is asked.
SPOKEN: Final[dict[Shape, tuple[ServedDialect, ...]]] = {
    "openai": ("openai.responses", "openai.chat"),
    "codex": ("openai.responses",),
    "anthropic": ("anthropic.messages",),
    "gemini": ("gemini.generate",),
}
# How a provider is asked for all of them.
ASKED: Final[dict[Shape, tuple[str, tuple[tuple[str, str], ...]]]] = {
    "openai": ("/models", ()),
    "codex": ("/models", ()),
    "anthropic": ("/models?limit=1000", (("anthropic-version", "2023-06-01"),)),
    "gemini": ("/models?pageSize=1000", ()),
}
_DIALECT: Final[dict[Shape, Dialect]] = {
    "openai": "openai.other",
    "codex": "openai.responses",
    "anthropic": "anthropic.messages",
    "gemini": "gemini.generate",
}
_PATH: Final = "/models"
_PAGES: Final = {"anthropic": (20, 1000), "gemini": (50, 1000)}  # how many are told when nothing is said, and at most
_NOT_FOUND: Final = 404
_EPOCH: Final = "1970-01-01T00:00:00Z"
_METHODS: Final = ["generateContent", "streamGenerateContent", "countTokens"]
_MOST: Final = 10_000


class NotAListError(ValueError):
    """A provider's answer that is no list of models."""


class Wanted(Struct, frozen=True):
    """What is asked for: all models, or one by its ``name``; ``query`` holds the first value of each name."""

    shape: Shape
    name: str = ""
    query: Mapping[str, str] = {}


def wanted(head: Head) -> Wanted | None:
    """Tell whether a request asks for models, and how; None when it is about something else."""
    path, _, query = head.target.rest.partition("?")
    if head.method != "GET" or head.target.place != "api" or head.dialect == "auggie":
        return None
    if path != _PATH and not path.startswith(f"{_PATH}/"):
        return None
    said: dict[str, str] = {}
    for name, value in parse_qsl(query, max_num_fields=64) if query.count("&") < 64 else ():  # noqa: PLR2004 - no more matter
        said.setdefault(name, value)
    shape: Shape = "openai"
    if head.dialect == "gemini.generate":
        shape = "gemini"
    elif head.dialect == "anthropic.messages":
        shape = "anthropic"
    elif "client_version" in said:
        shape = "codex"
    return Wanted(shape, unquote(path[len(_PATH) + 1 :]), said)


def read_list(shape: Shape, body: bytes) -> tuple[Entry, ...]:
    """Read a provider's own list.

    Raises:
        NotAListError: it is none.

    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    given = document.get("models" if shape == "gemini" else "data") if isinstance(document, dict) else None
    if not isinstance(given, list):
        raise NotAListError("its answer is not a list of models")
    return tuple(entry for entry in given[:_MOST] if isinstance(entry, dict) and name_of(shape, entry))


def name_of(shape: Shape, entry: Entry) -> str:
    """Return the name by which a model is asked for."""
    name = entry.get("name" if shape == "gemini" else "id")
    return name.removeprefix("models/") if isinstance(name, str) else ""


def entry_of(shape: Shape, name: str, provider: str) -> Entry:
    """Describe a model of which nothing but its name is known."""
    if shape == "anthropic":
        return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}
    if shape == "gemini":
        return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": _METHODS}
    return {"id": name, "object": "model", "created": 0, "owned_by": provider}


def put_together(shape: Shape, lists: Iterable[tuple[Entry, ...]]) -> tuple[Entry, ...]:
    """Join lists; of a name that several hold, the first counts."""
    found: dict[str, Entry] = {}
    for entries in lists:
        for entry in entries:
            found.setdefault(name_of(shape, entry), entry)
    return tuple(found.values())


def answer(asked: Wanted, entries: tuple[Entry, ...]) -> tuple[int, bytes]:
    """Say what was asked for, in the caller's shape, with its status."""
    if asked.name:
        found = next((entry for entry in entries if name_of(asked.shape, entry) == asked.name), None)
        if found is None:
            text = f"no provider that serves this API lists the model {asked.name[:200]!r}"
            return _NOT_FOUND, error_body(_DIALECT[asked.shape], _NOT_FOUND, "model_not_found", text)
        return 200, orjson.dumps(found)
    if asked.shape == "codex":
        return 200, b'{"models":[]}'
    if asked.shape == "anthropic":
        return 200, orjson.dumps(_anthropic_page(asked, entries))
    if asked.shape == "gemini":
        return 200, orjson.dumps(_gemini_page(asked, entries))
    return 200, orjson.dumps({"object": "list", "data": entries})


def _anthropic_page(asked: Wanted, entries: tuple[Entry, ...]) -> dict[str, Any]:
    size = _size(asked, "limit")
    names = [name_of(asked.shape, entry) for entry in entries]
    after, before = asked.query.get("after_id"), asked.query.get("before_id")
    if before in names:
        end = names.index(before)
        start = max(0, end - size)
        more = start > 0
    else:
        start = names.index(after) + 1 if after in names else 0
        end = start + size
        more = end < len(entries)
    page = entries[start:end]
    ends = (name_of(asked.shape, page[0]), name_of(asked.shape, page[-1])) if page else (None, None)
    return {"data": page, "has_more": more, "first_id": ends[0], "last_id": ends[1]}


def _gemini_page(asked: Wanted, entries: tuple[Entry, ...]) -> dict[str, Any]:
    size, token = _size(asked, "pageSize"), asked.query.get("pageToken", "")
    start = int(token) if token.isascii() and token.isdigit() and len(token) < len(str(_MOST)) + 1 else 0
    further = {"nextPageToken": str(start + size)} if start + size < len(entries) else {}
    return {"models": entries[start : start + size], **further}


def _size(asked: Wanted, name: str) -> int:
    usual, most = _PAGES[asked.shape]
    text = asked.query.get(name, "")
    return (
        min(int(text), most) if text.isascii() and text.isdigit() and 0 < len(text) < len(str(_MOST)) and int(text) else usual
    )
