"""What every driven session has in common, whatever the agent: pure, step(adapter, state, moment, input) -> (state, outputs).

Theory of operation
-------------------
Messages, changes and clears are done one at a time, in the order of asking: what is asked while something runs waits in a
bounded queue. Messages may be asked before the agent has answered its greeting; so nobody waits for a start.

* A *turn* begins when its message is given (``TurnStarted``, then the prompt) and ends exactly once: by the adapter's
  ``TurnEnded``, or by us when the agent ends. Before it ends, its open texts, tools and approvals are closed, so that a reader
  of the stream never waits for the end of any. A message that will never be given ends without having started ("not sent").
* An *approval* ends exactly once: by the first answer, its deadline, an interrupt, the agent or the end of the turn; it is
  told who was first to everybody who comes later. Unless the agent itself took it back, the adapter gets a ``Decide``.
* An *interrupt* has a deadline: an agent that goes on all the same is ended, and its conversation may be taken up again.
* *Every ask* is answered exactly once: a message when it is accepted, an operation when the agent did it (or at once, when
  it has to wait for the running turn), a close when nothing of the agent runs any more.
* The *status* follows from the state and is told when it changes, behind what changed it.
* The end: ``End`` leaves; ``Exited`` comes; whatever is open is closed; ``Over`` is the last line. Its reason is ours alone
  and may be recorded; the agent's own words are in ``FailureTold``. Whether there will be another bridge is the hub's to
  decide, so ``Ended`` is the hub's to say.

Must not know any agent's protocol, pipes, processes, clocks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from actors.bridge import adapter as seam
from actors.bridge import contract
from actors.bridge.agent_says import AgentSays
from actors.bridge.hub_asks import HubAsks
from actors.bridge.pieces import clean, shortened
from actors.bridge.progress import MAX_REASON
from actors.bridge.state import (
    Broken,
    Ending,
    Exited,
    HubGone,
    Input,
    Message,
    Moment,
    Operation,
    Output,
    Started,
    State,
    Stuck,
    Tell,
    Terms,
    Tick,
    Turn,
)
from schemas.content import FailureTold, StatusTold, TextAdded, TextEnded, TurnEnded, TurnStarted

PROMPT_ITEM: Final = "prompt"


def begin(adapter: seam.Adapter, terms: Terms, beginning: seam.Beginning) -> State:
    """Return the state before the agent runs."""
    return State(
        agent=adapter.FACTS.agent,
        can=adapter.FACTS.can,
        terms=terms,
        inner=adapter.begin(beginning),
        provider=beginning.provider,
        model=beginning.model,
        mode=beginning.mode,
    )


def step(adapter: seam.Adapter, state: State, moment: Moment, input_: Input) -> tuple[State, tuple[Output, ...]]:
    """Take one input. Raises what the adapter raises; the state that was given is still good then (``Broken``)."""
    if state.phase == "over":
        return state, ()
    return _Step(adapter, state, moment).take(input_)


def next_deadline(state: State) -> float | None:
    """Return when, on the steady clock, a ``Tick`` is due at the latest."""
    if state.ending is not None:
        return None
    deadlines = [*state.timers.values(), state.greet_until, state.approvals.next_deadline(), _quiet_from(state)]
    if state.operation is not None:
        deadlines.append(state.operation.expires)
    if state.turn is not None:
        deadlines.append(state.turn.interrupted_until)
    return min((deadline for deadline in deadlines if deadline is not None), default=None)


def _quiet_from(state: State) -> float | None:
    """Return when a silent turn is told to be one."""
    turn = state.turn
    if turn is None or turn.tools or state.approvals.open or (state.status is not None and state.status.reason):
        return None
    return state.heard + state.terms.quiet


class _Step(AgentSays, HubAsks):
    """One step: what came, then what can be done, then the status."""

    def take(self, input_: Input) -> tuple[State, tuple[Output, ...]]:
        match input_:
            case seam.LineCame() | seam.LineSkipped():
                self._heard(input_)
            case contract.Close(ask=ask):
                self.set(closing=(*self.state.closing, ask))
                self.end("closed", "closed")
            case contract.Send() | contract.Interrupt() | contract.Answer() | contract.Change() | contract.Clear():
                self.asked(input_)
            case Tick():
                self._tick()
            case _:
                self._of_the_process(input_)
        self._advance()
        self.tell_status()
        return self.state, tuple(self.outputs)

    def _of_the_process(self, input_: Started | Stuck | Broken | HubGone | Exited) -> None:
        agent = self.state.agent
        match input_:
            case Started(pid=pid, argv0=argv0):
                now = self.moment.steady
                self.set(greet_until=now + self.state.terms.greeting, heard=now)
                self.outputs.append(Tell(contract.Began(pid=pid, argv0=argv0)))
                self.run(seam.Spawned())
            case Stuck(seconds=seconds):
                self.fail("agent_stuck", f"{agent} has read nothing for {seconds:.0f} s although there was something to read")
            case Broken(what=what, ask=ask):
                said = f"the bridge of {agent} broke ({what}); its log says where"
                self.fail("bridge_crashed", said)
                self.reply(ask, "bridge_crashed", said)
            case HubGone():
                self.end("hub_gone", "nobody is there any more to work for")
            case Exited():
                self._exited(input_)
            case _:
                assert_never(input_)

    def _heard(self, line: seam.LineCame | seam.LineSkipped) -> None:
        if self.state.ending is not None:
            return
        self.set(heard=self.moment.steady)
        status = self.state.status
        if status is not None and status.status == "working" and status.reason:
            self.tell_this(StatusTold(status="working"))  # it is not silent any more
        self.run(line)

    # ------------------------------------------------------------------------------------------------ what waits

    def _advance(self) -> None:
        """Do what waits, as long as nothing runs."""
        while self.state.phase == "ready" and self.state.turn is None and self.state.operation is None and self.state.waiting:
            first, *rest = self.state.waiting
            self.set(waiting=tuple(rest))
            if isinstance(first, Message):
                self._give(first)
            else:
                self._operate(first)

    def _give(self, message: Message) -> None:
        turn, text = message.turn, message.text
        self.set(turn=Turn(id=turn), heard=self.moment.steady)
        self.say(TurnStarted(turn=turn))
        self.say(TextAdded(turn=turn, item=PROMPT_ITEM, channel="prompt", text=text))
        self.say(TextEnded(turn=turn, item=PROMPT_ITEM, channel="prompt", length=len(clean(text))))
        self.run(seam.Prompt(turn=turn, text=text))

    def _operate(self, operation: Operation) -> None:
        reason = self.cannot(operation.what)
        if reason is None:
            self.set(operation=replace(operation, expires=self.moment.steady + self.state.terms.operation))
            self.run(operation.what)
        elif operation.ask is not None:
            self.reply(operation.ask, *reason)
        else:
            self.tell_settings(reason[1])

    # ------------------------------------------------------------------------------------------------ deadlines

    def _tick(self) -> None:
        state, now = self.state, self.moment.steady
        if state.ending is not None:
            return
        if state.greet_until is not None and now >= state.greet_until:
            self.fail("agent_silent", f"{state.agent} has not answered its greeting within {state.terms.greeting:g} s")
        for approval in state.approvals.open:
            if now >= approval.expires:
                reason = f"nobody answered within {state.terms.patience:g} s, so it was denied"
                self.resolve(approval.id, by="deadline", reason=reason, decide=self.state.ending is None)
        for name in sorted(state.timers):
            due = self.state.timers.get(name)
            if due is not None and due <= now and self.state.ending is None:
                self.wait(name, None)
                self.run(seam.Passed(name=name))
        self._watch(now)

    def _watch(self, now: float) -> None:
        """Look at the running turn or operation: an agent that does not do as it was told is ended."""
        state, terms = self.state, self.state.terms
        turn = state.turn
        if state.operation is not None and now >= state.operation.expires:
            self.fail("agent_silent", f"{state.agent} has not done a change within {terms.operation:g} s, so it is ended")
        if turn is not None and turn.interrupted_until is not None and now >= turn.interrupted_until:
            said = f"{state.agent} went on for {terms.interrupt:g} s behind an interrupt, so it is ended"
            self.fail("interrupt_ignored", said)
        quiet = _quiet_from(self.state)
        if self.state.ending is None and quiet is not None and now >= quiet:
            self.tell_this(StatusTold(status="working", reason=f"{state.agent} has said nothing for {terms.quiet:g} s"))

    # ------------------------------------------------------------------------------------------------ the end

    def _exited(self, exited: Exited) -> None:
        """Close everything that is open, answer everybody, and say that it is over."""
        ending = self.state.ending or self._unasked(exited)
        self.set(phase="ending", ending=ending)
        if exited.survivors:
            said = f"{exited.survivors} processes of the session could not be ended"
            self.say(FailureTold(code="survivors", message=said))
        asked_for = ending.code in ("closed", "hub_gone")
        turn = self.state.turn
        interrupted = asked_for or (turn is not None and turn.interrupted_until is not None)
        self.finish_turn(
            TurnEnded(turn=self.turn_id(), outcome="interrupted" if interrupted else "failed", reason=ending.reason)
        )
        self.drop_waiting("interrupted" if asked_for else "failed", ending.reason)
        if self.state.operation is not None:
            self.reply(self.state.operation.ask, ending.code, ending.reason)
        for ask in self.state.closing:
            self.reply(ask)
        self.set(phase="over", operation=None, closing=())
        reason = shortened(ending.reason, MAX_REASON)
        over = contract.Over(code=ending.code, reason=reason, exit_code=exited.code, resumable=ending.resumable)
        self.outputs.append(Tell(over))

    def _unasked(self, exited: Exited) -> Ending:
        """Tell that the agent has ended although nobody had asked it to.

        One that ends by itself before it was ready would do so again, so that nobody should start it again.
        """
        state = self.state
        ready = state.phase == "ready"
        reason = f"{state.agent} {_meaning(exited.code)}" + ("" if ready else " before it had answered its greeting")
        message = f"{reason}; its last words: {exited.words}" if exited.words else reason
        self.say(FailureTold(code="agent_exited", message=message, turn=self.turn_id()))
        return Ending(code="agent_exited", reason=reason, resumable=ready or exited.code is None or exited.code < 0)


def _meaning(code: int | None) -> str:
    if code is None:
        return "has ended"
    return f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
