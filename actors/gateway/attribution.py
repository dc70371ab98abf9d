"""Who sent a request: the session it counts for, and every statement that was believed or not, with the reason.

Theory of operation
-------------------
Three accounts meet here. A *launch* was told by us (rank 1): its token is believed only while the launched process lives
and only from it or a descendant. The *caller* is what the kernel says of the connection (rank 2), and what its process
declares (rank 3: the terminal in its environment). The *claims* are the request's own (rank 4).

A lower rank never overrides a higher one. A conversation header is believed only from a process that is an agent of that
kind, by its executable or by our launch; anybody else who claims one keeps its own session, and the claim is kept as a
conflict. A shared daemon speaks for many tabs and its environment is that of the tab that happened to start it: its
conversation is believed and its terminal never is.

Of an agent whose requests never name their conversation, the launch of a bridge says which one that drives (rank 1).

Pure. Must not know sockets, headers' names, or providers.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct, structs

from actors.gateway.claims import NAMING, Claims
from schemas.events import ProcessKind, ThreadKind
from schemas.evidence import Evidence, Rank, Subject
from schemas.identity import (
    ConversationKey,
    IdentityError,
    LaunchId,
    ProcessKey,
    SessionId,
    TerminalKey,
    conversation_key,
    is_provisional,
    process_id,
    process_session,
    session_of,
)
from schemas.launch import LaunchRecord

OTHER: Final = "other"
DAEMON_TERMINAL: Final = (
    "the shared daemon sends for every tab, with the environment of the one that started it; `tabwire run codex` proves the tab"
)


class Caller(Struct, frozen=True):
    """What is known of the process behind a connection; built once per process and shared by its requests.

    ``evidence`` holds the statements that are true of the process whatever it sends. Without a process, ``missing`` says
    why there is none and ``evidence`` lists the candidates.
    """

    process: ProcessKey | None = None
    agent: str = OTHER
    kind: ProcessKind = OTHER
    terminal: TerminalKey | None = None
    terminal_missing: str = ""
    cwd: str | None = None
    evidence: tuple[Evidence, ...] = ()
    missing: str = ""


Relation = Literal["same", "descendant", "stranger", "unknown"]


class Standing(Struct, frozen=True):
    """What a launch token is worth now: the launch it names, and how the caller's process stands to the launched one.

    ``by`` is what names the launch: a token, or without one its record, which holds the launched process.
    """

    worth: Literal["none", "unknown", "ended", "living"] = "none"
    record: LaunchRecord | None = None
    relation: Relation = "unknown"
    by: str = "launch token"


NO_LAUNCH: Final = Standing()


class Attribution(Struct, frozen=True):
    """Who sent a request; ``launch`` is set only when its token was believed."""

    session: SessionId | None
    agent: str
    conversation: ConversationKey | None
    thread: str | None
    thread_kind: ThreadKind
    parent_thread: str | None
    process: ProcessKey | None
    process_kind: ProcessKind
    terminal: TerminalKey | None
    terminal_missing: str
    launch: LaunchRecord | None
    cwd: str | None
    evidence: tuple[Evidence, ...]


def caller_of(
    process: ProcessKey,
    agent: str,
    kind: ProcessKind,
    *,
    terminal: TerminalKey | None = None,
    terminal_missing: str = "",
    seated: tuple[Evidence, ...] = (),
    cwd: str | None = None,
) -> Caller:
    """Build a caller from what was read of its process; ``seated`` is what was said for and against its terminal.

    A shared daemon's terminal is rejected here, once and for all.
    """
    evidence = [statement(Rank.KERNEL, "socket owner", "process", process_id(process), "the one owner of the connection")]
    if agent != OTHER:
        evidence.append(statement(Rank.KERNEL, "executable", "agent", agent, f"runs as {kind}"))
    if kind == "daemon":
        seated = tuple(structs.replace(one, rejected=one.rejected or DAEMON_TERMINAL) for one in seated)
        terminal, terminal_missing, cwd = None, DAEMON_TERMINAL, None
    return Caller(process, agent, kind, terminal, terminal_missing[:300], cwd, (*evidence, *seated))


def unknown_caller(missing: str, candidates: tuple[str, ...] = ()) -> Caller:
    """Build a caller whose process is not known, and say why; candidates are listed, never chosen from."""
    rejected = tuple(statement(Rank.KERNEL, "socket owner", "process", name, rejected=missing) for name in candidates)
    if not rejected:
        rejected = (statement(Rank.KERNEL, "socket owner", "process", "unknown", rejected=missing),)
    return Caller(evidence=rejected, missing=missing, terminal_missing=f"the caller's process is not known: {missing}"[:300])


def above(agent: Caller, below: ProcessKey) -> Caller:
    """Return an agent's process as the one that ran the hook: by its place above the caller, not by the connection."""
    note = f"the nearest {agent.agent} above the caller {process_id(below)}, by living processes"
    name = "unknown" if agent.process is None else process_id(agent.process)
    proof = statement(Rank.KERNEL, "ancestry", "process", name, note)
    others = (one for one in agent.evidence if one.proves != "process")  # how a connection's owner was found
    return structs.replace(agent, evidence=(proof, *others))


