"""Whatever happens to children, in whatever order: the rules of supervision hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime.contract import Beat, Ready, Status, Stopping
from actors.supervisor.supervision import STOP_BUDGET, begin, step
from actors.supervisor.terms import (
    ALIVE,
    ChildSpec,
    Done,
    Exited,
    Input,
    Kill,
    RetryAsked,
    Said,
    Spawn,
    Spawned,
    SpawnFailed,
    State,
    StopAsked,
    Terminate,
    Tick,
    What,
)

ACTORS = ("broker", "registry", "gateway")
SPECS = tuple(ChildSpec(actor=actor, needs="broker" if actor == "registry" else "") for actor in ACTORS)
LINES = st.sampled_from([Ready(), Beat(), Status("degraded", "so so"), Status("ready"), Status("failed", "why"), Stopping()])
MOVES = st.one_of(
    st.tuples(st.just("tick"), st.just(""), st.none()),
    st.tuples(st.just("say"), st.sampled_from(ACTORS), LINES),
    st.tuples(st.just("exit"), st.sampled_from(ACTORS), st.sampled_from([0, 1, 70, 75, 78, -9, -15])),
    st.tuples(st.just("retry"), st.sampled_from(ACTORS), st.none()),
    st.tuples(st.just("stale"), st.sampled_from(ACTORS), st.sampled_from([0, 70])),
    st.tuples(st.just("stop"), st.just(""), st.none()),
)


class World:
    """Processes as the shell would have them; checks every order against them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.state: State = begin(SPECS, self.now)
        self.alive: dict[str, int] = {}
        self.stopped = False
        self.done = False
        self.doomed: set[str] = set()

    def give(self, what: What, chance: float) -> None:
        self.state, outputs = step(self.state, Input(self.now, chance, what))
        for output in outputs:
            assert not self.done or not isinstance(output, Spawn | Terminate | Kill)
            if isinstance(output, Spawn):
                assert not self.stopped, "nothing starts after a stop was asked for"
                assert output.actor not in self.alive, "never two of one actor"
                if chance > 0.95:
                    self.give(SpawnFailed(output.actor, output.incarnation, "no"), 0.5)
                else:
                    self.alive[output.actor] = output.incarnation
                    self.give(Spawned(output.actor, output.incarnation, 1, "x"), 0.5)
            elif isinstance(output, Terminate | Kill):
                assert self.alive.get(output.actor) == output.incarnation, "only what runs is ended"
                if isinstance(output, Kill):
                    self.doomed.add(output.actor)
            elif isinstance(output, Done):
                assert not self.alive
                self.done = True

    def move(self, kind: str, actor: str, detail: Any, chance: float) -> None:
        if kind == "tick":
            self.give(Tick(), chance)
        elif kind == "stop":
            self.stopped = True
            self.give(StopAsked(), chance)
        elif kind == "retry":
            self.give(RetryAsked(actor), chance)
        elif kind == "stale":
            self.give(Tick(), chance)
            before = self.state
            self.give(Exited(actor, self.alive.get(actor, 0) - 1, 70), chance)
            assert before == self.state
        elif actor in self.alive:
            if kind == "say":
                self.give(Said(actor, self.alive[actor], detail), chance)
            else:
                incarnation = self.alive.pop(actor)
                self.doomed.discard(actor)
                self.give(Exited(actor, incarnation, detail), chance)

    def check(self) -> None:
        for child in self.state.children:
            assert (child.phase in ALIVE) == (child.spec.actor in self.alive)
            assert child.phase != "backoff" or child.due is not None
            assert len(child.crashes) <= child.spec.intensity + 1
            assert child.phase != "failed" or child.note


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(MOVES, st.floats(0, 4), st.floats(0, 1, exclude_max=True)), max_size=60))
def test_the_rules_hold(moves: list[tuple[tuple[str, str, Any], float, float]]) -> None:
    world = World()
    for (kind, actor, detail), passed, chance in moves:
        world.now += passed
        world.move(kind, actor, detail, chance)
        world.check()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(MOVES, st.floats(0, 4), st.floats(0, 1, exclude_max=True)), max_size=30))
def test_a_stop_always_ends_within_its_budget_even_if_no_child_cooperates(
    moves: list[tuple[tuple[str, str, Any], float, float]],
) -> None:
    world = World()
    for (kind, actor, detail), passed, chance in moves:
        world.now += passed
        world.move(kind, actor, detail, chance)
    world.move("stop", "", None, 0.5)
    stop_due = world.state.stop_due
    assert stop_due is not None
    for _ in range(int(STOP_BUDGET / 0.25) + 8):
        world.now += 0.25
        world.give(Tick(), 0.5)
        for actor in [actor for actor in world.doomed if actor in world.alive]:
            world.give(Exited(actor, world.alive.pop(actor), -9), 0.5)
    assert world.state.done
    assert not world.alive
