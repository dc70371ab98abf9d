"""What follows from the statements: who is whose, what is proven, what is missing. Read by effects and by rows alike.

Every function here is a question about a state and changes nothing. Answers depend on sets of statements, their ranks and
their publishers' times, not on the order in which they came, so that sources may arrive in any order.

Pure. Must not know how statements got here (``fold``) or how they are printed (``rows``).
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.registry import files
from actors.registry.claims import Claim, Proof
from actors.registry.contests import rivalry, rivals
from actors.registry.state import SERVES_MANY, Bridge, Process, Session, State
from actors.registry.statements import Line, rejected
from schemas.evidence import Evidence, Rank
from schemas.identity import LaunchId, ProcessKey, SessionId, TerminalKey, process_id

_MAX_CHAIN = 8
DAEMON_TERMINAL = "its process serves many tabs with the environment of the one that started it"


def canonical(state: State, session: SessionId) -> SessionId:
    """Follow aliases to the session that counts: ``proc-…`` to ``launch-…`` to ``codex-…``.

    A process whose claim on that session was set aside stands for itself again, also when it was announced otherwise.
    """
    final = session
    for _ in range(_MAX_CHAIN):
        target = state.aliases.get(final)
        if target is None or target == final:
            break
        final = target
    if final != session:
        held = state.sessions.get(session)
        if held is not None and held.disputes and (claim := held.disputes.get(final)) is not None and claim.rejected:
            return session
    return final


def counted(session: Session) -> list[Claim]:
    """Return the claims whose requests count for a session: its own, and what its process claimed of others in vain."""
    if not session.disputes and len(session.claims) == 1:  # nearly always
        (only,) = session.claims.values()
        return [] if only.rejected else [only]
    own = [claim for claim in session.claims.values() if not claim.rejected]
    if session.disputes:
        own += [claim for claim in session.disputes.values() if claim.rejected]
    return own


def proof(session: Session) -> Proof | None:
    """Return the first request that verified a session, or what was announced when the requests themselves are trimmed."""
    proofs = [claim.proof for claim in counted(session) if claim.proof is not None]
    if proofs:
        return min(proofs, key=lambda held: held.at.position)
    return session.recalled if not any(claim.requests for claim in session.claims.values()) else None


def processes(state: State, session: Session) -> list[Process]:
    """Return the processes of a session: those that claim it, or else those that were launched or seen for it; its bridge's."""
    claimed = [claim.process for claim in counted(session) if claim.process is not None]
    keys: list[ProcessKey] = claimed or [
        key for key in session.processes if (made := session.claims.get(key)) is None or not made.rejected
    ]
    if session.id in state.driven and (bridge := driver(state, session)) is not None:
        keys = [*keys, *([bridge.process] if bridge.process is not None and bridge.process not in keys else [])]
    return [process for key in keys if (process := state.processes.get(key)) is not None]


def has(session: Session, process: Process) -> bool:
    """Tell whether a process of a session lives and was not seen to have left the session."""
    if process.exited is not None:
        return False
    claim = session.claims.get(process.key)
    if claim is not None and claim.over:
        return False
    return session.left is None or not _left(session, process, claim)


def _left(session: Session, process: Process, claim: Claim | None) -> str:
    """Return since when a process has a session no more as its bridge says; nothing if it used it after that, or has it."""
    since = "" if session.left is None or process.launch is None else session.left.get(process.launch, "")
    return "" if claim is not None and claim.last > since else since


def ended(state: State, session: Session) -> str:
    """Tell why a session is gone: the last process that had it exited or left it, or its launches ended; else nothing.

    What a bridge of ours drives is not gone: between two of its processes the session has none.
    """
    if session.id in state.driven and driver(state, session) is not None:
        return ""
    if (starter := only_starter(state, session)) is not None and starter.exited is None:
        return f"process {process_id(starter.key)} only started the agent's own process"
    held = processes(state, session)
    if held:
        if any(has(session, process) for process in held):
            return ""
        return _end(session, max(held, key=lambda process: (_ended_at(session, process), str(process.key))))
    launches = [state.launches[name] for name in session.launches if name in state.launches]
    if launches and all(launch.ended is not None for launch in launches):
        return "; ".join(f"launch ended: {launch.ended[1]}" for launch in launches if launch.ended is not None)
    return ""


def driver(state: State, session: Session) -> Bridge | None:
    """Return the bridge that drives a session now: it has not ended, and lives or is started again."""
    launch = state.driven.get(session.id)
    bridge = None if launch is None else state.bridges.get(launch)
    if bridge is None or bridge.ended or bridge.session != session.id:
        return None
    process = None if bridge.process is None else state.processes.get(bridge.process)
    return None if process is not None and process.exited is not None and not bridge.retrying else bridge


def ended_at(state: State, session: Session) -> str:
    """Return when a session that is gone ended, by the publishers' clock."""
    times = [_ended_at(session, process) for process in processes(state, session)]
    times += [
        launch.ended[0].told
        for name in session.launches
        if not times and (launch := state.launches.get(name)) is not None and launch.ended is not None
    ]
    return max(times, default="") or session.last_time


def _ended_at(session: Session, process: Process) -> str:
    claim = session.claims.get(process.key)
    times = [claim.lost] if claim is not None and claim.over else []
    if left := _left(session, process, claim):
        times.append(left)
    if process.exited is not None:
        times.append(process.exited[0].told)
    return min(times, default="")


