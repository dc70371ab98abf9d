"""Which events are recorded, and under which positions (pure).

Theory of operation
-------------------
``admit`` looks at one envelope and the name of the key that brought it, and makes a ``Draft`` or a ``Refusal``. ``step``
numbers the drafts of a batch of submissions: positions are dense, in order of arrival, and an id that is ``known`` (in the
journal already) or came earlier in the batch keeps the position that it has. The head moves only when the journal has
taken the rows: ``step`` returns the next head and its caller decides.

The caller need not know beforehand which ids the journal holds. It calls ``step`` with none known; when the journal says
that some are taken it calls ``step`` again on the same batch with those. Nothing is lost by the first try, since nothing
here has state. Must not know storage, sockets, clocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from bus.errors import Refusal
from bus.frames import encode_stamp_fast
from bus.protocol import CLIENT, MAX_EVENT, Row
from schemas.codec import InvalidMessageError, decode_head
from schemas.envelope import ROOTS, topic

MAX_ID = 128
MAX_SOURCE = 200
MAX_TIME = 40
MAX_TOPIC = 1024
_ID = re.compile(rf"[\x21-\x7e]{{1,{MAX_ID}}}")
_SUBJECT = re.compile(rf"(?:{'|'.join(ROOTS)})(?:/[A-Za-z0-9_~%-]+)+")
_TYPE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")


class Draft(Struct, frozen=True):
    """An event that may be recorded and has no position yet."""

    id: str
    topic: bytes
    envelope: bytes


class Submission(Struct, frozen=True):
    """The drafts and refusals of one PUBLISH, in the order of its envelopes."""

    entries: tuple[Draft | Refusal, ...]


class Numbered(Struct, frozen=True):
    """The outcome of a step: what to write, the ids of it, and for each submission the positions of its entries."""

    head: int
    rows: tuple[Row, ...]
    ids: tuple[str, ...]
    positions: tuple[tuple[int | None, ...], ...]


def admit(index: int, envelope: bytes, name: str) -> Draft | Refusal:
    """Decide whether an envelope may be recorded in the name of a key."""
    if len(envelope) > MAX_EVENT:
        return Refusal(index, "too_large", f"{len(envelope)} bytes exceed the limit of {MAX_EVENT}")
    try:
        head = decode_head(envelope)
        topic_ = _topic(head.subject, head.type)
    except InvalidMessageError as error:
        return Refusal(index, "invalid", str(error)[:500])
    if not _ID.fullmatch(head.id):
        return Refusal(index, "invalid", f"id: expected 1 to {MAX_ID} printable ASCII characters without spaces")
    if len(head.time) > MAX_TIME:
        return Refusal(index, "invalid", f"time: expected RFC 3339 of at most {MAX_TIME} characters")
    if not head.source.startswith(_sources(name)) or len(head.source) > MAX_SOURCE:
        return Refusal(
            index,
            "forged_source",
            f"source: {head.source[:MAX_SOURCE]!r} is not {name}'s; its key speaks for {_sources(name)}…",
        )
    return Draft(head.id, topic_, envelope)


def step(
    epoch: str, head: int, recordedtime: str, submissions: Sequence[Submission], known: Mapping[str, int] | None = None
) -> Numbered:
    """Number the drafts of a batch, in order."""
    taken = dict(known or {})
    rows: list[Row] = []
    ids: list[str] = []
    positions: list[tuple[int | None, ...]] = []
    for submission in submissions:
        own: list[int | None] = []
        for entry in submission.entries:
            if isinstance(entry, Refusal):
                own.append(None)
                continue
            position = taken.get(entry.id)
            if position is None:
                head += 1
                position = taken[entry.id] = head
                rows.append(Row(head, entry.topic, encode_stamp_fast(epoch, head, recordedtime), entry.envelope))
                ids.append(entry.id)
            own.append(position)
        positions.append(tuple(own))
    return Numbered(head, tuple(rows), tuple(ids), tuple(positions))


@lru_cache(maxsize=256)
def _sources(name: str) -> str:
    return "/client/" if name == CLIENT else f"/actor/{name}/"


@lru_cache(maxsize=8192)
def _topic(subject: str, type_: str) -> bytes:
    """Check subject and type, and join them.

    Raises:
        InvalidMessageError: one of them could not be a topic.

    """
    if not _SUBJECT.fullmatch(subject):
        raise InvalidMessageError("subject", f"expected <root>/<name> with a root of {', '.join(ROOTS)}, got {subject[:100]!r}")
    if not _TYPE.fullmatch(type_):
        raise InvalidMessageError("type", f"expected words of a-z 0-9 _ joined by dots, got {type_[:100]!r}")
    made = topic(subject, type_)
    if len(made) > MAX_TOPIC:
        raise InvalidMessageError("subject", f"the topic's {len(made)} bytes exceed the limit of {MAX_TOPIC}")
    return made
