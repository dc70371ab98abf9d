"""Properties of the registry's fold: it never raises, order and repetition do not matter, effects are said exactly once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.registry.fold import Effect, Limits, State, fold, pending
from actors.registry.replay import replay, replay_state
from actors.registry.rows import as_of, explain, table
from schemas import events as e
from schemas.envelope import Envelope, Recorded, Stamp
from schemas.evidence import Evidence, Rank
from schemas.identity import ProcessKey, SessionId, process_session
from tests.story import (
    CLIENT,
    DISCOVERY,
    EPOCH,
    GATEWAY,
    REGISTRY,
    ROLLOUT,
    clock,
    declared,
    header,
    holder,
    kernel,
    process,
    token,
)

PROCESSES = [process(pid) for pid in (11, 12, 13)] + [process(11, boot="boot-2")]
CONVERSATIONS = ["codex-a", "codex-b", "claude-c"]
LAUNCHES = ["launch-1", "launch-2"]
SESSIONS = [*CONVERSATIONS, *LAUNCHES, *(process_session(key) for key in PROCESSES), "strange", ""]
TERMINALS = ["wt:1", "tmux:%2", None]
KINDS = ["tui", "exec", "app_server", "daemon", "mcp", "wrapper", "other"]
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


def recorded(
    data: Any, position: int, *, source: str = GATEWAY, id_: str = "", epoch: str = EPOCH, time: str = NOW, told: str = ""
) -> Recorded:
    type_ = data.get("type", "weather.changed") if isinstance(data, dict) else data.TYPE
    envelope = Envelope(id=id_ or f"e{position}", source=source, type=type_, subject="bus/x", time=told or time, data=data)
    return Recorded(Stamp(epoch, position, time), envelope)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            any_event,
            pick([GATEWAY, REGISTRY, CLIENT, "/actor/gateway/g2"]),
            st.integers(0, 3),
            pick([EPOCH] * 30 + ["epoch-2"]),
        ),
        max_size=60,
    ),
    pick([Limits(), SMALL]),
    pick([NOW, "no time", ""]),
)
def test_no_sequence_of_events_makes_the_fold_or_its_rows_raise(told: list[Any], limits: Limits, time: str) -> None:
    state = State(limits=limits)
    position = 0
    for data, source, ahead, epoch in told:
        position += ahead
        fold(state, recorded(data, position * 700, source=source, epoch=epoch, time=time))
    pending(state)
    listed = table(state, NOW, as_of(state, NOW))
    for row in listed.sessions:
        assert row.in_flight >= 0
        assert explain(state, row.session, NOW).row.session == row.session if row.session else True
    assert len(state.flights) <= limits.flights
    assert len(state.sessions) <= limits.sessions + 1
    for name in list(state.aliases):
        try:
            explain(state, name, NOW)
        except LookupError:
            continue


# ------------------------------------------------------------------------------------------------ consistent worlds


Said = tuple[str, Any, str]  # by whom, what, and when by the publisher's clock
POOL = [f"codex-{number}" for number in range(4)]


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
    kind = draw(pick(["tui", "exec", "app_server", "daemon"]))
    launch = f"launch-{number}" if kind in ("tui", "exec") and draw(st.booleans()) else None
    if launch:
        sources[CLIENT].append(e.LaunchStarted(launch=launch, agent="codex", process=key, terminal=terminal))
    sources[DISCOVERY] += _discover(draw, key, kind, number)
    for count in range(draw(st.integers(0, 3))):
        title = draw(st.booleans()) and draw(st.booleans())
        own = launch or process_session(key)
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
                conversation=about.replace("-", ":", 1),
                process=key,
                process_kind=kind,
                evidence=(header(about),),
            )
            sources[GATEWAY].append(told)
    if draw(st.booleans()):
        sources[DISCOVERY].append(e.ProcessExited(process=key))
        if launch:
            sources[CLIENT].append(e.LaunchEnded(launch=launch))


def _discover(draw: st.DrawFn, key: ProcessKey, kind: Any, number: int) -> list[Any]:
    found = draw(pick(TERMINALS))  # which may contradict what launch and gateway say
    parent = process(100 + number - 1) if number and draw(st.booleans()) else None
    seen = e.ProcessSeen(
        process=key, agent="codex", kind=kind, terminal=found, terminal_missing="" if found else "none", parent=parent
    )
    told: list[Any] = [seen] if draw(st.booleans()) else []
    had: set[str] = set()
    for session in draw(st.lists(pick(POOL), max_size=3)):
        facts: dict[str, Any] = {
            "process": key,
            "agent": "codex",
            "session": session,
            "conversation": session.replace("-", ":", 1),
        }
        if session not in had or draw(pick([True, False])):
            had.add(session)
            said = draw(pick([holder(session), declared(session), declared(session, "codex_daemon")]))
            path = draw(pick([f"/r/rollout-{session}", f"/x/rollout-{session}", None]))
            told.append(e.ProcessConversationFound(**facts, transcript=path, evidence=(said,)))
        else:
            told.append(e.ProcessConversationLost(**facts, reason="closed"))
    return told


def _tell_of_files(draw: st.DrawFn, session: str) -> list[Any]:
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
                conversation=session.replace("-", ":", 1),
                agent="codex",
                thread_kind="subagent" if file == "child" else "main",
                path=path if file != "child" else f"/r/child-{session}",
                agent_provider="openai",
                forked_from=draw(pick(["codex:0", None])),
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
    name: str, session: str, key: ProcessKey, kind: Any, launch: str | None, *, terminal: str | None, title: bool
) -> list[Any]:
    proven = [kernel(key), *([token(launch)] if launch else []), *([] if title else [header(session)])]
    attributed = e.RequestAttributed(
        request=name,  # type: ignore[arg-type]
        session=SessionId(session),
        agent="codex",
        conversation=None if title else session.replace("-", ":", 1),  # type: ignore[arg-type]
        thread_kind="title" if title else "main",
        process=key,
        process_kind=kind,
        terminal=terminal,  # type: ignore[arg-type]
        terminal_missing="" if terminal else "none",
        launch=launch,  # type: ignore[arg-type]
        evidence=tuple(proven),
    )
    return [
        e.RequestReceived(request=name, method="POST", path="/v1/responses", dialect="openai.responses", peer=""),  # type: ignore[arg-type]
        attributed,
        e.RequestRouted(request=name, session=session, provider="p", reason="default"),  # type: ignore[arg-type]
        e.RequestCompleted(
            request=name,  # type: ignore[arg-type]
            session=session,  # type: ignore[arg-type]
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


def folded(told: list[Said]) -> State:
    state = State()
    for position, (source, data, time) in enumerate(told, 1):
        fold(state, recorded(data, position, source=source, told=time))
    return state


def rows_of(state: State) -> dict[str, Any]:
    return {row.session: row for row in table(state, NOW, as_of(state, NOW)).sessions}


@settings(max_examples=300, deadline=None)
@given(worlds(), st.data())
def test_the_order_of_independent_sources_does_not_matter(sources: list[list[Said]], data: st.DataObject) -> None:
    one = folded(interleave(data.draw, sources))
    other = folded(interleave(data.draw, sources))
    assert rows_of(one) == rows_of(other)
    for name in rows_of(one):
        left, right = explain(one, name, NOW), explain(other, name, NOW)
        assert Counter((line.evidence, line.repeated) for line in left.evidence) == Counter(
            (line.evidence, line.repeated) for line in right.evidence
        )


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_repeated_events_change_nothing(sources: list[list[Said]], data: st.DataObject) -> None:
    told = interleave(data.draw, sources)
    journal = [recorded(fact, position, source=source, told=time) for position, (source, fact, time) in enumerate(told, 1)]
    state = State()
    for place, event in enumerate(journal):
        fold(state, event)
        if place and data.draw(st.booleans()):
            assert fold(state, journal[data.draw(st.integers(0, place))]) == ()
    assert rows_of(state) == rows_of(folded(told))


class Bus:
    """A journal that records an id once, as the broker does."""

    def __init__(self) -> None:
        self.journal: list[Recorded] = []
        self.ids: set[str] = set()

    def publish(self, source: str, data: Any, id_: str = "", told: str = "") -> None:
        if id_ not in self.ids:
            self.ids.add(id_)
            self.journal.append(recorded(data, len(self.journal) + 1, source=source, id_=id_, told=told))


class Live:
    """A registry as its actor runs it: folds at its own pace, announces when it has caught up, can die at any point."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.state = State()
        self.waiting: dict[str, Effect] = {}
        self.caught_up = False

    def advance(self) -> None:
        """Fold the next event, or catch up at the end of the journal."""
        if self.state.position < len(self.bus.journal):
            effects = fold(self.state, self.bus.journal[self.state.position])
            if self.caught_up:
                self.waiting.update({effect.id: effect for effect in effects})
        elif not self.caught_up:
            self.caught_up = True
            self.waiting.update({effect.id: effect for effect in pending(self.state)})

    def announce(self) -> None:
        """Publish the next effect."""
        if self.waiting:
            effect = self.waiting.pop(next(iter(self.waiting)))
            self.bus.publish(REGISTRY, effect.data, effect.id)

    def drain(self) -> None:
        while not self.caught_up or self.waiting or self.state.position < len(self.bus.journal):
            self.advance()
            self.announce()


