"""One step of a session as it is worked out: the session so far and the orders so far. Pure; lives no longer than the step."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.bridge.contract import Ask
from actors.bridges import turns
from actors.bridges.terms import Keep, Message, Moment, Output, Publish, Running, Session, Settle, Tell, Write
from schemas.content import FailureTold, Frame, Piece, StatusTold, TurnEnded, UsageTold
from schemas.events import Status
from schemas.events.bridges import BridgeAttached, BridgeDetached, BridgeFailed, BridgeTurnEnded, TurnOutcome

_WORD: Final = 64
_LINE: Final = 300
_TEXT: Final = 8_000


class Course:
    """The session ``it`` on its way through one step, and what is ordered on the way."""

    def __init__(self, session: Session, at: Moment) -> None:
        self.it = session
        self.at = at
        self.orders: list[Output] = []

    def set(self, **changes: Any) -> None:
        """Change the session."""
        self.it = replace(self.it, **changes)

    def tell(self, piece: Piece) -> None:
        """Send a piece as the next frame of the stream, and keep it while its turn runs."""
        it = self.it
        frame = Frame(
            stream=it.launch, run=it.run, sequence=it.sequence + 1, session=it.session, time=self.at.text, piece=piece
        )
        running = it.running
        if running is not None and turns.turn_of(piece) == running.turn and not isinstance(piece, TurnEnded):
            running = turns.shown(running, piece)
        self.set(sequence=frame.sequence, running=running)
        self.orders.append(Tell(frame))

    def publish(self, fact: Struct) -> None:
        """Record a fact about the session; of one whose agent is the user's only that it was joined and left."""
        if self.it.wish.attach is None or isinstance(fact, BridgeAttached | BridgeDetached):
            self.orders.append(Publish(self.it.session, fact))

    def write(self, line: Ask) -> None:
        """Ask the bridge, and know that an answer is to come."""
        self.set(asked=(*self.it.asked, line.ask))
        self.orders.append(Write(line))

    def settle(self, ask: int, code: str = "", message: str = "") -> None:
        """Answer who asked, if anybody did."""
        if ask > 0:
            self.orders.append(Settle(ask=ask, code=code, message=message))

    def keep(self) -> None:
        """Write down, once a step, what must be known to take it up again."""
        if not any(isinstance(one, Keep) for one in self.orders):
            self.orders.append(Keep())

    def own(self) -> int:
        """Draw the number of a question of ours."""
        self.set(own=self.it.own - 1)
        return self.it.own

    def used(self) -> None:
        """Note that it is in use."""
        self.set(used=self.at.steady, last_used=self.at.text)

    def status(self, status: Status, reason: str = "") -> None:
        """Say what it does now, when that is news."""
        if (status, reason) != (self.it.status, self.it.status_reason) or not self.it.status_since:
            self.set(status=status, status_reason=reason, status_since=self.at.text)
            self.tell(StatusTold(status=status, reason=reason[:_TEXT]))

    def fail(self, code: str, reason: str, *, retrying: bool, turn: str = "") -> None:
        """Say that something broke, to whoever listens and for the record."""
        self.tell(FailureTold(code=word(code), message=reason[:_TEXT], turn=turn))
        self.publish(
            BridgeFailed(
                launch=self.it.launch, session=self.it.session, code=word(code), reason=line(reason), retrying=retrying
            )
        )

    def begin_turn(self, turn: str) -> Message | None:
        """Begin to keep what a turn shows; return the message that it is about."""
        message = next((one for one in self.it.messages if one.turn == turn), None)
        self.set(
            running=Running(turn=turn, since=self.at.steady, started=self.at.text),
            messages=tuple(one for one in self.it.messages if one.turn != turn),
            turns=self.it.turns + 1,
        )
        return message

    def end_turn(self, outcome: TurnOutcome, reason: str = "", code: str = "") -> None:
        """End the running turn: say so, record it, and keep it among those past."""
        running = self.it.running
        if running is None:
            return
        if running.usage is not None:
            self.set(running=replace(running, pieces=(*running.pieces, UsageTold(turn=running.turn, usage=running.usage))))
        piece = TurnEnded(turn=running.turn, outcome=outcome, reason=reason[:_TEXT])
        self.tell(piece)
        running = self.it.running or running
        past, size = turns.kept(self.it.past, turns.ended(running, piece))
        self.set(running=None, past=past, past_size=size, questions=())
        self.publish(
            BridgeTurnEnded(
                launch=self.it.launch,
                session=self.it.session,
                turn=running.turn,
                outcome=outcome,
                milliseconds=round((self.at.steady - running.since) * 1000, 1),
                reason=line(code or (running.failure if outcome == "failed" else "")),
                reply_length=running.reply_length,
                tools=running.tools,
                usage=running.usage,
            )
        )
        self.keep()


def word(text: str) -> str:
    """Make a text fit for a word of a fact: printable, and cut visibly."""
    plain = "".join(one if one.isprintable() else "?" for one in text[: _WORD + 1])
    return plain if len(plain) <= _WORD else plain[: _WORD - 1] + "…"


def line(text: str) -> str:
    """Make a text fit for a line of a fact."""
    plain = "".join(one if one.isprintable() else " " for one in text[: _LINE + 1])
    return plain if len(plain) <= _LINE else plain[: _LINE - 1] + "…"
