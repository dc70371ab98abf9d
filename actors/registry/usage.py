"""The ledger: tokens of a response are counted once, whoever tells of them: its request, its transcript, or both.

Theory of operation
-------------------
A provider's response id is the exact join. It is unique for its provider only, so it counts within its session: two requests
of one session that name the same response of the same provider are one, of two providers they are two. What a request tells
counts for the request's claim; what only a transcript tells counts apart, as ``Transcript.unseen``. When the second of the two
sources speaks, the response becomes the request's, and the highest figures of both stand; if they disagree, that is counted.
So the sums do not depend on who spoke first. What each source told is kept beside it, for the last ``Limits.responses``
responses; one of these counts in two sums: its claim, which is what a session's row shows, and its cell of ``ledger``.

An old transcript records running totals and no ids: there each change counts by its place in the file, and cannot be joined.

Pure: the part of ``fold`` for what things cost.
"""

from __future__ import annotations

from typing import Final

from actors.registry.claims import Claim
from actors.registry.ledger import NO_TOKENS, Cell, Tokens, standing
from actors.registry.state import Flight, Response, State
from actors.registry.tables import transcript_of
from schemas.envelope import Recorded
from schemas.events import RequestCancelled, RequestCompleted, RequestFailed, RequestRetried, TranscriptUsageRecorded, Usage
from schemas.identity import SessionId, process_session

Outcome = RequestCompleted | RequestFailed | RequestCancelled
_DAY: Final = 10  # of ``2026-11-21T01:50:01.123456Z``


def ended(state: State, claim: Claim, flight: Flight, event: Recorded, data: Outcome) -> None:
    """Count a request and what its response cost; nearly always in the same cell as the one before."""
    provider, model = data.provider or "", data.served_model or data.sent_model or data.requested_model or ""
    cell = claim.cell
    if cell is None or not _same(cell, claim, flight, event, provider, model):
        cell = claim.cell = _cell(state, claim, flight, event, provider, model)
    cell.requests += 1
    if type(data) is not RequestCompleted:
        if isinstance(data, RequestFailed):
            cell.failures += 1
        else:
            cell.cancellations += 1
    used = data.usage
    if used is None:
        return
    told = (used.input, used.cached_input, used.output, used.reasoning, used.total)
    key = (claim.session, data.response or data.request)
    if key in state.responses:
        _asked(state, claim, cell, key, told)
    else:
        _remember(state, key, Response(claim, cell, told, None))


def retried(state: State, claim: Claim, flight: Flight, event: Recorded, data: RequestRetried) -> None:
    """Count a failure for the provider that a request left; the request itself counts where it ends."""
    choice = flight.choice
    model = "" if choice is None else choice.routed.sent_model or choice.routed.requested_model or ""
    _cell(state, claim, flight, event, data.provider, model).failures += 1


def transcribed(state: State, event: Recorded, data: TranscriptUsageRecorded, provider: str, cwd: str) -> None:
    """Count what a transcript tells of a response: for its request when there was one, otherwise apart."""
    key = (data.session, data.response or f"{data.file}:{data.offset}")
    told = _tokens(data.usage)
    known = state.responses.get(key)
    if known is not None:
        _count(known, -1)
        known.read = told if known.read is None else _highest(known.read, told)
        _count(known, 1)
        return
    transcript = transcript_of(state, data.session)
    if transcript.unseen is None:
        transcript.unseen = Claim(data.session, None)
    day = event.stamp.recordedtime[:_DAY]
    cell = state.ledger.cell((day, data.session, f"agent:{provider}", data.model or "", cwd, False))
    _remember(state, key, Response(transcript.unseen, cell, None, told))


def _asked(state: State, claim: Claim, cell: Cell, key: tuple[SessionId, str], told: Tokens) -> None:
    """Count what a request tells of a response that is known by its id."""
    known: Response | None = state.responses[key]
    if known is not None and known.asked is not None and _apart(standing(known.cell).key[2], cell.key[2]):
        key = (key[0], f"{key[1]}\0{cell.key[2]}")
        known = state.responses.get(key)
    if known is None:
        _remember(state, key, Response(claim, cell, told, None))
        return
    _count(known, -1)
    if known.asked is None:
        known.owner, known.cell, known.asked = claim, cell, told
    else:
        known.asked = _highest(known.asked, told)
    _count(known, 1)


def now(known: Response) -> Tokens:
    """Return what counts of a response: the highest figures that were told."""
    asked, read = known.asked, known.read
    if asked is None or read is None:
        return asked or read or NO_TOKENS
    return _highest(asked, read)


def _same(  # noqa: PLR0917 - what a request's cell follows from
    cell: Cell, claim: Claim, flight: Flight, event: Recorded, provider: str, model: str
) -> bool:
    """Tell whether this is the cell of a request: comparing costs less than looking it up."""
    key = cell.key
    return (
        key[3] == model
        and key[2] == provider
        and key[4] == (claim.cwd or "")
        and event.stamp.recordedtime.startswith(key[0])
        and key[5] is flight.auxiliary
        and key[1] == claim.session
        and not claim.rejected
        and cell.into is None
    )


def _cell(  # noqa: PLR0917 - as above
    state: State, claim: Claim, flight: Flight, event: Recorded, provider: str, model: str
) -> Cell:
    """Return where a request counts; one in the name of a conversation that is another's counts for its own process."""
    session = claim.session
    if claim.rejected and claim.process is not None:
        session = process_session(claim.process)
    day = event.stamp.recordedtime[:_DAY]
    return state.ledger.cell((day, session, provider, model, claim.cwd or "", flight.auxiliary))


def _apart(one: str, other: str) -> bool:
    """Tell whether two providers are known to be different ones."""
    return bool(one and other) and one != other


def _count(known: Response, sign: int) -> None:
    """Count a response in both its sums, or take it out of them."""
    told = now(known)
    if sign < 0:
        told = (-told[0], -told[1], -told[2], -told[3], -told[4])
    cell = known.cell = standing(known.cell)
    cell.add(told)
    cell.responses += sign
    asked, read = known.asked, known.read
    if asked is None:
        cell.transcribed += sign
    elif read is not None and read != asked:
        cell.differing += sign
    claim = known.owner
    claim.used = True
    claim.input += told[0]
    claim.cached_input += told[1]
    claim.output += told[2]
    claim.reasoning += told[3]
    claim.total += told[4]


def _remember(state: State, key: tuple[SessionId, str], known: Response) -> None:
    """Keep a response that is new, and count it: what nearly every request comes to, so without further calls."""
    if len(state.responses) >= state.limits.responses:
        del state.responses[next(iter(state.responses))]
    state.responses[key] = known
    told = known.asked or known.read or NO_TOKENS
    cell, claim = known.cell, known.owner
    cell.responses += 1
    if known.asked is None:
        cell.transcribed += 1
    claim.used = True
    for sums in (cell, claim):
        sums.input += told[0]
        sums.cached_input += told[1]
        sums.output += told[2]
        sums.reasoning += told[3]
        sums.total += told[4]


def _tokens(usage: Usage) -> Tokens:
    return usage.input, usage.cached_input, usage.output, usage.reasoning, usage.total


def _highest(one: Tokens, other: Tokens) -> Tokens:
    if one == other:
        return one
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
        max(one[4], other[4]),
    )
