"""What is made of what the hub asks: one part of a step. Every ask is answered exactly once. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from actors.bridge import adapter as seam
from actors.bridge import contract
from actors.bridge.progress import Progress
from actors.bridge.state import MAX_QUEUED, MAX_QUEUED_TEXT, Message, Operation

Question = contract.Send | contract.Interrupt | contract.Answer | contract.Change | contract.Clear


class HubAsks(Progress):
    """Each of the hub's asks, but for the last one, which is of the end."""

    def asked(self, line: Question) -> None:
        """Do or refuse what is asked."""
        if self.state.ending is not None:
            self.reply(line.ask, "ending", "the session is being ended")
            return
        match line:
            case contract.Send():
                self._send(line)
            case contract.Interrupt():
                self._interrupt(line)
            case contract.Answer():
                self._answer(line)
            case contract.Change():
                self._change(line)
            case contract.Clear(ask=ask):
                self._clear(ask)
            case _:
                assert_never(line)

    def cannot(self, what: seam.Change | seam.Clear) -> tuple[str, str] | None:
        """Say why the agent cannot do it, as a code and a sentence; None when it can."""
        agent, can = self.state.agent, self.state.can
        if isinstance(what, seam.Clear):
            if "clear" in can:
                return None
            return "cannot_clear", f"{agent} cannot begin a new conversation in the same process; start another session"
        if what.model is not None and "set_model" not in can:
            return "cannot_set_model", f"{agent} cannot change its model while it runs"
        if what.mode is not None and "set_mode" not in can:
            return "cannot_set_mode", f"{agent} cannot change its mode while it runs"
        return None

    def _send(self, line: contract.Send) -> None:
        messages = [item for item in self.state.waiting if isinstance(item, Message)]
        if not line.text:
            self.reply(line.ask, "empty", "a message without text is none")
        elif line.turn in {self.turn_id(), *(message.turn for message in messages)}:
            self.reply(line.ask, "duplicate_turn", f"the message of turn {line.turn!r} is here already")
        elif len(messages) >= MAX_QUEUED or sum(len(m.text) for m in messages) + len(line.text) > MAX_QUEUED_TEXT:
            said = f"{len(messages)} messages wait; at most {MAX_QUEUED} with {MAX_QUEUED_TEXT} characters in all are kept"
            self.reply(line.ask, "queue_full", said)
        else:
            self.set(waiting=(*self.state.waiting, Message(turn=line.turn, text=line.text)))
            self.reply(line.ask)

    def _interrupt(self, line: contract.Interrupt) -> None:
        turn = self.state.turn
        again = turn is not None and turn.interrupted_until is not None
        if turn is None and not (line.queued and self.state.queued):
            self.reply(line.ask, "no_turn", "no turn runs")
        elif turn is not None and not again and "interrupt" not in self.state.can:
            self.reply(line.ask, "cannot_interrupt", f"{self.state.agent} cannot be interrupted; close the session instead")
        else:
            self.reply(line.ask)
            if line.queued:
                self.drop_waiting("interrupted", "the turn before it was interrupted")
            if turn is not None and not again:
                self.set(turn=replace(turn, interrupted_until=self.moment.steady + self.state.terms.interrupt))
                self.run(seam.Interrupt())
                for approval in self.state.approvals.open:
                    self.resolve(approval.id, by="interrupt", reason="the turn was interrupted", decide=True)

    def _answer(self, line: contract.Answer) -> None:
        approvals = self.state.approvals
        approval = approvals.find(line.approval)
        if approval is None:
            by = approvals.resolver(line.approval)
            if by is None:
                self.reply(line.ask, "no_such_approval", f"there is no approval {line.approval!r}")
            else:
                self.reply(line.ask, "already_answered", f"{by} was first to answer approval {line.approval!r}")
            return
        option = approval.option(line.option)
        if option is None:
            known = ", ".join(one.id for one in approval.options)
            self.reply(line.ask, "no_such_option", f"approval {line.approval!r} can be answered with: {known}")
            return
        self.reply(line.ask)
        self.resolve(approval.id, by=line.by, option=option.id, allowed=option.kind.startswith("allow"), decide=True)

    def _change(self, line: contract.Change) -> None:
        """Change now, or behind the running turn; then the answer is that it will be, and settings tell what became of it."""
        change = seam.Change(model=line.model, mode=line.mode)
        if self.state.phase == "ready" and (reason := self.cannot(change)) is not None:
            self.reply(line.ask, *reason)
        else:
            self._queue(change, line.ask, at_once=self.state.turn is not None)

    def _clear(self, ask: int) -> None:
        clear = seam.Clear()
        if self.state.turn is not None:
            self.reply(ask, "in_use", "a turn runs: interrupt it, or wait for its end")
        elif self.state.phase == "ready" and (reason := self.cannot(clear)) is not None:
            self.reply(ask, *reason)
        else:
            self._queue(clear, ask, at_once=False)

    def _queue(self, what: seam.Change | seam.Clear, ask: int, *, at_once: bool) -> None:
        if len(self.state.waiting) >= 2 * MAX_QUEUED:
            self.reply(ask, "queue_full", f"{len(self.state.waiting)} messages and changes wait already")
            return
        self.set(waiting=(*self.state.waiting, Operation(what=what, ask=None if at_once else ask)))
        if at_once:
            self.reply(ask)
