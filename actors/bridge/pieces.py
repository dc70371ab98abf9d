"""Makes what an adapter says fit to be told: within the bounds of ``schemas.content`` and of one line to the hub. Pure.

Texts of any length become pieces; what cannot be parted is cut, and says so where its type has a word for it. Agents write
what they like, so whatever the hub would refuse to read ends here: ``fitted`` gives nothing for a piece that cannot be
mended, and the caller notes it. Must not know what the pieces are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2s
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from actors.bridge.contract import MAX_UP, Said, Up
from schemas.content import (
    MAX_TEXT,
    ApprovalRequested,
    FailureTold,
    Option,
    Piece,
    PlanStep,
    PlanUpdated,
    SettingsTold,
    StatusTold,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
)

MAX_NAME: Final = 200
MAX_STEPS: Final = 200
MAX_OPTIONS: Final = 32
MAX_TITLE: Final = 1_024
_ROOM: Final = MAX_UP - 256  # for the line around the piece
_LEAST: Final = 16
_CUT: Final = " … (cut)"
_LONG_FIELDS: Final = ("title", "arguments", "output", "detail", "reason", "message")

_WRITE = msgspec.json.Encoder().encode
_READ: msgspec.json.Decoder[Piece] = msgspec.json.Decoder(Piece)
_P = TypeVar("_P", bound=Piece)


def fitted(piece: Piece) -> tuple[Piece, ...]:
    """Return the piece as it may be told, as several when its text is long, as none when the hub could not read it."""
    if isinstance(piece, TextAdded):
        return tuple(_parts(piece))
    shaped = _named(_shaped(piece))
    try:
        raw = _WRITE(shaped)
        while len(raw) > _ROOM:
            shaped = _smaller(shaped)
            raw = _WRITE(shaped)
        _READ.decode(raw)
    except (msgspec.MsgspecError, OverflowError, ValueError, TypeError):
        return ()
    return (shaped,)


def clean(text: str) -> str:
    """Return a text that can be written: halves of characters, which JSON can spell and UTF-8 cannot, become a mark."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def shortened(text: str, limit: int) -> str:
    """Return the beginning of a text, saying so where there was more."""
    if len(text) <= limit:
        return clean(text)
    return clean(text[: limit - len(_CUT)]) + _CUT


def item_name(item: str) -> str:
    """Return a name of at most ``MAX_NAME`` characters, different for different names."""
    item = clean(item)
    if len(item) <= MAX_NAME:
        return item
    return f"{item[:128]}…{blake2s(item.encode(), digest_size=16).hexdigest()}"


def merged(lines: Iterable[Up]) -> Iterator[Up]:
    """Join neighbouring parts of one text, as far as they fit: what came together is told together."""
    held: TextAdded | None = None
    for line in lines:
        piece = line.piece if isinstance(line, Said) else None
        if not isinstance(piece, TextAdded):
            if held is not None:
                yield Said(piece=held)
                held = None
            yield line
        elif held is not None and _continues(held, piece):
            held = replace(held, text=held.text + piece.text)
        else:
            if held is not None:
                yield Said(piece=held)
            held = piece
    if held is not None:
        yield Said(piece=held)


def _continues(first: TextAdded, second: TextAdded) -> bool:
    same = (first.turn, first.item, first.channel) == (second.turn, second.item, second.channel)
    return same and len(first.text) + len(second.text) <= MAX_TEXT


def _parts(piece: TextAdded) -> Iterator[TextAdded]:
    """Part a text; MAX_TEXT characters with each one escaped are 48 KiB, so that every part fits into a line."""
    text, item = clean(piece.text), item_name(piece.item)
    if len(text) <= MAX_TEXT:
        if text:
            yield piece if text is piece.text and item is piece.item else replace(piece, text=text, item=item)
        return
    for start in range(0, len(text), MAX_TEXT):
        yield replace(piece, item=item, text=text[start : start + MAX_TEXT])


def _shaped(piece: Piece) -> Piece:  # noqa: PLR0911 - one a case
    """Bring each kind of piece within the bounds of its fields."""
    match piece:
        case ToolStarted():
            arguments = clean(piece.arguments)
            return replace(
                piece,
                name=shortened(piece.name, MAX_NAME),
                title=shortened(piece.title, MAX_TITLE),
                arguments=arguments[:MAX_TEXT],
                cut=piece.cut or len(arguments) > MAX_TEXT,
            )
        case ToolEnded():
            output = clean(piece.output)
            return replace(piece, output=output[:MAX_TEXT], cut=piece.cut or len(output) > MAX_TEXT)
        case PlanUpdated():
            return replace(piece, steps=tuple(_planned(piece.steps)))
        case ApprovalRequested():
            return replace(
                piece,
                tool=shortened(piece.tool, MAX_NAME),
                title=shortened(piece.title, MAX_TITLE),
                detail=shortened(piece.detail, MAX_TEXT),
                options=tuple(Option(id=o.id, label=shortened(o.label, MAX_NAME), kind=o.kind) for o in piece.options),
            )
        case SettingsTold():
            return replace(
                piece,
                provider=shortened(piece.provider, MAX_NAME),
                model=shortened(piece.model, MAX_NAME),
                mode=shortened(piece.mode, MAX_NAME),
                reason=shortened(piece.reason, MAX_TEXT),
            )
        case FailureTold():
            return replace(piece, code=shortened(piece.code, MAX_NAME), message=shortened(piece.message, MAX_TEXT))
        case StatusTold() | TurnEnded():
            return replace(piece, reason=shortened(piece.reason, MAX_TEXT))
        case _:
            return piece


def _named(piece: _P) -> _P:
    """Give items names of a length that names may have."""
    return replace(piece, item=item_name(piece.item)) if isinstance(piece, ToolStarted | ToolEnded | TextEnded) else piece


def _planned(steps: tuple[PlanStep, ...]) -> Iterator[PlanStep]:
    each = max(_LEAST, min(MAX_TITLE, 4 * MAX_TEXT // max(1, len(steps))))
    for step in steps[:MAX_STEPS]:
        yield PlanStep(text=shortened(step.text, each), state=step.state)
    if len(steps) > MAX_STEPS:
        yield PlanStep(text=f"… {len(steps) - MAX_STEPS} more steps (cut)", state="pending")


def _smaller(piece: Any) -> Any:
    """Halve the longest text of a piece that is too long when written.

    Raises:
        ValueError: there is none left to halve.

    """
    if isinstance(piece, PlanUpdated):
        longest = max(len(step.text) for step in piece.steps)
        if longest <= _LEAST:
            raise ValueError("a plan of too many steps")
        limit = max(_LEAST, longest // 2)
        return replace(piece, steps=tuple(PlanStep(text=shortened(s.text, limit), state=s.state) for s in piece.steps))
    lengths = {name: len(getattr(piece, name, "")) for name in _LONG_FIELDS}
    name = max(lengths, key=lambda one: lengths[one])
    if lengths[name] <= _LEAST:
        raise ValueError("a piece too long for a line")
    changes: dict[str, Any] = {name: shortened(getattr(piece, name), max(_LEAST, lengths[name] // 2))}
    if hasattr(piece, "cut"):
        changes["cut"] = True
    return replace(piece, **changes)
