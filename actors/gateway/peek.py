"""What is read of a request before it goes on: its model, whether the answer is to stream, what only one account can read.

Theory of operation
-------------------
A body is decoded once, into the few fields that count, which costs little more than passing over it: of an item of a Responses
body its type and whether something is encrypted in it, which is not copied. A Gemini request says all of it in its path.

A compressed body is inflated only for this look, and only so far. What cannot be read says why (``unread``); it goes on
untouched all the same, and is only refused when something in it would have to be changed.

Pure. Must not know requests, nor what follows from what is seen.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import zstandard
from msgspec import Struct

from actors.gateway import limits
from schemas.events import Dialect

BOM: Final = b"\xef\xbb\xbf"
REASONING: Final = "reasoning"

_MAX_MODEL: Final = 300
_COMPACTION: Final = ("compaction", "compaction_summary", "context_compaction")
_GENERATE: Final = re.compile(r"(/(?:models|tunedModels)/)([^/:?]+)(:|%3[Aa])([A-Za-z]+)", re.ASCII)


class Seen(Struct, frozen=True, gc=False):
    """What a request asks for.

    ``encrypted`` counts the reasoning items that only the account that answered can read; ``compaction`` tells of items that
    stand for a whole past of that kind, ``previous_response`` of a past that the provider keeps. All three are looked for in
    OpenAI's Responses alone. ``unread`` says why a body could not be read, empty when it was.
    """

    model: str | None = None
    stream: bool = False
    encrypted: int = 0
    compaction: bool = False
    previous_response: bool = False
    unread: str = ""


class _Body(Struct, frozen=True, gc=False):
    model: Any = None
    stream: Any = None


class _Item(Struct, frozen=True, gc=False):
    type: Any = None
    encrypted_content: msgspec.Raw = msgspec.Raw()


class _Responses(Struct, frozen=True, gc=False):
    model: Any = None
    stream: Any = None
    input: list[_Item] | str | None = None
    previous_response_id: Any = None


_BODY: Final = msgspec.json.Decoder(_Body)
_RESPONSES: Final = msgspec.json.Decoder(_Responses)
_NOTHING: Final = Seen()
_EMPTY: Final = (b"", b"null", b'""')


class Inflated(Exception):  # noqa: N818 - not an error: the reason why a body was not looked into
    """A body that cannot be inflated within its bound; the message says why."""


def look(body: bytes, encoding: str, dialect: Dialect, path: str) -> Seen:
    """Look at a request; ``path`` is what follows the API's prefix, query included."""
    if dialect == "gemini.generate":
        return look_at_path(path)
    if not body:
        return _NOTHING
    try:
        plain = inflate(body, encoding) if encoding else body
        plain = plain.removeprefix(BOM)
        if dialect == "openai.responses":
            return _look_at_responses(plain)
        told = _BODY.decode(plain)
    except Inflated as problem:
        return Seen(unread=str(problem))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Seen(unread="the body is not a JSON object")
    return Seen(_name(told.model), told.stream is True or (dialect == "auggie" and path.startswith("/chat-stream")))


def look_at_path(path: str) -> Seen:
    """Look at a Gemini request, which says model and method in its path."""
    found = _GENERATE.match(path)
    if found is None:
        return _NOTHING
    model = unquote(found[2])
    return Seen(model if len(model) <= _MAX_MODEL and model.isprintable() else None, found[4].startswith("stream"))


def path_with_model(path: str, model: str) -> str:
    """Put another model, already quoted, into a Gemini request's path; a path without one stays."""
    return _GENERATE.sub(lambda found: f"{found[1]}{model}{found[3]}{found[4]}", path, count=1)


def _look_at_responses(plain: bytes) -> Seen:
    """Look into the items too, for what only one account can read."""
    try:
        told = _RESPONSES.decode(plain)
    except msgspec.ValidationError:
        other = _BODY.decode(plain)
        return Seen(_name(other.model), other.stream is True, unread="its input is not a list of items")
    encrypted, compaction = 0, False
    if isinstance(told.input, list):
        for item in told.input:
            if item.type == REASONING:
                encrypted += bytes(item.encrypted_content) not in _EMPTY
            elif item.type in _COMPACTION:
                compaction = True
    return Seen(_name(told.model), told.stream is True, encrypted, compaction, bool(told.previous_response_id))


def _name(model: Any) -> str | None:
    known = type(model) is str and 0 < len(model) <= _MAX_MODEL and model.isprintable()
    return model if known else None


def inflate(body: bytes, encoding: str, bound: int = limits.PEEK_INFLATED) -> bytes:
    """Undo a content coding, up to ``bound`` bytes.

    Raises:
        Inflated: the coding is unknown, the body is not whole in it, or it grows beyond the bound.

    """
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    try:
        if coding == "zstd":
            plain, whole = _unzstd(body, bound)
        elif coding in ("gzip", "x-gzip", "deflate"):
            unzip = zlib.decompressobj(zlib.MAX_WBITS | 32)
            plain = unzip.decompress(body, bound + 1)
            whole = unzip.eof
        else:
            raise Inflated(f"content coding {coding[:40]!r} is not known here; zstd, gzip and deflate are")
    except (zstandard.ZstdError, zlib.error) as error:
        raise Inflated(f"the body is not {coding}: {error}") from error
    if len(plain) > bound:
        raise Inflated(f"the body inflates beyond {bound} bytes")
    if not whole:
        raise Inflated(f"the {coding} body is not whole")
    return plain


def _unzstd(body: bytes, bound: int) -> tuple[bytes, bool]:
    """Inflate a frame; the reader keeps the bound, and tells neither of an end that is missing nor of more frames."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=bound)
    with decompressor.stream_reader(body, read_across_frames=True) as reader:
        plain = reader.read(bound + 1)
    size = zstandard.frame_content_size(body)
    return plain, size <= len(plain)  # -1: the frame does not say; JSON itself then shows a body that is not whole
