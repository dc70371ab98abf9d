"""Unique names from a clock reading and random bytes that the caller brings: pure, so that tests and replay repeat them."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

RANDOM_BYTES = 10
_MILLISECONDS = (1 << 48) - 1
_VARIANT = "89ab"


def uuid7(milliseconds: int, randomness: bytes) -> str:
    """Build a UUID of version 7 (RFC 9562) from Unix time in milliseconds and ten random bytes; it sorts by time."""
    rest = randomness.hex()
    return f"{_beginning(milliseconds)}{rest[:3]}-{_VARIANT[randomness[RANDOM_BYTES - 1] & 3]}{rest[3:6]}-{rest[6:18]}"


@lru_cache(maxsize=8)
def _beginning(milliseconds: int) -> str:
    """Write the time and the version, which ids that are drawn within a millisecond share."""
    time = f"{milliseconds & _MILLISECONDS:012x}"
    return f"{time[:8]}-{time[8:]}-7"


def derived(*causes: str) -> str:
    """Build a UUID of version 8 from causes: the same causes give the same id, so a repeated effect is one event."""
    digest = blake2b("\0".join(causes).encode(), digest_size=16).digest()
    value = int.from_bytes(digest, "big") & ~(0xF << 76) | 0x8 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
