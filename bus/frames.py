"""Frames to the messages of ``bus.protocol`` and back (pure): what a peer says, what a broker says, what the feed carries.

A frame that is not what its verb asks for is refused with the field's name. Must not know sockets, storage, clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from bus.protocol import (
    BATCH_TOPIC,
    BEAT_TOPIC,
    MAX_ANSWER,
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_COMMAND,
    MAX_FRAME,
    MAX_PUBLISH_BYTES,
    MAX_PUBLISH_EVENTS,
    MAX_REQUEST_ID,
    MAX_TELL,
    PROTOCOL,
    STREAM_TOPIC,
    Answered,
    Arrival,
    Asked,
    Beat,
    Failure,
    Forwarded,
    Hello,
    Name,
    Page,
    Publish,
    Read,
    Receipt,
    Reply,
    Request,
    Row,
    StreamFrame,
    Tell,
    Welcome,
)
from schemas.codec import InvalidMessageError, convert, decode_stamp, encode, parse
from schemas.envelope import Stamp

_M = TypeVar("_M", bound=Struct)


# ---------------------------------------------------------------------------------------------------- asker → broker


def encode_asked(request_id: bytes, message: Asked) -> list[bytes]:
    """Write the frames that a DEALER sends."""
    match message:
        case Hello():
            return [b"HELLO", request_id, _json(protocol=message.protocol, role=message.role, serves=message.serves)]
        case Publish():
            return [b"PUBLISH", request_id, *message.envelopes]
        case Read():
            return [
                b"READ",
                request_id,
                _json(after=message.after, limit=message.limit, prefixes=message.prefixes, types=message.types),
            ]
        case Request():
            head = _json(to=message.to, type=message.type, deadline_ms=message.deadline_ms)
            return [b"REQUEST", request_id, head, message.command]
        case Reply():
            return _encode_reply(request_id, message)
        case Tell():
            head = _json(stream=message.stream, kind=message.kind, sequence=message.sequence)
            return [b"TELL", request_id, head, message.body]


def decode_asked(frames: Sequence[bytes]) -> tuple[bytes, Asked]:
    """Read the frames that a broker receives, without the routing id.

    Raises:
        UnknownVerbError: the verb is not one of this protocol.
        InvalidMessageError: the frames are not what the verb asks for; the error names the field.

    """
    verb, request_id, body = _split(frames)
    match verb:
        case b"PUBLISH":
            return request_id, _publish(body)
        case b"READ":
            return request_id, _head(verb, body, Read, frames=1)
        case b"HELLO":
            return request_id, _head(verb, body, Hello, frames=1)
        case b"REQUEST":
            request = _head(verb, body, Request, frames=2)
            _bounded("REQUEST.command", body[1], MAX_COMMAND)
            return request_id, Request(to=request.to, type=request.type, deadline_ms=request.deadline_ms, command=body[1])
        case b"REPLY":
            return request_id, _reply(body)
        case b"TELL":
            told = _head(verb, body, Tell, frames=2)
            _bounded("TELL.body", body[1], MAX_TELL)
            return request_id, Tell(stream=told.stream, kind=told.kind, sequence=told.sequence, body=body[1])
        case _:
            raise UnknownVerbError(verb)


# ---------------------------------------------------------------------------------------------------- broker → asker


def encode_answered(request_id: bytes, message: Answered) -> list[bytes]:
    """Write the frames that a broker sends, without the routing id."""
    match message:
        case Receipt():
            return [b"RECORDED", request_id, encode(_members(message))]
        case Page():
            head = _json(
                epoch=message.epoch,
                first=message.first,
                head=message.head,
                through=message.through,
                more=message.more,
                damaged=message.damaged,
            )
            return [b"PAGE", request_id, head, *(part for row in message.rows for part in (row.topic, row.stamp, row.envelope))]
        case Welcome():
            return [b"WELCOME", request_id, encode(_members(message))]
        case Forwarded():
            head = encode({"from": message.sender, "type": message.type, "deadline_ms": message.deadline_ms})
            return [b"REQUEST", request_id, head, message.command]
        case Reply():
            return _encode_reply(request_id, message)
        case Failure():
            return [b"ERROR", request_id, _json(code=message.code, message=message.message)]


def decode_answered(frames: Sequence[bytes]) -> tuple[bytes, Answered]:
    """Read the frames that a DEALER receives.

    Raises:
        UnknownVerbError: the verb is not one of this protocol.
        InvalidMessageError: the frames are not what the verb asks for; the error names the field.

    """
    verb, request_id, body = _split(frames)
    match verb:
        case b"RECORDED":
            return request_id, _head(verb, body, Receipt, frames=1, limit=MAX_FRAME)
        case b"PAGE":
            return request_id, _page(body)
        case b"WELCOME":
            return request_id, _head(verb, body, Welcome, frames=1)
        case b"REQUEST":
            head = _head(verb, body, _ForwardedHead, frames=2)
            return request_id, Forwarded(sender=head.from_, type=head.type, deadline_ms=head.deadline_ms, command=body[1])
        case b"REPLY":
            return request_id, _reply(body)
        case b"ERROR":
            return request_id, _head(verb, body, Failure, frames=1)
        case _:
            raise UnknownVerbError(verb)


# ---------------------------------------------------------------------------------------------------- feed


def encode_stamp_fast(epoch: str, position: int, recordedtime: str) -> bytes:
    """Write a stamp; the same bytes as ``schemas.codec.encode_stamp``, since none of its texts needs escaping."""
    return f'{{"epoch":"{epoch}","position":{position},"recordedtime":"{recordedtime}"}}'.encode()


def encode_batches(rows: Sequence[Row]) -> Iterator[list[bytes]]:
    """Write rows that follow each other and were recorded at one time as batches."""
    frames: list[bytes] = []
    room = 0
    for row in rows:
        if not frames or room < len(row.envelope) or len(frames) == MAX_BATCH_EVENTS + 2:
            if frames:
                yield frames
            frames = [BATCH_TOPIC, row.stamp]
            room = MAX_BATCH_BYTES
        frames.append(row.envelope)
        room -= len(row.envelope)
    if frames:
        yield frames


def encode_beat(epoch: str, head: int, time: str) -> list[bytes]:
    """Write a beat."""
    return [BEAT_TOPIC, encode_stamp_fast(epoch, head, time), b""]


def encode_told(tell: Tell, epoch: str, head: int, time: str) -> tuple[bytes, bytes, bytes]:
    """Write a frame of a stream; none of its texts needs escaping."""
    stamp = f'{{"epoch":"{epoch}","position":0,"recordedtime":"{time}","head":{head},"sequence":{tell.sequence}}}'
    return f"stream.{tell.stream}.{tell.kind}.".encode(), stamp.encode(), tell.body


def stream_topic(stream: str) -> bytes:
    """Return the prefix of everything that is told in a stream."""
    return f"stream.{stream}.".encode()


def decode_feed(frames: Sequence[bytes]) -> list[Arrival] | Beat | StreamFrame:
    """Read what a SUB receives: an event, a batch of them (of one epoch), a beat, or a frame of a stream.

    Raises:
        InvalidMessageError: not three frames and no batch, or the stamp is none.

    """
    if len(frames) < 3 or (len(frames) > 3 and frames[0] != BATCH_TOPIC):  # noqa: PLR2004 - topic, stamp, envelope
        raise InvalidMessageError("", f"expected topic, stamp and envelope, got {len(frames)} frames")
    stamp = decode_stamp(frames[1])
    if frames[0] == BEAT_TOPIC:
        return Beat(stamp.epoch, stamp.position)
    if not stamp.position:  # no event has position 0, so events pay no look at their topic
        return _told(frames[0], frames[1], frames[2])
    if len(frames) == 3:  # noqa: PLR2004
        return [Arrival(stamp, frames[2])]
    epoch, time = stamp.epoch, stamp.recordedtime
    return [Arrival(Stamp(epoch, at, time), envelope) for at, envelope in enumerate(frames[2:], stamp.position)]


# ---------------------------------------------------------------------------------------------------- parts


class UnknownVerbError(InvalidMessageError):
    """A verb that this version does not know."""

    def __init__(self, verb: bytes) -> None:
        super().__init__("verb", f"{verb[:32]!r} is not known in protocol {PROTOCOL}")


class _ForwardedHead(Struct, frozen=True, rename={"from_": "from"}):
    from_: str
    type: str
    deadline_ms: int


class _ReplyHead(Struct, frozen=True):
    ok: bool
    code: Name = "refused"
    message: Annotated[str, Meta(max_length=2000)] = ""


class _ToldStamp(Struct, frozen=True):
    sequence: int


_TOLD_STAMP = msgspec.json.Decoder(_ToldStamp)


class _PageHead(Struct, frozen=True):
    epoch: str
    first: int
    head: int
    through: int
    more: bool
    damaged: tuple[tuple[int, int], ...] = ()


def _split(frames: Sequence[bytes]) -> tuple[bytes, bytes, Sequence[bytes]]:
    if len(frames) < 2:  # noqa: PLR2004 - verb and request id
        raise InvalidMessageError("", f"expected a verb and a request id, got {len(frames)} frames")
    if not 1 <= len(frames[1]) <= MAX_REQUEST_ID:
        raise InvalidMessageError("request id", f"expected 1 to {MAX_REQUEST_ID} bytes, got {len(frames[1])}")
    return frames[0], frames[1], frames[2:]


def _head(verb: bytes, body: Sequence[bytes], type_: type[_M], *, frames: int, limit: int = MAX_COMMAND) -> _M:
    under = verb.decode()
    if len(body) != frames:
        raise InvalidMessageError(under, f"expected {frames} body frames, got {len(body)}")
    _bounded(under, body[0], limit)
    try:
        document = parse(body[0])
    except InvalidMessageError as error:
        raise InvalidMessageError(under, error.reason) from error
    return convert(document, type_, under)


def _bounded(field_: str, frame: bytes, limit: int) -> None:
    if len(frame) > limit:
        raise InvalidMessageError(field_, f"{len(frame)} bytes exceed the limit of {limit}")


def _publish(body: Sequence[bytes]) -> Publish:
    if not 1 <= len(body) <= MAX_PUBLISH_EVENTS:
        raise InvalidMessageError("PUBLISH", f"expected 1 to {MAX_PUBLISH_EVENTS} envelopes, got {len(body)}")
    if (size := sum(map(len, body))) > MAX_PUBLISH_BYTES:
        raise InvalidMessageError("PUBLISH", f"{size} bytes exceed the limit of {MAX_PUBLISH_BYTES}")
    return Publish(tuple(body))


def _reply(body: Sequence[bytes]) -> Reply:
    if not 1 <= len(body) <= 2:  # noqa: PLR2004 - head and answer
        raise InvalidMessageError("REPLY", f"expected 1 or 2 body frames, got {len(body)}")
    head = _head(b"REPLY", body[:1], _ReplyHead, frames=1)
    if head.ok != (len(body) == 2):  # noqa: PLR2004
        raise InvalidMessageError("REPLY", "an answer goes with ok = true, and only with it")
    if not head.ok:
        return Reply(ok=False, code=head.code, message=head.message)
    _bounded("REPLY.answer", body[1], MAX_ANSWER)
    return Reply(ok=True, answer=body[1])


def _encode_reply(request_id: bytes, message: Reply) -> list[bytes]:
    if message.ok:
        return [b"REPLY", request_id, _json(ok=True), message.answer]
    return [b"REPLY", request_id, _json(ok=False, code=message.code, message=message.message)]


def _told(topic: bytes, raw: bytes, body: bytes) -> StreamFrame:
    if not topic.startswith(STREAM_TOPIC):
        raise InvalidMessageError("position", f"0, and yet {topic[:64]!r} is no stream's")
    try:
        sequence = _TOLD_STAMP.decode(raw).sequence
        kind = topic.split(b".")[2].decode()
    except (msgspec.MsgspecError, UnicodeError, IndexError) as error:
        raise InvalidMessageError("", f"not a frame of a stream: {error}") from error
    return StreamFrame(kind, sequence, body)


def _page(body: Sequence[bytes]) -> Page:
    if len(body) % 3 != 1:
        raise InvalidMessageError("PAGE", f"expected a head and three frames an event, got {len(body)} body frames")
    head = _head(b"PAGE", body[:1], _PageHead, frames=1, limit=MAX_FRAME)
    rows = tuple(
        Row(decode_stamp(body[at + 1]).position, body[at], body[at + 1], body[at + 2]) for at in range(1, len(body), 3)
    )
    return Page(
        epoch=head.epoch,
        first=head.first,
        head=head.head,
        through=head.through,
        more=head.more,
        damaged=head.damaged,
        rows=rows,
    )


def _members(message: Struct) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


def _json(**members: Any) -> bytes:
    return encode(members)
