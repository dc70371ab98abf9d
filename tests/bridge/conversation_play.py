"""A bridge's conversation as its playbooks tell it: what hub and agent say to it, and what it says to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actors.bridge import adapter as seam
from actors.bridge import contract, conversation
from actors.bridge.state import End, Input, Moment, Started, Tell, Terms, Tick
from actors.launch.plan import Door
from schemas.content import Piece
from tests.bridge import scripted

TERMS = Terms(patience=300.0, greeting=20.0, interrupt=10.0, operation=60.0, quiet=120.0)
BEGINNING = seam.Beginning(cwd=Path("/"), door=Door("http://127.0.0.1:1", "t"), program="p", provider="zeus", model="wished")


class Play:
    """One session: what goes in by name, what came out by kind."""

    def __init__(self, *, greeted: bool = True) -> None:
        self.now = 1000.0
        self.state = conversation.begin(scripted, TERMS, BEGINNING)
        self.lines: list[contract.Up] = []
        self.wrote: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.ended = 0
        self.give(Started(7, "p"))
        if greeted:
            self.say(say="greeted")

    def give(self, input_: Input) -> None:
        moment = Moment(self.now, 1_800_000_000.0 + self.now)
        self.state, outputs = conversation.step(scripted, self.state, moment, input_)
        for output in outputs:
            match output:
                case Tell(line=line):
                    self.lines.append(line)
                case seam.Write(line=line):
                    self.wrote.append(json.loads(line))
                case seam.Note(text=text):
                    self.notes.append(text)
                case End():
                    self.ended += 1

    def say(self, **message: Any) -> None:
        self.give(seam.LineCame(json.dumps(message).encode()))

    def send(self, turn: str = "t1", ask: int = 1) -> None:
        self.give(contract.Send(ask=ask, turn=turn, text=f"text of {turn}"))

    def later(self, seconds: float) -> None:
        """Let time pass to where something is due, and there."""
        self.now += seconds
        deadline = conversation.next_deadline(self.state)
        assert deadline is not None
        assert deadline <= self.now, f"due in {deadline - self.now} s"
        self.give(Tick())

    def new(self) -> list[Any]:
        """Return the pieces and answers since the last look."""
        lines, self.lines = self.lines, []
        return [line.piece if isinstance(line, contract.Said) else line for line in lines]

    def pieces(self, *kinds: type[Piece]) -> list[Any]:
        return [piece for piece in self.new() if isinstance(piece, kinds)]
