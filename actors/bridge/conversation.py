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
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, assert_never

from actors.bridge import adapter as seam
from actors.bridge import contract
from actors.bridge.approvals import MAX_OPEN, Approval
from actors.bridge.pieces import MAX_NAME, MAX_OPTIONS, clean, fitted, shortened
from actors.bridge.state import (
    MAX_QUEUED,
    MAX_QUEUED_TEXT,
    End,
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
from actors.bridge.turns import follow, leftovers, turn_of
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    FailureTold,
    Piece,
    SettingsTold,
    StatusTold,
    TextAdded,
    TextEnded,
    TurnEnded,
    TurnStarted,
    UsageTold,
)
from schemas.events.bridges import TurnOutcome

PROMPT_ITEM: Final = "prompt"
_MAX_REASON: Final = 500
_MAX_TIMERS: Final = 64
MAX_LISTED: Final = 100


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
    """Take one input."""
    return _Step(adapter, state, moment).take(input_)


def next_deadline(state: State) -> float | None:
    """Return when, on the steady clock, a ``Tick`` is due at the latest."""
    if state.phase in ("ending", "over"):
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


class _Step:
    """One step under way: the state as far as it has come, and what was given so far."""

    def __init__(self, adapter: seam.Adapter, state: State, moment: Moment) -> None:
        self._adapter = adapter
        self._state = state
        self._moment = moment
        self._outputs: list[Output] = []

    def take(self, input_: Input) -> tuple[State, tuple[Output, ...]]:  # noqa: C901 - one a case
        """Take the input, do what can be done then, and tell the status if it changed."""
        if self._state.phase == "over":
            return self._state, ()
        match input_:
            case seam.LineCame() | seam.LineSkipped():
                if self._state.phase != "ending":
                    self._set(heard=self._moment.steady)
                    self._wake()
                    self._run(input_)
            case contract.Close(ask=ask):
                self._close(ask)
            case contract.Send() | contract.Interrupt() | contract.Answer() | contract.Change() | contract.Clear():
                self._asked(input_)
            case Started(pid=pid, argv0=argv0):
                self._started(pid, argv0)
            case Stuck(seconds=seconds):
                said = f"{self._state.agent} has read nothing for {seconds:.0f} s although there was something to read"
                self._end("agent_stuck", said)
            case Exited():
                self._exited(input_)
            case HubGone():
                self._end("hub_gone", "nobody is there any more to work for", told=False)
            case Tick():
                self._tick()
            case _:
                assert_never(input_)
        self._advance()
        self._tell_status()
        return self._state, tuple(self._outputs)

    # ------------------------------------------------------------------------------------------------ small change

    def _set(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)

    def _say(self, piece: Piece) -> None:
        parts = fitted(piece)
        if not parts and not isinstance(piece, TextAdded):
            self._note(f"a {type(piece).__name__} that the hub could not read was left out")
        self._outputs.extend(Tell(contract.Said(piece=part)) for part in parts)

    def _note(self, text: str) -> None:
        self._outputs.append(seam.Note(text))

    def _reply(self, ask: int | None, code: str = "", message: str = "") -> None:
        if ask is not None:
            self._outputs.append(Tell(contract.Replied(ask=ask, code=code, message=message)))

    def _wake(self) -> None:
        """Forget that the agent was silent: it is not any more."""
        status = self._state.status
        if status is not None and status.status == "working" and status.reason:
            self._tell_this(StatusTold(status="working"))

    def _tell_status(self) -> None:
        state = self._state
        if state.phase in ("ending", "over"):
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
            self._tell_this(status)

    def _tell_this(self, status: StatusTold) -> None:
        self._set(status=status)
        self._say(status)

    # ------------------------------------------------------------------------------------------------ the agent

    def _run(self, input_: seam.Input) -> None:
        """Give the adapter one input and do what it says."""
        inner, outputs = self._adapter.step(self._state.inner, input_)
        self._set(inner=inner)
        for output in outputs:
            if self._state.phase == "ending":
                return
            self._do(output)

    def _do(self, output: seam.Output) -> None:  # noqa: C901 - one a case
        match output:
            case seam.Write() | seam.Note():
                self._outputs.append(output)
            case seam.Say(piece=piece):
                self._said(piece)
            case seam.Ask():
                self._ask(output)
            case seam.Woke(turn=turn):
                self._woke(turn)
            case seam.Withdrawn(approval=name, reason=reason):
                if self._state.approvals.find(name) is not None:
                    self._resolve(name, by="agent", reason=reason)
            case seam.Greeted():
                self._greeted(output)
            case seam.Changed(refused=refused):
                self._changed(refused)
            case seam.Wait(name=name, seconds=seconds):
                self._wait(name, seconds)
            case seam.Fail(code=code, message=message, resumable=resumable):
                self._fail(code, message, f"{self._state.agent} cannot go on: {code}", resumable=resumable)
            case _:
                assert_never(output)

    def _started(self, pid: int, argv0: str) -> None:
        now = self._moment.steady
        self._set(greet_until=now + self._state.terms.greeting, heard=now)
        self._outputs.append(Tell(contract.Began(pid=pid, argv0=argv0)))
        self._run(seam.Spawned())

    def _greeted(self, said: seam.Greeted) -> None:
        state = self._state
        can = state.can if said.can is None else said.can
        self._set(phase="ready", greet_until=None, can=can, model=said.model or state.model, mode=said.mode or state.mode)
        self._outputs.append(
            Tell(
                contract.Initialised(
                    version=shortened(said.version, 100),
                    can=tuple(sorted(can)),
                    modes=_listed(said.modes),
                    models=_listed(said.models),
                    transcript=clean(said.transcript),
                )
            )
        )
        self._tell_settings()

    def _tell_settings(self, reason: str = "") -> None:
        state = self._state
        self._say(SettingsTold(provider=state.provider, model=state.model, mode=state.mode, reason=reason))

    def _wait(self, name: str, seconds: float | None) -> None:
        timers = {other: due for other, due in self._state.timers.items() if other != name}
        if seconds is not None:
            if len(timers) >= _MAX_TIMERS:
                raise ValueError(f"the adapter of {self._state.agent} waits for more than {_MAX_TIMERS} times at once")
            timers[name] = self._moment.steady + seconds
        self._set(timers=MappingProxyType(timers))

    def _said(self, piece: Piece) -> None:
        """Tell what the agent says, as long as it is of the running turn or of none."""
        turn, of = self._state.turn, turn_of(piece)
        if isinstance(piece, SettingsTold):
            self._set(model=piece.model or self._state.model, mode=piece.mode or self._state.mode)
            self._tell_settings(piece.reason)
        elif isinstance(piece, TurnEnded):
            if turn is None or of != turn.id:
                self._note("the end of a turn that does not run was left out")
            else:
                self._finish_turn(piece)
        elif turn is not None and of == turn.id:
            for part in fitted(piece):
                turn, told = follow(turn, part)
                if told is not None:
                    self._outputs.append(Tell(contract.Said(piece=told)))
            self._set(turn=turn)
        elif not of or isinstance(piece, UsageTold | FailureTold):
            self._say(piece)
        else:
            self._note(f"a {type(piece).__name__} of a turn that does not run was left out")

    # ------------------------------------------------------------------------------------------------ turns

    def _advance(self) -> None:
        """Do what waits, as long as nothing runs."""
        while self._state.phase == "ready" and self._state.turn is None and self._state.operation is None:
            if not self._state.waiting:
                return
            first, *rest = self._state.waiting
            self._set(waiting=tuple(rest))
            if isinstance(first, Message):
                self._give(first)
            else:
                self._operate(first)

    def _give(self, message: Message) -> None:
        self._set(turn=Turn(id=message.turn), heard=self._moment.steady)
        self._say(TurnStarted(turn=message.turn))
        self._say(TextAdded(turn=message.turn, item=PROMPT_ITEM, channel="prompt", text=message.text))
        self._say(TextEnded(turn=message.turn, item=PROMPT_ITEM, channel="prompt", length=len(clean(message.text))))
        self._run(seam.Prompt(turn=message.turn, text=message.text))

    def _woke(self, turn: str) -> None:
        """Take the agent's own work for a turn like any other: messages wait for its end."""
        if self._state.turn is not None:
            self._note("the agent began a turn of its own while one runs")
            return
        self._set(turn=Turn(id=turn), heard=self._moment.steady)
        self._say(TurnStarted(turn=turn))

    def _operate(self, operation: Operation) -> None:
        expires = self._moment.steady + self._state.terms.operation
        self._set(operation=replace(operation, expires=expires))
        self._run(operation.what)

    def _changed(self, refused: str) -> None:
        operation = self._state.operation
        if operation is None:
            self._note("the agent confirmed what nobody waits for")
            return
        self._set(operation=None)
        if isinstance(operation.what, seam.Change):
            if not refused:
                what = operation.what
                self._set(
                    model=self._state.model if what.model is None else what.model,
                    mode=self._state.mode if what.mode is None else what.mode,
                )
            self._tell_settings(refused)
        self._reply(operation.ask, "refused" if refused else "", shortened(refused, _MAX_REASON))

    def _finish_turn(self, ended: TurnEnded) -> None:
        """Close all that is open in the running turn, then the turn."""
        turn = self._state.turn
        if turn is None:
            return
        for approval in self._state.approvals.open:
            self._resolve(approval.id, by="bridge", reason="the turn has ended", decide=self._state.phase == "ready")
        for piece in leftovers(turn):
            self._say(piece)
        self._set(turn=None)
        self._say(ended)

    def _drop_waiting(self, outcome: TurnOutcome, reason: str) -> None:
        """Give back what waits: messages as not sent, operations as refused."""
        waiting = self._state.waiting
        self._set(waiting=())
        for item in waiting:
            if isinstance(item, Message):
                self._say(TurnEnded(turn=item.turn, outcome=outcome, reason=f"not sent: {reason}"))
            else:
                self._reply(item.ask, "dropped", reason)

    # ------------------------------------------------------------------------------------------------ what the hub asks

    def _asked(self, line: contract.Send | contract.Interrupt | contract.Answer | contract.Change | contract.Clear) -> None:
        if self._state.ending is not None:
            self._reply(line.ask, "ending", "the session is being ended")
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

    def _send(self, line: contract.Send) -> None:
        messages = [item for item in self._state.waiting if isinstance(item, Message)]
        known = {message.turn for message in messages} | ({self._state.turn.id} if self._state.turn else set())
        if not line.text:
            self._reply(line.ask, "empty", "a message without text is none")
        elif line.turn in known:
            self._reply(line.ask, "duplicate_turn", f"a message of the turn {line.turn} is there already")
        elif len(messages) >= MAX_QUEUED or sum(len(m.text) for m in messages) + len(line.text) > MAX_QUEUED_TEXT:
            self._reply(
                line.ask,
                "queue_full",
                f"{len(messages)} messages wait already; at most {MAX_QUEUED}, or {MAX_QUEUED_TEXT} characters, are kept",
            )
        else:
            self._set(waiting=(*self._state.waiting, Message(turn=line.turn, text=line.text)))
            self._reply(line.ask)

    def _interrupt(self, line: contract.Interrupt) -> None:
        turn, queued = self._state.turn, self._state.queued
        if turn is None and not (line.queued and queued):
            self._reply(line.ask, "no_turn", "no turn runs")
            return
        if turn is not None and turn.interrupted_until is None and "interrupt" not in self._state.can:
            self._reply(line.ask, "cannot_interrupt", f"{self._state.agent} cannot be interrupted; close the session instead")
            return
        self._reply(line.ask)
        if line.queued:
            self._drop_waiting("interrupted", "the turn before it was interrupted")
        if turn is not None and turn.interrupted_until is None:
            self._set(turn=replace(turn, interrupted_until=self._moment.steady + self._state.terms.interrupt))
            self._run(seam.Interrupt())
            for approval in self._state.approvals.open:
                self._resolve(approval.id, by="interrupt", reason="the turn was interrupted", decide=True)

    def _change(self, line: contract.Change) -> None:
        for wanted, ability in ((line.model, "set_model"), (line.mode, "set_mode")):
            if wanted is not None and self._state.phase == "ready" and ability not in self._state.can:
                self._reply(line.ask, f"cannot_{ability}", f"{self._state.agent} cannot change its {ability[4:]} while it runs")
                return
        deferred = self._state.turn is not None
        change = Operation(what=seam.Change(model=line.model, mode=line.mode), ask=None if deferred else line.ask)
        self._queue(change, line.ask, answer=deferred)

    def _clear(self, ask: int) -> None:
        if self._state.turn is not None:
            self._reply(ask, "in_use", "a turn runs: interrupt it, or wait for its end")
        elif self._state.phase == "ready" and "clear" not in self._state.can:
            self._reply(ask, "cannot_clear", f"{self._state.agent} cannot begin a new conversation in the same process")
        else:
            self._queue(Operation(what=seam.Clear(), ask=ask), ask, answer=False)

    def _queue(self, operation: Operation, ask: int, *, answer: bool) -> None:
        if len(self._state.waiting) >= 2 * MAX_QUEUED:
            self._reply(ask, "queue_full", f"{len(self._state.waiting)} messages and changes wait already")
            return
        self._set(waiting=(*self._state.waiting, operation))
        if answer:
            self._reply(ask)

    def _close(self, ask: int) -> None:
        self._set(closing=(*self._state.closing, ask))
        self._end("closed", "closed", told=False)

    # ------------------------------------------------------------------------------------------------ approvals

    def _ask(self, asked: seam.Ask) -> None:
        state = self._state
        if state.approvals.find(asked.approval) is not None:
            self._note("the agent asked twice with one id; the first one stands")
            return
        expires = state.terms.patience
        piece = ApprovalRequested(
            turn=state.turn.id if state.turn is not None else "",
            approval=asked.approval,
            tool=asked.tool,
            title=asked.title,
            detail=asked.detail,
            options=asked.options,
            expires=_rfc3339(self._moment.wall + expires),
        )
        parts = fitted(piece)
        if not parts or len(asked.options) > MAX_OPTIONS or len(state.approvals.open) >= MAX_OPEN:
            self._note("an approval that cannot be shown, or one too many, was denied")
            self._run(seam.Decide(approval=asked.approval, option=None))
            return
        until = self._moment.steady + expires
        approval = Approval(id=asked.approval, options=asked.options, expires=until)
        self._set(approvals=state.approvals.asked(approval))
        self._outputs.extend(Tell(contract.Said(piece=part)) for part in parts)

    def _answer(self, line: contract.Answer) -> None:
        approval = self._state.approvals.find(line.approval)
        if approval is None:
            by = self._state.approvals.resolver(line.approval)
            if by is not None:
                self._reply(line.ask, "already_answered", f"approval {line.approval} was answered by {by} first")
            else:
                self._reply(line.ask, "no_such_approval", f"there is no approval {line.approval}")
            return
        option = approval.option(line.option)
        if option is None:
            known = ", ".join(one.id for one in approval.options)
            self._reply(line.ask, "no_such_option", f"approval {line.approval} takes: {known}")
            return
        self._reply(line.ask)
        self._resolve(
            approval.id, by=line.by, option=option.id, allowed=option.kind.startswith("allow"), decide=True, reason=""
        )

    def _resolve(
        self, name: str, *, by: str, reason: str, option: str = "", allowed: bool = False, decide: bool = False
    ) -> None:
        """End an approval, once; with ``decide`` the agent is told."""
        if self._state.approvals.find(name) is None:
            return
        self._set(approvals=self._state.approvals.settled(name, by))
        turn = self._state.turn.id if self._state.turn is not None else ""
        self._say(
            ApprovalResolved(
                turn=turn,
                approval=name,
                option=option,
                allowed=allowed,
                by=shortened(by, MAX_NAME),
                reason=shortened(reason, _MAX_REASON),
            )
        )
        if decide:
            self._run(seam.Decide(approval=name, option=option or None))

    # ------------------------------------------------------------------------------------------------ deadlines

    def _tick(self) -> None:
        state, now = self._state, self._moment.steady
        if state.phase in ("ending", "over"):
            return
        if state.greet_until is not None and now >= state.greet_until:
            said = f"{state.agent} has not answered its greeting within {state.terms.greeting:g} s"
            self._end("agent_silent", said)
        for approval in state.approvals.open:
            if now >= approval.expires:
                reason = f"nobody answered within {state.terms.patience:g} s, so it was denied"
                self._resolve(approval.id, by="deadline", reason=reason, decide=True)
        for name in [name for name, due in state.timers.items() if now >= due]:
            if self._state.timers.get(name, now + 1) <= now:
                self._wait(name, None)
                self._run(seam.Passed(name=name))
        self._watch(now)

    def _watch(self, now: float) -> None:
        """Look at the running turn or operation: an agent that does not do as it was told is ended."""
        state = self._state
        if state.phase in ("ending", "over"):
            return
        if state.operation is not None and now >= state.operation.expires:
            self._end("agent_silent", f"{state.agent} has not done a change within {state.terms.operation:g} s; it is ended")
        turn = state.turn
        if turn is not None and turn.interrupted_until is not None and now >= turn.interrupted_until:
            said = f"{state.agent} went on for {state.terms.interrupt:g} s behind an interrupt; it is ended"
            self._end("interrupt_ignored", said)
        quiet = _quiet_from(self._state)
        if quiet is not None and now >= quiet:
            said = f"{state.agent} has said nothing for {state.terms.quiet:g} s"
            self._tell_this(StatusTold(status="working", reason=said))

    # ------------------------------------------------------------------------------------------------ the end

    def _fail(self, code: str, message: str, reason: str, *, resumable: bool) -> None:
        if self._state.ending is None:
            turn = self._state.turn.id if self._state.turn is not None else ""
            self._say(FailureTold(code=code, message=message, turn=turn))
            self._end(code, reason, resumable=resumable, told=False)

    def _end(self, code: str, reason: str, *, resumable: bool = True, told: bool = True) -> None:
        """Begin the end, once: the first reason counts."""
        if self._state.ending is not None:
            return
        if told:
            turn = self._state.turn.id if self._state.turn is not None else ""
            self._say(FailureTold(code=code, message=reason, turn=turn))
        self._set(phase="ending", ending=Ending(code=code, reason=reason, resumable=resumable))
        self._outputs.append(End())

    def _exited(self, exited: Exited) -> None:
        """Close everything that is open, answer everybody, and say that it is over."""
        state = self._state
        greeted = state.phase == "ready"
        if state.ending is None:
            reason = f"{state.agent} {_meaning(exited.code)}" + ("" if greeted else " before it had answered its greeting")
            message = reason + (f"; its last words: {exited.words}" if exited.words else "")
            turn = state.turn.id if state.turn is not None else ""
            self._say(FailureTold(code="agent_exited", message=message, turn=turn))
            resumable = greeted or exited.code is None or exited.code < 0
            self._set(phase="ending", ending=Ending(code="agent_exited", reason=reason, resumable=resumable))
        ending = self._state.ending
        if ending is None:  # set above; for the type alone
            return
        if exited.survivors:
            said = f"{exited.survivors} processes of the session could not be ended"
            self._say(FailureTold(code="survivors", message=said))
        if state.turn is not None:
            asked = state.turn.interrupted_until is not None or ending.code in ("closed", "hub_gone")
            outcome: TurnOutcome = "interrupted" if asked else "failed"
            self._finish_turn(TurnEnded(turn=state.turn.id, outcome=outcome, reason=ending.reason))
        for approval in self._state.approvals.open:
            self._resolve(approval.id, by="bridge", reason=ending.reason)
        self._drop_waiting("interrupted" if ending.code == "closed" else "failed", ending.reason)
        if state.operation is not None:
            self._reply(state.operation.ask, ending.code, ending.reason)
        for ask in state.closing:
            self._reply(ask)
        self._set(phase="over", operation=None, closing=())
        self._outputs.append(
            Tell(
                contract.Over(
                    code=ending.code,
                    reason=shortened(ending.reason, _MAX_REASON),
                    exit_code=exited.code,
                    resumable=ending.resumable,
                )
            )
        )


def _listed(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(clean(name) for name in names if len(name) <= MAX_NAME)[:MAX_LISTED]


def _meaning(code: int | None) -> str:
    if code is None:
        return "has ended"
    return f"was killed by signal {-code}" if code < 0 else f"exited with {code}"


def _rfc3339(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
