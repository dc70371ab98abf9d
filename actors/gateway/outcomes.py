"""How a request ends: the one fact that tells its outcome, and what its caller is given last.

Pure. Must not know what led there.
"""

from __future__ import annotations

from typing import Final

from actors.gateway import dialect
from actors.gateway.admission import Refusal
from actors.gateway.moves import Answer, Break, CallerLeft, Ended, Finish, Output, Own, Publish
from actors.gateway.route_terms import SEVERAL
from actors.gateway.state import Exchange, Result, changed, listing_of, own_fields, timing
from actors.gateway.usage import Reading
from schemas.events import RequestCancelled, RequestCompleted, RequestFailed

NOTHING: Final = Reading()
_MESSAGE: Final = 300


def over(state: Exchange) -> Exchange:
    """Return the state behind the outcome."""
    return changed(state, stage="over")


def complete(state: Exchange, happened: Ended) -> Result:
    """End well."""
    reading = happened.reading
    completed = RequestCompleted(
        request=state.request,
        session=state.session,
        provider=state.provider or "",
        status=state.status,
        timing=timing(state, happened.at),
        bytes_in=state.bytes_in,
        bytes_out=happened.bytes_out,
        usage=reading.usage,
        response=reading.response,
        requested_model=state.model,
        sent_model=state.sent_model,
        served_model=reading.model,
        attempts=state.attempt,
    )
    return over(state), (Finish(), *_owned(state), Publish(state.about, completed))


def _owned(state: Exchange) -> tuple[Output, ...]:
    """Note whose content the conversation holds now; a thread has a past of its own."""
    who, plan = state.attribution, state.plan
    if state.head.dialect != "openai.responses" or state.head.method != "POST" or who is None or plan is None:
        return ()
    conversation = who.thread or who.session
    account = SEVERAL if state.choice is not None and state.choice.strip else listing_of(state).account
    if conversation is None or account == plan.owner:
        return ()
    return (Own(conversation, account),)


def fail(
    state: Exchange, at: float, code: str, message: str, *, status: int, bytes_out: int = 0, reading: Reading = NOTHING
) -> Result:
    """End badly; ``status`` is what the caller was given."""
    failed = RequestFailed(
        request=state.request,
        session=state.session,
        phase=state.phase,
        code=code,
        message=message[:_MESSAGE],
        status=status,
        timing=timing(state, at),
        provider=state.provider,
        upstream_status=state.status or None,
        bytes_in=state.bytes_in,
        bytes_out=bytes_out,
        usage=reading.usage,
        response=reading.response,
        requested_model=state.model,
        sent_model=state.sent_model,
        served_model=reading.model,
        attempts=state.attempt,
    )
    return over(state), (*received(state), Publish(state.about, failed))


def refuse(state: Exchange, at: float, refusal: Refusal, fields: tuple[tuple[str, str], ...] = ()) -> Result:
    """End with an answer of our own."""
    state, outputs = fail(state, at, refusal.code, refusal.message, status=refusal.status)
    return state, (*outputs, answer(state, refusal, fields))


def answer(state: Exchange, refusal: Refusal, fields: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Write an answer of our own in the caller's dialect."""
    body = dialect.error_body(state.head.dialect, refusal.status, refusal.code, refusal.message, state.request)
    return Answer(refusal.status, body, (*own_fields(state), ("x-request-id", state.request), *fields), refusal.close)


def cancel(state: Exchange, happened: CallerLeft) -> Result:
    """End because the caller left."""
    phase = state.phase
    if phase == "admission":
        return over(state), ()
    reading = happened.reading
    cancelled = RequestCancelled(
        request=state.request,
        session=state.session,
        phase=phase,
        timing=timing(state, happened.at),
        provider=state.provider,
        bytes_in=state.bytes_in,
        bytes_out=happened.bytes_out,
        usage=reading.usage,
        response=reading.response,
        requested_model=state.model,
        sent_model=state.sent_model,
        served_model=reading.model,
        attempts=state.attempt,
    )
    return over(state), (*received(state), Publish(state.about, cancelled))


def received(state: Exchange) -> tuple[Output, ...]:
    """Tell that the request came, if that was not told yet: it is told with who sent it."""
    if state.stage != "attribution" or state.received is None:
        return ()
    return (Publish(f"request/{state.request}", state.received),)


def broken_off(state: Exchange, code: str, text: str, response: str | None) -> Break:
    """Write the last bytes of an answer that its caller has begun to read."""
    name = state.head.dialect
    last = dialect.stream_error(name, code, text, response) if state.streaming else b""
    return Break(last, ended=bool(last) and name in dialect.ERROR_ENDS_STREAM)
