"""What to do about the children: ``step(state, input) → (state, outputs)``, pure.

Theory of operation
-------------------
Every input carries the moment it happened at (monotonic seconds) and a random number, so that the same inputs always
lead to the same outputs. Outputs are orders to the shell and facts to publish. A child is named by actor and
incarnation, and whatever is said of an incarnation that is over is ignored.

*Start* goes in the order of the specs: a child is let go when the one before is READY, has ``failed``, or has had
``order_deadline`` seconds. *Stop* goes in reverse, one at a time; what is left ``STOP_BUDGET`` seconds after the
request is killed all at once.

*An exit that nobody asked for* is a crash. After a crash a child that had been READY for ``PROVEN`` seconds starts at
once, another after a back-off that grows by ``GROWTH`` from 0.5 s to 30 s, ± 10 %. (1.8 rather than 2: six quick crashes
then take 10 to 15 s, so that a crash loop is declared ``failed`` within 15 s with never more than 5 starts in 10 s.) More
than ``spec.intensity`` crashes within ``spec.period`` seconds, and the child is ``failed``: visible, not started again
until somebody asks (``RetryAsked``), and the others go on. Exit 78 (bad configuration) is ``failed`` at once. Exit 75
(broker unreachable) is not the child's fault: it backs off, does not count, and starts as soon as the child that it
``needs`` is READY. ``HEALTHY`` seconds of being READY clear the count.

*Hung*: no beat for ``SILENCE`` seconds (``spec.start_deadline`` before the first) → terminate → ``LADDER`` seconds → kill.
When the supervisor itself was away (suspended, stopped), nobody's silence counts.

Must not know: processes, pipes, clocks, randomness, files, the bus.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from actors.runtime import exits
from actors.runtime.contract import Beat, Line, Ready, Status, Stopping
from actors.supervisor.terms import (
    ALIVE,
    Child,
    ChildSpec,
    Done,
    Exited,
    Input,
    Kill,
    Output,
    Phase,
    Publish,
    RetryAsked,
    Said,
    Spawn,
    Spawned,
    SpawnFailed,
    State,
    StopAsked,
    Terminate,
    Tick,
)
from schemas.events import ActorExited, ActorFailed, ActorReady, ActorStarted

PROVEN: Final = 1.0
HEALTHY: Final = 60.0
SILENCE: Final = 3.0
LADDER: Final = 3.0
STOP_BUDGET: Final = 9.0
TICK: Final = 0.25
AWAY: Final = 1.0
FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
GROWTH: Final = 1.8
JITTER: Final = 0.1
MAX_REASON: Final = 300


def begin(specs: tuple[ChildSpec, ...], at: float) -> State:
    """Return the state before the first tick."""
    return State(children=tuple(Child(spec=spec, since=at) for spec in specs), ticked=at)


def step(state: State, given: Input) -> tuple[State, tuple[Output, ...]]:
    """Take one input; unknown actors and incarnations that are over change nothing."""
    turn = _Turn(state, given.at, given.chance)
    match given.what:
        case Tick():
            turn.tick()
        case StopAsked():
            turn.ask_stop()
        case RetryAsked(actor):
            turn.retry(actor)
        case Spawned(actor, incarnation, pid, name):
            turn.spawned(actor, incarnation, pid, name)
        case SpawnFailed(actor, incarnation, reason):
            turn.spawn_failed(actor, incarnation, reason)
        case Said(actor, incarnation, line):
            turn.said(actor, incarnation, line)
        case Exited(actor, incarnation, code):
            turn.exited(actor, incarnation, code)
    turn.go_on()
    return turn.state, tuple(turn.outputs)


class _Turn:
    """One step in the making: the state as it changes and the outputs so far. Lives within one call of ``step``."""

    def __init__(self, state: State, at: float, chance: float) -> None:
        self.state = state
        self.at = at
        self.chance = chance
        self.outputs: list[Output] = []

    # ------------------------------------------------------------------------------------------------ inputs

    def tick(self) -> None:
        """Let every deadline act."""
        away = self.at - self.state.ticked > AWAY
        self.state = replace(self.state, ticked=self.at)
        for child in self.state.children:
            if away and child.phase in ALIVE:
                self._put(replace(child, heard=self.at))
            elif child.phase == "stopping":
                self._kill_when_due(child)
            elif child.phase in ALIVE:
                self._check_life(child)
            elif child.phase == "backoff" and child.due is not None and self.at >= child.due:
                self._spawn(child)

    def ask_stop(self) -> None:
        """Begin to stop; what has no process stops at once. Asking twice is asking once."""
        if self.state.stop_due is not None:
            return
        self.state = replace(self.state, stop_due=self.at + STOP_BUDGET)
        for child in self.state.children:
            if child.phase in ("waiting", "backoff"):
                self._put(replace(child, phase="stopped", since=self.at, due=None))

    def retry(self, actor: str) -> None:
        """Start a child again that would not start by itself, or not yet."""
        child = self._find(actor)
        if child is not None and child.phase in ("failed", "backoff") and self.state.stop_due is None:
            self._spawn(replace(child, crashes=(), quick=0))

    def spawned(self, actor: str, incarnation: int, pid: int, name: str) -> None:
        """Note the process."""
        if child := self._find(actor, incarnation):
            self._put(replace(child, pid=pid, name=name))
            self._tell(actor, ActorStarted(actor=actor, incarnation=name, pid=pid, restarts=child.restarts))

    def spawn_failed(self, actor: str, incarnation: int, reason: str) -> None:
        """Count it as a crash."""
        if child := self._find(actor, incarnation):
            self._crashed(replace(child, last_code=None, last_exit=f"could not be started: {reason}"[:MAX_REASON]))

    def said(self, actor: str, incarnation: int, line: Line) -> None:
        """Take in what a child says of itself. Every line shows that it lives."""
        child = self._find(actor, incarnation)
        if child is None:
            return
        child = replace(child, heard=self.at, beaten=True)
        match line:
            case Ready(facts) if child.phase == "starting":
                child = self._enter(replace(child, ready_at=self.at, facts=facts, note=""), "ready")
                milliseconds = round((self.at - child.started) * 1000, 3)
                event = ActorReady(actor=actor, incarnation=child.name, pid=child.pid or 0, start_ms=milliseconds)
                self._tell(actor, event)
                self._put(child)
                self._wake_dependants(actor)
                return
            case Status("failed", note):
                child = replace(child, note=note, last_words=note)
            case Status(state, note) if child.phase in ("ready", "degraded"):
                child = replace(child if child.phase == state else self._enter(child, state), note=note)
            case Status(_, note):
                child = replace(child, note=note)
            case Ready() | Beat() | Stopping():
                pass
        self._put(child)

    def exited(self, actor: str, incarnation: int, code: int) -> None:
        """Decide what an exit means."""
        child = self._find(actor, incarnation)
        if child is None:
            return
        reason = child.doom or exits.meaning(code)
        if not child.doom and child.last_words:
            reason = f"{reason}: {child.last_words}"
        elif not child.doom and code == exits.OK and self.state.stop_due is None:
            reason = "ended although nobody had asked it to"
        reason = reason[:MAX_REASON]
        self._tell(actor, ActorExited(actor=actor, incarnation=child.name, pid=child.pid or 0, code=code, reason=reason))
        child = replace(child, last_code=code, last_exit=reason)
        if self.state.stop_due is not None:
            self._put(replace(self._enter(child, "stopped"), pid=None, due=None, note=""))
        elif code == exits.BAD_CONFIG:
            self._fail(child, reason)
        else:
            self._crashed(child)

    # ------------------------------------------------------------------------------------------------ rules

    def go_on(self) -> None:
        """Let the next child go, or stop the next one, or be done."""
        if self.state.stop_due is None:
            self._release()
        elif not self.state.done:
            self._stop_next()

    def _release(self) -> None:
        while self.state.released < len(self.state.children):
            if self.state.released:
                last = self.state.children[self.state.released - 1]
                settled = last.phase in ("ready", "degraded", "failed")
                if not settled and self.at < self.state.order_due:
                    return
            child = self.state.children[self.state.released]
            self.state = replace(self.state, released=self.state.released + 1, order_due=self.at + child.spec.order_deadline)
            self._spawn(child)

    def _stop_next(self) -> None:
        overdue = self.state.stop_due is not None and self.at >= self.state.stop_due
        for child in reversed(self.state.children):
            if child.phase not in ALIVE:
                continue
            if child.phase != "stopping":
                self._terminate(child, 0.0 if overdue else child.spec.grace, "")
            if not overdue:
                return
            now = self._find(child.spec.actor, child.incarnation)
            if now is not None and now.due is not None:  # None: killed already
                self._kill_when_due(replace(now, due=self.at))
        if not any(child.phase in ALIVE for child in self.state.children):
            self.state = replace(self.state, done=True)
            self.outputs.append(Done())

    def _check_life(self, child: Child) -> None:
        allowed = SILENCE if child.beaten else child.spec.start_deadline
        if self.at - child.heard > allowed:
            self._terminate(child, LADDER, f"hung: no beat for {allowed:g} s")
        elif child.crashes and child.ready_at is not None and self.at - child.ready_at >= HEALTHY:
            self._put(replace(child, crashes=(), quick=0))

    def _terminate(self, child: Child, grace: float, doom: str) -> None:
        self._put(replace(self._enter(child, "stopping"), due=self.at + grace, doom=doom, note=doom))
        self.outputs.append(Terminate(child.spec.actor, child.incarnation))

    def _kill_when_due(self, child: Child) -> None:
        if child.due is not None and self.at >= child.due:
            doom = child.doom and f"{child.doom}, killed"
            self._put(replace(child, due=None, doom=doom or "did not stop in time, killed"))
            self.outputs.append(Kill(child.spec.actor, child.incarnation))

    def _crashed(self, child: Child) -> None:
        """Start again: at once, later, or not."""
        if self.state.stop_due is not None:
            self._put(replace(self._enter(child, "stopped"), pid=None, due=None))
            return
        innocent = child.last_code == exits.BROKER_UNREACHABLE
        crashes = tuple(time for time in child.crashes if self.at - time < child.spec.period)
        crashes = crashes if innocent else (*crashes, self.at)
        proven = child.ready_at is not None and self.at - child.ready_at >= PROVEN
        child = replace(child, crashes=crashes, quick=0 if proven else child.quick)
        if len(crashes) > child.spec.intensity:
            self._fail(child, f"crashed {len(crashes)} times in {child.spec.period:g} s; last: {child.last_exit}")
        elif proven and not (innocent and self._lacks(child)):
            self._spawn(child)
        else:
            wanted = min(FIRST_DELAY * GROWTH ** min(child.quick, 16), LONGEST_DELAY)
            delay = min(wanted * (1 + JITTER * (2 * self.chance - 1)), LONGEST_DELAY)
            child = replace(self._enter(child, "backoff"), pid=None, due=self.at + delay, quick=child.quick + 1)
            self._put(replace(child, note=f"starts again {delay:.1f} s later"))

    def _fail(self, child: Child, reason: str) -> None:
        reason = reason[:MAX_REASON]
        self._put(replace(self._enter(child, "failed"), pid=None, due=None, note=reason))
        self._tell(child.spec.actor, ActorFailed(actor=child.spec.actor, reason=reason))

    def _spawn(self, child: Child) -> None:
        again = child.incarnation > 0
        fresh = Child(
            spec=child.spec,
            phase="starting",
            since=self.at,
            incarnation=child.incarnation + 1,
            started=self.at,
            heard=self.at,
            restarts=child.restarts + again,
            quick=child.quick,
            crashes=child.crashes,
            last_code=child.last_code,
            last_exit=child.last_exit,
        )
        self._put(fresh)
        self.outputs.append(Spawn(fresh.spec.actor, fresh.incarnation))

    def _wake_dependants(self, actor: str) -> None:
        for child in self.state.children:
            waits = child.phase == "backoff" and child.last_code == exits.BROKER_UNREACHABLE
            if waits and child.spec.needs == actor and self.state.stop_due is None:
                self._spawn(child)

    def _lacks(self, child: Child) -> bool:
        needed = self._find(child.spec.needs)
        return needed is not None and needed.phase not in ("ready", "degraded")

    # ------------------------------------------------------------------------------------------------ parts

    def _find(self, actor: str, incarnation: int | None = None) -> Child | None:
        for child in self.state.children:
            if child.spec.actor == actor and incarnation in (None, child.incarnation):
                return child if incarnation is None or child.phase in ALIVE else None
        return None

    def _put(self, changed: Child) -> None:
        children = tuple(changed if child.spec.actor == changed.spec.actor else child for child in self.state.children)
        self.state = replace(self.state, children=children)

    def _enter(self, child: Child, phase: Phase) -> Child:
        return replace(child, phase=phase, since=self.at)

    def _tell(self, actor: str, event: ActorStarted | ActorReady | ActorExited | ActorFailed) -> None:
        self.outputs.append(Publish(actor, event))
