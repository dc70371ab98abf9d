"""What becomes of one driven session: ``step(session, input, now) -> (session, orders)``. Pure.

Theory of operation
-------------------
A session *rests* (no process), *starts* (its bridge is being started), *runs*, *closes*, has *ended*. Whoever comes and goes
among its bridges, the session stays: its stream goes on counting, its messages wait.

* A message is the session's until the agent begins to work on it. While no bridge runs it is accepted all the same, and each
  new bridge is given what waits, in order; so none is lost with a bridge, and none given twice (``known``).
* What is asked of a bridge is answered by it or, when it ends before, by us.
* A bridge that ends unasked is started again, taking up the conversation by the agent's own means, a few times within a
  minute, if that can be hoped to go better: the agent had greeted before, and either it can resume or nothing is lost. Else the
  session ends and says why.
* A turn that runs when its bridge ends has failed; the agent is not given its message again, since it may have acted on it.
* A close goes to the bridge, which ends everything in time; when it does not, it is killed, and what it had started with it.

Must not know processes, pipes, the bus. ``hearing`` is what bridges say, ``course`` the step itself.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from actors.bridge import contract
from actors.bridges.course import Course, line, word
from actors.bridges.hearing import hear
from actors.bridges.terms import (
    CLOSE_SECONDS,
    HUNG_SECONDS,
    MAX_KNOWN,
    MAX_MESSAGES,
    MAX_WAITING,
    RESTART_DELAYS,
    RESTART_PERIOD,
    START_SECONDS,
    Answered,
    Asking,
    Begun,
    Came,
    Changed,
    Cleared,
    Closed,
    Forget,
    Gone,
    Input,
    Interrupted,
    Kill,
    Message,
    Moment,
    Moved,
    NotSpawned,
    Output,
    Running,
    Sent,
    Session,
    Settled,
    Spawned,
    Start,
    Tick,
    Unwritten,
    Wish,
)
from schemas.content import Ended, SettingsTold, TurnEnded
from schemas.events.bridges import BridgeAttached, BridgeDetached, BridgeEnded, BridgeSettingsChanged, BridgeStarted
from schemas.identity import is_provisional

STOPPED: Final = "Tabwire stopped; the session is taken up again when it runs"
_LOST: Final = "the bridge ended before it answered; ask again"
_AWAY: Final = "the agent is being started; ask again in a moment"
_OVER: Final = "this session has ended"


def step(session: Session, given: Input, now: Moment) -> tuple[Session, tuple[Output, ...]]:
    """Take one input."""
    if session.phase == "ended" and not isinstance(given, Asking | Closed):
        return session, ()  # nothing follows an end; who asks is told so
    course = Course(session, now)
    _take(course, given)
    return course.it, tuple(course.orders)


def _take(course: Course, given: Input) -> None:
    match given:
        case Begun():
            _cut_off(course, given.cut_off)
            _begin_or_end(course)
        case Spawned():
            _spawned(course, given)
        case NotSpawned():
            _not_spawned(course, given.reason)
        case Came():
            course.set(heard=course.at.steady)
            hear(course, given.line)
        case Unwritten():
            hear(course, contract.Replied(ask=given.ask, code=given.code, message=given.message))
        case Gone():
            _gone(course, given)
        case Closed():
            _close(course, given)
        case Tick():
            _tick(course, given)
        case Settled():
            _settled(course, given)
        case _:
            _ask(course, given)


# ---------------------------------------------------------------------------------------------------- being asked


def _ask(course: Course, given: Sent | Interrupted | Answered | Changed | Cleared) -> None:
    course.used()
    if course.it.phase in ("closing", "ended"):
        course.settle(given.ask, "ended", f"{_OVER}: {course.it.ending or course.it.status_reason}")
    elif isinstance(given, Sent):
        _send(course, given)
    elif course.it.phase != "running":
        course.settle(given.ask, "starting", _AWAY)
    elif isinstance(given, Interrupted):
        if given.queued:
            course.set(dropping=given.ask, dropped=tuple(one.turn for one in course.it.messages))
        course.write(contract.Interrupt(ask=given.ask, queued=given.queued))
    elif isinstance(given, Answered):
        course.write(contract.Answer(ask=given.ask, approval=given.approval, option=given.option, by=given.by))
    elif isinstance(given, Changed):
        course.set(wish=replace(course.it.wish, **_changes(given)))
        course.write(contract.Change(ask=given.ask, model=given.model, mode=given.mode))
        course.keep()
    else:
        course.write(contract.Clear(ask=given.ask))


def _changes(given: Changed) -> dict[str, str]:
    asked = {"model": given.model, "mode": given.mode}
    return {name: value for name, value in asked.items() if value is not None}


def _send(course: Course, given: Sent) -> None:
    """Take a message: at once while no bridge runs that could refuse it, else when the bridge has taken it."""
    it = course.it
    if given.message in it.known:
        course.settle(given.ask)  # said before, and taken
        return
    if len(it.messages) >= MAX_MESSAGES or sum(len(one.text) for one in it.messages) + len(given.text) > MAX_WAITING:
        course.settle(given.ask, "busy", f"{len(it.messages)} messages wait for the running turn; wait for it, or interrupt it")
        return
    runs = it.phase == "running"
    if not runs:
        course.settle(given.ask)
    ask = given.ask if runs and given.ask > 0 else course.own()
    message = Message(ask=ask, turn=given.message, text=given.text, by=given.by)
    course.set(messages=(*course.it.messages, message), known=(*it.known, given.message)[-MAX_KNOWN:])
    if runs:
        course.write(contract.Send(ask=message.ask, turn=message.turn, text=message.text, by=message.by))
    course.keep()


def _settled(course: Course, given: Settled) -> None:
    """Know what the gateway was told, and say it."""
    course.used()
    changes = {name: value for name, value in (("provider", given.provider), ("model", given.model)) if value is not None}
    course.set(wish=replace(course.it.wish, **changes), **changes)
    it = course.it
    course.tell(SettingsTold(provider=it.provider, model=it.model, mode=it.mode, reason=given.reason[:300]))
    course.publish(
        BridgeSettingsChanged(
            launch=it.launch,
            session=it.session,
            provider=None if given.provider is None else word(given.provider),
            model=None if given.model is None else line(given.model),
        )
    )
    course.keep()


# ---------------------------------------------------------------------------------------------------- beginning and ending


def _begin(course: Course) -> None:
    if course.it.phase != "resting":
        return
    course.set(
        phase="starting", due=course.at.steady + START_SECONDS, heard=course.at.steady, over=None, failed="", initialised=False
    )
    course.status("starting", course.it.status_reason if course.it.restarts else "")
    course.orders.append(Start())
    course.keep()


def _begin_or_end(course: Course) -> None:
    """Begin, unless something was said that its agent cannot take up: without it, it would be another conversation."""
    it = course.it
    if it.phase == "resting" and it.turns and it.wish.attach is None and "resume" not in it.can:
        _end(course, f"Tabwire ended; {it.wish.agent} cannot take its conversation up again: start a new session")
    else:
        _begin(course)


def _cut_off(course: Course, turn: str) -> None:
    """End a turn that nobody saw the end of, since the hub died."""
    if turn:
        course.set(running=Running(turn=turn, since=course.at.steady, started=course.at.text))
        course.end_turn("failed", "Tabwire ended while it ran", "tabwire_ended")


def _spawned(course: Course, given: Spawned) -> None:
    """Give a new bridge what waits."""
    course.set(process=given.process, heard=course.at.steady)
    it = course.it
    if it.wish.attach is not None:
        channel = it.wish.attach.channel
        course.publish(BridgeAttached(launch=it.launch, session=it.session, channel=channel, process=given.process))
    course.publish(
        BridgeStarted(
            launch=it.launch,
            session=it.session,
            agent=it.wish.agent,
            process=given.process,
            cwd=it.wish.cwd,
            provider=word(it.wish.provider) or None,
            model=line(it.wish.model) or None,
            mode=word(it.wish.mode) or None,
            parent=it.parent,
            relation=it.relation,
            resumed=it.wish.resume or None,
            restarts=it.restarts,
            spawned=None if given.launch == it.launch else given.launch,
        )
    )
    if it.phase == "closing":
        course.write(contract.Close(ask=course.own()))
        return
    course.set(phase="running", due=None)
    waiting: list[Message] = []
    for one in it.messages:
        message = replace(one, ask=course.own())
        waiting.append(message)
        course.write(contract.Send(ask=message.ask, turn=message.turn, text=message.text, by=message.by))
    course.set(messages=tuple(waiting))
    course.keep()


def _not_spawned(course: Course, reason: str) -> None:
    if course.it.phase == "closing":
        _end(course, course.it.ending)
        return
    _gone(course, Gone(reason=reason))


def _gone(course: Course, given: Gone) -> None:
    """Its bridge is no more: that was the aim, or it is started again, or that is the end."""
    it = course.it
    if it.phase in ("resting", "ended"):
        return
    course.set(process=None)
    if it.phase == "closing":
        _end(course, it.ending, given.code)
        return
    why, code = _why(course, given)
    course.end_turn("failed", why, code)
    for ask in it.asked:
        taken = any(one.ask == ask for one in course.it.messages)
        course.settle(ask, *(() if taken else ("lost", _LOST)))
    course.set(asked=(), questions=(), dropping=0, dropped=())
    never = _never_again(course, given)
    if never:
        if it.failed != code or never != why:
            course.fail(code, never, retrying=False)
        _end(course, never, given.code)
        return
    recent = _recent(course)
    delay = RESTART_DELAYS[len(recent)]
    if it.failed != code:
        course.fail(code, f"{why}; it is started again", retrying=True)
    course.set(
        phase="resting",
        initialised=False,
        failures=(*recent, course.at.steady),
        restarts=it.restarts + 1,
        due=course.at.steady + delay,
        wish=_wish_again(course.it),
        messages=tuple(replace(one, ask=min(one.ask, 0)) for one in course.it.messages),
    )
    course.status("starting", f"{why}; it is started again"[:300])
    if delay == 0:
        _begin(course)


def _why(course: Course, given: Gone) -> tuple[str, str]:
    """Say why a bridge ended, in a sentence and by a code."""
    over = course.it.over
    if over is not None:
        return over.reason, word(over.code)
    if given.reason:
        return given.reason, "bridge_broken"
    if given.code is not None and given.code < 0:
        return f"the bridge was ended by signal {-given.code}", "bridge_killed"
    return f"the bridge ended with code {given.code}", "bridge_ended"


def _never_again(course: Course, given: Gone) -> str:
    """Say why it cannot be started again; empty when it can."""
    it, (why, _) = course.it, _why(course, given)
    if it.over is not None and not it.over.resumable:
        return why
    if not it.ever:
        return why
    if len(_recent(course)) >= len(RESTART_DELAYS):
        return f"ended {len(RESTART_DELAYS) + 1} times within {RESTART_PERIOD:.0f} s, the last time: {why}"
    if it.turns and it.wish.attach is None and not (it.conversation and "resume" in it.can):
        return f"{why}; {it.wish.agent} cannot take its conversation up again: start a new session"
    return ""


def _recent(course: Course) -> tuple[float, ...]:
    return tuple(at for at in course.it.failures if course.at.steady - at < RESTART_PERIOD)


def _wish_again(it: Session) -> Wish:
    """Return what the next bridge is to do: to go on where this one was."""
    if it.wish.fork and not it.conversation:
        return it.wish
    begun = it.turns > 0 or it.wish.resume
    return replace(it.wish, resume=(it.conversation or it.wish.resume) if begun else "", fork=False)


def _close(course: Course, given: Closed) -> None:
    it = course.it
    if it.phase == "ended":
        course.settle(given.ask)
        return
    course.set(closing=(*it.closing, given.ask), ending=it.ending or given.reason, keep=given.keep)
    if it.phase == "resting":
        _end(course, course.it.ending)
    elif it.phase != "closing":
        course.set(phase="closing", due=course.at.steady + CLOSE_SECONDS)
        if it.phase == "running":
            course.write(contract.Close(ask=course.own()))


def _end(course: Course, reason: str, code: int | None = None) -> None:
    """Be over: everything that waits is answered, everybody is told, nothing follows."""
    course.set(ending=reason)
    course.end_turn("interrupted" if course.it.closing else "failed", reason, "closed" if course.it.closing else "ended")
    for ask in course.it.asked:
        course.settle(ask, "ended", f"{_OVER}: {reason}")
    for message in course.it.messages:
        course.tell(TurnEnded(turn=message.turn, outcome="failed", reason=f"not sent: {reason}"[:1000]))
    closing = course.it.closing
    course.set(asked=(), closing=(), messages=(), questions=(), process=None, initialised=False, due=None)
    course.status("gone", reason[:300])
    course.tell(Ended(reason=reason[:1000]))
    course.set(phase="ended", ended=course.at.steady)
    it = course.it
    course.publish(BridgeEnded(launch=it.launch, session=it.session, reason=line(reason), exit_code=code))
    if it.wish.attach is not None:
        course.publish(BridgeDetached(launch=it.launch, session=it.session, reason=line(reason)))
    if course.it.keep:
        course.keep()
    else:
        course.orders.append(Forget())
        if is_provisional(course.it.session):
            course.orders.append(Moved(course.it.session, None))
    for ask in closing:
        course.settle(ask)


# ---------------------------------------------------------------------------------------------------- time


def _tick(course: Course, given: Tick) -> None:
    it, now = course.it, course.at.steady
    if given.late:
        course.set(heard=it.heard + given.late, due=None if it.due is None else it.due + given.late)
    it = course.it
    due = it.due is not None and now >= it.due
    if it.phase == "resting" and due:
        _begin(course)
    elif it.phase == "closing" and due:
        course.set(due=now + CLOSE_SECONDS)
        course.orders.append(Kill())
    elif it.phase == "starting" and due:
        course.set(due=now + START_SECONDS)
        course.orders.append(Kill())
    elif it.phase == "running":
        if now - it.heard > HUNG_SECONDS:
            course.set(heard=now, over=contract.Over(code="bridge_hung", reason="the bridge did not answer any more"))
            course.orders.append(Kill())
        elif now - it.used >= given.idle_seconds and it.running is None and not it.messages and not it.questions:
            hours = given.idle_seconds / 3600
            _close(course, Closed(reason=f"not used for {hours:g} h ([bridges] idle_hours)"))
