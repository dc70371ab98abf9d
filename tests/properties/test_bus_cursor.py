"""Whatever the feed drops, doubles or reorders, a subscriber is told everything once and in order, or told what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.cursor import CaughtUp, Cursor, Fetched, Gap, Live, Output, step
from bus.protocol import Beat, Page, Row
from schemas.codec import decode_stamp
from tests.bus.values import arrived, row

MATCHING = b"session."
OTHER = b"request."
Move = tuple[object, ...]


@dataclass
class World:
    """A journal, the subscriber's cursor on it, and what the subscriber was told."""

    filtered: bool
    page_rows: int
    epoch: str = "e1"
    first: int = 1
    held: list[Row] = field(default_factory=list)
    damaged: set[int] = field(default_factory=set)
    told: list[Output] = field(default_factory=list)
    wire: list[list[Row] | Beat] = field(default_factory=list)
    asked: list[Fetched] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cursor = Cursor(self.epoch, filtered=self.filtered)

    @property
    def head(self) -> int:
        return self.first + len(self.held) - 1

    def record(self, topics: list[bytes], *, batch: bool) -> None:
        rows = [row(at, self.epoch, topic) for at, topic in enumerate(topics, self.head + 1)]
        self.held += rows
        self.wire += [rows] if batch else [[one] for one in rows]

    def trim(self, count: int) -> None:
        del self.held[:count]
        self.first += count

    def read(self) -> Page:
        after = max(self.cursor.after, self.first - 1)
        looked_at = [one for one in self.held if one.position > after][: self.page_rows]
        through = looked_at[-1].position if looked_at else self.head
        matching = [one for one in looked_at if not self.filtered or one.topic.startswith(MATCHING)]
        return Page(
            epoch=self.epoch,
            first=self.first,
            head=self.head,
            through=through,
            more=through < self.head,
            damaged=tuple((one.position, one.position) for one in looked_at if one.position in self.damaged),
            rows=tuple(one for one in matching if one.position not in self.damaged),
        )

    def ask(self) -> Fetched:
        return Fetched(self.cursor.after, self.read())

    def hear(self, heard: Live | Beat | Fetched) -> None:
        self.cursor, outputs = step(self.cursor, heard)
        self.told.extend(outputs)

    def renew(self) -> None:
        self.epoch, self.first = self.epoch + "'", 1
        self.held.clear()
        self.damaged.clear()


topics = st.lists(st.sampled_from([MATCHING, OTHER]), min_size=1, max_size=5)
moves = st.one_of(
    st.tuples(st.just("record"), topics, st.booleans()),
    st.tuples(st.just("wire"), st.permutations(range(8)), st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7))),
    st.tuples(st.just("beat")),
    st.tuples(st.just("ask")),
    st.tuples(st.just("page")),
    st.tuples(st.just("trim"), st.integers(1, 4)),
    st.tuples(st.just("damage"), st.integers(0, 30)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("renew")),
)


def apply(world: World, move: Move) -> None:  # noqa: C901 - one case a kind of move
    match move:
        case ("record", list(some), bool(batch)):
            world.record(some, batch=batch)
        case ("wire", list(order), set(dropped), set(doubled)):
            burst, world.wire = world.wire[:8], world.wire[8:]
            for at in order:
                if at < len(burst) and at not in dropped:
                    for _ in range(1 + (at in doubled)):
                        heard = burst[at]
                        world.hear(heard if isinstance(heard, Beat) else Live(_epoch(heard[0]), arrived(*heard)))
        case ("beat",):
            world.wire.append(Beat(world.epoch, world.head))
        case ("ask",) if world.cursor.wants_page:
            world.asked.append(world.ask())
        case ("page",) if world.asked:
            world.hear(world.asked.pop(0))
        case ("trim", int(count)):
            world.trim(min(count, max(0, len(world.held) - 1)))
        case ("damage", int(at)) if at < len(world.held) and world.held[at].position > world.cursor.after:
            # what was delivered before it was damaged is no concern of this subscriber
            world.damaged.add(world.held[at].position)
            spoiled = world.held[at]
            world.wire = [one for one in world.wire if isinstance(one, Beat) or spoiled not in one]
        case ("restart",):
            world.wire.clear()
        case ("renew",):
            world.renew()


def _epoch(row_: Row) -> str:
    return decode_stamp(row_.stamp).epoch


def settle(world: World) -> None:
    world.hear(Beat(world.epoch, world.head))
    for _ in range(500):
        if not world.cursor.wants_page:
            return
        world.hear(world.ask())
    raise AssertionError("the subscriber never settles")


@settings(max_examples=400, deadline=None)
@given(filtered=st.booleans(), page_rows=st.integers(1, 6), story=st.lists(moves, max_size=40))
def test_everything_once_in_order_or_known_to_be_missing(*, filtered: bool, page_rows: int, story: list[Move]) -> None:
    world = World(filtered, page_rows)
    for move in story:
        apply(world, move)
    settle(world)
    last_epoch: list[Output] = []
    caught_up = 0
    for output in world.told:
        if isinstance(output, Gap) and output.reason == "new_epoch":
            last_epoch, caught_up = [], 0
        elif isinstance(output, CaughtUp):
            caught_up += 1
        else:
            last_epoch.append(output)
    assert caught_up == 1
    place = 0
    for output in last_epoch:
        low, high = (output.first, output.last) if isinstance(output, Gap) else (output.position, output.position)
        assert low > place, "out of order, or twice"
        if not filtered:
            assert low == place + 1, "a position was skipped without a word"
        place = high
    if not filtered:
        assert place == world.head
    told = {output.position for output in last_epoch if isinstance(output, Row)}
    gaps = {at for output in last_epoch if isinstance(output, Gap) for at in range(output.first, output.last + 1)}
    for held in world.held:
        if not filtered or held.topic.startswith(MATCHING):
            assert held.position in told or held.position in gaps
    assert not told & gaps
