"""What would verify a session that is not verified: the sentences of its row's ``missing``. Pure: questions about a state."""

from __future__ import annotations

from collections.abc import Iterator

from actors.registry.judgement import counted, current, launch_of, proof
from actors.registry.state import Process, Session, State
from schemas.evidence import Rank
from schemas.identity import process_id


def missing(state: State, session: Session) -> tuple[str, ...]:
    """List what would verify a session."""
    if proof(session) is not None:
        return ()
    claims = counted(session)
    if any(claim.requests for claim in claims):
        best = min((claim.best for claim in claims), default=9)
        if session.provisional and best <= Rank.KERNEL:
            return ("no model request yet: only auxiliary requests came through the gateway",)
        return ("no request whose sender the kernel or a launch token of ours proves",)
    process = current(state, session)
    if process is None:
        return ("no request through the gateway yet",)
    return tuple(_unheard(state, session, process))


def _unheard(state: State, session: Session, process: Process) -> Iterator[str]:
    if process.unreadable:
        yield f"no request through the gateway yet; its process cannot be read: {process.unreadable}"
        return
    daemon = _daemon(state, session, process)
    endpoint = process.endpoint
    advice = f"`tabwire run {process.agent}` points it here"
    if endpoint is None or launch_of(state, session) is not None:
        yield "no request through the gateway yet"
    elif endpoint.verdict == "gateway":
        yield f"no request through the gateway yet; it is configured for this gateway ({endpoint.source})"
    elif endpoint.verdict == "other":
        yield f"uses another base_url ({endpoint.origin or 'not known'}, by {endpoint.source}), {advice}"
    else:
        yield f"no request through the gateway yet; where it sends them is not known: {endpoint.source}"
    if daemon is not None:
        yield (
            f"a shared {process.agent} daemon is running (process {process_id(daemon.key)}) and may send for it, "
            f"which proves no tab; `tabwire run {process.agent}` or `{process.agent} --no-daemon` does"
        )


def _daemon(state: State, session: Session, process: Process) -> Process | None:
    """Return a shared daemon that may send for a TUI; one that has a conversation of its own sends itself."""
    if (
        process.kind != "tui"
        or launch_of(state, session) is not None
        or any(claim.rank <= Rank.KERNEL for claim in session.claims.values())
    ):
        return None
    living = (
        other
        for key in state.daemons
        if (other := state.processes.get(key)) is not None
        and (other.exited, other.agent, other.key.host) == (None, process.agent, process.key.host)
    )
    return min(living, key=lambda other: str(other.key), default=None)
