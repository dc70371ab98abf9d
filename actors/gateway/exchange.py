"""One request from its head to its outcome, as a state machine: what happened goes in, what to do comes out.

Theory of operation
-------------------
``begin`` takes the head; ``step`` takes each later input, in the order in which things happen to a request:

    begin → [Identify] → Identified → [ReadBody] → BodyRead → attempts: [Send] → … → [Relay] → FirstByte → Ended
                                      BodyFailed                                               UpstreamFailed
    CallerLeft may come at any point, and nothing is done after it but to tell.

What happens between ``BodyRead`` and ``Relay`` is told in ``attempts``: several providers may be asked there. An input that
does not belong where the request stands changes nothing.

Outputs are performed by the shell in order. Every request that was let in ends in exactly one of ``request.completed``,
``request.failed`` and ``request.cancelled``; a refused one in ``request.failed`` alone. ``request.received`` is told together
with who sent it, so that nothing at all is told of a session that is refused because it asks too often: its loop must not
fill the journal. Refusals of the protocol itself (a websocket upgrade) are no requests and no facts.

Success is the end of the stream as its dialect says it, not the status line. What was sent to a caller is never taken
back: after the first byte a failure is the dialect's error event, never an event that means success, and the connection is
closed. Behind an event that its agents read HTTP's framing is ended, else it stays torn (``dialect.ERROR_ENDS_STREAM``).

Pure: times come with the inputs (seconds of a monotonic clock). Must not know sockets, the bus, or how identity is found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from actors.gateway import admission, attempts, dialect, faults, limits
from actors.gateway.admission import Door, Kernel, Refusal
from actors.gateway.attribution import launch_id
from actors.gateway.claims import read_claims
from actors.gateway.head import Head
from actors.gateway.health import Outcome
from actors.gateway.moves import (
    Answer,
    BodyFailed,
    BodyRead,
    Break,
    Broke,
    CallerLeft,
    Collected,
    Ended,
    Finish,
    FirstByte,
    HeadCame,
    Identified,
    Identify,
    Input,
    Observe,
    Output,
    Own,
    Publish,
    ReadBody,
    Released,
    Rewritten,
    TurnedAway,
    UpstreamFailed,
)
from actors.gateway.outcomes import answer, broken_off, cancel, complete, fail, over, received, refuse
from actors.gateway.state import (
    IN_THE_AIR,
    ON_ITS_WAY,
    PHASES,
    Exchange,
    Result,
    changed,
    milliseconds,
    policy,
    session_subject,
    since,
)
from schemas.events import RequestAttributed, RequestFirstByte, RequestReceived
from schemas.identity import RequestId

_BAD: Final = 400
# What a provider's own word for a failure inside an answer says of the provider; the others are about the request.
_ITS_FAULT: Final = ("server_error", "server_is_overloaded", "overloaded_error", "api_error", "internal_error", "unnamed")


def begin(request: RequestId, at: float, door: Door, head: Head, kernel: Kernel, *, peer: str) -> Result:
    """Take the head of a request: let it in, or refuse it."""
    state = Exchange(request, head, read_claims(head.fields), at, "admission", f"request/{request}")
    if (refusal := admission.check_method(head)) is not None:
        return refuse(state, at, refusal)
    if head.target.place != "api":
        return refuse(
            state,
            at,
            Refusal(
                404, "not_found", f"nothing is served at {head.target.shown[:100]}; APIs are under /v1/, /v1beta/, /auggie/"
            ),
        )
    if (refusal := admission.check_head(door, head, kernel)) is not None:
        return refuse(state, at, refusal)
    if head.upgrade:
        return over(state), (_upgrade_refused(state),)
    came = RequestReceived(request=request, method=head.method, path=head.target.shown, dialect=head.dialect, peer=peer)
    return changed(state, stage="attribution", received=came), (Identify(head.target.token),)


def step(state: Exchange, happened: Input) -> Result:
    """Take what happened to a request; what does not belong where it stands changes nothing, least of all its outcome."""
    take, stages = _STEPS[type(happened)]
    if state.stage not in stages:
        return state, ()
    return take(state, happened)


# ------------------------------------------------------------------------------------------------------------ who calls


def _identified(state: Exchange, happened: Identified) -> Result:
    standing, who = happened.launch, happened.who
    if happened.throttled:
        return over(state), (answer(state, policy(state, "throttled", happened.throttled)),)
    if standing.worth == "unknown":
        text = "this launch token is not known here; start the agent again with `tabwire run`"
        return refuse(state, happened.at, policy(state, "unknown_launch", text))
    if standing.worth == "ended":
        name = "" if standing.record is None else f" {standing.record.launch}"
        text = f"the launch{name} of this token has ended; start the agent again with `tabwire run`"
        return refuse(state, happened.at, policy(state, "launch_ended", text))
    elapsed = milliseconds(happened.at - state.started)
    about = state.about if who.session is None else session_subject(who.session)
    told = received(state)
    state = changed(state, stage="routing", about=about, attribution=who, attribution_ms=elapsed, received=None)
    attributed = RequestAttributed(
        request=state.request,
        session=who.session,
        agent=who.agent,
        conversation=who.conversation,
        thread=who.thread,
        thread_kind=who.thread_kind,
        parent_thread=who.parent_thread,
        process=who.process,
        process_kind=who.process_kind,
        terminal=who.terminal,
        terminal_missing=who.terminal_missing,
        launch=launch_id(who),
        cwd=who.cwd,
        evidence=who.evidence,
        elapsed_ms=elapsed,
    )
    return state, (*told, Publish(about, attributed), ReadBody())


def _turned_away(state: Exchange, happened: TurnedAway) -> Result:
    return refuse(state, happened.at, Refusal(503, "busy", happened.reason, close=True))


def _body_failed(state: Exchange, happened: BodyFailed) -> Result:
    refusal = {
        "too_large": Refusal(413, "body_too_large", f"the body may have {limits.BODY} bytes", close=True),
        "too_slow": Refusal(408, "body_too_slow", "the body did not arrive in time", close=True),
        "malformed": Refusal(400, "body_malformed", "the body does not keep the framing that its header announced", close=True),
        "busy": Refusal(503, "busy", "too many request bodies are held at once; try again", close=True),
    }[happened.problem]
    return refuse(state, happened.at, refusal)


# ------------------------------------------------------------------------------------------------------------ the answer


def _first_byte(state: Exchange, happened: FirstByte) -> Result:
    elapsed = since(state, happened.at)
    state = changed(state, stage="stream", first_byte_ms=elapsed)
    fact = RequestFirstByte(
        request=state.request,
        session=state.session,
        provider=state.provider or "",
        status=state.status,
        first_byte_ms=elapsed,
    )
    return state, (Publish(state.about, fact),)


def _ended(state: Exchange, happened: Ended) -> Result:
    reading, name = happened.reading, f"provider {state.provider!r}"
    if state.status >= _BAD:  # what it says of the provider was observed when it was collected
        return _end_badly(state, happened, "upstream_status", f"{name} answered {state.status} ({state.fault})", Finish())
    if state.streaming and reading.ending is None and state.head.dialect in attempts.ENDING:
        text = f"{name} ended the stream without the event that ends an answer"
        last = broken_off(state, "stream_truncated", text, reading.response)
        return _observed("failed", "stream_truncated", _end_badly(state, happened, "stream_truncated", text, last))
    if reading.ending == "failed":
        text = f"{name} ended its answer with the error {reading.error or 'unnamed'!r}"
        ended = _end_badly(state, happened, "response_failed", text, Finish())
        return _observed("failed" if reading.error in _ITS_FAULT else "neutral", reading.error, ended)
    return _observed("ok", "", complete(state, happened))


def _broke_off(state: Exchange, happened: UpstreamFailed) -> Result:
    if state.stage not in ON_ITS_WAY:
        return attempts.upstream_failed(state, happened)
    code, text = attempts.upstream_text(state.provider or "", happened)
    last = broken_off(state, code, text, happened.reading.response)
    ended = _end_badly(state, happened, code, text, last)
    if state.status >= _BAD:  # as in _ended
        return ended
    outcome = faults.outcome_of_problem(happened.problem, state.provider or "", state.sent_model or "")
    return ended[0], (Observe(outcome), *ended[1])


def _end_badly(state: Exchange, happened: Ended | UpstreamFailed, code: str, text: str, last: Output) -> Result:
    state, outputs = fail(
        state, happened.at, code, text, status=state.status, bytes_out=happened.bytes_out, reading=happened.reading
    )
    return state, (last, *outputs)


def _observed(kind: Literal["ok", "failed", "neutral"], reason: str, result: Result) -> Result:
    """Tell the breaker of an attempt's end too."""
    state, outputs = result
    outcome = Outcome(state.provider or "", state.sent_model or "", kind, reason)
    return state, (*outputs, Observe(outcome))


