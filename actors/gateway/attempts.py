"""A request's attempts: from the decision where it goes to the first byte of an answer that its caller is given.

Theory of operation
-------------------
Each attempt asks one of the decision's choices, in their order, with ``request.routed``:

    [Rewrite] → Rewritten → [Send] → HeadCame ─ 2xx ─────────────→ [Relay]
     only when the choice     │         │        with alternatives: [HoldBack] → Released → [Relay]
     changes something        │         │                              └→ Collected (an error before any output)
                              │         └ 4xx, 5xx → [Collect] → Collected → the next choice, an answer of ours, or [Relay]
                              └→ UpstreamFailed → the next choice, or an answer of ours

What a failure leads to depends on whose it is. Another provider is asked (``request.retried``) when this one could not be
reached, broke off, is overloaded, limits the rate, has no quota left, or refuses a key of ours; a silence only where
``failover.retry_timeouts`` says so, since the provider may still be at work. What the caller did wrong is the caller's. Nothing
goes elsewhere once a byte of an answer was relayed, beyond ``failover.attempts``, or later than ``failover.seconds`` after the
first attempt began. Reasoning that an account cannot read is the one fault that is repaired: the request goes to the same
provider once more without it, whatever these bounds say.

The answer that the caller gets is that of the last attempt; those before it are told as facts. An answer is held back only
while there is an alternative, so without one nothing is delayed.

Each attempt's end is told to the breaker (``Observe``), once. Pure. Must not know how choices are made, nor what follows the
first byte.
"""

from __future__ import annotations

from typing import Any, Final

from actors.gateway import faults
from actors.gateway.admission import Refusal
from actors.gateway.moves import (
    Answer,
    BodyRead,
    Collect,
    Collected,
    HeadCame,
    HoldBack,
    Observe,
    Output,
    Publish,
    Relay,
    Released,
    Rewrite,
    Rewritten,
    Send,
    UpstreamFailed,
)
from actors.gateway.outcomes import fail, refuse
from actors.gateway.route_terms import Asker, Choice, Decision, Wanted
from actors.gateway.routing import route
from actors.gateway.state import Exchange, Plan, Result, Stage, changed, listing_of, own_fields, policy, since
from schemas.envelope import subject
from schemas.events import Candidate, RequestRetried, RequestRouted
from schemas.identity import process_session

_OK: Final = 200
_REDIRECT: Final = 300
_NOT_MODIFIED: Final = 304  # which leads nowhere else
_BAD: Final = 400
_LINE: Final = 300
_STREAM: Final = "text/event-stream"
_HELD: Final = ("application/json", _STREAM)
# Dialects whose streams have an event that ends them.
ENDING: Final = ("openai.responses", "anthropic.messages", "gemini.generate")
_ELSEWHERE: Final = ("rate", "quota", "overloaded", "server")
_ONE_CONVERSATION: Final = ("tui", "exec")  # processes whose provisional session can be but one conversation


# ------------------------------------------------------------------------------------------------------------ the decision


def decide(state: Exchange, happened: BodyRead) -> Result:
    """Decide where the request goes, and begin."""
    wanted = Wanted(state.head.dialect, happened.seen, happened.owner)
    asker = _asker(state, pinned=bool(happened.table.index))
    decision = route(asker, wanted, happened.table, happened.health, happened.verdict, happened.wall)
    plan = Plan(decision, happened.table, happened.seen, happened.owner, happened.at, happened.wall)
    if not decision.choices:
        return _undecided(changed(state, bytes_in=happened.size, plan=plan, why=decision.reason), happened.at, decision)
    choices = decision.choices
    return _attempt(state, choices[0], choices[1:], why=decision.reason, bytes_in=happened.size, plan=plan)


def _asker(state: Exchange, *, pinned: bool) -> Asker:
    """Return who asks, as pins name it; where there are none, only a launch has a wish."""
    who = state.attribution
    if who is None:
        return Asker()
    if not pinned:
        return Asker(who.session, launch=who.launch)
    also: tuple[str, ...] = () if who.launch is None else (who.launch.launch,)
    if who.process is not None and who.process_kind in _ONE_CONVERSATION:
        also = (*also, process_session(who.process))
    return Asker(who.session, who.terminal, who.cwd, who.launch, also)


