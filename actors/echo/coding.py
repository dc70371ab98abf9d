"""Content codings of request bodies, with a bound on what they may grow to. Pure."""

from __future__ import annotations

import zlib
from io import BytesIO

import zstandard

MAX_DECODED = 64 * 1024 * 1024
_GZIP = 31
_WINDOW = 1 << 27


class CodingError(ValueError):
    """A body that cannot be decoded; ``too_large`` tells a bomb from a broken one."""

    def __init__(self, message: str, *, too_large: bool = False, unsupported: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large
        self.unsupported = unsupported


def decode_body(body: bytes, coding: str, limit: int = MAX_DECODED) -> bytes:
    """Undo one content-encoding.

    Raises:
        CodingError: an unknown coding, broken or incomplete content, or more than ``limit`` bytes.

    """
    match coding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            decoded = _gunzip(body, limit)
        case "zstd":
            decoded = _unzstd(body, limit)
        case other:
            raise CodingError(f"content-encoding {other!r} is not supported; send identity, gzip or zstd", unsupported=True)
    if len(decoded) > limit:
        raise CodingError(f"the body grows beyond {limit} bytes", too_large=True)
    return decoded


def _gunzip(body: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj(_GZIP)
    try:
        decoded = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise CodingError(f"the body is not gzip: {error}") from error
    if not decoder.eof and len(decoded) <= limit:
        raise CodingError("the gzip body is incomplete")
    return decoded


def _unzstd(body: bytes, limit: int) -> bytes:
    """Decode twice: once with a bound, since the second way, which alone knows an incomplete body, has none."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    try:
        with decompressor.stream_reader(BytesIO(body)) as reader:
            decoded = reader.read(limit + 1)
        decoder = decompressor.decompressobj()
        if len(decoded) <= limit:
            decoder.decompress(body)
            if not decoder.eof:
                raise CodingError("the zstd body is incomplete")
    except zstandard.ZstdError as error:
        raise CodingError(f"the body is not zstd: {error}") from error
    return decoded
