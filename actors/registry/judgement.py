"""What follows from the statements: who is whose, what is proven, what is missing. Read by effects and by rows alike.

Every function here is a question about a state and changes nothing. Answers depend on sets of statements and their ranks,
not on the order in which they came, so that sources may arrive in any order.

Pure. Must not know how statements got here (``fold``) or how they are printed (``rows``).
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.registry.state import SERVES_MANY, Claim, Line, Process, Proof, Session, State
from schemas.evidence import Evidence, Rank
from schemas.identity import LaunchId, ProcessKey, SessionId, TerminalKey, process_id

_MAX_CHAIN = 8
DAEMON_TERMINAL = "its process serves many tabs with the environment of the one that started it"


def canonical(state: State, session: SessionId) -> SessionId:
    """Follow aliases to the session that counts: ``proc-…`` to ``launch-…`` to ``codex-…``."""
    for _ in range(_MAX_CHAIN):
        target = state.aliases.get(session)
        if target is None or target == session:
            return session
        held = state.sessions.get(session)
        if held is not None and any(claim.rejected for claim in held.disputes.values()):
            return session  # it had claimed a conversation that is another's: it stands for itself again
        session = target
    return session


def counted(session: Session) -> list[Claim]:
    """Return the claims whose requests count for a session: its own, and what its process claimed of others in vain."""
    if not session.disputes:
        return [claim for claim in session.claims.values() if not claim.rejected]
    own = [claim for claim in session.claims.values() if not claim.rejected]
    return [*own, *(claim for claim in session.disputes.values() if claim.rejected)]


def proof(session: Session) -> Proof | None:
    """Return the first request that verified a session, or what was announced when the requests themselves are trimmed."""
    proofs = [claim.proof for claim in counted(session) if claim.proof is not None]
    if proofs:
        return min(proofs, key=lambda held: held.at.position)
    return session.recalled if not session.claims else None


def processes(state: State, session: Session) -> list[Process]:
    """Return the processes of a session: those that sent for it, or else those that were launched or seen for it."""
    claimed = [claim.process for claim in counted(session) if claim.process is not None]
    keys: Iterator[ProcessKey] = iter(claimed or session.processes)
    return [process for key in keys if (process := state.processes.get(key)) is not None]


def ended(state: State, session: Session) -> str:
    """Tell why a session is gone: its last living process exited, or its launches ended; empty while it is not."""
    held = processes(state, session)
    if held:
        if any(process.exited is None for process in held):
            return ""
        last = max(held, key=lambda process: process.exited[0].position if process.exited is not None else 0)
        _, reason = last.exited or (None, "exited")
        return f"process {process_id(last.key)} {reason}"
    launches = [state.launches[name] for name in session.launches if name in state.launches]
    if launches and all(launch.ended is not None for launch in launches):
        return "; ".join(f"launch ended: {launch.ended[1]}" for launch in launches if launch.ended is not None)
    return ""


def gone(state: State, session: Session) -> str:
    """Like ``ended``, and also what was announced when the processes themselves are trimmed from the journal."""
    if reason := ended(state, session):
        return reason
    if session.announced.lifecycle == "gone" and not session.processes and not session.claims and not session.launches:
        return "said so when its last process exited"
    return ""


def current(state: State, session: Session) -> Process | None:
    """Return the process that a session's attributes are read from: living, then the last to send, then the latest."""
    sent = {claim.process: claim.last_position for claim in counted(session)}
    held = processes(state, session)
    if not held:
        return None
    return max(
        held,
        key=lambda p: (p.exited is None, sent.get(p.key, 0), p.kind != "wrapper", p.key.started, p.key.pid, p.key.host),
    )


def best_terminals(process: Process) -> list[tuple[TerminalKey, Line]]:
    """Return a process's terminals of the best rank: one, or several that contradict each other, or none."""
    if process.kind == "daemon" or not process.terminals:
        return []
    best = min(line.evidence.rank for line in process.terminals.values())
    return sorted((item for item in process.terminals.items() if item[1].evidence.rank == best), key=lambda item: item[0])


def contradicted(process: Process) -> list[tuple[Line, str]]:
    """Return the terminals of a process that a better statement overrules, or that contradict each other, with the reason."""
    if len(process.terminals) < 2 or process.kind == "daemon":  # noqa: PLR2004 - it takes two to contradict
        return []
    best = best_terminals(process)
    names = " and ".join(key for key, _ in best)
    losers = [line for key, line in process.terminals.items() if key not in dict(best)]
    reason = f"a statement of rank {int(best[0][1].evidence.rank)} names {names}"
    found = [(line, reason) for line in losers]
    if len(best) > 1:
        found += [(line, f"ambiguous: {names} are named with the same rank") for _, line in best]
    return found


