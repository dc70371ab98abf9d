"""What a turn has shown so far, joined and bounded, for whoever comes back in the middle of it or asks for the past: pure.

Of a turn that grows beyond its bound the oldest pieces are left out, and it says so. Must not know sessions.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.bridges.terms import MAX_PAST, MAX_PAST_TURNS, MAX_PIECES, MAX_RUNNING, Running
from actors.transcripts.pieces import bounded, joined, length_of, size_of
from schemas.bridge_rows import Turn
from schemas.content import FailureTold, Piece, TextEnded, ToolStarted, TurnEnded, UsageTold


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
    pieces, size, cut = bounded(pieces, running.size + length_of(piece), MAX_RUNNING, MAX_PIECES)
    return replace(running, pieces=pieces, size=size, cut=running.cut or cut)


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
