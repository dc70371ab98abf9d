"""What makes a message sound beyond its grammar: which heads are refused, and how ours are written.

llhttp's strict mode keeps the grammar: token characters, bare LF, folded lines, control characters, lengths that are no
numbers or disagree, a length beside a transfer coding. What it leaves to its user is kept here: fields that
may come once only, exactly one Host, sizes and counts; and beyond it, no coding but ``chunked`` and none in HTTP/1.0.

Pure. Must not know sockets, nor what a field means to an API.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from actors.runtime.http import bounds
from actors.runtime.http.fields import Fields, Pair

# A head's bytes until it is whole; the exact bounds are compared when it is.
HEAD: Final = bounds.REQUEST_LINE + bounds.HEADER_BLOCK + bounds.HEADER_FIELD
_SINGLE: Final = (
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "etag",
    "host",
    "max-forwards",
    "server",
    "transfer-encoding",
    "user-agent",
)
_SMUGGLED: Final = frozenset((*_SINGLE, "connection", "authorization", "expect", "upgrade", "x-api-key"))
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
VERSIONS: Final = ("1.1", "1.0")


class FramingError(Exception):
    """A message that is not to be understood; ``code`` says in which way, the message in words of ours."""

    def __init__(self, code: Literal["malformed", "headers_too_large"]) -> None:
        super().__init__(_TEXTS[code])
        self.code = code


_TEXTS: Final = {
    "malformed": "this is not valid HTTP/1.1",
    "headers_too_large": "the request line or a header field is too long, or there are too many",
}


def check_target(target: bytes) -> None:
    """Refuse a target that is not of the origin form: a proxy's, a server's as a whole, or one with a fragment.

    Raises:
        FramingError: it is.

    """
    if not target.startswith(b"/") or b"#" in target:
        raise FramingError("malformed")


def check_request(fields: Fields, version: str) -> None:
    """Refuse a request whose head is ambiguous.

    Raises:
        FramingError: it is.

    """
    if version not in VERSIONS:
        raise FramingError("malformed")
    if "host" not in fields and version != "1.0":
        raise FramingError("malformed")
    if not fields.distinct and any(len(fields.getall(name)) > 1 for name in _SINGLE):
        raise FramingError("malformed")
    if "transfer-encoding" in fields and (version == "1.0" or fields.get("transfer-encoding").lower() != "chunked"):
        raise FramingError("malformed")
    if "_" in (names := fields.names) and any(name.replace("_", "-") in _SMUGGLED for name in names.split() if "_" in name):
        raise FramingError("malformed")  # a provider's framework may read it as the field that is meant
    if "sec-websocket-key1" in fields:  # a draft whose requests have bytes behind their head that no length announces
        raise FramingError("malformed")


def write_head(line: str, pairs: Iterable[Pair]) -> bytes:
    """Write a head.

    Raises:
        ValueError: a field holds a control character, and would become something else on its way.

    """
    lines = [f"{name}: {value}" for name, value in pairs]
    text = "\r\n".join((line, *lines, "", ""))
    ends = len(lines) + 2
    if text.count("\n") != ends or text.count("\r") != ends or _CONTROL.search(text):
        raise ValueError("a header field holds a control character")
    return text.encode("utf-8", "surrogateescape")


def chunk(data: bytes) -> bytes:
    """Frame bytes as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"