def rejected(evidence: Evidence, reason: str) -> Evidence:
    """Return a statement as one that is contradicted."""
    return Evidence(
        rank=evidence.rank,
        kind=evidence.kind,
        proves=evidence.proves,
        value=evidence.value,
        note=evidence.note,
        rejected=reason[:300],
        conflict=True,
    )


def conflicts(state: State, session: Session) -> dict[tuple[str, str], tuple[str | None, Evidence]]:
    """Return every contradiction of a session, by what it is about: the id of the event that said it, and the statement."""
    found: dict[tuple[str, str], tuple[str | None, Evidence]] = {
        key: (where.id, evidence) for key, (where, evidence) in session.conflicts.items()
    }
    for process in processes(state, session):
        for line in process.lines.values():
            if line.evidence.conflict:
                found.setdefault((line.evidence.proves, line.evidence.value), (None, line.evidence))
        for line, reason in contradicted(process):
            found.setdefault(("terminal", line.evidence.value), (None, rejected(line.evidence, reason)))
    return found


def terminal(state: State, session: Session) -> tuple[TerminalKey | None, str]:
    """Return a session's terminal, or why none is claimed."""
    process = current(state, session)
    if process is None:
        return _launched_terminal(state, session)
    best = best_terminals(process)
    if len(best) == 1:
        return best[0][0], ""
    if best:
        return None, f"ambiguous: {', '.join(key for key, _ in best)}"
    if process.kind == "daemon":
        return None, process.terminal_missing or DAEMON_TERMINAL
    return None, process.terminal_missing or "no statement names one"


def _launched_terminal(state: State, session: Session) -> tuple[TerminalKey | None, str]:
    found = sorted(
        {launch.terminal for name in session.launches if (launch := state.launches.get(name)) and launch.terminal is not None}
    )
    if len(found) == 1:
        return found[0], ""
    return None, f"ambiguous: {', '.join(found)}" if found else "its process is not known"


def terminals(state: State, session: Session) -> tuple[TerminalKey, ...]:
    """Return every terminal that a session has had without ambiguity, the earliest first."""
    first: dict[TerminalKey, int] = {}
    for process in processes(state, session):
        best = best_terminals(process)
        if len(best) == 1:
            key, line = best[0]
            first[key] = min(line.position, first.get(key, line.position))
    return tuple(sorted(first, key=lambda key: (first[key], key)))


def launch_of(session: Session) -> LaunchId | None:
    """Return the launch that a session came from last."""
    return next(reversed(session.launches), None)


def contests(state: State, session: Session) -> Iterator[tuple[Claim, Claim]]:
    """Yield pairs of a living process that holds a conversation better than another living one that claims it too."""
    living = [
        claim
        for claim in session.claims.values()
        if claim.process is not None and (process := state.processes.get(claim.process)) is not None and process.exited is None
    ]
    if len(living) < 2:  # noqa: PLR2004 - it takes two to contend
        return
    holder = min(living, key=lambda claim: (claim.rank, str(claim.process)))
    if holder.rank <= Rank.KERNEL:
        yield from ((holder, claim) for claim in living if claim.rank > holder.rank)


def shared(state: State, session: Session) -> bool:
    """Tell whether a provisional session is a shared daemon: no session at all, only a process that others' come from."""
    return session.provisional and any(
        (process := state.processes.get(key)) is not None and process.kind == "daemon" for key in session.processes
    )


def hidden(state: State, session: Session) -> bool:
    """Tell whether a session has no row: it is another's alias, or a process that serves many conversations."""
    if canonical(state, session.id) != session.id or shared(state, session):
        return True
    if not session.provisional:
        return False
    held = [process for key in session.processes if (process := state.processes.get(key)) is not None]
    many = [process for process in held if process.kind in SERVES_MANY]
    own = [name for process in many for name in process.sessions]
    own += [
        name for launch in session.launches if many and launch in state.launches for name in state.launches[launch].sessions
    ]
    return any(name in state.sessions and not state.sessions[name].provisional for name in own)


def missing(state: State, session: Session) -> tuple[str, ...]:
    """List what would verify a session."""
    if proof(session) is not None:
        return ()
    sent = sum(claim.requests for claim in counted(session))
    if sent:
        best = min((claim.best for claim in counted(session)), default=9)
        if session.provisional and best <= Rank.KERNEL:
            return ("no model request yet: only auxiliary requests came through the gateway",)
        return ("no request whose sender the kernel or a launch token of ours proves",)
    found = ["no request through the gateway yet"]
    process = current(state, session)
    if process is not None and process.kind == "tui" and not session.launches and _daemon(state, process):
        found.append(
            f"a shared {process.agent} daemon is running and may send for it; `tabwire run {process.agent}` makes it tell"
        )
    return tuple(found)


def _daemon(state: State, process: Process) -> bool:
    return any(
        other.kind == "daemon" and other.exited is None and other.agent == process.agent and other.key.host == process.key.host
        for other in state.processes.values()
    )
