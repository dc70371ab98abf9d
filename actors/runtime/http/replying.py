"""The heads of our answers to callers: status line, framing, whether the connection goes on; refusals of what is no request.

Pure. Must not know where an answer comes from.
"""

from __future__ import annotations

from typing import Final

import orjson

from actors.runtime.http.fields import Pair
from actors.runtime.http.framing import write_head

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def reply_head(version: str, status: int, reason: str, pairs: list[Pair], *, keep_alive: bool) -> bytes:
    """Write the head of an answer, in the caller's version of HTTP.

    Raises:
        ValueError: a field holds a control character.

    """
    if not keep_alive:
        pairs = _closing(pairs)
    elif version == "1.0":
        pairs = [*pairs, ("connection", "keep-alive")]
    return write_head(f"HTTP/{version} {status} {reason or _REASONS.get(status, 'Refused')}", pairs)


def refusal(status: str, kind: str, code: str, text: str, *, more: str = "") -> bytes:
    """Write an answer to what is no request, in the shape that most APIs share; the connection ends with it."""
    body = orjson.dumps({"error": {"message": text, "type": kind, "param": None, "code": code}})
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{more}connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _closing(pairs: list[Pair]) -> list[Pair]:
    named = [value for name, value in pairs if name == "connection"]
    return [*(pair for pair in pairs if pair[0] != "connection"), ("connection", ", ".join((*named, "close")))]
