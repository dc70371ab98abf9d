"""The way of one past request, put together from its facts: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from schemas.envelope import Recorded
from schemas.events import (
    RequestAttributed,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestReceived,
    RequestRetried,
    RequestRouted,
)
from schemas.provider_rows import AttemptRow, RequestTrace

ENDS: Final = (RequestCompleted, RequestFailed, RequestCancelled)
_Outcome = RequestCompleted | RequestFailed | RequestCancelled


@dataclass
class Tracing:
    """A trace while facts come in."""

    trace: RequestTrace
    over: bool = False

    def take(self, event: Recorded) -> None:
        """Take the next fact of the request."""
        data, trace = event.envelope.data, self.trace
        match data:
            case RequestReceived():
                self.trace = replace(
                    trace, received=event.envelope.time, method=data.method, path=data.path, dialect=data.dialect
                )
            case RequestAttributed():
                self.trace = replace(
                    trace,
                    session=data.session,
                    terminal=data.terminal,
                    cwd=data.cwd,
                    agent=data.agent,
                    evidence=data.evidence,
                )
            case RequestRouted():
                self._routed(event, data)
            case RequestRetried():
                self._ended(
                    f"failed: {data.code}{f' ({data.upstream_status})' if data.upstream_status else ''}: {data.message}"
                )
            case RequestCompleted() | RequestFailed() | RequestCancelled():
                self._over(data)

    def _routed(self, event: Recorded, data: RequestRouted) -> None:
        attempt = AttemptRow(
            attempt=data.attempt,
            time=event.envelope.time,
            position=event.position,
            provider=data.provider,
            reason=data.reason,
            pin=data.pin,
            sent_model=data.sent_model,
            candidates=data.candidates,
            changes=data.changes,
            outcome="in flight",
        )
        attempts = (*self.trace.attempts, attempt)
        self.trace = replace(self.trace, attempts=attempts, requested_model=data.requested_model or self.trace.requested_model)

    def _ended(self, outcome: str) -> None:
        if self.trace.attempts:
            *before, last = self.trace.attempts
            self.trace = replace(self.trace, attempts=(*before, replace(last, outcome=outcome)))

    def _over(self, data: _Outcome) -> None:
        outcome = said(data)
        self._ended(outcome)
        status = None if isinstance(data, RequestCancelled) else data.status
        asked = data.requested_model or self.trace.requested_model
        served = data.served_model
        self.trace = replace(self.trace, outcome=outcome, status=status, requested_model=asked, served_model=served)
        self.over = True


def said(data: _Outcome) -> str:
    """Say how a request ended."""
    took = f"after {data.timing.total_ms:.0f} ms"
    if isinstance(data, RequestCompleted):
        return f"completed {data.status} {took}"
    if isinstance(data, RequestCancelled):
        return f"cancelled by the caller in {data.phase} {took}"
    upstream = f", the provider said {data.upstream_status}" if data.upstream_status else ""
    return f"failed in {data.phase}: {data.code} ({data.status}{upstream}) {took}: {data.message}"


def trace_of(request: str, events: Iterable[Recorded]) -> RequestTrace:
    """Put a trace together from all facts of a request, in order."""
    tracing = Tracing(RequestTrace(request=request, received=""))
    for event in events:
        tracing.take(event)
    return tracing.trace


def trace_lines(trace: RequestTrace) -> Iterator[str]:
    """Write a trace for people."""
    yield f"request {trace.request}  {trace.method} {trace.path}  {trace.dialect}  {trace.received}"
    yield f"  session  {trace.session or '- (not attributed)'}{f' ({trace.agent})' if trace.agent else ''}"
    yield f"  terminal {trace.terminal or '-'}"
    yield f"  folder   {trace.cwd or '-'}"
    yield from _senders(trace)
    for attempt in trace.attempts:
        yield from _attempt(attempt)
    sent = trace.attempts[-1].sent_model if trace.attempts else None
    yield f"model: asked for {trace.requested_model or '-'}, sent {sent or 'as asked'}, served {trace.served_model or '-'}"
    yield f"outcome: {trace.outcome}"


def _senders(trace: RequestTrace) -> Iterator[str]:
    if trace.evidence:
        yield "attributed by"
    for one in trace.evidence:
        why = f" [{'CONFLICT' if one.conflict else 'not used'}: {one.rejected}]" if one.rejected else ""
        yield f"  rank {int(one.rank)}  {one.proves} = {one.value}, by {one.kind}{f' ({one.note})' if one.note else ''}{why}"


def _attempt(row: AttemptRow) -> Iterator[str]:
    pin = f", pin {row.pin}" if row.pin else ""
    yield f"attempt {row.attempt} → {row.provider}: {row.reason}{pin}  (position {row.position})"
    yield from candidate_lines(row)
    yield from (f"    changed: {change}" for change in row.changes)
    yield f"    {row.outcome}"


def candidate_lines(row: AttemptRow) -> Iterator[str]:
    """Write who was looked at beside the one that was chosen."""
    for one in row.candidates:
        model = f" as {one.model}" if one.model else ""
        if one.skipped:
            yield f"    passed over {one.provider}{model}: {one.skipped}"
        elif one.provider != row.provider:
            yield f"    could stand in: {one.provider}{model}"