def _undecided(state: Exchange, at: float, decision: Decision) -> Result:
    told: list[Output] = [Publish(state.about, _routed(state, decision, decision.candidates))]
    if (needed := decision.undecided) is not None:
        about = subject("session", needed.target) if needed.kind == "session" else f"pin/{needed.kind}"
        told.append(Publish(about, needed))
    state, outputs = refuse(state, at, policy(state, decision.code, decision.refusal))
    return state, (*told, *outputs)


def _routed(
    state: Exchange, decision: Decision, candidates: tuple[Candidate, ...], changes: tuple[str, ...] = ()
) -> RequestRouted:
    return RequestRouted(
        request=state.request,
        session=state.session,
        provider=state.provider or "none",
        reason=state.why[:_LINE],
        candidates=candidates,
        requested_model=state.model,
        sent_model=state.sent_model,
        pin=decision.pin,
        attempt=max(1, state.attempt),
        changes=changes,
    )


# ------------------------------------------------------------------------------------------------------------ one attempt


def _attempt(state: Exchange, choice: Choice, left: tuple[Choice, ...], **more: Any) -> Result:
    """Begin an attempt, behind the change of the body that it needs; ``more`` of the state changes with it."""
    rewrites = choice.model is not None or choice.strip
    state = changed(
        state,
        stage="rewriting" if rewrites else "connect",
        choice=choice,
        left=left,
        attempt=more.pop("attempt", state.attempt) + 1,
        status=0,
        fault="",
        streaming=False,
        upstream_head_ms=None,
        **more,
    )
    return (state, (Rewrite(choice.model, choice.strip),)) if rewrites else _send(state, ())


def rewritten(state: Exchange, happened: Rewritten) -> Result:
    """Send what was rewritten; what cannot be rewritten cannot go to this provider."""
    if not happened.problem:
        return _send(changed(state, stage="connect"), happened.changes)
    failed = (*state.failed, (state.provider or "", happened.problem))
    if state.left:
        why = f"{state.provider} is passed over: {happened.problem}"
        return _attempt(state, state.left[0], state.left[1:], failed=failed, why=why, attempt=state.attempt - 1)
    decision = _plan(state).decision
    state = changed(state, stage="routing", choice=None, attempt=state.attempt - 1, failed=failed, why=happened.problem)
    told = Publish(state.about, _routed(state, decision, _candidates(state, decision)))
    state, outputs = refuse(state, happened.at, policy(state, "cannot_rewrite", happened.problem))
    return state, (told, *outputs)


def _send(state: Exchange, changes: tuple[str, ...]) -> Result:
    decision = _plan(state).decision
    routed = _routed(state, decision, _candidates(state, decision), changes)
    return state, (Publish(state.about, routed), Send(routed.provider, routed.sent_model or ""))


def _plan(state: Exchange) -> Plan:
    if state.plan is None:
        raise LookupError("nothing was decided")
    return state.plan


def _candidates(state: Exchange, decision: Decision) -> tuple[Candidate, ...]:
    """Say of each candidate what became of it by this attempt."""
    if state.attempt == 1 and not state.failed:
        return decision.candidates
    failed = dict(state.failed)
    told = []
    for one in decision.candidates:
        skipped = "" if one.provider == state.provider else failed.get(one.provider, one.skipped)
        told.append(Candidate(provider=one.provider, skipped=skipped[:_LINE], model=one.model))
    return tuple(told)


def head_came(state: Exchange, happened: HeadCame) -> Result:
    """Relay an answer, hold it back, or collect a refusal."""
    status = happened.status
    if not (_OK <= status < _REDIRECT or status >= _BAD or status == _NOT_MODIFIED):
        return upstream_failed(state, UpstreamFailed(happened.at, "redirect", f"status {status}"))
    stage, output = _by_head(state, happened)
    streaming = happened.content_type.startswith(_STREAM)
    state = changed(state, stage=stage, status=status, streaming=streaming, upstream_head_ms=since(state, happened.at))
    return state, (output,)


def _by_head(state: Exchange, happened: HeadCame) -> tuple[Stage, Output]:
    if happened.status >= _BAD:
        return "collecting", Collect()
    if state.left and _holdable(state, happened.content_type) and _may_go_on(state, happened.at):
        return "held", HoldBack()
    return "response_head", Relay(own_fields(state))


def _holdable(state: Exchange, content_type: str) -> bool:
    return content_type.startswith(_HELD) or state.head.dialect == "auggie"


def _relay(state: Exchange) -> Result:
    return changed(state, stage="response_head"), (Relay(own_fields(state)),)


def released(state: Exchange, happened: Released) -> Result:
    """Relay what was held back."""
    del happened
    return _relay(state)


