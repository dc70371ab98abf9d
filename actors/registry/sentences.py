"""An explanation in sentences: verdict, identity, process, terminal, requests, contradictions, activity.

Written for the person in front of the tab; every sentence names the position, request or statement that it rests on. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from actors.registry import files, judgement
from actors.registry.state import Session, State
from schemas.identity import process_id
from schemas.rows import SessionRow

_RANKS = {
    1: "told by us",
    2: "the kernel",
    3: "declared by the process",
    4: "declared by the request",
    5: "declared by a transcript",
}
_ENDPOINTS = {"gateway": "this gateway", "other": "elsewhere", "unknown": "a place that is not known"}


def because(state: State, session: Session, row: SessionRow) -> Iterator[str]:
    """Yield the sentences that explain a row."""
    yield _verdict(session, row)
    yield from _identity(state, session, row)
    yield from _origin(row)
    yield from _bridge(state, session)
    yield from _process(state, session, row)
    yield from _terminal(state, session, row)
    yield from _transcript(row)
    yield from _requests(session, row)
    yield from _contradictions(state, session, row)
    yield from _status(row)


def _verdict(session: Session, row: SessionRow) -> str:
    proved = judgement.proof(session)
    if proved is None:
        return f"unverified: {'; '.join(row.missing)}"
    source = _RANKS.get(proved.rank, "")
    where = f"rank {proved.rank} ({source}) at position {proved.at.position}"
    return f"verified: the sender of request {proved.request} is proven by {where}"


def _identity(state: State, session: Session, row: SessionRow) -> Iterator[str]:
    if row.aliases:
        yield f"known before, or also, as {', '.join(row.aliases)}"
    if session.provisional:
        yield "provisional: its conversation is not known; it is kept by launch or process"
    threads = Counter(files.threads_inside(state, session).values())
    if threads:
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(threads.items()))
        yield f"threads inside it: {parts}; sub-agents and reviews are no sessions of their own"


def _origin(row: SessionRow) -> Iterator[str]:
    if row.parent is None:
        return
    if row.relation is None:
        yield f"its process was started by an agent that has {row.parent}"
    elif row.relation == "succeeds":
        yield f"it comes after {row.parent}: the same process had that one before it"
    else:
        yield f"it {row.relation} {row.parent}"


def _bridge(state: State, session: Session) -> Iterator[str]:
    bridge = judgement.driver(state, session)
    if bridge is not None:
        process = "" if bridge.process is None else f", process {process_id(bridge.process)}"
        yield f"Tabwire drives it, by the bridge {bridge.id}{process}: `tabwire chat {bridge.id}` talks to it"


def _process(state: State, session: Session, row: SessionRow) -> Iterator[str]:
    held = judgement.processes(state, session)
    if not held:
        yield "no process of it is known"
        return
    if row.process is not None:
        how = ", by a declaration alone" if row.declared else ""
        yield f"its process is {process_id(row.process)} ({row.process_kind}){how}"
    if row.unreadable:
        yield f"the process cannot be read: {row.unreadable}"
    if row.endpoint is not None:
        where = f" ({row.endpoint.origin})" if row.endpoint.origin else ""
        yield f"its base_url leads to {_ENDPOINTS[row.endpoint.verdict]}{where}: {row.endpoint.source}"
    if len(held) > 1:
        living = sum(process.exited is None for process in held)
        yield f"{len(held)} processes have sent or stood for it, {living} of them living"
    for claim in session.claims.values():
        if claim.rejected and claim.process is not None:
            yield f"process {process_id(claim.process)} claims it in vain: {claim.rejected}"


def _transcript(row: SessionRow) -> Iterator[str]:
    if row.transcript is None:
        return
    claims = f"; it claims the provider {row.agent_provider}" if row.agent_provider else ""
    yield f"its transcript is {row.transcript}{claims}"
    if row.transcript_usage is not None:
        yield f"{row.transcript_usage.total} tokens of it are known from the transcript alone: those did not pass the gateway"


def _status(row: SessionRow) -> Iterator[str]:
    since = f" since {row.status_since}" if row.status_since else ""
    yield f"{row.status}{since}, by {row.status_source}: {row.status_reason}"


def _terminal(state: State, session: Session, row: SessionRow) -> Iterator[str]:
    if row.terminal is None:
        yield f"no terminal is claimed: {row.terminal_missing}"
        return
    best = [
        line
        for process in judgement.processes(state, session)
        for key, line in judgement.best_terminals(process)
        if key == row.terminal
    ]
    if best:
        said = min(best, key=lambda line: line.evidence.rank).evidence
        yield f"its terminal is {row.terminal}, by rank {int(said.rank)} ({_RANKS[int(said.rank)]}: {said.kind})"
    else:
        yield f"its terminal is {row.terminal}, as its launch recorded it"


def _requests(session: Session, row: SessionRow) -> Iterator[str]:
    if row.requests:
        outcomes = f"{row.in_flight} in flight, {row.failures} failed, {row.cancellations} cancelled"
        routed = f"; routed to {row.routing_provider}" if row.routing_provider else ""
        yield f"{_count(row.requests, 'request')}: {outcomes}{routed}"
    if row.auxiliary_requests:
        more = _count(row.auxiliary_requests, "request")
        yield f"{more} more of no conversation (titles, model lists), counted for its process only"
    for name, claim in session.disputes.items():
        if claim.rejected:
            yield f"{claim.requests} of its requests claimed {name}: {claim.rejected}"


def _contradictions(state: State, session: Session, row: SessionRow) -> Iterator[str]:
    if not row.conflicts:
        return
    yield f"{_count(row.conflicts, 'contradiction')}; what ranks higher stands:"
    for _, said in judgement.conflicts(state, session).values():
        yield f"rejected {said.proves} {said.value} (rank {int(said.rank)}, {said.kind}): {said.rejected}"
    if session.conflicts_omitted:
        yield f"{session.conflicts_omitted} more contradictions are counted and not listed"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
