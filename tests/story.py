"""A journal told in a test: facts in, recorded events out, with times, positions and ids that repeat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from actors.registry.fold import Effect, State, fold
from actors.registry.rows import as_of, explain, table
from schemas import events as e
from schemas.codec import decode_envelope, encode_envelope
from schemas.envelope import Envelope, Recorded, Stamp, subject
from schemas.events.values import ProcessKind, ThreadKind
from schemas.evidence import Evidence, Rank
from schemas.identity import (
    ConversationKey,
    LaunchId,
    ProcessKey,
    RequestId,
    SessionId,
    TerminalKey,
    is_provisional,
    process_id,
    process_session,
)
from schemas.rows import Explanation, SessionRow, SessionTable

EPOCH = "epoch-1"
BEGIN = datetime(2026, 11, 21, 1, 0, 0, tzinfo=UTC)
GATEWAY = "/actor/gateway/g1"
DISCOVERY = "/actor/discovery/d1"
ROLLOUT = "/actor/rollout/o1"
SESSIONS = "/home/u/.codex/sessions"
CLIENT = "/client/run/77"
REGISTRY = "/actor/registry/r1"
TAB = TerminalKey("wt:11111111-aaaa")
OTHER_TAB = TerminalKey("tmux:/tmp/tmux-0/default,71:%3")

_F = TypeVar("_F")
Ended = Literal["completed", "aborted", "failed"]


def process(pid: int, *, boot: str = "boot-1", started: int = 1000, host: str = "host-1") -> ProcessKey:
    return ProcessKey(host, boot, pid, started + pid, 9000 + pid)


def clock(seconds: float) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def conversation_of(session: str) -> ConversationKey:
    """Return what a session is the conversation of: ``codex-01a1`` is that of ``codex:01a1``."""
    return ConversationKey(session.replace("-", ":", 1))


def kernel(key: ProcessKey) -> Evidence:
    return Evidence(rank=Rank.KERNEL, kind="socket owner", proves="process", value=process_id(key))


def holder(session: str) -> Evidence:
    return Evidence(rank=Rank.KERNEL, kind="rollout held open", proves="conversation", value=conversation_of(session))


def declared(session: str, kind: str = "argument") -> Evidence:
    return Evidence(rank=Rank.PROCESS_DECLARED, kind=kind, proves="conversation", value=conversation_of(session))


def header(session: str, rejected: str = "", *, conflict: bool = False) -> Evidence:
    return Evidence(
        rank=Rank.REQUEST_DECLARED,
        kind="header",
        proves="conversation",
        value=conversation_of(session),
        rejected=rejected,
        conflict=conflict,
    )


def token(launch: str) -> Evidence:
    return Evidence(rank=Rank.TOLD_BY_US, kind="launch token", proves="launch", value=launch)


class Story:
    """Tells facts one after the other; ``state`` is what the fold makes of them and ``effects`` what it owes."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self.journal: list[Recorded] = []
        self.effects: list[Effect] = []
        self.seconds = 0.0
        self._requests = 0

    def tell(self, data: Any, *, source: str = GATEWAY, about: str = "", id_: str = "") -> tuple[Effect, ...]:
        position = len(self.journal) + 1
        self.seconds += 1
        envelope = Envelope(
            id=id_ or f"event-{position}",
            source=source,
            type=data.TYPE,
            subject=about or subject("bus", "test"),
            time=clock(self.seconds),
            data=data,
        )
        recorded = Recorded(Stamp(EPOCH, position, clock(self.seconds)), decode_envelope(encode_envelope(envelope)))
        self.journal.append(recorded)
        effects = fold(self.state, recorded)
        self.effects += effects
        return effects

    def announce(self, *, statuses: bool = False) -> list[Effect]:
        """Publish what is owed until nothing is, as the actor does; return what was published, with statuses or without."""
        from actors.registry.fold import pending  # noqa: PLC0415 - only here, so that tests of the fold alone stay so

        published: list[Effect] = []
        while owed := pending(self.state):
            for effect in owed:
                assert effect.id not in {one.id for one in published}
                published.append(effect)
                self.tell(effect.data, source=REGISTRY, about=effect.subject, id_=effect.id)
        return [effect for effect in published if statuses or not isinstance(effect.data, e.SessionStatusChanged)]

    def request(
        self,
        session: str | None,
        by: ProcessKey | None,
        *,
        evidence: Sequence[Evidence] | None = None,
        end: str = "completed",
        usage: e.Usage | None = None,
        response: str | None = None,
        method: str = "POST",
        **more: Any,
    ) -> RequestId:
        """Tell the five facts of a request."""
        self._requests += 1
        name, own = RequestId(f"r{self._requests}"), None if session is None else SessionId(session)
        proven = [] if by is None else [kernel(by)]
        conversation = None
        if session is not None and not is_provisional(session):
            conversation = conversation_of(session)
            proven.append(header(session))
        if more.get("launch"):
            proven.append(token(more["launch"]))
        agent = more.pop("agent", "codex")
        self.tell(e.RequestReceived(request=name, method=method, path="/v1/responses", dialect="openai.responses", peer="p"))
        self.tell(
            e.RequestAttributed(
                request=name,
                session=own,
                agent=agent,
                conversation=more.pop("conversation", conversation),
                process=by,
                process_kind=more.pop("process_kind", "exec"),
                evidence=tuple(proven if evidence is None else evidence),
                **more,
            )
        )
        self.tell(e.RequestRouted(request=name, session=own, provider="echo", reason="default", requested_model="m"))
        self.tell(e.RequestFirstByte(request=name, session=own, provider="echo", status=200, first_byte_ms=2))
        if end:
            self.finish(name, session, end, usage, response)
        return name

    def finish(
        self, name: str, session: str | None, end: str = "completed", usage: e.Usage | None = None, response: str | None = None
    ) -> None:
        timing = e.Timing(total_ms=12.4)
        facts: dict[str, Any] = {"request": name, "session": session, "timing": timing, "usage": usage, "response": response}
        if end == "completed":
            self.tell(
                e.RequestCompleted(**facts, provider="echo", status=200, bytes_in=10, bytes_out=20, served_model="m-served")
            )
        elif end == "failed":
            self.tell(e.RequestFailed(**facts, phase="stream", code="cut", message="cut", status=502))
        else:
            self.tell(e.RequestCancelled(**facts, phase="stream"))

    def seen(
        self, key: ProcessKey, *, agent: str = "codex", kind: ProcessKind = "tui", source: str = DISCOVERY, **more: Any
    ) -> None:
        self.tell(e.ProcessSeen(process=key, agent=agent, kind=kind, **more), source=source)

    def found(self, key: ProcessKey, session: str, *said: Evidence, source: str = DISCOVERY, **more: Any) -> None:
        fact = e.ProcessConversationFound(
            process=key,
            agent=session.partition("-")[0],
            session=SessionId(session),
            conversation=conversation_of(session),
            evidence=said or (holder(session),),
            **more,
        )
        self.tell(fact, source=source)

    def lost(self, key: ProcessKey, session: str, reason: str = "its files are not held open any more") -> None:
        fact = e.ProcessConversationLost(
            process=key,
            agent=session.partition("-")[0],
            session=SessionId(session),
            conversation=conversation_of(session),
            reason=reason,
        )
        self.tell(fact, source=DISCOVERY)

    def transcript(self, session: str, *, thread: str = "", file: str = "", kind: ThreadKind = "main", **more: Any) -> None:
        agent, _, own = session.partition("-")
        thread = thread or own
        fact = e.TranscriptSeen(
            session=SessionId(session),
            conversation=conversation_of(session),
            agent=agent,
            thread=thread,
            thread_kind=kind,
            path=more.pop("path", f"{SESSIONS}/rollout-{thread}.jsonl"),
            file=file or f"file-{thread}",
            offset=1,
            **more,
        )
        self.tell(fact, source=ROLLOUT)

    def turn(self, session: str, outcome: Ended | None = None, *, thread: str = "", at: str = "", code: str = "") -> None:
        thread = thread or session.partition("-")[2]
        facts: dict[str, Any] = {"session": session, "file": f"file-{thread}", "offset": 2, "thread": thread, "turn": "t1"}
        if outcome is None:
            self.tell(e.TranscriptTurnStarted(**facts, at=at), source=ROLLOUT)
        else:
            self.tell(e.TranscriptTurnEnded(**facts, at=at, outcome=outcome, code=code), source=ROLLOUT)

    def spent(self, session: str, response: str, usage: e.Usage) -> None:
        thread = session.partition("-")[2]
        fact = e.TranscriptUsageRecorded(
            session=SessionId(session), file=f"file-{thread}", offset=3, thread=thread, response=response, usage=usage
        )
        self.tell(fact, source=ROLLOUT)

    def hook(self, session: str | None, key: ProcessKey | None, hook: str, detail: str = "", **more: Any) -> None:
        fact = e.HookReceived(
            agent="codex",
            hook=hook,
            detail=detail,
            session=None if session is None else SessionId(session),
            conversation=None if session is None else conversation_of(session),
            process=key,
            process_kind=more.pop("process_kind", "tui"),
            **more,
        )
        self.tell(fact)

    def exited(self, key: ProcessKey) -> None:
        self.tell(e.ProcessExited(process=key))

    def launched(self, launch: str, key: ProcessKey, **more: Any) -> None:
        self.tell(
            e.LaunchStarted(launch=LaunchId(launch), agent=more.pop("agent", "codex"), process=key, **more), source=CLIENT
        )

    def table(self, after: float = 0.0) -> SessionTable:
        now = clock(self.seconds + after)
        return table(self.state, now, as_of(self.state, now))

    def rows(self, after: float = 0.0) -> dict[str, SessionRow]:
        return {row.session: row for row in self.table(after).sessions}

    def row(self, session: str, after: float = 0.0) -> SessionRow:
        return self.rows(after)[session]

    def explain(self, prefix: str) -> Explanation:
        return explain(self.state, prefix, clock(self.seconds))


def kinds(story: Story) -> list[str]:
    """Announce what is owed; return the names of its types."""
    return [type(effect.data).__name__ for effect in story.announce()]


def of(story: Story, type_: type[_F]) -> list[_F]:
    """Announce what is owed; return what of it is of a type."""
    return [effect.data for effect in story.announce(statuses=True) if isinstance(effect.data, type_)]


def provisional(key: ProcessKey) -> SessionId:
    return process_session(key)