# ------------------------------------------------------------------------------------------------------------ its failure


def collected(state: Exchange, happened: Collected) -> Result:
    """Take a refusal, or an answer that failed before it held any output."""
    if state.stage == "held" and not happened.error:
        if state.streaming and state.head.dialect in ENDING:
            text = "ended before any output"
            return upstream_failed(state, UpstreamFailed(happened.at, "cut", text))
        return _relay(state)
    provider, wall = state.provider or "", _plan(state).wall_at(happened.at)
    fault = faults.read_fault(state.head.dialect, state.status, happened.fields, happened.body, wall)
    login = listing_of(state).passthrough
    observed = Observe(faults.outcome_of(fault, provider, state.sent_model or "", wall, passthrough=login))
    state = changed(state, fault=f"{fault.kind}: {fault.code}" if fault.code else fault.kind)
    text = f"provider {provider!r} answered {state.status} ({state.fault})"
    if fault.kind == "encrypted_content" and (stripped := _stripped(state)) is not None:
        retried = _retried(state, "encrypted_content", text)
        why = "asked once more, without the reasoning that it cannot read"
        state, outputs = _attempt(state, stripped, state.left, why=why)
        return state, (observed, retried, *outputs)
    if fault.kind in _ELSEWHERE or (fault.kind == "auth" and not login):
        further = _next(state, happened.at, "upstream_status", text)
        if further is not None:
            return further[0], (observed, *further[1])
    state, outputs = _answered(state, happened, fault, text)
    return state, (observed, *outputs)


def _answered(state: Exchange, happened: Collected, fault: faults.Fault, text: str) -> Result:
    """Give the caller what its agent does the right thing with; as it came where that is it."""
    provider, passthrough = state.provider or "", listing_of(state).passthrough
    adapted = faults.adapt(
        state.head.dialect, fault, state.status, provider=provider, passthrough=passthrough, body=happened.body
    )
    if adapted is not None:
        own = (*own_fields(state), *adapted.fields)
        state, outputs = fail(state, happened.at, "upstream_status", text, status=adapted.status)
        return state, (*outputs, Answer(adapted.status, adapted.body, own))
    if happened.cut:
        return refuse(state, happened.at, Refusal(state.status, "upstream_status", f"{text} and broke off"))
    return _relay(state)


def upstream_failed(state: Exchange, happened: UpstreamFailed) -> Result:
    """Take a provider that could not be asked, or did not answer; its caller has nothing of it yet."""
    code, text = upstream_text(state.provider or "", happened)
    observed = Observe(faults.outcome_of_problem(happened.problem, state.provider or "", state.sent_model or ""))
    silent = happened.problem in ("first_byte_timeout", "idle_timeout")
    if not silent or (state.plan is not None and state.plan.table.failover.retry_timeouts):
        further = _next(state, happened.at, code, text)
        if further is not None:
            return further[0], (observed, *further[1])
    told = faults.told(state.head.dialect, happened.problem)
    state, outputs = refuse(state, happened.at, Refusal(told.status, code, text), told.fields)
    return state, (observed, *outputs)


def _next(state: Exchange, at: float, code: str, text: str) -> Result | None:
    """Ask the next choice, if there is one and the bounds allow it."""
    if not state.left or not _may_go_on(state, at):
        return None
    retried = _retried(state, code, text)
    failed = (*state.failed, (state.provider or "", text))
    state, outputs = _attempt(state, state.left[0], state.left[1:], failed=failed, why=f"after {text}")
    return state, (retried, *outputs)


def _may_go_on(state: Exchange, at: float) -> bool:
    if state.plan is None:
        return False
    rules = state.plan.table.failover
    return state.attempt < rules.attempts and at - state.plan.at < rules.seconds


def _stripped(state: Exchange) -> Choice | None:
    """Return the same choice without reasoning, if there is reasoning that may be left out."""
    plan, choice = _plan(state), state.choice
    if plan.table.failover.encrypted_content != "strip" or not plan.seen.encrypted or choice is None or choice.strip:
        return None
    return Choice(choice.provider, choice.model, strip=True)


def _retried(state: Exchange, code: str, text: str) -> Publish:
    fact = RequestRetried(
        request=state.request,
        session=state.session,
        provider=state.provider or "",
        code=code,
        message=text[:_LINE],
        attempt=state.attempt,
        upstream_status=state.status or None,
    )
    return Publish(state.about, fact)


def upstream_text(provider: str, happened: UpstreamFailed) -> tuple[str, str]:
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
