"""Changes in a request before it goes on: another model, and no reasoning that only another account can read.

Theory of operation
-------------------
Only what must change is changed. The document is read once, from bytes taken for characters one by one, so that the reader's
places are the bytes' own; the value of every outermost ``model`` (readers differ in which of several counts) and whole items
of the outermost ``input`` are then cut out by their places. All other bytes go on as they came, spaces, escapes and order
included.

A reasoning item goes as a whole, and is counted in ``changes``: without what is encrypted in it, OpenAI looks for an item of
that id among those it keeps and refuses the request when it keeps none. Calls, their outputs and messages stay.

A body that came compressed goes on uncompressed when something in it changes (``encoding`` is empty then): not every provider
of this dialect takes compressed bodies, and one that is changed is usually meant for another one.

Pure. Must not know why something is to change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import orjson
from msgspec import Struct

from actors.gateway import limits
from actors.gateway.peek import BOM, REASONING, Inflated, inflate, path_with_model
from schemas.events import Dialect

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_VALUE: Final = json.JSONDecoder(strict=False, parse_int=float)  # an int of too many digits would be refused
_UNCHANGED: Final = "this request has to be changed to go where it should"

_BOM: Final = BOM.decode("latin-1")

Cut = tuple[int, int, bytes]  # from, to, what stands there instead


class Rewritten(Struct, frozen=True):
    """A request as it goes on, and what is no longer as the caller sent it."""

    body: bytes
    encoding: str
    path: str
    changes: tuple[str, ...] = ()


class CannotRewrite(Exception):  # noqa: N818 - not an error of ours: the reason of a refusal
    """A body in which something would have to change and cannot; the message says why and what to do."""


def rewrite(body: bytes, encoding: str, path: str, dialect: Dialect, *, model: str | None, strip: bool) -> Rewritten:
    """Put in another model (None: leave it) and, with ``strip``, leave out encrypted reasoning.

    A body without a ``model`` stays without one.

    Raises:
        CannotRewrite: the body is not one that can be read.

    """
    if dialect == "gemini.generate":
        return _rewrite_path(body, encoding, path, model)
    if not body or (model is None and not strip):
        return Rewritten(body, encoding, path)
    plain = _read(body, encoding)
    text = plain.decode("latin-1")
    try:
        cuts = _cuts(text, model, strip=strip)
    except RecursionError:
        raise CannotRewrite(f"{_UNCHANGED}, and its body is nested too deep") from None
    except (ValueError, IndexError):
        raise CannotRewrite(f"{_UNCHANGED}, and its body is not a JSON object") from None
    changes = []
    if any(new for _, _, new in cuts):
        changes.append(f"model {model}")
    if left_out := sum(1 for _, _, new in cuts if not new):
        changes.append(f"{left_out} reasoning item{'s' if left_out > 1 else ''} left out that only another account can read")
    if not cuts:
        return Rewritten(body, encoding, path)
    return Rewritten(_cut(plain, cuts), "", path, tuple(changes))


def _rewrite_path(body: bytes, encoding: str, path: str, model: str | None) -> Rewritten:
    new = path if model is None else path_with_model(path, quote(model, safe=""))
    return Rewritten(body, encoding, new, () if new == path else (f"model {model}",))


def _read(body: bytes, encoding: str) -> bytes:
    try:
        return inflate(body, encoding, limits.BODY)
    except Inflated as problem:
        advice = "send it without content-encoding, or in zstd or gzip"
        raise CannotRewrite(f"{_UNCHANGED}, and cannot be read: {problem}; {advice}") from None


def _cuts(text: str, model: str | None, *, strip: bool) -> list[Cut]:
    """Find everything that has to change, in order.

    Raises:
        ValueError, IndexError: it is not a JSON object.

    """
    cuts: list[Cut] = []
    for name, start, end, value in _members(text):
        if name == "model" and model is not None:
            if value != model:
                cuts.append((start, end, orjson.dumps(model)))
        elif name == "input" and strip and isinstance(value, list):
            cuts += _reasoning(text, start)
    return cuts


def _members(text: str) -> Iterator[tuple[str, int, int, Any]]:
    """Go through the outermost object: name, where its value begins and ends, and the value (its texts as single bytes)."""
    at = _after(text, _behind(text, _after(text, 3 if text.startswith(_BOM) else 0), "{"))
    while text[at] != "}":
        name, at = _VALUE.raw_decode(text, at)
        start = _after(text, _behind(text, _after(text, at), ":"))
        value, end = _VALUE.raw_decode(text, start)
        yield name, start, end, value
        at = _after(text, end)
        if text[at] != "}":
            at = _after(text, _behind(text, at, ","))
    if _after(text, at + 1) != len(text):
        raise ValueError("something follows the object")


def _behind(text: str, at: int, char: str) -> int:
    if text[at] != char:
        raise ValueError(f"no {char} where one must be")
    return at + 1


def _reasoning(text: str, start: int) -> list[Cut]:
    """Find the items of a list that hold encrypted reasoning, each with one comma beside it."""
    items = list(_items(text, start))
    gone = [_encrypted(value) for _, _, value in items]
    cuts: list[Cut] = []
    for number, (begin, end, _) in enumerate(items):
        if not gone[number]:
            continue
        if not all(gone[:number]):  # something stays before it: the comma between them goes too
            cuts.append((items[number - 1][1], end, b""))
        elif number + 1 < len(items):
            cuts.append((begin, items[number + 1][0], b""))
        else:
            cuts.append((begin, end, b""))
    return cuts


def _items(text: str, start: int) -> Iterator[tuple[int, int, Any]]:
    at = _after(text, start + 1)
    while text[at] != "]":
        value, end = _VALUE.raw_decode(text, at)
        yield at, end, value
        at = _after(text, end)
        if text[at] != "]":
            at = _after(text, _behind(text, at, ","))


def _encrypted(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == REASONING and bool(item.get("encrypted_content"))


def _after(text: str, at: int) -> int:
    """Return where the spaces end."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _cut(plain: bytes, cuts: list[Cut]) -> bytes:
    pieces, at = [], 0
    for start, end, new in cuts:
        pieces += [plain[at:start], new]
        at = end
    return b"".join((*pieces, plain[at:]))
