"""Which claims on a conversation stand when several processes make them.

Theory of operation
-------------------
A claim is set aside

* when another process holds the conversation with rank 2 or better, and better than this claim, at a time at which both
  claims were made: a lower rank never overrides a higher one. That is a contradiction;
* when all that makes it is a declaration (rank 3), and a process that serves many conversations has this one: the daemon
  speaks for it, and an argument or a file does not prove that the tab still shows it. That is no contradiction, merely no
  proof. The daemon's own word about which TUI opened the conversation (a *seat*) is one that it cannot contradict.

What overlaps is decided by the publishers' times, so that a resume in another tab, told before the exit of the former
process, is no contest for longer than until that exit is told, and a forged claim does not come to life again with the exit
of the process that it robbed. Claims of equal rank contradict each other and nobody wins: ``rivals``.

Pure: questions about a state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actors.registry.claims import Claim
from actors.registry.state import NO_SESSION, SERVES_MANY, Process, Session, State
from schemas.evidence import Evidence, Rank
from schemas.identity import process_id

SEATS: Final = frozenset({"codex_daemon"})
"""Kinds of evidence by which a shared daemon's own account ties a conversation to the TUI that opened it."""
_LISTED: Final = 6


def judged(state: State, session: Session) -> Iterator[tuple[Claim, str, bool]]:
    """Yield each claim of a known process, why it is set aside (empty: it stands), and whether that is a contradiction."""
    made = [
        (claim, process)
        for claim in session.claims.values()
        if claim.process is not None and (process := state.processes.get(claim.process)) is not None
    ]
    for claim, process in made:
        against = [other for other in made if other[0] is not claim and _overlap(other, (claim, process))]
        better = [held for held, holder in against if _beats(held, holder, claim)]
        if better:
            held = min(better, key=lambda one: (one.rank, str(one.process)))
            yield claim, _held(held), claim.hard or _kind(state, held) not in SERVES_MANY
        elif not claim.hard and not claim.seated and any(holder.kind in SERVES_MANY for _, holder in against):
            holder = min((one for _, one in against if one.kind in SERVES_MANY), key=lambda one: str(one.key))
            yield claim, _served(holder), False
        else:
            yield claim, "", False


def present(state: State, claim: Claim) -> bool:
    """Tell whether a claim is made now: by a known living process that has the session still."""
    if claim.process is None or claim.over:
        return False
    process = state.processes.get(claim.process)
    return process is not None and process.exited is None


def rivals(state: State, session: Session) -> list[Claim]:
    """Return the present claims of several processes none of which is a better one; fewer than two are no rivals."""
    if len(session.claims) < 2:  # noqa: PLR2004 - it takes two to contend
        return []
    made = [
        claim
        for claim in session.claims.values()
        if not claim.rejected and present(state, claim) and _kind(state, claim) not in (*SERVES_MANY, *NO_SESSION)
    ]
    return sorted(made, key=lambda claim: str(claim.process)) if len(made) > 1 else []


def rivalry(claims: list[Claim]) -> Evidence:
    """Return the statement that several processes have one conversation."""
    names = [process_id(claim.process) for claim in claims if claim.process is not None]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return Evidence(
        rank=min(claim.rank for claim in claims),
        kind="several processes",
        proves="process",
        value=f"{', '.join(names[:_LISTED])}{more}",
        rejected="ambiguous: each of these living processes has this conversation, and none a better proof of it",
        conflict=True,
    )


def sole(state: State, claim: Claim) -> bool:
    """Tell whether nobody else makes this claim now; a daemon does not count against those that it seats."""
    session = state.sessions.get(claim.session)
    return session is not None and not any(
        other is not claim
        and not other.rejected
        and present(state, other)
        and not (claim.seated and _kind(state, other) in SERVES_MANY)
        for other in session.claims.values()
    )


def _kind(state: State, claim: Claim) -> str:
    process = None if claim.process is None else state.processes.get(claim.process)
    return "" if process is None else process.kind


def _beats(held: Claim, holder: Process, claim: Claim) -> bool:
    if held.rank > Rank.KERNEL or held.rank >= claim.rank:
        return False
    return not (claim.seated and holder.kind in SERVES_MANY)


def _overlap(one: tuple[Claim, Process], other: tuple[Claim, Process]) -> bool:
    """Tell whether two claims were made at one time: neither ended before the other was made (last)."""
    (held, _), (claim, _) = one, other
    ended, gone = _end(*one), _end(*other)
    return not (ended and ended <= claim.last) and not (gone and gone <= held.began)


def _end(claim: Claim, process: Process) -> str:
    ends = [claim.lost] if claim.over else []
    if process.exited is not None:
        ends.append(process.exited[0].told)
    return min(ends, default="")


def _held(held: Claim) -> str:
    name = "" if held.process is None else process_id(held.process)
    return f"process {name} holds it with rank {int(held.rank)}"


def _served(holder: Process) -> str:
    return f"process {process_id(holder.key)} ({holder.kind}) has it and serves many; a declaration proves no tab of it"
