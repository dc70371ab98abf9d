"""Pieces of content, counted, joined, cut to length and bounded: what a conversation is shown with. Pure.

Must not know where pieces come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from schemas.bridge_rows import Turn
from schemas.content import (
    MAX_TEXT,
    ApprovalRequested,
    Channel,
    FailureTold,
    Piece,
    PlanUpdated,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnStarted,
)

_NEAR: Final = 16  # pieces back, among which the beginning of a text is looked for: texts that alternate are few
_PIECE: Final = 64  # what a piece counts beside its text
_NAME: Final = 200
_LONE: Final = re.compile("[\ud800-\udfff]")


def length_of(piece: Piece) -> int:
    """Return what a piece counts, about its characters."""
    texts: tuple[str, ...] = ()
    match piece:
        case TextAdded():
            texts = (piece.text,)
        case ToolStarted():
            texts = (piece.title, piece.arguments)
        case ToolEnded():
            texts = (piece.output,)
        case PlanUpdated():
            texts = tuple(step.text for step in piece.steps)
        case ApprovalRequested():
            texts = (piece.title, piece.detail, *(one.label for one in piece.options))
        case FailureTold():
            texts = (piece.message,)
        case _:
            pass
    return _PIECE + sum(len(text) for text in texts)


def size_of(pieces: Iterable[Piece]) -> int:
    """Return what pieces count together."""
    return sum(length_of(piece) for piece in pieces)


def joined(pieces: tuple[Piece, ...], piece: Piece) -> tuple[Piece, ...]:
    """Put a piece behind others: more of a text is put to that text, a new plan in the old one's place."""
    if isinstance(piece, PlanUpdated):
        return (*(one for one in pieces if not isinstance(one, PlanUpdated)), piece)
    if isinstance(piece, TextAdded):
        for place in range(len(pieces) - 1, max(-1, len(pieces) - 1 - _NEAR), -1):
            one = pieces[place]
            if isinstance(one, TextAdded) and one.item == piece.item and one.channel == piece.channel:
                if len(one.text) + len(piece.text) > MAX_TEXT:
                    break
                return (*pieces[:place], replace(one, text=one.text + piece.text), *pieces[place + 1 :])
    return (*pieces, piece)


def bounded(pieces: tuple[Piece, ...], size: int, most: int, most_pieces: int) -> tuple[tuple[Piece, ...], int, bool]:
    """Leave out the oldest pieces until the rest fits, save what began the turn; return its size too, and whether any went."""
    first = 1 if pieces and isinstance(pieces[0], TurnStarted) else 0
    out = 0
    while len(pieces) - first - out > 1 and (size > most or len(pieces) - out > most_pieces):
        size -= length_of(pieces[first + out])
        out += 1
    return ((*pieces[:first], *pieces[first + out :]) if out else pieces), size, out > 0


def text_pieces(turn: str, item: str, channel: Channel, text: str) -> list[Piece]:
    """Return a whole text as the pieces that it is, none longer than a piece may be."""
    clean = plain(text)
    parts = [clean[at : at + MAX_TEXT] for at in range(0, len(clean), MAX_TEXT)]
    named = item[:_NAME]
    return [
        *(TextAdded(turn=turn, item=named, channel=channel, text=part) for part in parts),
        TextEnded(turn=turn, item=named, channel=channel, length=len(clean)),
    ]


def cut(text: str) -> tuple[str, bool]:
    """Return as much of a text as a piece may hold, and whether that is not all."""
    return plain(text[:MAX_TEXT]), len(text) > MAX_TEXT


def plain(text: str) -> str:
    """Replace what cannot be written as UTF-8: halves of characters, which JSON can hold and bytes cannot."""
    return _LONE.sub("\ufffd", text)


def named(turns: tuple[Turn, ...], messages: tuple[str, ...], names: Mapping[str, str]) -> tuple[Turn, ...]:
    """Give turns of a transcript the names that they have on the stream, by the ids under which their messages were given.

    Whoever has one of them from the stream already, in part or whole, knows it by its name.
    """
    return tuple(_renamed(turn, names[of]) if of in names else turn for turn, of in zip(turns, messages, strict=True))


def _renamed(turn: Turn, name: str) -> Turn:
    pieces = tuple(replace(piece, turn=name) if "turn" in piece.__struct_fields__ else piece for piece in turn.pieces)
    return Turn(turn=name, started=turn.started, pieces=pieces, cut=turn.cut)


def reply_of(turn: Turn) -> str:
    """Return what the agent answered in a turn: its last text."""
    texts: dict[str, list[str]] = {}
    for piece in turn.pieces:
        if isinstance(piece, TextAdded) and piece.channel == "reply":
            texts.setdefault(piece.item, []).append(piece.text)
    return "".join(next(reversed(texts.values()))) if texts else ""


def prompt_of(turn: Turn) -> str:
    """Return what the agent was asked in a turn."""
    return "".join(piece.text for piece in turn.pieces if isinstance(piece, TextAdded) and piece.channel == "prompt")
