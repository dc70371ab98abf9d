"""Requests become claims: who sent what in whose name, what it proves, what it cost.

The part of ``fold`` for ``request.*``. A request counts for the session that the gateway named, at its first mention with a
session; a title request never counts for a conversation. Pure.
"""

from __future__ import annotations

from typing import Final

from actors.registry import quotas, usage
from actors.registry.claims import Claim, Proof
from actors.registry.files import INSIDE
from actors.registry.identity import put_inside
from actors.registry.lifetimes import join_launch, know_kind, note_process, terminal_statement
from actors.registry.state import OTHER, Choice, Flight, Session, State
from actors.registry.statements import at, note
from actors.registry.tables import (
    attach_launch,
    attach_process,
    claim_of,
    contradiction,
    flight_of,
    launch_of,
    name_agent,
    name_terminal,
    process_of,
    session_of,
    touch,
)
from schemas.envelope import Recorded
from schemas.events import (
    ProviderQuotaObserved,
    RequestAttributed,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestFirstByte,
    RequestReceived,
    RequestRetried,
    RequestRouted,
)
from schemas.evidence import Rank
from schemas.identity import RequestId, SessionId, is_provisional, process_session

_VERIFYING: Final = frozenset({"process", "launch", "conversation"})
_MODEL_METHODS: Final = frozenset({"POST", ""})
_UNPROVEN: Final = 9
_IN_FLIGHT: Final = "in flight"
_KINDS: Final = {"title": 0, "review": 1, "subagent": 2, "main": 3, "compaction": 4, "unknown": 5}


def received(state: State, event: Recorded, data: RequestReceived) -> None:
    """Remember how a request began; whom it counts for is not known yet."""
    flight_of(state, data.request, event.envelope.source).method = data.method


def attributed(state: State, event: Recorded, data: RequestAttributed) -> None:
    """Count a request for its session, keep every statement about it, and see what follows from them."""
    flight = flight_of(state, data.request, event.envelope.source)
    name = _counted_as(data)
    if name is None:
        state.unattributed += 1
        return
    session = state.sessions.get(name)
    if session is None:
        session = session_of(state, name, data.agent, event)
    claim = session.claims.get(data.process)
    if claim is None:
        claim = claim_of(state, session, data.process)
    touch(session, event)
    if flight.claim is None:
        _begin(state, flight, claim, event.envelope.time)
        flight.auxiliary = data.thread_kind == "title"
    _hear(state, claim, event, data)
    news = _keep(state, session, claim, event, data)
    facts = (data.process_kind, data.agent, data.terminal, data.launch, data.terminal_missing, data.conversation)
    if facts != claim.facts:
        claim.facts = facts
        _tie(state, session, claim, event, data)
        _prove(state, session, claim, event, data)
        state.unsettled[session.id] = None
    elif news or claim.proof is None:
        _prove(state, session, claim, event, data)
    elif claim.rejected:
        state.unsettled[session.id] = None  # whoever held it better may be gone by now


def _hear(state: State, claim: Claim, event: Recorded, data: RequestAttributed) -> None:
    """Remember that a process spoke in a session's name."""
    told = event.envelope.time
    if not claim.spoken or told < claim.began:
        claim.spoken = True
        state.unsettled[claim.session] = None
    claim.hear(told)
    claim.last_position = event.stamp.position
    if data.thread_kind not in INSIDE and told > claim.started:
        claim.started = told
    if data.cwd is not None:
        claim.cwd = data.cwd


def routed(state: State, event: Recorded, data: RequestRouted) -> None:
    """Keep a routing decision, for as long as it is one of the session's last."""
    found = _find(state, event, data.request, data.session)
    if found is None:
        return
    session, claim, flight = found
    claim.provider = data.provider
    claim.model = data.requested_model or claim.model
    choice = flight.choice = Choice(event.stamp.position, event.stamp.recordedtime, data, _IN_FLIGHT)
    session.decisions.append(choice)
    if len(session.decisions) > state.limits.decisions:
        session.decisions.popleft()


def first_byte(state: State, event: Recorded, data: RequestFirstByte) -> None:
    """See that a session's request is answered."""
    _find(state, event, data.request, data.session)


def retried(state: State, event: Recorded, data: RequestRetried) -> None:
    """Count an attempt that failed; the request goes on."""
    found = _find(state, event, data.request, data.session)
    if found is not None:
        usage.retried(state, found[1], found[2], event, data)


def finished(state: State, event: Recorded, data: RequestCompleted | RequestFailed | RequestCancelled) -> None:
    """End a request: its outcome, its tokens, what was asked for and what served it."""
    found = _find(state, event, data.request, data.session)
    own = state.flights.pop(data.request, None)
    if found is None:
        if data.provider:  # whoever sent it: the provider was asked, and counts it
            usage.ended(state, state.nobody, own or Flight(event.envelope.source), event, data)
        return
    session, claim, flight = found
    claim.in_flight -= 1
    claim.quiet, claim.outcome = event.envelope.time, ""
    state.dirty.setdefault(session.id, False)
    if isinstance(data, RequestFailed):
        claim.failures += 1
        outcome = claim.outcome = f"failed in {data.phase}: {data.code} ({data.status})"
    elif isinstance(data, RequestCancelled):
        claim.cancellations += 1
        outcome = f"cancelled in {data.phase}"
    else:
        outcome = f"completed {data.status}"
    if flight.choice is not None:
        flight.choice.outcome = f"{outcome} after {data.timing.total_ms:.0f} ms"
    claim.model = data.requested_model or claim.model
    claim.served_model = data.served_model or claim.served_model
    claim.provider = data.provider or claim.provider
    usage.ended(state, claim, flight, event, data)


