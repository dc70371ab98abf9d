"""Properties of the fold with bridges: it never raises, independent sources may come in any order, replay is what was alive."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.registry.fold import Limits, State, fold, pending
from actors.registry.replay import replay, replay_state
from actors.registry.rows import as_of, explain, table
from schemas import events as e
from schemas.events.bridges import TurnOutcome
from schemas.identity import LaunchId, ProcessKey, SessionId, is_provisional
from tests.registry.alive import Bus, Live, folded, recorded, rows_of
from tests.registry.facts import CONVERSATIONS, LAUNCHES, NOW, PROCESSES, SESSIONS, SMALL, any_event, pick
from tests.registry.worlds import Said, exchange
from tests.story import CLIENT, DISCOVERY, EPOCH, GATEWAY, REGISTRY, clock, process

BRIDGES = "/actor/bridges/b1"
RELATIONS: list[Literal["forks", "reviews"]] = ["forks", "reviews"]
OUTCOMES: list[TurnOutcome] = ["completed", "failed"]
about = {"launch": pick(LAUNCHES), "session": pick(SESSIONS)}
approval = pick(["a1", "a2", "a3"])
any_fact = st.one_of(
    st.builds(
        e.BridgeStarted,
        **about,
        agent=pick(["codex", "claude"]),
        process=pick(PROCESSES),
        cwd=st.just("/w"),
        parent=pick([*SESSIONS, None]),
        relation=pick(["forks", "reviews", None]),
        restarts=pick([0, 1]),
        spawned=pick([*LAUNCHES, None]),
    ),
    st.builds(e.BridgeReady, **about, process=pick(PROCESSES)),
    st.builds(e.BridgeIdentified, **about, conversation=pick(["a", "b"]), succeeds=pick([*CONVERSATIONS, None])),
    st.builds(e.BridgeTurnStarted, **about, turn=pick(["t1", "t2"])),
    st.builds(
        e.BridgeTurnEnded,
        **about,
        turn=pick(["t1", "t2"]),
        outcome=pick(["completed", "interrupted", "failed"]),
        milliseconds=st.just(1.0),
        reason=pick(["", "why"]),
    ),
    st.builds(e.BridgeApprovalRequested, **about, approval=approval, kind=st.just("exec"), seconds=st.just(300)),
    st.builds(
        e.BridgeApprovalResolved,
        **about,
        approval=approval,
        outcome=pick(["allowed", "denied", "cancelled"]),
        by=st.just("client"),
        milliseconds=st.just(1.0),
    ),
    st.builds(e.BridgeSettingsChanged, **about, model=pick(["m", None]), provider=pick(["", "echo", None])),
    st.builds(e.BridgeFailed, **about, code=st.just("lost"), reason=st.just(""), retrying=st.booleans()),
    st.builds(e.BridgeEnded, **about, reason=pick(["", "closed"])),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(any_fact | any_event, pick([BRIDGES, BRIDGES, GATEWAY, REGISTRY, CLIENT]), pick([EPOCH] * 30 + ["epoch-2"])),
        max_size=60,
    ),
    pick([Limits(), SMALL]),
    pick([NOW, "no time", ""]),
)
def test_nothing_that_is_said_of_bridges_makes_the_fold_or_its_rows_raise(told: list[Any], limits: Limits, time: str) -> None:
    state = State(limits=limits)
    for position, (data, source, epoch) in enumerate(told, 1):
        fold(state, recorded(data, position * 700, source=source, epoch=epoch, time=time))
    pending(state)
    for row in table(state, NOW, as_of(state, NOW)).sessions:
        assert explain(state, row.session, NOW).row.session == row.session if row.session else True
    assert len(state.bridges) <= limits.sessions
    assert len(state.driven) <= limits.sessions + 1


Told = tuple[str, Any, str, int]  # by whom, what, when, and how much of the hub's was recorded before that could happen


class World:
    """What hub, gateway and discovery have to tell of some bridges: each in its own order, and nothing before its bridge."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.hub: list[Any] = []
        self.others: dict[str, list[tuple[Any, int]]] = {GATEWAY: [], DISCOVERY: []}
        self.known: list[SessionId] = []
        self.needs = 0

    def bridge(self, number: int) -> None:
        """Tell of one bridge from its start to its end, or to where it is now."""
        draw, launch = self.draw, LaunchId(f"launch-{number}")
        session = SessionId(launch)
        parent = draw(pick([None, *self.known]))
        relation = None if parent is None else draw(pick(RELATIONS))
        for restart in range(draw(st.integers(1, 2))):
            own = LaunchId(f"{launch}-again") if restart else launch
            key, agent = process(100 + 10 * number + restart), process(105 + 10 * number + restart)
            self.hub.append(e.LaunchStarted(launch=own, agent="codex", process=key, cwd="/w"))
            started = e.BridgeStarted(
                launch=launch,
                session=session,
                agent="codex",
                process=key,
                cwd="/w",
                parent=parent,
                relation=relation,
                restarts=restart,
                spawned=own if restart else None,
            )
            self.hub.append(started)
            self.needs = len(self.hub)
            session = self.live(launch, session, own, agent, f"{number}-{restart}")
            if draw(st.booleans()):
                self.hub.append(e.BridgeFailed(launch=launch, session=session, code="lost", reason="", retrying=True))
                for one in (key, agent):
                    self.tell(DISCOVERY, e.ProcessExited(process=one))
        if draw(st.booleans()):
            self.hub.append(e.BridgeEnded(launch=launch, session=session, reason="closed"))
        self.known.append(session)

    def live(self, launch: LaunchId, session: SessionId, own: LaunchId, agent: ProcessKey, name: str) -> SessionId:
        """Tell what one process of a bridge lives through; return the session that it has then."""
        draw = self.draw
        if draw(st.booleans()):
            self.tell(DISCOVERY, e.ProcessSeen(process=agent, agent="codex", kind="app_server", launch=own))
        for count in range(draw(st.integers(0, 2))):
            succeeds = None if is_provisional(session) else session
            session = SessionId(f"codex-{name}-{count}")
            conversation = session.partition("-")[2]
            self.hub.append(e.BridgeIdentified(launch=launch, session=session, conversation=conversation, succeeds=succeeds))
            if draw(st.booleans()):
                self.hub.append(e.BridgeTurnStarted(launch=launch, session=session, turn="t"))
                for fact in exchange(f"r{name}-{count}", session, agent, "app_server", own, terminal=None, title=False):
                    self.tell(GATEWAY, fact)
                outcome = draw(pick(OUTCOMES))
                ended = e.BridgeTurnEnded(launch=launch, session=session, turn="t", outcome=outcome, milliseconds=1.0)
                self.hub.append(ended)
        return session

    def tell(self, source: str, fact: Any) -> None:
        """Tell what somebody else saw of the process that runs now."""
        self.others[source].append((fact, self.needs))


