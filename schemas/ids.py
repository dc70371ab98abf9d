"""Unique names from a clock reading and random bytes that the caller brings: pure, so that tests and replay repeat them."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

RANDOM_BYTES = 10
_MILLISECONDS = (1 << 48) - 1


def uuid7(milliseconds: int, randomness: bytes) -> str:
    """Build a UUID of version 7 (RFC 9562) from Unix time in milliseconds and ten random bytes; it sorts by time."""
    value = (milliseconds & _MILLISECONDS) << 80 | int.from_bytes(randomness[:RANDOM_BYTES], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    hexed = f"{value:032x}"
    return f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"


def derived(*causes: str) -> str:
    """Build a UUID of version 8 from causes: the same causes give the same id, so a repeated effect is one event."""
    digest = blake2b("\0".join(causes).encode(), digest_size=16).digest()
    value = int.from_bytes(digest, "big") & ~(0xF << 76) | 0x8 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
