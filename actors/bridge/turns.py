"""What is open in a running turn, followed piece by piece, and how it is closed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import msgspec

from actors.bridge.pieces import item_name
from actors.bridge.state import Turn
from schemas.content import Piece, TextAdded, TextEnded, ToolEnded, ToolStarted

MAX_OPEN_ITEMS: Final = 1_024
"""Open texts and tools of one turn; what an agent begins beyond them is told and not closed by us."""


def turn_of(piece: Piece) -> str:
    """Return the turn that a piece says it is of, empty where it is of none."""
    return getattr(piece, "turn", "")


def follow(turn: Turn, piece: Piece) -> tuple[Turn, Piece | None]:  # noqa: PLR0911 - one or two a case
    """Take one fitted piece of the turn; None instead of it where it ends what is not open.

    The length of a text is what was told of it, whatever the agent says.
    """
    match piece:
        case TextAdded(item=item, channel=channel, text=text):
            key = (item, channel)
            if key not in turn.texts and len(turn.texts) >= MAX_OPEN_ITEMS:
                return turn, piece
            return replace(turn, texts=MappingProxyType({**turn.texts, key: turn.texts.get(key, 0) + len(text)})), piece
        case TextEnded(item=item, channel=channel):
            length = turn.texts.get((item, channel))
            if length is None:
                return turn, None
            rest = {key: value for key, value in turn.texts.items() if key != (item, channel)}
            return replace(turn, texts=MappingProxyType(rest)), msgspec.structs.replace(piece, length=length)
        case ToolStarted(item=item):
            if item in turn.tools or len(turn.tools) >= MAX_OPEN_ITEMS:
                return turn, piece
            return replace(turn, tools=(*turn.tools, item)), piece
        case ToolEnded(item=item):
            return replace(turn, tools=tuple(tool for tool in turn.tools if tool != item)), piece
        case _:
            return turn, piece


def leftovers(turn: Turn) -> Iterator[Piece]:
    """Yield what closes everything that is open."""
    for (item, channel), length in turn.texts.items():
        yield TextEnded(turn=turn.id, item=item, channel=channel, length=length)
    for item in turn.tools:
        yield ToolEnded(turn=turn.id, item=item_name(item), ok=False)
