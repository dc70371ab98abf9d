"""A transcript as it grows, as pieces: what ``actors.transcripts`` gathers of its past, told line by line. Pure.

A turn that has ended tells nothing more. Its end is told behind all else of its line. Must not know who asked for a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from actors.transcripts import claude_turns, codex_turns
from actors.transcripts.gathering import Gathering
from schemas.content import Piece, TurnEnded, TurnStarted, UsageTold
from schemas.events import Usage
from schemas.events.bridges import TurnOutcome

_DIALECTS: Final[Mapping[str, Callable[[Gathering, bytes], None]]] = {"codex": codex_turns.read, "claude": claude_turns.read}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How far a transcript was read: its turn (by the agent's own id), and what of that is open."""

    turn: str = ""
    open: tuple[str, ...] = ()
    usage: Usage | None = None
    over: bool = True


def read(agent: str, reading: Reading, at: int, line: str) -> tuple[Reading, tuple[Piece, ...]]:
    """Read one line; what is not understood says nothing."""
    telling = _Telling(reading)
    telling.at = at
    _DIALECTS[agent](telling, line.encode("utf-8", "replace"))
    return telling.stand(), (*telling.told, *telling.ends)


class _Telling(Gathering):
    """Gathers as ever, but hands on each piece at once."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.told: list[Piece] = []
        self.ends: list[Piece] = []
        self.turn = reading.turn
        self._open = dict.fromkeys(reading.open)
        self._usage = reading.usage
        self._over = reading.over

    def stand(self) -> Reading:
        """Return how far it was read."""
        over = self._over or bool(self.ends)
        return Reading(turn=self.turn, open=tuple(self._open), usage=self._usage, over=over)

    def begin(self, turn: str, started: str) -> None:  # noqa: ARG002 - when it began, the stream tells
        if turn == self.turn and not self._over:
            return
        if self.turn and not self._over:
            self.told.append(TurnEnded(turn=self.turn, outcome="interrupted", reason="it was cut off"))
        self.turn, self._open, self._usage, self._over = turn[:128], {}, None, False
        self._put(TurnStarted(turn=self.turn))

    def used(self, usage: Usage) -> None:
        super().used(usage)
        if self._usage is not None:
            self._put(UsageTold(turn=self.turn, usage=self._usage))

    def end(self, outcome: TurnOutcome, reason: str = "") -> None:
        if self.turn and not self._over and not self.ends:
            self.ends.append(TurnEnded(turn=self.turn, outcome=outcome, reason=reason[:1_000]))

    def _put(self, piece: Piece) -> None:
        if self.turn and not self._over:
            self.told.append(piece)