@st.composite
def worlds(draw: st.DrawFn) -> list[list[Told]]:
    """Draw what independent sources have to tell of the same bridges, in the order in which it happened."""
    world = World(draw)
    for number in range(draw(st.integers(1, 3))):
        world.bridge(number)
    sources = [[(BRIDGES, fact, "", 0) for fact in world.hub]]
    sources += [[(source, fact, "", needs) for fact, needs in facts] for source, facts in world.others.items()]
    told = causally(draw, sources)
    timed = [(source, fact, clock(place + 1), needs) for place, (source, fact, _, needs) in enumerate(told)]
    return [[one for one in timed if one[0] == source] for source in (BRIDGES, GATEWAY, DISCOVERY)]


def causally(draw: Any, sources: list[list[Told]]) -> list[Told]:
    """Merge the sources, keeping the order within each, and nothing about a process before its hub told of it."""
    hub, *others = [list(source) for source in sources]
    told: list[Told] = []
    heard = 0
    while True:
        ready = [source for source in others if source and source[0][3] <= heard]
        choices = [*([hub] if hub else []), *ready]
        if not choices:
            return told
        chosen = draw(pick(range(len(choices))))
        heard += choices[chosen] is hub
        told.append(choices[chosen].pop(0))


def shuffled(data: st.DataObject, sources: list[list[Told]]) -> list[Said]:
    return [(source, fact, time) for source, fact, time, _ in causally(data.draw, sources)]


@settings(max_examples=300, deadline=None)
@given(worlds(), st.data())
def test_the_order_of_independent_sources_does_not_matter(sources: list[list[Told]], data: st.DataObject) -> None:
    assert rows_of(folded(shuffled(data, sources))) == rows_of(folded(shuffled(data, sources)))


@settings(max_examples=150, deadline=None)
@given(worlds(), st.data())
def test_effects_are_announced_once_and_replay_is_what_was_alive(sources: list[list[Told]], data: st.DataObject) -> None:
    bus = Bus()
    registry = Live(bus)
    for number, (source, fact, time) in enumerate(shuffled(data, sources)):
        bus.publish(source, fact, f"fact-{number}", time)
        for step in data.draw(st.lists(pick(["advance", "advance", "announce", "die"]), max_size=4)):
            if step == "die":
                registry = Live(bus)
            else:
                getattr(registry, step)()
    registry.drain()
    assert pending(replay_state(bus.journal)) == ()
    assert replay(bus.journal, now=NOW) == table(registry.state, NOW, as_of(registry.state, NOW))
    said = [event.envelope.data for event in bus.journal if event.envelope.source == REGISTRY]
    links = [(one.session, one.relation, one.to) for one in said if isinstance(one, e.SessionLinked)]
    assert len(links) == len(set(links))
