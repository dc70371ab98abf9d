"""One step under way: the state as far as it has come and what was given so far; what all parts of a step do. Pure.

``conversation`` says what it is for. Here are the ends: of a turn, of an approval, of what waits, of the agent; each happens
once, whoever asks for it first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Final

from actors.bridge import adapter as seam
from actors.bridge import contract
from actors.bridge.pieces import MAX_NAME, fitted, shortened
from actors.bridge.state import End, Ending, Message, Moment, Output, State, Tell
from actors.bridge.turns import leftovers
from schemas.content import ApprovalResolved, FailureTold, Piece, SettingsTold, StatusTold, TextAdded, TurnEnded
from schemas.events.bridges import TurnOutcome

MAX_REASON: Final = 500


class Progress(ABC):
    """What the parts of a step have in common. ``do`` is theirs: it does what the adapter says."""

    def __init__(self, adapter: seam.Adapter, state: State, moment: Moment) -> None:
        self.adapter = adapter
        self.state = state
        self.moment = moment
        self.outputs: list[Output] = []

    def set(self, **changes: Any) -> None:
        """Change the state."""
        self.state = replace(self.state, **changes)

    @abstractmethod
    def do(self, output: seam.Output) -> None:
        """Do one thing that the adapter says."""

    def run(self, input_: seam.Input) -> None:
        """Give the adapter one input and do what it says, until that is the end."""
        inner, outputs = self.adapter.step(self.state.inner, input_)
        self.set(inner=inner)
        for output in outputs:
            if self.state.ending is not None:
                return
            self.do(output)

    # ------------------------------------------------------------------------------------------------ telling

    def say(self, piece: Piece) -> None:
        """Tell a piece, as it fits."""
        parts = fitted(piece)
        if not parts and not isinstance(piece, TextAdded):
            self.note(f"a {type(piece).__name__} that the hub could not read was left out")
        self.outputs.extend(Tell(contract.Said(piece=part)) for part in parts)

    def note(self, text: str) -> None:
        """Put a line into the log; never with content."""
        self.outputs.append(seam.Note(text))

    def reply(self, ask: int | None, code: str = "", message: str = "") -> None:
        """Answer an ask, unless it was answered."""
        if ask is not None:
            self.outputs.append(Tell(contract.Replied(ask=ask, code=code, message=shortened(message, MAX_REASON))))

    def tell_settings(self, reason: str = "") -> None:
        """Tell the settings as they are."""
        state = self.state
        self.say(SettingsTold(provider=state.provider, model=state.model, mode=state.mode, reason=reason))

    def tell_status(self) -> None:
        """Tell what the session does, when it is something else than before."""
        state = self.state
        if state.ending is not None:
            return
        if state.phase == "starting":
            status = StatusTold(status="starting")
        elif state.approvals.open:
            status = StatusTold(status="waiting_permission")
        elif state.turn is not None or state.operation is not None:
            status = StatusTold(status="working")
        else:
            status = StatusTold(status="idle")
        if state.status is None or state.status.status != status.status:
            self.tell_this(status)

    def tell_this(self, status: StatusTold) -> None:
        """Tell this status."""
        self.set(status=status)
        self.say(status)

    # ------------------------------------------------------------------------------------------------ ends

    def resolve(
        self, name: str, *, by: str, reason: str = "", option: str = "", allowed: bool = False, decide: bool = False
    ) -> None:
        """End an approval, once; with ``decide`` the agent is told."""
        if self.state.approvals.find(name) is None:
            return
        by = shortened(by, MAX_NAME)
        self.set(approvals=self.state.approvals.settled(name, by), heard=self.moment.steady)  # until now it waited for us
        self.say(
            ApprovalResolved(
                turn=self.turn_id(), approval=name, option=option, allowed=allowed, by=by, reason=shortened(reason, MAX_REASON)
            )
        )
        if decide:
            self.run(seam.Decide(approval=name, option=option or None))

    def finish_turn(self, ended: TurnEnded) -> None:
        """Close all that is open in the running turn, then the turn."""
        for approval in self.state.approvals.open:
            self.resolve(approval.id, by="bridge", reason="the turn has ended", decide=self.state.ending is None)
        turn = self.state.turn
        if turn is not None:
            for piece in leftovers(turn):
                self.say(piece)
            self.set(turn=None)
            self.say(ended)

    def drop_waiting(self, outcome: TurnOutcome, reason: str) -> None:
        """Give back what waits: messages as not sent, operations as refused."""
        waiting = self.state.waiting
        self.set(waiting=())
        for item in waiting:
            if isinstance(item, Message):
                self.say(TurnEnded(turn=item.turn, outcome=outcome, reason=f"not sent: {reason}"))
            else:
                self.reply(item.ask, "dropped", reason)

    def fail(self, code: str, message: str, reason: str = "", *, resumable: bool = True) -> None:
        """Tell a failure and begin the end, once. ``reason`` is ours, where the ``message`` may hold the agent's words."""
        if self.state.ending is None:
            self.say(FailureTold(code=code, message=message, turn=self.turn_id()))
            self.end(code, reason or message, resumable=resumable)

    def end(self, code: str, reason: str, *, resumable: bool = True) -> None:
        """Begin the end, once: the first reason counts."""
        if self.state.ending is None:
            self.set(phase="ending", ending=Ending(code=code, reason=reason, resumable=resumable))
            self.outputs.append(End())

    def turn_id(self) -> str:
        """Return the running turn's name, empty when none runs."""
        return self.state.turn.id if self.state.turn is not None else ""
