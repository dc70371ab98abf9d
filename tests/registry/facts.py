"""Any fact that anybody may tell the registry, sensible or not, of a few processes, launches and conversations."""

from __future__ import annotations

from hypothesis import strategies as st

from actors.registry.fold import Limits
from schemas import events as e
from schemas.events.values import ProcessKind
from schemas.evidence import Evidence, Rank
from schemas.identity import LaunchId, SessionId, TerminalKey, process_session
from tests.story import clock, process

PROCESSES = [process(pid) for pid in (11, 12, 13)] + [process(11, boot="boot-2")]
CONVERSATIONS = [SessionId("codex-a"), SessionId("codex-b"), SessionId("claude-c")]
LAUNCHES = [LaunchId("launch-1"), LaunchId("launch-2")]
SESSIONS = [
    *CONVERSATIONS,
    *(SessionId(launch) for launch in LAUNCHES),
    *(process_session(key) for key in PROCESSES),
    SessionId("strange"),
    SessionId(""),
]
TERMINALS = [TerminalKey("wt:1"), TerminalKey("tmux:%2"), None]
KINDS: list[ProcessKind] = ["tui", "exec", "app_server", "daemon", "mcp", "wrapper", "other"]
NOW = clock(0)

pick = st.sampled_from
maybe_process = pick([*PROCESSES, None])
evidence = st.builds(
    Evidence,
    rank=pick(list(Rank)),
    kind=pick(["socket owner", "header", "environment"]),
    proves=pick(["launch", "process", "terminal", "conversation", "agent"]),
    value=pick(["codex:a", "wt:1", "x"]),
    rejected=pick(["", "no"]),
    conflict=st.booleans(),
)
timing = st.just(e.Timing(total_ms=1))
usage = st.none() | st.builds(e.Usage, input=st.integers(0, 9), total=st.integers(0, 9))
request = pick(["r1", "r2", "r3", "r4"])
maybe_session = pick([*SESSIONS, None])
any_event = st.one_of(
    st.builds(
        e.RequestReceived,
        request=request,
        method=pick(["POST", "GET"]),
        path=st.just("/"),
        dialect=st.just("unknown"),
        peer=st.just(""),
    ),
    st.builds(
        e.RequestAttributed,
        request=request,
        session=maybe_session,
        agent=pick(["codex", "other"]),
        conversation=pick(["codex:a", None]),
        thread=pick(["t1", "t2", None]),
        thread_kind=pick(["main", "title", "review", "unknown"]),
        process=maybe_process,
        process_kind=pick(KINDS),
        terminal=pick(TERMINALS),
        terminal_missing=pick(["", "why"]),
        launch=pick([*LAUNCHES, None]),
        cwd=pick(["/w", None]),
        evidence=st.lists(evidence, max_size=3).map(tuple),
    ),
    st.builds(e.RequestRouted, request=request, session=maybe_session, provider=pick(["p", "q"]), reason=st.just("")),
    st.builds(
        e.RequestFirstByte,
        request=request,
        session=maybe_session,
        provider=st.just("p"),
        status=st.just(200),
        first_byte_ms=st.just(1),
    ),
    st.builds(
        e.RequestCompleted,
        request=request,
        session=maybe_session,
        provider=st.just("p"),
        status=st.just(200),
        timing=timing,
        bytes_in=st.just(1),
        bytes_out=st.just(1),
        usage=usage,
        response=pick(["s1", "s2", None]),
    ),
    st.builds(
        e.RequestFailed,
        request=request,
        session=maybe_session,
        phase=st.just("stream"),
        code=st.just("cut"),
        message=st.just(""),
        status=st.just(502),
        timing=timing,
        usage=usage,
    ),
    st.builds(e.RequestCancelled, request=request, session=maybe_session, phase=st.just("stream"), timing=timing),
    st.builds(
        e.ProcessSeen,
        process=pick(PROCESSES),
        agent=pick(["codex", "other"]),
        kind=pick(KINDS),
        terminal=pick(TERMINALS),
        terminal_missing=pick(["", "why"]),
        launch=pick([*LAUNCHES, None]),
        evidence=st.lists(evidence, max_size=2).map(tuple),
    ),
    st.builds(e.ProcessExited, process=pick(PROCESSES)),
    st.builds(
        e.ProcessConversationFound,
        process=pick(PROCESSES),
        agent=pick(["codex", "claude"]),
        session=pick(SESSIONS),
        conversation=pick(["codex:a", "claude:c"]),
        thread=pick(["t1", "a", None]),
        transcript=pick(["/r/1", "/r/2", None]),
        evidence=st.lists(evidence, max_size=2).map(tuple),
    ),
    st.builds(
        e.ProcessConversationLost,
        process=pick(PROCESSES),
        agent=st.just("codex"),
        session=pick(SESSIONS),
        conversation=st.just("codex:a"),
        reason=st.just("closed"),
    ),
    st.builds(
        e.HookReceived,
        agent=st.just("codex"),
        hook=pick(["Stop", "PermissionRequest", "UserPromptSubmit", "Notification"]),
        detail=pick(["", "permission_prompt"]),
        session=maybe_session,
        process=maybe_process,
        process_kind=pick(KINDS),
        launch=pick([*LAUNCHES, None]),
        terminal=pick(TERMINALS),
        evidence=st.lists(evidence, max_size=2).map(tuple),
    ),
    st.builds(
        e.TranscriptSeen,
        session=pick(SESSIONS),
        conversation=st.just("codex:a"),
        agent=st.just("codex"),
        thread=pick(["a", "b", "t1"]),
        thread_kind=pick(["main", "subagent", "review"]),
        path=pick(["/r/1", "/r/2"]),
        file=pick(["f1", "f2"]),
        offset=st.just(1),
        agent_provider=pick(["", "openai"]),
        forked_from=pick(["codex:b", "codex:a", None]),
    ),
    st.builds(
        e.TranscriptMoved, session=pick(SESSIONS), file=pick(["f1", "f2"]), path=pick(["/r/3", None]), archived=st.booleans()
    ),
    st.builds(
        e.TranscriptTurnStarted,
        session=pick(SESSIONS),
        file=pick(["f1", "f2", "f3"]),
        offset=st.just(1),
        thread=pick(["a", "b"]),
        turn=st.just("t"),
        at=pick(["", NOW, "2020-01-01T00:00:00Z", "no time"]),
    ),
    st.builds(
        e.TranscriptTurnEnded,
        session=pick(SESSIONS),
        file=pick(["f1", "f2"]),
        offset=st.just(1),
        thread=pick(["a", "b"]),
        turn=st.just("t"),
        outcome=pick(["completed", "failed", "aborted"]),
    ),
    st.builds(
        e.TranscriptUsageRecorded,
        session=pick(SESSIONS),
        file=pick(["f1", "f2"]),
        offset=st.just(1),
        thread=pick(["a", "b"]),
        response=pick(["s1", "s2"]),
        usage=st.builds(e.Usage, input=st.integers(0, 9), total=st.integers(0, 9)),
    ),
    st.builds(
        e.TranscriptSettingsChanged,
        session=pick(SESSIONS),
        file=pick(["f1", "f2"]),
        offset=st.just(1),
        thread=pick(["a", "b"]),
        agent_provider=pick(["", "local"]),
    ),
    st.builds(e.SessionLinked, session=pick(SESSIONS), relation=pick(["forks", "succeeds"]), to=pick(SESSIONS)),
    st.builds(
        e.SessionStatusChanged,
        session=pick(SESSIONS),
        status=pick(["idle", "working", "gone"]),
        since=st.just(NOW),
        source=st.just("request"),
    ),
    st.builds(
        e.LaunchStarted, launch=pick(LAUNCHES), agent=st.just("codex"), process=pick(PROCESSES), terminal=pick(TERMINALS)
    ),
    st.builds(e.LaunchEnded, launch=pick(LAUNCHES)),
    st.builds(e.ActorStarted, actor=st.just("gateway"), incarnation=pick(["g1", "g2"]), pid=st.just(1), restarts=st.just(0)),
    st.builds(
        e.ActorExited,
        actor=st.just("gateway"),
        incarnation=pick(["g1", "g2"]),
        pid=st.just(1),
        code=st.just(1),
        reason=st.just(""),
    ),
    st.builds(e.SessionSeen, session=pick(SESSIONS), agent=st.just("codex"), provisional=st.booleans()),
    st.builds(e.SessionIdentified, session=pick(SESSIONS), provisional=pick(SESSIONS)),
    st.builds(e.SessionVerified, session=pick(SESSIONS), request=request, rank=st.just(1)),
    st.builds(e.SessionConflicted, session=pick(SESSIONS), evidence=evidence),
    st.builds(e.SessionGone, session=pick(SESSIONS), reason=st.just("")),
    st.builds(e.SessionReturned, session=pick(SESSIONS)),
    st.dictionaries(pick(["session", "request", "x"]), st.none() | st.integers() | st.text(max_size=3), max_size=3),
)
SMALL = Limits(
    sessions=4,
    flights=2,
    strays=2,
    aliases=3,
    statements=2,
    conflicts=1,
    decisions=1,
    responses=1,
    claims=2,
    terminals=1,
    threads=1,
    transcripts=2,
    files=1,
    inside=1,
)
