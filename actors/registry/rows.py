"""The read models: the sessions table and the explanation of one session, as of a position and measured against a time.

Pure: the time comes from the caller. Must not know how a state came about (``fold``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from actors.registry import files, judgement, links
from actors.registry.claims import Claim
from actors.registry.contests import rivalry, rivals
from actors.registry.missing import missing
from actors.registry.preferences import Wish, in_use, wish
from actors.registry.sentences import because
from actors.registry.state import SERVES_MANY, Process, Session, State
from actors.registry.statements import Line, moment, rejected
from actors.registry.status import Doing, doing
from schemas.events import Usage
from schemas.evidence import Evidence
from schemas.identity import SessionId, process_id
from schemas.rows import Activity, AsOf, Decision, EvidenceLine, Explanation, SessionRow, SessionTable

_ACTIVE_SECONDS: Final = 60.0
_MAX_CANDIDATES: Final = 20


class UnknownSessionError(LookupError):
    """No session, alias or conversation begins with what was asked for."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"no session's id or alias begins with {prefix!r}; `tabwire sessions` lists them")
        self.prefix = prefix


class AmbiguousSessionError(LookupError):
    """Several sessions begin with what was asked for; ``candidates`` names them."""

    def __init__(self, prefix: str, candidates: tuple[SessionId, ...]) -> None:
        listed = ", ".join(candidates[:_MAX_CANDIDATES])
        rest = len(candidates) - _MAX_CANDIDATES
        super().__init__(f"{prefix!r} names {len(candidates)} sessions: {listed}{f' and {rest} more' if rest > 0 else ''}")
        self.prefix = prefix
        self.candidates = candidates


def as_of(state: State, time: str) -> AsOf:
    """Return the point of the journal that a state reflects."""
    return AsOf(epoch=state.epoch, position=state.position, time=time)


def table(state: State, now: str, at: AsOf, limit: int | None = None) -> SessionTable:
    """Return every session that is one, the most recently seen first; ``now`` is RFC 3339.

    With ``limit``, those beyond it are counted as ``omitted``.
    """
    names = _aliases(state)
    listed = [session for session in state.sessions.values() if not judgement.hidden(state, session)]
    listed.sort(key=lambda session: (-session.last_position, session.id))
    kept = listed if limit is None else listed[:limit]
    rows = tuple(_row(state, session, now, names.get(session.id, ())) for session in kept)
    return SessionTable(as_of=at, sessions=rows, unattributed=state.unattributed, omitted=len(listed) - len(kept))


def explain(state: State, prefix: str, now: str, at: AsOf | None = None) -> Explanation:
    """Return why a session's row says what it says; ``prefix`` is the beginning of any of its ids, and of no other's.

    Raises:
        UnknownSessionError: nothing begins with it.
        AmbiguousSessionError: more than one session does.

    """
    session = state.sessions[resolve(state, prefix)]
    row = _row(state, session, now, _aliases(state).get(session.id, ()))
    return Explanation(
        as_of=at or as_of(state, now),
        row=row,
        because=tuple(because(state, session, row)),
        evidence=_evidence(state, session),
        decisions=_decisions(session),
    )


def resolve(state: State, prefix: str) -> SessionId:
    """Find the one session that a prefix names: of its id, an alias, the agent's own conversation id, or a thread's.

    Raises:
        UnknownSessionError: nothing begins with it.
        AmbiguousSessionError: more than one session does.

    """
    exact: set[SessionId] = set()
    begun: set[SessionId] = set()
    for name, session in _names(state):
        if name == prefix:
            exact.add(session)
        elif prefix and name.startswith(prefix):
            begun.add(session)
    found = sorted(exact or begun)
    if not found:
        raise UnknownSessionError(prefix)
    if len(found) > 1:
        raise AmbiguousSessionError(prefix, tuple(found))
    return found[0]


def _names(state: State) -> Iterable[tuple[str, SessionId]]:
    for name, session in state.sessions.items():
        final = judgement.canonical(state, name)
        if final not in state.sessions:
            continue
        yield name, final
        if session.conversation is not None:
            yield session.conversation.partition(":")[2], final
        for thread in session.threads:
            yield thread, final
        if name in state.transcripts:
            yield from ((file.thread, final) for file in state.transcripts[name].files.values())
    for name in state.aliases:
        final = judgement.canonical(state, name)
        if final in state.sessions:
            yield name, final


def _aliases(state: State) -> dict[SessionId, tuple[SessionId, ...]]:
    found: dict[SessionId, list[SessionId]] = {}
    for name in state.aliases:
        final = judgement.canonical(state, name)
        if final != name:
            found.setdefault(final, []).append(name)
    return {final: tuple(sorted(names)) for final, names in found.items()}


