"""Envelopes and rows for tests of the bus."""

from __future__ import annotations

from bus.frames import encode_stamp_fast
from bus.protocol import Arrival, Row
from bus.source import Source
from schemas.codec import decode_stamp, encode_envelope
from schemas.envelope import Envelope
from schemas.events import SessionReturned
from schemas.identity import SessionId

TIME = "2026-11-21T01:50:01.123456Z"
GATEWAY = Source("/actor/gateway/1")


def said(number: int, source: Source = GATEWAY, session: str = "codex-1", id_: str | None = None) -> Envelope:
    """Make a small fact whose correlation id is a number."""
    fact = SessionReturned(session=SessionId(session))
    return source.envelope(f"session/{session}", fact, correlationid=str(number), id=id_)


def raw(number: int, source: Source = GATEWAY, id_: str | None = None) -> bytes:
    """Make a small fact's bytes."""
    return encode_envelope(said(number, source, id_=id_))


def row(position: int, epoch: str = "e1", topic: bytes = b"session.codex-1.session.returned.", envelope: bytes = b"{}") -> Row:
    """Make a row as the journal holds it."""
    return Row(position, topic, encode_stamp_fast(epoch, position, TIME), envelope)


def rows(first: int, last: int, epoch: str = "e1") -> list[Row]:
    """Make rows ``first`` to ``last`` with different envelopes."""
    return [row(position, epoch, envelope=b'{"n":%d}' % position) for position in range(first, last + 1)]


def arrived(*rows_: Row) -> list[Arrival]:
    """Make of rows what the feed brings of them."""
    return [Arrival(decode_stamp(one.stamp), one.envelope) for one in rows_]


def ids(first: int, last: int) -> list[str]:
    """Make the ids of such rows."""
    return [f"id-{position}" for position in range(first, last + 1)]
