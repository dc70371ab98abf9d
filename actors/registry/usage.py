"""The ledger: tokens of a response are counted once, whoever tells of them: its request, its transcript, or both.

Theory of operation
-------------------
A provider's response id is the exact join. What a request tells counts for the request's claim; what only a transcript tells
counts apart, as ``Transcript.unseen``. When the second of the two sources speaks, the response becomes the request's, and the
highest figures of both stand. So the sums do not depend on who spoke first. The ids of the last ``Limits.responses`` responses
are kept.

Pure: the part of ``fold`` for what things cost.
"""

from __future__ import annotations

from actors.registry.claims import Claim
from actors.registry.state import State, Tokens
from actors.registry.tables import transcript_of
from schemas.events import Usage
from schemas.identity import SessionId

_NOTHING: Tokens = (0, 0, 0, 0, 0)


def counted(state: State, session: SessionId, claim: Claim, response: str, usage: Usage) -> None:
    """Count what a request tells of a response."""
    key = (session, response)
    known = state.responses.get(key)
    if known is None:
        _remember(state, key, claim, _add(claim, _NOTHING, _tokens(usage)))
        return
    owner, before = known
    if owner.process is None and (held := state.transcripts.get(session)) is not None and owner is held.unseen:
        _add(owner, before, _NOTHING)
        before = _add(claim, _NOTHING, before)
        owner = claim
    state.responses[key] = (owner, _add(owner, before, _highest(before, _tokens(usage))))


def transcribed(state: State, session: SessionId, response: str, usage: Usage) -> None:
    """Count what a transcript tells of a response: for its request when there was one, otherwise apart."""
    key = (session, response)
    known = state.responses.get(key)
    if known is None:
        transcript = transcript_of(state, session)
        if transcript.unseen is None:
            transcript.unseen = Claim(session, None)
        _remember(state, key, transcript.unseen, _add(transcript.unseen, _NOTHING, _tokens(usage)))
        return
    owner, before = known
    state.responses[key] = (owner, _add(owner, before, _highest(before, _tokens(usage))))


def _remember(state: State, key: tuple[SessionId, str], owner: Claim, now: Tokens) -> None:
    if len(state.responses) >= state.limits.responses:
        del state.responses[next(iter(state.responses))]
    state.responses[key] = (owner, now)


def _tokens(usage: Usage) -> Tokens:
    return usage.input, usage.cached_input, usage.output, usage.reasoning, usage.total


def _highest(one: Tokens, other: Tokens) -> Tokens:
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
        max(one[4], other[4]),
    )


def _add(claim: Claim, before: Tokens, now: Tokens) -> Tokens:
    """Move a claim's tallies from what a response counted before to what it counts now."""
    claim.used = True
    claim.input += now[0] - before[0]
    claim.cached_input += now[1] - before[1]
    claim.output += now[2] - before[2]
    claim.reasoning += now[3] - before[3]
    claim.total += now[4] - before[4]
    return now