def announced(journal: list[Recorded]) -> list[Any]:
    return [event.envelope.data for event in journal if event.envelope.source == REGISTRY]


@settings(max_examples=300, deadline=None)
@given(worlds(), st.data())
def test_effects_are_announced_exactly_once_whenever_the_registry_dies(sources: list[Any], data: st.DataObject) -> None:
    told = interleave(data.draw, sources)
    bus = Bus()
    registry = Live(bus)
    for number, (source, fact, time) in enumerate(told):
        bus.publish(source, fact, f"fact-{number}", time)
        for step in data.draw(st.lists(pick(["advance", "advance", "announce", "die"]), max_size=6)):
            if step == "die":
                registry = Live(bus)
            else:
                getattr(registry, step)()
    registry.drain()
    assert pending(registry.state) == ()
    assert pending(replay_state(bus.journal)) == ()
    said = announced(bus.journal)
    for type_, key in ((e.SessionSeen, "session"), (e.SessionVerified, "session"), (e.SessionIdentified, "provisional")):
        counts = Counter(getattr(one, key) for one in said if type(one) is type_)
        assert set(counts.values()) <= {1}
    conflicts = Counter(
        (one.session, one.evidence.proves, one.evidence.value) for one in said if type(one) is e.SessionConflicted
    )
    assert set(conflicts.values()) <= {1}
    rows = rows_of(registry.state)
    assert {one.session for one in said if type(one) is e.SessionVerified} >= {
        name for name, row in rows.items() if row.verdict == "verified"
    }
    for name, row in rows.items():
        lifecycle = [type(one) for one in said if type(one) in (e.SessionGone, e.SessionReturned) and one.session == name]
        assert lifecycle == [e.SessionGone, e.SessionReturned] * (len(lifecycle) // 2) + [e.SessionGone] * (len(lifecycle) % 2)
        assert (row.activity == "gone") == (len(lifecycle) % 2 == 1)
        statuses = [one.status for one in said if type(one) is e.SessionStatusChanged and one.session == name]
        assert statuses[-1] == row.status
        assert all(one != other for one, other in pairwise(statuses))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_replay_is_the_table_that_was_alive(sources: list[Any], data: st.DataObject) -> None:
    bus = Bus()
    registry = Live(bus)
    for number, (source, fact, time) in enumerate(interleave(data.draw, sources)):
        bus.publish(source, fact, f"fact-{number}", time)
        registry.advance()
        registry.announce()
        position = registry.state.position
        assert (
            replay(bus.journal, until_position=position, now=NOW).sessions
            == table(registry.state, NOW, as_of(registry.state, NOW)).sessions
        )
    registry.drain()
    assert replay(bus.journal, now=NOW) == table(registry.state, NOW, as_of(registry.state, NOW))