def quota_observed(state: State, event: Recorded, data: ProviderQuotaObserved) -> None:
    """Know a quota window of a provider."""
    quotas.observed(state.quotas, event.envelope.time, data)


def agent_of(session: SessionId) -> str:
    """Return the agent that a session's id names."""
    return OTHER if is_provisional(session) else session.partition("-")[0]


def _counted_as(data: RequestAttributed) -> SessionId | None:
    """Return the session that a request counts for: a title request's is its launch or process, never a conversation."""
    if data.thread_kind == "title" and data.session is not None and not is_provisional(data.session):
        if data.launch is not None:
            return SessionId(data.launch)
        return None if data.process is None else process_session(data.process)
    return data.session


def _keep(state: State, session: Session, claim: Claim, event: Recorded, data: RequestAttributed) -> bool:
    """Keep what a request says of its thread and every statement about it; tell whether one could change a conclusion."""
    if data.thread is not None and session.threads.get(data.thread) != data.thread_kind:
        _know_thread(state, session, data, data.thread)
    news = False
    for evidence in data.evidence:
        if note(session.lines, evidence, event, state.limits.statements):
            news = True
            if evidence.conflict:
                contradiction(state, session, evidence, event)
        elif evidence.proves == "conversation" and evidence.rank < claim.rank:
            news = True  # said before of another process, and now of this one
    return news


def _know_thread(state: State, session: Session, data: RequestAttributed, thread: str) -> None:
    """Know a thread by the most telling kind that it was named with; one inside a conversation is none of its own."""
    known = session.threads.get(thread)
    if known is None and len(session.threads) >= state.limits.threads:
        return
    if known is None or _KINDS[data.thread_kind] < _KINDS[known]:
        session.threads[thread] = data.thread_kind
    if data.thread_kind in INSIDE or data.thread_kind == "title":
        put_inside(state, SessionId(f"{data.agent}-{thread}"), session.id)


def _begin(state: State, flight: Flight, claim: Claim, told: str) -> None:
    flight.claim = claim
    claim.requests += 1
    if claim.in_flight == 0:
        claim.busy = told
    claim.in_flight += 1
    state.dirty.setdefault(claim.session, False)


def _find(state: State, event: Recorded, request: RequestId, named: SessionId | None) -> tuple[Session, Claim, Flight] | None:
    """Return what a later event of a request counts for; where the beginning was lost, it counts from here on."""
    flight = state.flights.get(request)
    if flight is not None and flight.claim is not None:
        session = state.sessions.get(flight.claim.session)
        if session is not None:
            touch(session, event)
            return session, flight.claim, flight
    if named is None:
        return None
    session = session_of(state, named, agent_of(named), event)
    touch(session, event)
    flight = flight or flight_of(state, request, event.envelope.source)
    claim = claim_of(state, session, None)
    _begin(state, flight, claim, event.envelope.time)
    return session, claim, flight


def _tie(state: State, session: Session, claim: Claim, event: Recorded, data: RequestAttributed) -> None:
    """Tie session, process and launch of a request to each other."""
    if data.conversation is not None and not session.provisional:
        session.conversation = data.conversation
    name_agent(session, data.agent, Rank.KERNEL)
    launch = None if data.launch is None else launch_of(state, data.launch, event)
    if launch is not None:
        claim.launch = launch.id
        attach_launch(state, session, launch, event)
    if data.process is None:
        return
    process = process_of(state, data.process, event)
    name_agent(process, data.agent, Rank.KERNEL)
    know_kind(state, process, data.process_kind)
    attach_process(state, session, process)
    note_process(state, process, data.terminal_missing)
    if data.terminal is not None:
        name_terminal(state, process, data.terminal, terminal_statement(data.terminal, data.evidence, "request"), event)
    if launch is not None:
        join_launch(state, process, launch, event)
    elif process.launch is not None:
        attach_launch(state, session, launch_of(state, process.launch, event), event)


def _prove(state: State, session: Session, claim: Claim, event: Recorded, data: RequestAttributed) -> None:
    """Let a request prove what its best believed statements allow."""
    best = holding = _UNPROVEN
    for evidence in data.evidence:
        if not evidence.rejected and evidence.proves in _VERIFYING:
            best = min(best, evidence.rank)
            if evidence.proves == "conversation":
                holding = min(holding, evidence.rank)
    claim.best = min(claim.best, best)
    holding = Rank.REQUEST_DECLARED if holding == _UNPROVEN else holding
    if holding < claim.rank:
        claim.rank = Rank(holding)
        state.unsettled[session.id] = None
    if claim.proof is not None or best > Rank.KERNEL or (data.process is None and data.launch is None):
        return
    flight = state.flights.get(data.request)
    method = "" if flight is None else flight.method
    if session.provisional and (data.thread_kind == "title" or method not in _MODEL_METHODS):
        return
    claim.proof = Proof(at(event), data.request, int(best))
    state.stir(session.id)
    if claim.rejected and data.process is not None:
        state.stir(process_session(data.process))
