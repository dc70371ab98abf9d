"""What a bridge says, as it changes its session: the part of ``session.step`` for the lines that come up. Pure.

Content goes on to the stream; of what it means, ids, lengths and outcomes are recorded, never the agent's own words.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.bridge.contract import Beat, Began, Initialised, Over, Replied, Said, Up
from actors.bridges.course import Course, line, word
from actors.bridges.terms import Moved, Question
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Ended,
    FailureTold,
    Identified,
    Piece,
    SettingsTold,
    StatusTold,
    TurnEnded,
    TurnStarted,
)
from schemas.events.bridges import (
    ApprovalOutcome,
    BridgeApprovalRequested,
    BridgeApprovalResolved,
    BridgeFailed,
    BridgeIdentified,
    BridgeReady,
    BridgeSettingsChanged,
    BridgeTurnStarted,
)

_NOBODY = ("interrupt", "bridge")


def hear(course: Course, said: Up) -> None:
    """Take a line of the bridge."""
    match said:
        case Said(piece=piece):
            _piece(course, piece)
        case Replied():
            _reply(course, said)
        case Initialised():
            _initialised(course, said)
        case Over():
            course.set(over=said)
        case Began() | Beat():
            pass  # that it was heard is all


def _reply(course: Course, said: Replied) -> None:
    """Hand on what came of a question; a message that the bridge refuses is nobody's any more."""
    it = course.it
    if said.ask not in it.asked:
        return
    course.set(asked=tuple(ask for ask in it.asked if ask != said.ask))
    course.settle(said.ask, said.code, said.message)
    refused = next((one for one in it.messages if one.ask == said.ask), None) if said.code else None
    if refused is not None:
        course.set(
            messages=tuple(one for one in it.messages if one is not refused),
            known=tuple(one for one in it.known if one != refused.turn),
        )
        if refused.ask < 0:
            course.fail(said.code, said.message, retrying=False, turn=refused.turn)
    if said.ask == it.dropping:
        if not said.code:
            course.set(messages=tuple(one for one in course.it.messages if one.turn not in it.dropped))
        course.set(dropping=0, dropped=())


def _initialised(course: Course, said: Initialised) -> None:
    course.set(
        initialised=True,
        ever=True,
        version=said.version,
        can=said.can or course.it.can,
        modes=said.modes or course.it.modes,
        transcript=said.transcript or course.it.transcript,
    )
    it = course.it
    if it.process is not None:
        course.publish(BridgeReady(launch=it.launch, session=it.session, process=it.process, version=word(said.version)))
    course.keep()


def _piece(course: Course, piece: Piece) -> None:
    match piece:
        case TurnStarted():
            _turn_started(course, piece)
        case TurnEnded():
            _turn_ended(course, piece)
        case ApprovalRequested():
            _requested(course, piece)
        case ApprovalResolved():
            _resolved(course, piece)
        case StatusTold():
            course.status(piece.status, piece.reason)
        case SettingsTold():
            _settings(course, piece)
        case Identified():
            _identified(course, piece)
        case FailureTold():
            course.tell(piece)
            code = word(piece.code)
            course.set(failed=code)
            it = course.it
            course.publish(BridgeFailed(launch=it.launch, session=it.session, code=code, reason=_reason(code), retrying=True))
        case Ended():
            pass  # whether nothing follows is ours to say
        case _:
            course.tell(piece)


def _reason(code: str) -> str:
    """Say what is recorded of a failure: the agent's own words are content, and went over the stream."""
    return f"{code.replace('_', ' ')} (what the agent said of it was shown, and is not recorded)"


def _turn_started(course: Course, piece: TurnStarted) -> None:
    course.end_turn("failed", "another turn began", "not_ended")
    message = course.begin_turn(piece.turn)
    course.used()
    course.tell(piece)
    length = 0 if message is None else len(message.text)
    it = course.it
    course.publish(BridgeTurnStarted(launch=it.launch, session=it.session, turn=piece.turn, length=length))
    course.keep()


def _turn_ended(course: Course, piece: TurnEnded) -> None:
    course.used()
    if course.it.running is not None and course.it.running.turn == piece.turn:
        course.end_turn(piece.outcome, piece.reason)
        return
    waits = any(one.turn == piece.turn for one in course.it.messages)
    if waits and piece.outcome == "failed":
        return  # its bridge is ending: the next one is given it, or the end of the session tells
    course.tell(piece)  # of a message that was given back
    course.set(messages=tuple(one for one in course.it.messages if one.turn != piece.turn))


def _requested(course: Course, piece: ApprovalRequested) -> None:
    it = course.it
    course.set(questions=(*it.questions, Question(piece.approval, course.at.steady)))
    course.tell(piece)
    course.publish(
        BridgeApprovalRequested(
            launch=it.launch,
            session=it.session,
            approval=piece.approval,
            kind=word(piece.tool),
            seconds=round(it.patience),
        )
    )


def _resolved(course: Course, piece: ApprovalResolved) -> None:
    it = course.it
    since = next((one.since for one in it.questions if one.approval == piece.approval), course.at.steady)
    course.set(questions=tuple(one for one in it.questions if one.approval != piece.approval))
    course.tell(piece)
    outcome: ApprovalOutcome = "allowed" if piece.allowed else "cancelled" if piece.by in _NOBODY else "denied"
    course.publish(
        BridgeApprovalResolved(
            launch=it.launch,
            session=it.session,
            approval=piece.approval,
            outcome=outcome,
            by=word(piece.by),
            milliseconds=round((course.at.steady - since) * 1000, 1),
        )
    )


def _settings(course: Course, piece: SettingsTold) -> None:
    """Know model and mode as the agent has them; the provider is the gateway's."""
    before = course.it
    course.set(model=piece.model or before.model, mode=piece.mode or before.mode)
    it = course.it
    course.tell(replace(piece, provider=piece.provider or it.provider, model=it.model, mode=it.mode))
    if (before.model, before.mode) != (it.model, it.mode):
        course.publish(
            BridgeSettingsChanged(
                launch=it.launch, session=it.session, model=line(it.model) or None, mode=word(it.mode) or None
            )
        )


def _identified(course: Course, piece: Identified) -> None:
    """Be the session of the conversation that the agent named; the ids of before stay aliases."""
    before = course.it
    own = piece.conversation.removeprefix(f"{before.wish.agent}:")
    if before.session == piece.session and before.conversation == own:
        return
    if before.session != piece.session:
        names = dict.fromkeys((*before.aliases, *((before.session,) if str(before.session) != before.launch else ())))
        names.pop(piece.session, None)
        course.set(session=piece.session, aliases=tuple(names))
        course.orders.append(Moved(before.session, piece.session))
    wish = before.wish
    course.set(conversation=own, wish=replace(wish, resume="", fork=False) if piece.cleared else wish)
    if piece.cleared:
        course.set(turns=0, past=(), past_size=0, transcript="")
    succeeds = before.session if piece.cleared and str(before.session) not in (before.launch, piece.session) else None
    course.tell(piece)
    course.publish(BridgeIdentified(launch=before.launch, session=piece.session, conversation=own, succeeds=succeeds))
    course.keep()
