"""Bytes to typed values and back, with errors that name the field.

msgspec writes and reads typed values, orjson untyped ones. Strict on required fields, tolerant of unknown fields and of
unknown event types (their ``data`` stays a plain mapping). Must not know sockets or storage.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
import orjson

from schemas.envelope import SPECVERSION, Envelope, Head, Recorded, Stamp
from schemas.events import EVENTS
from schemas.upcast import UPCASTERS, upcast

_T = TypeVar("_T")
_HEAD = msgspec.json.Decoder(Head)
_STAMP = msgspec.json.Decoder(Stamp)
_DATA = {type_: msgspec.json.Decoder(cls) for type_, cls in EVENTS.items() if type_ not in UPCASTERS}
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_WHERE = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")


class _Document(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """An envelope in CloudEvents' JSON format; attributes that it does not have are left out."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    correlationid: str | None = None
    causationid: str | None = None
    data: Any


class _Sealed(msgspec.Struct, gc=False):
    """An envelope whose data is not looked into yet."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: msgspec.Raw
    correlationid: str | None = None
    causationid: str | None = None


_SEALED = msgspec.json.Decoder(_Sealed)
_WRITE = msgspec.json.Encoder().encode


class InvalidMessageError(ValueError):
    """Bytes that are not what they should be.

    ``field`` is the dotted path of the offending field (empty when the whole is not JSON), ``reason`` what was expected.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


def encode(value: Any, *, indent: int = 0) -> bytes:
    """Write any value of ``schemas`` as JSON. An envelope leaves out the attributes that it does not have."""
    raw = encode_envelope(value) if isinstance(value, Envelope) else _WRITE(value)
    return msgspec.json.format(raw, indent=indent) if indent else raw


def encode_envelope(envelope: Envelope) -> bytes:
    """Write an envelope in CloudEvents' JSON format."""
    return _WRITE(
        _Document(
            specversion=SPECVERSION,
            id=envelope.id,
            source=envelope.source,
            type=envelope.type,
            subject=envelope.subject,
            time=envelope.time,
            correlationid=envelope.correlationid,
            causationid=envelope.causationid,
            data=envelope.data,
        )
    )


def decode(raw: bytes, type_: type[_T]) -> _T:
    """Read a JSON document as ``type_``.

    Raises:
        InvalidMessageError: not JSON, or a field is missing or of the wrong type.

    """
    return convert(parse(raw), type_)


def parse(raw: bytes) -> Any:
    """Read JSON without types.

    Raises:
        InvalidMessageError: not JSON.

    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidMessageError("", f"not JSON: {error}") from error


def convert(value: Any, type_: type[_T], under: str = "") -> _T:
    """Check a parsed value against ``type_``; ``under`` is the path that it came from.

    Raises:
        InvalidMessageError: a field is missing or of the wrong type.

    """
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), under) from error


def decode_head(raw: bytes) -> Head:
    """Read only what a broker may read of an envelope.

    Raises:
        InvalidMessageError: not a CloudEvents envelope with the attributes that Tabwire requires.

    """
    try:
        head = _HEAD.decode(raw)
    except _UNREADABLE as error:
        raise _invalid(str(error), "") from error
    if head.specversion != SPECVERSION:
        raise InvalidMessageError("specversion", f"expected {SPECVERSION!r}, got {head.specversion!r}")
    return head


def decode_stamp(raw: bytes) -> Stamp:
    """Read a stamp.

    Raises:
        InvalidMessageError: not a stamp.

    """
    try:
        return _STAMP.decode(raw)
    except _UNREADABLE as error:
        raise _invalid(str(error), "") from error


def encode_stamp(stamp: Stamp) -> bytes:
    """Write a stamp."""
    return _WRITE(stamp)


def decode_envelope(raw: bytes) -> Envelope:
    """Read an envelope and check its data against its type; an unknown type keeps its data as a plain mapping.

    Raises:
        InvalidMessageError: not an envelope, or its data breaks its type; the error names the field.

    """
    try:
        sealed = _SEALED.decode(raw)
        known = _DATA[sealed.type].decode(sealed.data)
    except (KeyError, *_UNREADABLE):
        return _decode_envelope_slowly(raw)
    return Envelope(
        id=sealed.id,
        source=sealed.source,
        type=sealed.type,
        subject=sealed.subject,
        time=sealed.time,
        correlationid=sealed.correlationid,
        causationid=sealed.causationid,
        data=known,
    )


def _decode_envelope_slowly(raw: bytes) -> Envelope:
    """Read an envelope of an older or unknown type, or one that is wrong, and then say where."""
    document = parse(raw)
    try:
        type_, data = upcast(document["type"], document["data"])
        known = EVENTS.get(type_)
        return Envelope(
            id=document["id"],
            source=document["source"],
            type=type_,
            subject=document["subject"],
            time=document["time"],
            correlationid=document.get("correlationid"),
            causationid=document.get("causationid"),
            data=data if known is None else msgspec.convert(data, known),
        )
    except KeyError as error:
        raise InvalidMessageError(str(error.args[0]), "missing") from error
    except (TypeError, AttributeError) as error:
        raise InvalidMessageError("", "expected a JSON object") from error
    except msgspec.ValidationError as error:
        raise _invalid(str(error), "data") from error


def decode_recorded(stamp: bytes, envelope: bytes) -> Recorded:
    """Read a recorded event from its two frames.

    Raises:
        InvalidMessageError: either frame is not what it should be.

    """
    return Recorded(decode_stamp(stamp), decode_envelope(envelope))


def _invalid(text: str, under: str) -> InvalidMessageError:
    """Turn msgspec's sentence into a field path and a reason."""
    where = _WHERE.search(text)
    path = [under] if under else []
    if where and where[1]:
        path.append(where[1])
    reason = text[: where.start()] if where else text
    if missing := _MISSING.search(reason):
        path.append(missing[1])
        reason = "missing"
    return InvalidMessageError(".".join(path), reason)