def _end(session: Session, process: Process) -> str:
    claim = session.claims.get(process.key)
    if claim is not None and claim.over and (process.exited is None or claim.lost < process.exited[0].told):
        return f"process {process_id(process.key)} left it: {claim.lost_reason or 'it has it no more'}"
    left = _left(session, process, claim)
    if left and (process.exited is None or left < process.exited[0].told):
        return f"process {process_id(process.key)} left it: its bridge began another conversation in its place"
    _, reason = process.exited or (None, "exited")
    return f"process {process_id(process.key)} {reason}"


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
        key=lambda p: (has(session, p), sent.get(p.key, 0), p.kind != "wrapper", p.key.started, p.key.pid, p.key.host),
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


def conflicts(state: State, session: Session) -> dict[tuple[str, str], tuple[str | None, Evidence]]:
    """Return every contradiction of a session, by what it is about: the id of the event that said it, and the statement."""
    found: dict[tuple[str, str], tuple[str | None, Evidence]] = {
        key: (where.id, evidence) for key, (where, evidence) in session.conflicts.items()
    }
    for said in contradictions(state, session):
        found.setdefault((said.proves, said.value), (None, said))
    return found


def contradictions(state: State, session: Session) -> Iterator[Evidence]:
    """Yield what contradicts what, as far as it follows from several statements together."""
    for process in processes(state, session):
        for line in process.lines.values():
            if line.evidence.conflict:
                yield line.evidence
        for line, reason in contradicted(process):
            yield rejected(line.evidence, reason)
    for claim in session.disputes.values():
        if claim.rejected and claim.conflicting:
            yield disputed(state, claim)
    if rivalling := rivals(state, session):
        yield rivalry(rivalling)
    if not session.provisional:
        yield from files.conflicts(state, session)


def disputed(state: State, claim: Claim) -> Evidence:
    """Return the statement that a process has a conversation which another one holds better."""
    session = state.sessions.get(claim.session)
    value = claim.session if session is None or session.conversation is None else session.conversation
    kind = "request" if claim.spoken else "declaration"
    said = Evidence(rank=Rank(claim.rank), kind=kind, proves="conversation", value=value)
    return rejected(said, claim.rejected, conflict=claim.conflicting)


def terminal(state: State, session: Session) -> tuple[TerminalKey | None, str]:
    """Return a session's terminal, or why none is claimed: that of the living processes that have it, but no daemon's."""
    process = current(state, session)
    if process is None:
        return _launched_terminal(state, session)
    tabs = [one for one in processes(state, session) if has(session, one) and one.kind not in ("daemon", "wrapper")]
    found = sorted({key for tab in tabs or [process] for key, _ in best_terminals(tab)})
    if len(found) == 1:
        return found[0], ""
    if found:
        return None, f"ambiguous: {', '.join(found)}"
    if process.kind == "daemon" and not tabs:
        return None, process.terminal_missing or DAEMON_TERMINAL
    return None, min((tab.terminal_missing for tab in tabs if tab.terminal_missing), default=process.terminal_missing) or (
        "no statement names one"
    )


def _launched_terminal(state: State, session: Session) -> tuple[TerminalKey | None, str]:
    found = sorted(
        {launch.terminal for name in session.launches if (launch := state.launches.get(name)) and launch.terminal is not None}
    )
    if len(found) == 1:
        return found[0], ""
    return None, f"ambiguous: {', '.join(found)}" if found else "its process is not known"


def terminals(state: State, session: Session) -> tuple[TerminalKey, ...]:
    """Return every terminal that a session has had without ambiguity, in the order in which its processes started."""
    found: dict[TerminalKey, None] = {}
    for process in sorted(processes(state, session), key=lambda one: (one.key.started, one.key.pid, one.key.host)):
        best = best_terminals(process)
        if len(best) == 1:
            found[best[0][0]] = None
    return tuple(found)


def launch_of(state: State, session: Session) -> LaunchId | None:
    """Return the launch of the process that spoke for a session last, or else the launch that the session itself is."""
    found: list[tuple[str, LaunchId]] = []
    for claim in counted(session):
        process = None if claim.process is None else state.processes.get(claim.process)
        launch = claim.launch or (None if process is None else process.launch)
        if launch is not None:
            found.append((claim.last, launch))
    if found:
        return max(found)[1]
    made = {claim.launch for claim in session.claims.values() if claim.rejected}
    return max((name for name in session.launches if name not in made), default=None)


def only_starter(state: State, session: Session) -> Process | None:
    """Return the process that a provisional session is, if all that it did was to start the agent's own process.

    An agent that starts itself a second time shows only then which of the two is the session.
    """
    if not session.provisional or session.claims or session.disputes or len(session.processes) != 1:
        return None
    process = state.processes.get(next(iter(session.processes)))
    return process if process is not None and process.kind == "wrapper" and process.session == session.id else None


def shared(state: State, session: Session) -> bool:
    """Tell whether a provisional session is a shared daemon: no session at all, only a process that others' come from."""
    return session.provisional and any(
        (process := state.processes.get(key)) is not None and process.kind == "daemon" for key in session.processes
    )


def hidden(state: State, session: Session) -> bool:
    """Tell whether a session has no row: another's alias, or a process that serves many, or that only started another."""
    if canonical(state, session.id) != session.id or shared(state, session):
        return True
    if not session.provisional:
        return False
    if only_starter(state, session) is not None:
        return True
    held = [process for key in session.processes if (process := state.processes.get(key)) is not None]
    many = [process for process in held if process.kind in SERVES_MANY]
    own = [name for process in many for name in process.sessions]
    own += [
        name for launch in session.launches if many and launch in state.launches for name in state.launches[launch].sessions
    ]
    return any(name in state.sessions and not state.sessions[name].provisional for name in own)
