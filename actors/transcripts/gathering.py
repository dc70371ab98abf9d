"""Turns as they are gathered from a transcript, one piece after the other, whichever agent wrote it: pure.

A dialect reads a line and calls ``begin``, ``add`` and ``end``. A turn that is followed by another one without having ended was
cut off. Every turn is bounded; its oldest pieces are left out first. Must not know files, nor any dialect.
"""

from __future__ import annotations

from typing import Any, Final

from actors.transcripts.pieces import bounded, cut, length_of, text_pieces
from schemas.bridge_rows import Turn
from schemas.content import Channel, Piece, ToolEnded, ToolStarted, TurnEnded, TurnStarted, UsageTold
from schemas.events import Usage
from schemas.events.bridges import TurnOutcome

MAX_TURN: Final = 262_144  # characters
MAX_TURN_PIECES: Final = 1_000
MAX_ID: Final = 128
_NAME: Final = 200
_CUT_OFF: Final = "it was cut off"


class Gathering:
    """The turns of a stretch of a transcript.

    ``starts`` are the offsets at which their first lines begin, ``messages`` the ids of those messages that began them.
    """

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.starts: list[int] = []
        self.messages: list[str] = []
        self.turn = ""
        self.at = 0
        self._message: str | None = None
        self._started = ""
        self._pieces: list[Piece] = []
        self._size = 0
        self._cut = False
        self._open: dict[str, None] = {}
        self._usage: Usage | None = None
        self._outcome: TurnOutcome | None = None
        self._reason = ""

    def begin(self, turn: str, started: str) -> None:
        """Begin a turn at the line that is being read; the one before it ends."""
        self.close()
        self.turn = turn[:MAX_ID]
        self._started = started
        self.starts.append(self.at)
        self._put(TurnStarted(turn=self.turn))

    def message(self, name: str) -> None:
        """Know under which id a message was given, if under any; of several in a turn the first one began it."""
        if self.turn and self._message is None:
            self._message = name

    def text(self, item: str, channel: Channel, text: str) -> None:
        """Add a whole text to the turn, if there is one."""
        if self.turn and text:
            for piece in text_pieces(self.turn, item, channel, text):
                self._put(piece)

    def tool(self, item: str, name: str, *, title: str = "", arguments: str = "") -> None:
        """Add that a tool is used."""
        if not self.turn or item[:_NAME] in self._open:
            return
        self._open[item[:_NAME]] = None
        (shown, less), (given, more) = cut(title), cut(arguments)
        self._put(
            ToolStarted(turn=self.turn, item=item[:_NAME], name=name[:_NAME], title=shown, arguments=given, cut=less or more)
        )

    def tool_end(self, item: str, output: str, *, ok: bool) -> None:
        """Add what a tool gave, the first time that it is told."""
        if self.turn and item[:_NAME] in self._open:
            del self._open[item[:_NAME]]
            shown, more = cut(output)
            self._put(ToolEnded(turn=self.turn, item=item[:_NAME], ok=ok, output=shown, cut=more))

    def used(self, usage: Usage) -> None:
        """Count tokens of the turn."""
        self._usage = usage if self._usage is None else self._usage + usage

    def end(self, outcome: TurnOutcome, reason: str = "") -> None:
        """Know how the turn ended; what still follows of it is added all the same."""
        if self.turn:
            self._outcome, self._reason = outcome, cut(reason)[0]

    def close(self, *, running: bool = False) -> None:
        """End the gathering of a turn; one that still runs is no past, and is left out."""
        if not self.turn:
            return
        if self._outcome is None and running:
            self.starts.pop()
        else:
            if self._usage is not None:
                self._put(UsageTold(turn=self.turn, usage=self._usage))
            reason = self._reason if self._outcome else _CUT_OFF
            self._put(TurnEnded(turn=self.turn, outcome=self._outcome or "interrupted", reason=reason))
            self.turns.append(Turn(turn=self.turn, started=self._started, pieces=tuple(self._pieces), cut=self._cut))
            self.messages.append(self._message or "")
        self.turn, self._message, self._pieces, self._size, self._cut = "", None, [], 0, False
        self._open, self._usage, self._outcome, self._reason = {}, None, None, ""

    def _put(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._size += length_of(piece)
        if self._size > MAX_TURN or len(self._pieces) > MAX_TURN_PIECES:
            kept, self._size, went = bounded(tuple(self._pieces), self._size, MAX_TURN // 2, MAX_TURN_PIECES // 2)
            self._pieces, self._cut = list(kept), self._cut or went


def usage_of(tokens: Any, names: tuple[str, str, str, str]) -> Usage:
    """Read counts of tokens by the names of input, cached input, output and reasoning; what is none counts 0."""
    counts = [tokens.get(name) if isinstance(tokens, dict) else 0 for name in names]
    found = [one if isinstance(one, int) and not isinstance(one, bool) and one >= 0 else 0 for one in counts]
    return Usage(input=found[0], cached_input=found[1], output=found[2], reasoning=found[3], total=found[0] + found[2])