def lost(caller: Caller, missing: str) -> Caller:
    """Return a caller above whom no agent was found, with the reason."""
    searched = statement(Rank.KERNEL, "ancestry", "process", "unknown", rejected=missing)
    return structs.replace(caller, evidence=(*caller.evidence, searched))


def attribute(caller: Caller, standing: Standing, claims: Claims) -> Attribution:
    """Join the three accounts of a request."""
    launch, told = _launch(caller, standing)
    claims = _named_by_launch(caller, standing, launch, claims)
    agent = caller.agent if launch is None or caller.agent != OTHER else launch.agent
    conversation, said = _conversation(caller, launch, claims) if claims.agent else _driven(caller, launch)
    believed = conversation is not None or (claims.agent != "" and _speaks(caller, launch, claims))
    if conversation is not None:
        session: SessionId | None = session_of(conversation)
    elif launch is not None:
        session = SessionId(launch.launch)
    else:
        session = None if caller.process is None else process_session(caller.process)
    terminal, missing, seated = _terminal(caller, launch)
    return Attribution(
        session=session,
        agent=conversation.partition(":")[0] if conversation is not None else agent,
        conversation=conversation,
        thread=claims.thread if believed else None,
        thread_kind=claims.thread_kind if believed else "unknown",
        parent_thread=claims.parent_thread if believed else None,
        process=caller.process,
        process_kind=caller.kind,
        terminal=terminal,
        terminal_missing=missing,
        launch=launch,
        cwd=caller.cwd or (launch.cwd if launch is not None else None),
        evidence=(*told, *caller.evidence, *seated, *said),
    )


def _launch(caller: Caller, standing: Standing) -> tuple[LaunchRecord | None, tuple[Evidence, ...]]:
    record = standing.record
    if record is None or standing.worth != "living":
        return None, ()
    if standing.relation in ("same", "descendant"):
        note = "from the launched process" if standing.relation == "same" else "from a descendant of the launched process"
        return record, (statement(Rank.TOLD_BY_US, standing.by, "launch", record.launch, note),)
    if standing.relation == "stranger":
        reason = "the caller is neither the launched process nor a descendant of it"
        return None, (statement(Rank.TOLD_BY_US, standing.by, "launch", record.launch, rejected=reason, conflict=True),)
    reason = f"whether the caller descends from the launched process could not be read: {caller.missing or 'not known'}"
    return None, (statement(Rank.TOLD_BY_US, standing.by, "launch", record.launch, rejected=reason),)


