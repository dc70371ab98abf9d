"""What is made of what the agent says, by its adapter: one part of a step. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, assert_never

from actors.bridge import adapter as seam
from actors.bridge import contract
from actors.bridge.approvals import MAX_OPEN, Approval
from actors.bridge.pieces import MAX_NAME, MAX_OPTIONS, clean, fitted, shortened
from actors.bridge.progress import Progress
from actors.bridge.state import Operation, Tell, Turn
from actors.bridge.turns import follow, turn_of
from schemas.content import ApprovalRequested, FailureTold, Piece, SettingsTold, TurnEnded, TurnStarted, UsageTold

MAX_TIMERS: Final = 64
MAX_LISTED: Final = 100
_MAX_PATH: Final = 4_096


class AgentSays(Progress):
    """Each of the adapter's outputs."""

    def do(self, output: seam.Output) -> None:
        """Do one thing that the adapter says."""
        match output:
            case seam.Write() | seam.Note():
                self.outputs.append(output)
            case seam.Say(piece=piece):
                self._said(piece)
            case seam.Ask():
                self._ask(output)
            case seam.Woke(turn=turn):
                self._woke(turn)
            case seam.Withdrawn(approval=name, reason=reason):
                self.resolve(name, by="agent", reason=reason)
            case seam.Greeted():
                self._greeted(output)
            case seam.Changed(refused=refused):
                self._changed(refused)
            case seam.Wait(name=name, seconds=seconds):
                self.wait(name, seconds)
            case seam.Fail(code=code, message=message, resumable=resumable):
                self.fail(code, message, f"{self.state.agent} cannot go on: {code}", resumable=resumable)
            case _:
                assert_never(output)

    def wait(self, name: str, seconds: float | None) -> None:
        """Set or forget one of the adapter's times.

        Raises:
            ValueError: it has too many.

        """
        timers = {other: due for other, due in self.state.timers.items() if other != name}
        if seconds is not None:
            if len(timers) >= MAX_TIMERS:
                raise ValueError(f"the adapter of {self.state.agent} waits for more than {MAX_TIMERS} times at once")
            timers[name] = self.moment.steady + seconds
        self.set(timers=MappingProxyType(timers))

    def _greeted(self, said: seam.Greeted) -> None:
        state = self.state
        can = state.can if said.can is None else said.can
        self.set(phase="ready", greet_until=None, can=can, model=said.model or state.model, mode=said.mode or state.mode)
        self.outputs.append(
            Tell(
                contract.Initialised(
                    version=shortened(said.version, MAX_NAME),
                    can=tuple(sorted(can)),
                    modes=_listed(said.modes),
                    models=_listed(said.models),
                    transcript=clean(said.transcript) if len(said.transcript) <= _MAX_PATH else "",
                )
            )
        )
        self.tell_settings()

    def _said(self, piece: Piece) -> None:
        """Tell what the agent says, as long as it is of the running turn or of none."""
        turn, of = self.state.turn, turn_of(piece)
        if isinstance(piece, SettingsTold):
            self.set(model=piece.model or self.state.model, mode=piece.mode or self.state.mode)
            self.tell_settings(piece.reason)
        elif isinstance(piece, TurnEnded):
            if turn is None or of != turn.id:
                self.note("the end of a turn that does not run was left out")
            else:
                self.finish_turn(piece)
        elif turn is not None and of == turn.id:
            for part in fitted(piece):
                turn, told = follow(turn, part)
                if told is not None:
                    self.outputs.append(Tell(contract.Said(piece=told)))
            self.set(turn=turn)
        elif not of or isinstance(piece, UsageTold | FailureTold):
            self.say(piece)
        else:
            self.note(f"a {type(piece).__name__} of a turn that does not run was left out")

    def _woke(self, turn: str) -> None:
        """Take the agent's own work for a turn like any other: messages wait for its end."""
        if self.state.turn is not None:
            self.note("the agent began a turn of its own while one runs")
            return
        self.set(turn=Turn(id=turn), heard=self.moment.steady)
        self.say(TurnStarted(turn=turn))

    def _changed(self, refused: str) -> None:
        operation: Operation | None = self.state.operation
        if operation is None:
            self.note("the agent confirmed what nobody waits for")
            return
        self.set(operation=None)
        if isinstance(operation.what, seam.Change):
            if not refused:
                model, mode = operation.what.model, operation.what.mode
                self.set(
                    model=self.state.model if model is None else model,
                    mode=self.state.mode if mode is None else mode,
                )
            self.tell_settings(refused)
        self.reply(operation.ask, "refused" if refused else "", refused)

    def _ask(self, asked: seam.Ask) -> None:
        state = self.state
        if state.approvals.find(asked.approval) is not None:
            self.note("the agent asked twice with one id; the first one stands")
            return
        patience = state.terms.patience
        parts = fitted(
            ApprovalRequested(
                turn=self.turn_id(),
                approval=asked.approval,
                tool=asked.tool,
                title=asked.title,
                detail=asked.detail,
                options=asked.options,
                expires=_rfc3339(self.moment.wall + patience),
            )
        )
        if not parts or len(asked.options) > MAX_OPTIONS or len(state.approvals.open) >= MAX_OPEN:
            self.note("an approval that cannot be shown, or one too many, was denied")
            self.run(seam.Decide(approval=asked.approval, option=None))
            return
        approval = Approval(id=asked.approval, options=asked.options, expires=self.moment.steady + patience)
        self.set(approvals=state.approvals.asked(approval))
        self.outputs.extend(Tell(contract.Said(piece=part)) for part in parts)
        if state.turn is not None and state.turn.interrupted_until is not None:
            self.resolve(asked.approval, by="interrupt", reason="the turn was interrupted", decide=True)


def _listed(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(clean(name) for name in names if len(name) <= MAX_NAME)[:MAX_LISTED]


def _rfc3339(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
