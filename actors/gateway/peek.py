"""What is read of a request body, which itself goes on unchanged: the model that it asks for.

Pure. A compressed body is inflated only for this look and only so far. Must not know requests.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec
import zstandard
from msgspec import Struct

from actors.gateway import limits

_MAX_MODEL: Final = 300


class _Body(Struct, frozen=True):
    model: str | None = None


_BODY: Final = msgspec.json.Decoder(_Body)


class Inflated(Exception):  # noqa: N818 - not an error: the reason why a body was not looked into
    """A body that cannot be inflated within its bound; the message says why."""


def requested_model(body: bytes, encoding: str) -> str | None:
    """Return the model that a JSON body asks for, or None when it does not say or cannot be read."""
    try:
        model = _BODY.decode(inflate(body, encoding)).model
    except (msgspec.MsgspecError, Inflated, UnicodeError, RecursionError):
        return None
    return model if model and len(model) <= _MAX_MODEL and model.isprintable() else None


def inflate(body: bytes, encoding: str, bound: int = limits.PEEK_INFLATED) -> bytes:
    """Undo a content coding, up to ``bound`` bytes.

    Raises:
        Inflated: the coding is unknown, the body is not in it, or it grows beyond the bound.

    """
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    try:
        if coding == "zstd":
            with zstandard.ZstdDecompressor(max_window_size=bound).stream_reader(body) as reader:
                plain = reader.read(bound + 1)
        elif coding in ("gzip", "x-gzip", "deflate"):
            plain = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, bound + 1)
        else:
            raise Inflated(f"content coding {coding[:40]!r} is not known")
    except (zstandard.ZstdError, zlib.error) as error:
        raise Inflated(f"not {coding}: {error}") from error
    if len(plain) > bound:
        raise Inflated(f"inflates beyond {bound} bytes")
    return plain
