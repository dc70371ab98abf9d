"""Worlds that could be: what independent sources tell of the same processes, launches and files, each in its own order."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schemas import events as e
from schemas.events.values import ProcessKind
from schemas.identity import ConversationKey, LaunchId, ProcessKey, RequestId, SessionId, TerminalKey, process_session
from tests.registry.facts import TERMINALS, pick
from tests.story import (
    CLIENT,
    DISCOVERY,
    GATEWAY,
    ROLLOUT,
    clock,
    conversation_of,
    declared,
    header,
    holder,
    kernel,
    process,
    token,
)

Said = tuple[str, Any, str]  # by whom, what, and when by the publisher's clock
POOL = [SessionId(f"codex-{number}") for number in range(4)]
OWN_KINDS: list[ProcessKind] = ["tui", "exec", "app_server", "daemon"]


@st.composite
def worlds(draw: st.DrawFn) -> list[list[Said]]:
    """Draw what independent sources have to tell of one world, each in its own order.

    Processes share conversations as they like: resumed elsewhere, held by two, claimed in vain, one after the other.
    """
    sources: dict[str, list[Any]] = {GATEWAY: [], DISCOVERY: [], CLIENT: [], ROLLOUT: []}
    for number in range(draw(st.integers(1, 4))):
        _tell_of_process(draw, number, sources)
    for session in draw(st.lists(pick(POOL), max_size=2, unique=True)):
        sources[ROLLOUT] += _tell_of_files(draw, session)
    told = interleave(draw, [[(source, data, "") for data in facts] for source, facts in sources.items()])
    timed = [(source, data, clock(place + 1)) for place, (source, data, _) in enumerate(told)]
    return [[one for one in timed if one[0] == source] for source in sources]


def _tell_of_process(draw: st.DrawFn, number: int, sources: dict[str, list[Any]]) -> None:
    key = process(100 + number)
    terminal = draw(pick(TERMINALS))
    kind = draw(pick(OWN_KINDS))
    launch = LaunchId(f"launch-{number}") if kind in ("tui", "exec") and draw(st.booleans()) else None
    if launch:
        sources[CLIENT].append(e.LaunchStarted(launch=launch, agent="codex", process=key, terminal=terminal))
    sources[DISCOVERY] += _discover(draw, key, kind, number)
    if kind != "daemon" and draw(pick([False, False, True])):  # it starts itself a second time
        sources[DISCOVERY].append(e.ProcessSeen(process=key, agent="codex", kind="wrapper", terminal=terminal))
    for count in range(draw(st.integers(0, 3))):
        title = draw(st.booleans()) and draw(st.booleans())
        own = SessionId(launch) if launch else process_session(key)
        session = own if title else draw(pick(POOL))
        seat = None if kind == "daemon" else terminal
        sources[GATEWAY] += exchange(f"r{number}-{count}", session, key, kind, launch, terminal=seat, title=title)
        if draw(st.booleans()):
            hook = draw(pick(["Stop", "PermissionRequest", "UserPromptSubmit"]))
            about = draw(pick(POOL))
            told = e.HookReceived(
                agent="codex",
                hook=hook,
                session=about,
                conversation=conversation_of(about),
                process=key,
                process_kind=kind,
                evidence=(header(about),),
            )
            sources[GATEWAY].append(told)
    if draw(st.booleans()):
        sources[DISCOVERY].append(e.ProcessExited(process=key))
        if launch:
            sources[CLIENT].append(e.LaunchEnded(launch=launch))


def _discover(draw: st.DrawFn, key: ProcessKey, kind: ProcessKind, number: int) -> list[Any]:
    found = draw(pick(TERMINALS))  # which may contradict what launch and gateway say
    parent = process(100 + number - 1) if number and draw(st.booleans()) else None
    seen = e.ProcessSeen(
        process=key, agent="codex", kind=kind, terminal=found, terminal_missing="" if found else "none", parent=parent
    )
    told: list[Any] = [seen] if draw(st.booleans()) else []
    had: set[SessionId] = set()
    for session in draw(st.lists(pick(POOL), max_size=3)):
        facts: dict[str, Any] = {
            "process": key,
            "agent": "codex",
            "session": session,
            "conversation": conversation_of(session),
        }
        if session not in had or draw(pick([True, False])):
            had.add(session)
            said = draw(pick([holder(session), declared(session), declared(session, "codex_daemon")]))
            path = draw(pick([f"/r/rollout-{session}", f"/x/rollout-{session}", None]))
            told.append(e.ProcessConversationFound(**facts, transcript=path, evidence=(said,)))
        else:
            told.append(e.ProcessConversationLost(**facts, reason="closed"))
    return told


def _tell_of_files(draw: st.DrawFn, session: SessionId) -> list[Any]:
    own = session.partition("-")[2]
    told: list[Any] = []
    for file in draw(st.lists(pick(["f1", "f2", "child"]), max_size=4)):
        thread = "child" if file == "child" else own
        place: dict[str, Any] = {"session": session, "file": f"{session}-{file}", "offset": 1, "thread": thread}
        what = draw(pick(["seen", "started", "ended", "used"]))
        if what == "seen":
            path = f"/r/rollout-{session}" if file == "f1" else f"/x/rollout-{session}"
            seen = e.TranscriptSeen(
                **place,
                conversation=conversation_of(session),
                agent="codex",
                thread_kind="subagent" if file == "child" else "main",
                path=path if file != "child" else f"/r/child-{session}",
                agent_provider="openai",
                forked_from=draw(pick([ConversationKey("codex:0"), None])),
            )
            told.append(seen)
        elif what == "started":
            told.append(e.TranscriptTurnStarted(**place, turn="t"))
        elif what == "ended":
            told.append(e.TranscriptTurnEnded(**place, turn="t", outcome=draw(pick(["completed", "failed"]))))
        else:
            response = draw(pick(["resp-r0-0", "resp-r1-0", "elsewhere"]))
            told.append(e.TranscriptUsageRecorded(**place, response=response, usage=e.Usage(input=2, output=1, total=3)))
    return told


def exchange(
    name: str,
    session: SessionId,
    key: ProcessKey,
    kind: ProcessKind,
    launch: LaunchId | None,
    *,
    terminal: TerminalKey | None,
    title: bool,
) -> list[Any]:
    """Tell of one request from its arrival to its end."""
    request = RequestId(name)
    proven = [kernel(key), *([token(launch)] if launch else []), *([] if title else [header(session)])]
    attributed = e.RequestAttributed(
        request=request,
        session=session,
        agent="codex",
        conversation=None if title else conversation_of(session),
        thread_kind="title" if title else "main",
        process=key,
        process_kind=kind,
        terminal=terminal,
        terminal_missing="" if terminal else "none",
        launch=launch,
        evidence=tuple(proven),
    )
    return [
        e.RequestReceived(request=request, method="POST", path="/v1/responses", dialect="openai.responses", peer=""),
        attributed,
        e.RequestRouted(request=request, session=session, provider="p", reason="default"),
        e.RequestCompleted(
            request=request,
            session=session,
            provider="p",
            status=200,
            timing=e.Timing(total_ms=1),
            bytes_in=1,
            bytes_out=1,
            usage=e.Usage(input=1, total=1),
            response=f"resp-{name}",
        ),
    ]


def interleave(draw: st.DrawFn | Any, sources: list[list[Said]]) -> list[Said]:
    """Merge the sources, keeping the order within each."""
    rest = [list(source) for source in sources if source]
    told = []
    while rest:
        source = draw(pick(range(len(rest))))
        told.append(rest[source].pop(0))
        rest = [source for source in rest if source]
    return told