def _row(state: State, session: Session, now: str, aliases: tuple[SessionId, ...]) -> SessionRow:
    claims = judgement.counted(session)
    former = tuple(state.sessions[name] for name in aliases if name in state.sessions)
    auxiliary = [claim for held in former if held.provisional for claim in judgement.counted(held)]
    if session.provisional:
        claims, auxiliary = [*claims, *auxiliary], []
    process = judgement.current(state, session)
    terminal, terminal_missing = judgement.terminal(state, session)
    latest = max(claims, key=lambda claim: (claim.last_position, str(claim.process)), default=None)
    proven = judgement.proof(session) is not None
    launch = judgement.launch_of(state, session)
    launched = None if launch is None else state.launches.get(launch)
    first = min((session, *former), key=lambda held: held.at.position)
    last = max((session, *former), key=lambda held: held.last_position)
    in_flight = sum(claim.in_flight for claim in claims)
    now_doing = doing(state, session, former)
    relation, parent = links.parent(state, session)
    transcript = state.transcripts.get(session.id)
    unseen = None if transcript is None else transcript.unseen
    file = None if transcript is None else files.main_file(state, session)
    cwd = _cwd(claims, process, None if launched is None else launched.cwd, None if file is None else file.cwd)
    asked = Wish() if launched is None else Wish(provider=launched.provider or "", model=launched.model or "")
    preferred = wish(state.preferences, (session.id, *aliases), asked, terminal, cwd, now)
    return SessionRow(
        session=session.id,
        agent=session.agent,
        provisional=session.provisional,
        verdict="verified" if proven else "unverified",
        activity=_activity(now_doing, last.last_time, now, in_flight),
        first_seen=first.at.time,
        last_seen=last.last_time,
        conversation=session.conversation,
        aliases=aliases,
        missing=missing(state, session),
        terminal=terminal,
        terminal_missing=terminal_missing,
        terminals=judgement.terminals(state, session),
        process=None if process is None else process.key,
        process_kind="other" if process is None else process.kind,
        launch=launch,
        cwd=cwd,
        parent=parent,
        relation=relation,
        routing_provider=in_use(
            state.preferences,
            preferred,
            None if latest is None else latest.provider,
            0 if latest is None else latest.last_position,
        ),
        preferred_provider=preferred.provider or None,
        preferred_model=preferred.model or None,
        agent_provider=None if file is None else file.agent_provider or None,
        requested_model=(None if latest is None else latest.model) or (None if file is None else file.model),
        served_model=None if latest is None else latest.served_model,
        requests=sum(claim.requests for claim in claims),
        auxiliary_requests=sum(claim.requests for claim in auxiliary),
        failures=sum(claim.failures for claim in claims),
        cancellations=sum(claim.cancellations for claim in claims),
        in_flight=in_flight,
        usage=_usage(claims if unseen is None else [*claims, unseen]),
        transcript_usage=None if unseen is None else _usage([unseen]),
        conflicts=len(judgement.conflicts(state, session)) + session.conflicts_omitted,
        status=now_doing.status,
        status_since=now_doing.since,
        status_source=now_doing.source,
        status_reason=now_doing.reason,
        threads=len(files.threads_inside(state, session)),
        endpoint=None if process is None else process.endpoint,
        transcript=None if file is None else file.path,
        git_branch=None if file is None or file.seen is None else file.seen.git_branch or None,
        declared=bool(session.claims) and not any(claim.hard for claim in claims),
        unreadable="" if process is None else process.unreadable,
        attached="" if session.attached is None else session.attached[1],
    )


def _activity(now_doing: Doing, last_seen: str, now: str, in_flight: int) -> Activity:
    if now_doing.status == "gone":
        return "gone"
    if in_flight or now_doing.status == "working":
        return "active"
    last, present = moment(last_seen), moment(now)
    if last is None or present is None:
        return "idle"
    return "active" if (present - last).total_seconds() <= _ACTIVE_SECONDS else "idle"


def _cwd(claims: list[Claim], process: Process | None, launched: str | None, filed: str | None) -> str | None:
    """Return the folder that requests name last, or the launch, or the process unless it serves many, or the transcript."""
    named = [claim for claim in claims if claim.cwd is not None]
    if named:
        return max(named, key=lambda claim: claim.last_position).cwd
    if launched is not None:
        return launched
    if process is None or process.kind in SERVES_MANY:
        return filed or (None if process is None or process.kind == "daemon" else process.cwd)
    return process.cwd or filed


