"""The client's half of RFC 6455, as much as one short dialogue over a local socket needs.

Pure: masks are brought by the caller. Text frames only, no extensions; a fragmented message is put together, a ping is told so
that it can be answered. Must not know what is said, nor how bytes travel.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha1
from itertools import cycle
from typing import Final

MAX_MESSAGE: Final = 8 << 20
TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_CONTINUED: Final = 0
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL: Final = 0x80
_MASKED: Final = 0x80
_SHORT: Final = 125
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_END_OF_HEAD: Final = b"\r\n\r\n"
_MAX_HEAD: Final = 16 << 10


class WebSocketError(Exception):
    """The other side does not speak the protocol; the message says where it broke it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, or a control frame."""

    opcode: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """What was received and not yet read: bytes, and the pieces of a message whose end is missing."""

    rest: bytes = b""
    pieces: bytes = b""
    upgraded: bool = False


def upgrade_request(key: bytes) -> bytes:
    """Write the request that opens a connection; ``key`` is 16 random bytes."""
    lines = (
        "GET / HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {b64encode(key).decode()}",
    )
    return "\r\n".join(lines).encode() + _END_OF_HEAD


def frame(content: bytes, mask: bytes, opcode: int = TEXT) -> bytes:
    """Write one message in one frame; ``mask`` is 4 random bytes."""
    size = len(content)
    if size <= _SHORT:
        length = bytes([_MASKED | size])
    elif size < 1 << 16:
        length = bytes([_MASKED | _TWO_BYTES]) + size.to_bytes(2, "big")
    else:
        length = bytes([_MASKED | _EIGHT_BYTES]) + size.to_bytes(8, "big")
    masked = bytes(byte ^ key for byte, key in zip(content, cycle(mask), strict=False))
    return bytes([_FINAL | opcode]) + length + mask + masked


def receive(state: Incoming, received: bytes, key: bytes) -> tuple[Incoming, tuple[Message, ...]]:
    """Take in bytes; return the messages that they complete.

    Raises:
        WebSocketError: the upgrade was refused, or the bytes are no frames of a server.

    """
    rest = state.rest + received
    if not state.upgraded:
        head, ended, rest = rest.partition(_END_OF_HEAD)
        if not ended:
            if len(head) > _MAX_HEAD:
                raise WebSocketError("the answer to the upgrade does not end")
            return Incoming(head), ()
        _check_head(head, key)
    messages: list[Message] = []
    pieces = state.pieces
    while (found := _frame(rest)) is not None:
        opcode, final, content, size = found
        rest = rest[size:]
        if opcode >= CLOSE:
            messages.append(Message(opcode, content))
            continue
        pieces += content
        if len(pieces) > MAX_MESSAGE:
            raise WebSocketError(f"a message is longer than {MAX_MESSAGE} bytes")
        if final:
            messages.append(Message(TEXT, pieces))
            pieces = b""
    return Incoming(rest, pieces, upgraded=True), tuple(messages)


def _check_head(head: bytes, key: bytes) -> None:
    status, *lines = head.split(b"\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if status.split(b" ")[1:2] != [b"101"]:
        raise WebSocketError(f"the upgrade was refused: {status[:100].decode('ascii', 'replace')}")
    proof = sha1(b64encode(key) + _MAGIC).digest()  # noqa: S324 - RFC 6455 names it
    if fields.get(b"sec-websocket-accept") != b64encode(proof):
        raise WebSocketError("the answer to the upgrade is to another request")


def _frame(rest: bytes) -> tuple[int, bool, bytes, int] | None:
    """Read one frame: opcode, whether it ends its message, content, and its size on the wire."""
    if len(rest) < 2:  # noqa: PLR2004 - the shortest head of a frame
        return None
    if rest[1] & _MASKED or rest[0] & 0x70 or rest[0] & 0x0F not in (_CONTINUED, TEXT, CLOSE, PING, PONG):
        raise WebSocketError("not a frame of a server that was asked for nothing but text")
    extra = {_TWO_BYTES: 2, _EIGHT_BYTES: 8}.get(rest[1], 0)
    start = 2 + extra
    size = int.from_bytes(rest[2:start], "big") if extra else rest[1]
    if len(rest) >= start and size > MAX_MESSAGE:
        raise WebSocketError(f"a frame of {size} bytes is longer than {MAX_MESSAGE}")
    if len(rest) < start + size:
        return None
    return rest[0] & 0x0F, bool(rest[0] & _FINAL), rest[start : start + size], start + size