# ------------------------------------------------------------------------------------------------------------ other ends


def _broke(state: Exchange, happened: Broke) -> Result:
    text = "the gateway failed; see its log"
    unsaid = _unsaid(state)
    if state.stage in ON_ITS_WAY:
        state, outputs = fail(state, happened.at, "internal", text, status=state.status, bytes_out=happened.bytes_out)
        return state, (*unsaid, Break(), *outputs)
    state, outputs = refuse(state, happened.at, Refusal(500, "internal", text, close=True))
    return state, (*unsaid, *outputs)


def _caller_left(state: Exchange, happened: CallerLeft) -> Result:
    if state.stage == "stream" and happened.reading.ending is not None:
        # It had the event that ends an answer and did not wait for HTTP's own end, as Codex does after a tool call.
        state, outputs = _ended(state, Ended(happened.at, happened.bytes_out, happened.reading))
        return state, tuple(output for output in outputs if isinstance(output, (Publish, Observe, Own)))
    unsaid = _unsaid(state)
    state, outputs = cancel(state, happened)
    return state, (*unsaid, *outputs)


def _unsaid(state: Exchange) -> tuple[Output, ...]:
    """Tell the breaker that nothing came of the attempt that is under way, and that it is nobody's fault there."""
    if state.stage not in IN_THE_AIR or (state.stage in ON_ITS_WAY and state.status >= _BAD):
        return ()
    return (Observe(Outcome(state.provider or "", state.sent_model or "", "neutral")),)


def _upgrade_refused(state: Exchange) -> Answer:
    body = dialect.error_body(state.head.dialect, 426, "no_websockets", "websockets are not served; use HTTP", state.request)
    return Answer(426, body, (("upgrade", "HTTP/1.1"), ("connection", "Upgrade")), close=True)


_EVER: Final = tuple(stage for stage in PHASES if stage != "over")
_STEPS: Final[dict[type[Any], tuple[Callable[[Exchange, Any], Result], tuple[str, ...]]]] = {
    Identified: (_identified, ("attribution",)),
    TurnedAway: (_turned_away, ("attribution",)),
    BodyRead: (attempts.decide, ("routing",)),
    BodyFailed: (_body_failed, ("routing",)),
    Rewritten: (attempts.rewritten, ("rewriting",)),
    HeadCame: (attempts.head_came, ("connect",)),
    Collected: (attempts.collected, ("collecting", "held")),
    Released: (attempts.released, ("held",)),
    FirstByte: (_first_byte, ("response_head",)),
    Ended: (_ended, ON_ITS_WAY),
    UpstreamFailed: (_broke_off, IN_THE_AIR),
    CallerLeft: (_caller_left, _EVER),
    Broke: (_broke, _EVER),
}