def _usage(claims: list[Claim]) -> Usage | None:
    used = [claim for claim in claims if claim.used]
    if not used:
        return None
    total = Usage(
        input=sum(claim.input for claim in used),
        cached_input=sum(claim.cached_input for claim in used),
        output=sum(claim.output for claim in used),
        reasoning=sum(claim.reasoning for claim in used),
        total=sum(claim.total for claim in used),
    )
    return None if total == Usage() else total


def _evidence(state: State, session: Session) -> tuple[EvidenceLine, ...]:
    """Return every statement about a session, its processes and what it was known as, by rank and then position.

    A terminal that a better statement overrules is shown as rejected wherever it was named. What a process says of a
    conversation is shown with that conversation, and with the process as long as it stands for itself.
    """
    held = judgement.processes(state, session)
    former = [state.sessions.get(name) for name in (*(one.session for one in held), *map(SessionId, session.launches))]
    lines: list[tuple[Line, str]] = [(line, "") for line in session.lines.values()]
    for process in held:
        lines += [(line, process_id(process.key)) for line in process.lines.values() if _concerns(session, line)]
    for other in former:
        if other is not None and other is not session and judgement.canonical(state, other.id) == session.id:
            lines += [(line, "") for line in other.lines.values()]
    overruled = {
        (process_id(process.key), line.evidence.value): reason
        for process in held
        for line, reason in judgement.contradicted(process)
    }
    everywhere = {value: reason for (_, value), reason in sorted(overruled.items(), reverse=True)}
    named = {line.evidence.value for line, _ in lines}
    for process in held:
        about = process_id(process.key)
        lines += [(line, about) for key, line in process.terminals.items() if (about, key) in overruled and key not in named]
    merged: dict[tuple[Evidence, str], EvidenceLine] = {}
    for line, about in sorted({id(line): (line, about) for line, about in lines}.values(), key=lambda one: one[0].position):
        said = line.evidence
        reason = overruled.get((about, said.value), "") if about else everywhere.get(said.value, "")
        if said.proves == "terminal" and not said.rejected and reason:
            said = rejected(said, reason)
        merged[said, about] = _line(line, said, about, merged.get((said, about)))
    found = [*merged.values(), *_aside(state, session)]
    return tuple(sorted(found, key=_by_rank))


def _concerns(session: Session, line: Line) -> bool:
    """Tell whether a statement about a process belongs into a session's explanation."""
    return line.evidence.proves != "conversation" or session.provisional or line.evidence.value == session.conversation


def _aside(state: State, session: Session) -> Iterator[EvidenceLine]:
    """Yield what was set aside because of several statements together: claims of its process, and files."""
    for claim in session.disputes.values():
        if claim.rejected:
            about = "" if claim.process is None else process_id(claim.process)
            yield _follows(state, judgement.disputed(state, claim), claim.last_position, about)
    if rivalling := rivals(state, session):
        yield _follows(state, rivalry(rivalling), max(claim.last_position for claim in rivalling), "")
    if not session.provisional and session.id in state.transcripts:
        for file, reason in files.judged(state, session):
            if reason:
                said = files.statement(session, file, reason)
                yield EvidenceLine(
                    position=file.at.position, time=file.at.time, type=file.at.type, source=file.at.source, evidence=said
                )


def _follows(state: State, said: Evidence, position: int, about: str) -> EvidenceLine:
    """Return a statement of the registry's own, where it became true as far as is known."""
    return EvidenceLine(
        position=position or state.position, time=state.time, type="registry", source="registry", evidence=said, process=about
    )


def _line(line: Line, said: Evidence, about: str, earlier: EvidenceLine | None) -> EvidenceLine:
    """Return a statement where it was made first, and how often by whomever."""
    return EvidenceLine(
        position=line.position if earlier is None else earlier.position,
        time=line.time if earlier is None else earlier.time,
        type=line.type if earlier is None else earlier.type,
        source=line.source if earlier is None else earlier.source,
        evidence=said,
        repeated=line.repeated + (0 if earlier is None else earlier.repeated),
        process=about,
    )


def _by_rank(line: EvidenceLine) -> tuple[int, int, str, str]:
    return line.evidence.rank, line.position, line.evidence.kind, line.evidence.value


def _decisions(session: Session) -> tuple[Decision, ...]:
    return tuple(
        Decision(
            position=choice.position,
            time=choice.time,
            request=choice.routed.request,
            provider=choice.routed.provider,
            reason=choice.routed.reason,
            skipped=tuple(f"{c.provider}: {c.skipped}" for c in choice.routed.candidates if c.skipped),
            outcome=choice.outcome,
        )
        for choice in session.decisions
    )
