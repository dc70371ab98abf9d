"""One request from its head to its outcome, as a state machine: what happened goes in, what to do comes out.

Theory of operation
-------------------
``begin`` takes the head; ``step`` takes each later input, in the order in which things happen to a request:

    begin → [Identify] → Identified → [ReadBody] → BodyRead → [Send] → HeadCame → [Relay] → FirstByte → Ended
                                      BodyFailed              UpstreamFailed               UpstreamFailed
    CallerLeft may come at any point, and nothing is done after it but to tell.

Outputs are performed by the shell in order. Every request that was let in ends in exactly one of ``request.completed``,
``request.failed`` and ``request.cancelled``; a refused one in ``request.failed`` alone. This module alone makes the
``request.*`` facts. Refusals of the protocol itself (a websocket upgrade) are no requests and no facts.

Success is the end of the stream as its dialect says it, not the status line. What was sent to a caller is never taken
back: after the first byte a failure is the dialect's error event, never an event that means success, and the connection is
closed. Behind ``response.failed`` HTTP's framing is ended, behind any other it stays torn (``dialect.ERROR_ENDS_STREAM``).

Pure: times come with the inputs (seconds of a monotonic clock). Must not know sockets, the bus, or how identity is found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from actors.gateway import admission, dialect, limits, routing
from actors.gateway.admission import Door, Kernel, Refusal
from actors.gateway.attribution import Attribution, attribute, launch_id
from actors.gateway.claims import Claims, read_claims
from actors.gateway.head import Head
from actors.gateway.moves import (
    Answer,
    BodyFailed,
    BodyRead,
    Break,
    Broke,
    CallerLeft,
    Ended,
    Finish,
    FirstByte,
    HeadCame,
    Identified,
    Identify,
    Input,
    Output,
    Publish,
    ReadBody,
    Relay,
    Send,
    TurnedAway,
    UpstreamFailed,
)
from actors.gateway.usage import Reading
from schemas.envelope import subject
from schemas.events import (
    RequestAttributed,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestFirstByte,
    RequestReceived,
    RequestRouted,
    Timing,
)
from schemas.identity import RequestId, SessionId

Phase = Literal["admission", "attribution", "routing", "connect", "response_head", "stream", "over"]

_OK: Final = 200
_REDIRECT: Final = 300
_BAD: Final = 400
_STREAM: Final = "text/event-stream"
_NOTHING: Final = Reading()
_ENDING: Final = ("openai.responses", "anthropic.messages")  # dialects whose streams have an event that ends them


# ------------------------------------------------------------------------------------------------------------ state


class Exchange(Struct, frozen=True):
    """Where one request stands."""

    request: RequestId
    head: Head
    claims: Claims
    started: float
    phase: Phase
    about: str
    attribution: Attribution | None = None
    attribution_ms: float | None = None
    provider: str | None = None
    model: str | None = None
    bytes_in: int = 0
    status: int = 0
    streaming: bool = False
    upstream_head_ms: float | None = None
    first_byte_ms: float | None = None

    @property
    def session(self) -> SessionId | None:
        """Return the session that the request counts for."""
        return None if self.attribution is None else self.attribution.session

    @property
    def over(self) -> bool:
        """Tell whether the request has its outcome."""
        return self.phase == "over"


Result = tuple[Exchange, tuple[Output, ...]]


def begin(request: RequestId, at: float, door: Door, head: Head, kernel: Kernel, *, peer: str) -> Result:
    """Take the head of a request: let it in, or refuse it."""
    state = Exchange(request, head, read_claims(head.fields), at, "admission", f"request/{request}")
    if (refusal := admission.check_method(head)) is not None:
        return _refuse(state, at, refusal)
    if head.target.place != "api":
        return _refuse(
            state, at, Refusal(404, "not_found", f"nothing is served at {head.target.shown[:100]}; APIs are under /v1/")
        )
    if (refusal := admission.check_head(door, head, kernel)) is not None:
        return _refuse(state, at, refusal)
    if head.upgrade:
        return _over(state), (_upgrade_refused(state),)
    received = RequestReceived(request=request, method=head.method, path=head.target.shown, dialect=head.dialect, peer=peer)
    return _in(state, "attribution"), (Publish(state.about, received), Identify(head.target.token))


def step(state: Exchange, happened: Input) -> Result:
    """Take what happened to a request; after its outcome nothing more happens."""
    if state.over:
        return state, ()
    return _STEPS[type(happened)](state, happened)


@lru_cache(maxsize=1024)
def _session_subject(session: SessionId) -> str:
    return subject("session", session)


# ------------------------------------------------------------------------------------------------------------ steps


def _identified(state: Exchange, happened: Identified) -> Result:
    standing = happened.launch
    if standing.worth == "unknown":
        text = "this launch token is not known here; start the agent again with `tabwire run`"
        return _refuse(state, happened.at, _policy(state, "unknown_launch", text))
    if standing.worth == "ended":
        name = "" if standing.record is None else f" {standing.record.launch}"
        text = f"the launch{name} of this token has ended; start the agent again with `tabwire run`"
        return _refuse(state, happened.at, _policy(state, "launch_ended", text))
    who = attribute(happened.caller, standing, state.claims)
    elapsed = _ms(happened.at - state.started)
    about = state.about if who.session is None else _session_subject(who.session)
    state = msgspec.structs.replace(state, phase="routing", about=about, attribution=who, attribution_ms=elapsed)
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
    return state, (Publish(about, attributed), ReadBody())


def _body_read(state: Exchange, happened: BodyRead) -> Result:
    state = msgspec.structs.replace(state, bytes_in=happened.size, model=happened.model)
    decision = routing.route(_preferences(state, happened.default), happened.providers)
    routed = RequestRouted(
        request=state.request,
        session=state.session,
        provider=decision.provider or "none",
        reason=decision.reason,
        candidates=decision.candidates,
        requested_model=happened.model,
        sent_model=None if decision.provider is None else happened.model,
    )
    if decision.provider is None:
        state, outputs = _refuse(state, happened.at, _policy(state, "no_provider", decision.reason))
        return state, (Publish(state.about, routed), *outputs)
    state = msgspec.structs.replace(state, phase="connect", provider=decision.provider)
    return state, (Publish(state.about, routed), Send(decision.provider))


def _preferences(state: Exchange, default: str) -> tuple[routing.Preference, ...]:
    wishes = []
    launch = None if state.attribution is None else state.attribution.launch
    if launch is not None and launch.provider is not None:
        wishes.append(routing.Preference(launch.provider, f"asked for by {launch.launch}"))
    wishes.append(routing.Preference(default, "the default provider"))
    return tuple(wishes)


def _body_failed(state: Exchange, happened: BodyFailed) -> Result:
    refusal = {
        "too_large": Refusal(413, "body_too_large", f"the body may have {limits.BODY} bytes", close=True),
        "too_slow": Refusal(408, "body_too_slow", "the body did not arrive in time", close=True),
        "malformed": Refusal(400, "body_malformed", "the body does not keep the framing that its header announced", close=True),
        "busy": Refusal(503, "busy", "too many request bodies are held at once; try again", close=True),
    }[happened.problem]
    return _refuse(state, happened.at, refusal)


def _head_came(state: Exchange, happened: HeadCame) -> Result:
    if not (_OK <= happened.status < _REDIRECT or happened.status >= _BAD):
        return _upstream_failed(state, UpstreamFailed(happened.at, "redirect", f"status {happened.status}"))
    streaming = happened.content_type.startswith(_STREAM)
    state = msgspec.structs.replace(
        state, phase="response_head", status=happened.status, streaming=streaming, upstream_head_ms=_since(state, happened.at)
    )
    return state, (Relay(_own(state)),)


def _first_byte(state: Exchange, happened: FirstByte) -> Result:
    elapsed = _since(state, happened.at)
    state = msgspec.structs.replace(state, phase="stream", first_byte_ms=elapsed)
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
    if state.status >= _BAD:
        return _end_badly(state, happened, "upstream_status", f"{name} answered {state.status}", Finish())
    if state.streaming and reading.ending is None and state.head.dialect in _ENDING:
        text = f"{name} ended the stream without the event that ends an answer"
        last = dialect.stream_error(state.head.dialect, "stream_truncated", text, reading.response)
        return _end_badly(state, happened, "stream_truncated", text, _break(state, last))
    if reading.ending == "failed":
        text = f"{name} ended its answer with the error {reading.error or 'unnamed'!r}"
        return _end_badly(state, happened, "response_failed", text, Finish())
    completed = RequestCompleted(
        request=state.request,
        session=state.session,
        provider=state.provider or "",
        status=state.status,
        timing=_timing(state, happened.at),
        bytes_in=state.bytes_in,
        bytes_out=happened.bytes_out,
        usage=reading.usage,
        response=reading.response,
        requested_model=state.model,
        served_model=reading.model,
    )
    return _over(state), (Finish(), Publish(state.about, completed))


def _end_badly(state: Exchange, happened: Ended | UpstreamFailed, code: str, text: str, last: Output) -> Result:
    state, outputs = _fail(
        state, happened.at, code, text, status=state.status, bytes_out=happened.bytes_out, reading=happened.reading
    )
    return state, (last, *outputs)


def _upstream_failed(state: Exchange, happened: UpstreamFailed) -> Result:
    code, text = _upstream_text(state.provider or "", happened)
    if state.phase in ("response_head", "stream"):
        last = dialect.stream_error(state.head.dialect, code, text, happened.reading.response) if state.streaming else b""
        return _end_badly(state, happened, code, text, _break(state, last))
    status = 504 if happened.problem in ("connect_timeout", "first_byte_timeout") else 502
    return _refuse(state, happened.at, Refusal(status, code, text))


def _broke(state: Exchange, happened: Broke) -> Result:
    text = "the gateway failed; see its log"
    if state.phase in ("response_head", "stream"):
        state, outputs = _fail(state, happened.at, "internal", text, status=state.status, bytes_out=happened.bytes_out)
        return state, (Break(), *outputs)
    return _refuse(state, happened.at, Refusal(500, "internal", text, close=True))


def _turned_away(state: Exchange, happened: TurnedAway) -> Result:
    if state.phase != "attribution":
        return state, ()
    return _refuse(state, happened.at, Refusal(503, "busy", happened.reason, close=True))


def _caller_left(state: Exchange, happened: CallerLeft) -> Result:
    phase = state.phase
    if phase == "admission" or phase == "over":  # noqa: PLR1714 - mypy narrows by comparison, not by membership
        return _over(state), ()
    if phase == "stream" and happened.reading.ending is not None:
        # It had the event that ends an answer and did not wait for HTTP's own end, as Codex does after a tool call.
        state, outputs = _ended(state, Ended(happened.at, happened.bytes_out, happened.reading))
        return state, tuple(output for output in outputs if isinstance(output, Publish))
    cancelled = RequestCancelled(
        request=state.request,
        session=state.session,
        phase=phase,
        timing=_timing(state, happened.at),
        provider=state.provider,
        bytes_in=state.bytes_in,
        bytes_out=happened.bytes_out,
        usage=happened.reading.usage,
        response=happened.reading.response,
        requested_model=state.model,
        served_model=happened.reading.model,
    )
    return _over(state), (Publish(state.about, cancelled),)


_STEPS: Final[dict[type[Any], Callable[[Exchange, Any], Result]]] = {
    Identified: _identified,
    BodyRead: _body_read,
    BodyFailed: _body_failed,
    HeadCame: _head_came,
    FirstByte: _first_byte,
    Ended: _ended,
    UpstreamFailed: _upstream_failed,
    CallerLeft: _caller_left,
    TurnedAway: _turned_away,
    Broke: _broke,
}


# ------------------------------------------------------------------------------------------------------------ parts


def _upstream_text(provider: str, happened: UpstreamFailed) -> tuple[str, str]:
    """Say which provider, what it did, and what to do."""
    name, detail = f"provider {provider!r}", f" ({happened.detail})" if happened.detail else ""
    todo = "start it, or name another with default_provider in config.toml"
    return {
        "refused": ("upstream_refused", f"{name} refused the connection{detail}; {todo}"),
        "unreachable": ("upstream_unreachable", f"{name} cannot be reached{detail}; check its base_url, or {todo}"),
        "tls": ("upstream_tls", f"{name} has no valid certificate{detail}; check its base_url"),
        "connect_timeout": ("upstream_connect_timeout", f"{name} did not take the connection in time{detail}; {todo}"),
        "first_byte_timeout": ("upstream_first_byte_timeout", f"{name} sent nothing in time{detail}; try again"),
        "idle_timeout": ("upstream_idle_timeout", f"{name} fell silent in the middle of its answer{detail}; try again"),
        "cut": ("upstream_cut", f"{name} broke the connection before the end of its answer{detail}; try again"),
        "malformed": ("upstream_malformed", f"{name} did not answer in valid HTTP{detail}; check its base_url"),
        "redirect": ("upstream_redirect", f"{name} redirects elsewhere{detail}, which is never followed; correct its base_url"),
    }[happened.problem]


def _policy(state: Exchange, code: str, message: str) -> Refusal:
    return Refusal(dialect.policy_status(state.head.dialect), code, message)


def _refuse(state: Exchange, at: float, refusal: Refusal) -> Result:
    state, outputs = _fail(state, at, refusal.code, refusal.message, status=refusal.status)
    return state, (*outputs, _answer(state, refusal.status, refusal.code, refusal.message, close=refusal.close))


def _fail(
    state: Exchange, at: float, code: str, message: str, *, status: int, bytes_out: int = 0, reading: Reading = _NOTHING
) -> Result:
    phase = state.phase
    failed = RequestFailed(
        request=state.request,
        session=state.session,
        phase="stream" if phase == "over" else phase,
        code=code,
        message=message[:300],
        status=status,
        timing=_timing(state, at),
        provider=state.provider,
        upstream_status=state.status or None,
        bytes_in=state.bytes_in,
        bytes_out=bytes_out,
        usage=reading.usage,
        response=reading.response,
        requested_model=state.model,
        served_model=reading.model,
    )
    return _over(state), (Publish(state.about, failed),)


def _break(state: Exchange, last: bytes) -> Break:
    return Break(last, ended=bool(last) and state.head.dialect in dialect.ERROR_ENDS_STREAM)


def _answer(state: Exchange, status: int, code: str, message: str, *, close: bool = False) -> Answer:
    body = dialect.error_body(state.head.dialect, status, code, message, state.request)
    return Answer(status, body, (*_own(state), ("x-request-id", state.request)), close)


def _upgrade_refused(state: Exchange) -> Answer:
    body = dialect.error_body(state.head.dialect, 426, "no_websockets", "websockets are not served; use HTTP", state.request)
    return Answer(426, body, (("upgrade", "HTTP/1.1"), ("connection", "Upgrade")), close=True)


def _own(state: Exchange) -> tuple[tuple[str, str], ...]:
    own = [("x-tabwire-request", str(state.request))]
    if state.session is not None:
        own.append(("x-tabwire-session", state.session))
    if state.provider is not None:
        own.append(("x-tabwire-provider", state.provider))
    return tuple(own)


def _timing(state: Exchange, at: float) -> Timing:
    return Timing(
        total_ms=_since(state, at),
        attribution_ms=state.attribution_ms,
        upstream_head_ms=state.upstream_head_ms,
        first_byte_ms=state.first_byte_ms,
    )


def _since(state: Exchange, at: float) -> float:
    return _ms(at - state.started)


def _ms(seconds: float) -> float:
    return max(0.0, round(seconds * 1000, 3))


def _in(state: Exchange, phase: Phase) -> Exchange:
    return msgspec.structs.replace(state, phase=phase)


def _over(state: Exchange) -> Exchange:
    return msgspec.structs.replace(state, phase="over")