def _named_by_launch(caller: Caller, standing: Standing, launch: LaunchRecord | None, claims: Claims) -> Claims:
    """Give the claim of a program that we launched, and that is no known agent, the name that the launch gave it.

    Such a program (the demo's, or anybody's own) says its conversation in the headers of an agent that it is not.
    """
    if launch is None or standing.relation != "same" or caller.agent != OTHER or claims.conversation is None:
        return claims
    if launch.agent in (claims.agent, OTHER):
        return claims
    own = claims.conversation.partition(":")[2]
    try:
        named = conversation_key(launch.agent, own)
    except IdentityError:
        return claims  # a launch record with an agent's name that no conversation can have
    return structs.replace(claims, agent=launch.agent, conversation=named)


def _speaks(caller: Caller, launch: LaunchRecord | None, claims: Claims) -> bool:
    return claims.agent in (caller.agent, None if launch is None else launch.agent)


def _conversation(
    caller: Caller, launch: LaunchRecord | None, claims: Claims
) -> tuple[ConversationKey | None, tuple[Evidence, ...]]:
    """Believe a claim of a conversation, or say why not."""
    kind, value = f"{claims.said_by} {claims.header}", claims.conversation or ""
    rejected, conflict = "", False
    if claims.conversation is None:
        rejected = claims.problem
    elif caller.process is None and launch is None:
        rejected = "the caller's process is not known, and a header alone proves nothing"
    elif not _speaks(caller, launch, claims):
        rejected, conflict = f"the caller is no {claims.agent} (it is {caller.agent!r})", True
    elif claims.thread_kind == "title":
        rejected = "a title request belongs to no conversation; it counts for its process"
    note = "" if rejected else claims.note
    evidence = (statement(Rank.REQUEST_DECLARED, kind, "conversation", value, note, rejected=rejected, conflict=conflict),)
    return (None if rejected else claims.conversation), evidence


def _driven(caller: Caller, launch: LaunchRecord | None) -> tuple[ConversationKey | None, tuple[Evidence, ...]]:
    """Believe our bridge which conversation its agent has, where the agent itself does not say it in its requests."""
    if launch is None or launch.session is None or launch.agent in NAMING or caller.agent != launch.agent:
        return None, ()
    agent, _, own = launch.session.partition("-")
    if is_provisional(launch.session) or agent != launch.agent:
        return None, ()
    try:
        conversation = conversation_key(agent, own)
    except IdentityError:
        return None, ()  # a record that was not written by a bridge
    note = "the conversation that its bridge drives"
    return conversation, (statement(Rank.TOLD_BY_US, "launch record", "conversation", conversation, note),)


def _terminal(caller: Caller, launch: LaunchRecord | None) -> tuple[TerminalKey | None, str, tuple[Evidence, ...]]:
    """Prefer the terminal that our launch recorded to the one that the process declares."""
    if launch is None or launch.terminal is None:
        return caller.terminal, "" if caller.terminal is not None else caller.terminal_missing, ()
    seated = [statement(Rank.TOLD_BY_US, "launch record", "terminal", launch.terminal)]
    if caller.terminal is not None and caller.terminal != launch.terminal:
        reason = "it was launched in another terminal"
        seated.append(
            statement(Rank.PROCESS_DECLARED, "environment", "terminal", caller.terminal, rejected=reason, conflict=True)
        )
    return launch.terminal, "", tuple(seated)


def launch_id(attribution: Attribution) -> LaunchId | None:
    """Return the launch that was believed."""
    return None if attribution.launch is None else attribution.launch.launch


def statement(
    rank: Rank,
    kind: str,
    proves: Subject,
    value: str,
    note: str = "",
    *,
    rejected: str = "",
    conflict: bool = False,
) -> Evidence:
    """Build a statement whose texts fit."""
    return Evidence(
        rank=rank,
        kind=kind[:64],
        proves=proves,
        value=value[:300],
        note=note[:300],
        rejected=rejected[:300],
        conflict=conflict,
    )
