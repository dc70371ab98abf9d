"""What a turn has shown so far, joined and bounded, for whoever comes back in the middle of it or asks for the past: pure.

Pieces of one text are joined up to the length that a piece may have. Of a turn that grows beyond its bound the oldest pieces
are left out, and it says so. Must not know sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from actors.bridges.terms import MAX_PAST, MAX_PAST_TURNS, MAX_PIECES, MAX_RUNNING, Running
from schemas.bridge_rows import Turn
from schemas.content import (
    MAX_TEXT,
    ApprovalRequested,
    FailureTold,
    Piece,
    PlanUpdated,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UsageTold,
)

_NEAR: Final = 16  # pieces back, among which the beginning of a text is looked for: texts that alternate are few
_PIECE: Final = 64  # what a piece counts beside its text


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


def turn_of(piece: Piece) -> str:
    """Return the turn that a piece belongs to; empty when it is none's."""
    return getattr(piece, "turn", "")


def shown(running: Running, piece: Piece) -> Running:
    """Add a piece of this turn."""
    match piece:
        case UsageTold():
            return replace(running, usage=piece.usage)
        case TextEnded(channel="reply"):
            running = replace(running, reply_length=running.reply_length + piece.length)
        case ToolStarted():
            running = replace(running, tools=running.tools + 1)
        case FailureTold():
            running = replace(running, failure=piece.code)
        case _:
            pass
    pieces = joined(running.pieces, piece)
    size = running.size + length_of(piece)
    cut = running.cut
    while len(pieces) > 1 and (size > MAX_RUNNING or len(pieces) > MAX_PIECES):
        first = 1 if isinstance(pieces[0], TurnStarted) and len(pieces) > 2 else 0  # noqa: PLR2004 - what began the turn stays
        size -= length_of(pieces[first])
        pieces = (*pieces[:first], *pieces[first + 1 :])
        cut = True
    return replace(running, pieces=pieces, size=size, cut=cut)


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


def ended(running: Running, piece: TurnEnded) -> Turn:
    """Return the completed turn."""
    return Turn(turn=running.turn, started=running.started, pieces=(*running.pieces, piece), cut=running.cut)


def kept(past: tuple[Turn, ...], turn: Turn) -> tuple[tuple[Turn, ...], int]:
    """Put a completed turn behind the others, the oldest ones out; return what they count too."""
    turns = (*past, turn)[-MAX_PAST_TURNS:]
    sizes = [size_of(one.pieces) for one in turns]
    while len(turns) > 1 and sum(sizes) > MAX_PAST:
        turns, sizes = turns[1:], sizes[1:]
    return turns, sum(sizes)


def size_of(pieces: Iterable[Piece]) -> int:
    """Return what pieces count together."""
    return sum(length_of(piece) for piece in pieces)


def reply_of(turn: Turn) -> str:
    """Return what the agent answered in a turn: its last text."""
    texts: dict[str, list[str]] = {}
    for piece in turn.pieces:
        if isinstance(piece, TextAdded) and piece.channel == "reply":
            texts.setdefault(piece.item, []).append(piece.text)
    return "".join(next(reversed(texts.values()))) if texts else ""
