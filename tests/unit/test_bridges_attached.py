"""What becomes of a session whose agent is the user's: joined, joined again, left; and what is recorded of it: that alone."""

from __future__ import annotations

from pathlib import Path

from actors.bridge.contract import Initialised, Over, Said
from actors.bridges import records
from actors.bridges.rows import row_of
from actors.bridges.session import step
from actors.bridges.terms import (
    Begun,
    Came,
    Closed,
    Forget,
    Gone,
    Input,
    Moment,
    Output,
    Publish,
    Session,
    Spawned,
    Start,
    Wish,
)
from actors.registry.rows import table
from actors.runtime.paths import Paths
from schemas import events as e
from schemas.attachment import Attachment
from schemas.content import StatusTold, TurnEnded, TurnStarted
from schemas.identity import LaunchId, ProcessKey, SessionId
from schemas.rows import AsOf
from tests.story import Story, process

LAUNCH, C = LaunchId("launch-0123456789ab"), SessionId("codex-01a1")
THEIRS, OURS = ProcessKey("host", "boot", 77, 1), ProcessKey("host", "boot", 7, 1)
WAY = Attachment(channel="app-server", process=THEIRS, socket="/h/control.sock")
TIME = "2026-11-21T10:00:00Z"


class Joined:
    """A session that is joined, fed input by input."""

    def __init__(self) -> None:
        wish = Wish(agent="codex", cwd="/w", resume="01a1", attach=WAY)
        self.session = Session(
            launch=LAUNCH, wish=wish, run="r", created=TIME, last_used=TIME, used=0.0, session=C, conversation="01a1"
        )
        self.facts: list[object] = []
        for given in (Begun(), Spawned(process=OURS, launch=LAUNCH), Came(Initialised(can=("interrupt",)))):
            self(given)

    def __call__(self, given: Input) -> list[Output]:
        self.session, orders = step(self.session, given, Moment(0.0, TIME))
        self.facts += [order.fact for order in orders if isinstance(order, Publish)]
        return list(orders)

    def turn(self) -> None:
        for piece in (TurnStarted(turn="t"), StatusTold(status="working"), TurnEnded(turn="t", outcome="completed")):
            self(Came(Said(piece=piece)))


def test_of_a_joined_session_only_that_is_recorded() -> None:
    joined = Joined()
    joined.turn()
    orders = joined(Closed(ask=1, reason="asked to"))
    orders += joined(Gone(code=0))
    assert any(isinstance(order, Forget) for order in orders)
    assert joined.facts == [
        e.BridgeAttached(launch=LAUNCH, session=C, channel="app-server", process=OURS),
        e.BridgeDetached(launch=LAUNCH, session=C, reason="asked to"),
    ]
    assert row_of(joined.session).attached == "app-server"


def test_a_bridge_that_dies_joins_again_and_an_agent_that_is_gone_is_the_end() -> None:
    joined = Joined()
    joined.turn()
    assert any(isinstance(order, Start) for order in joined(Gone(code=-9)))
    assert (joined.session.wish.attach, joined.session.wish.resume) == (WAY, "01a1")
    joined(Spawned(process=OURS, launch=LAUNCH))
    joined(Came(Over(code="agent_gone", reason="its server is gone", resumable=False)))
    joined(Gone(code=0))
    assert joined.session.phase == "ended"
    assert joined.facts[-1] == e.BridgeDetached(launch=LAUNCH, session=C, reason="its server is gone")


def test_it_is_kept_over_the_death_of_the_hub(tmp_path: Path) -> None:
    paths = Paths.default({"TABWIRE_HOME": str(tmp_path)})
    paths.create()
    records.write(paths, records.record_of(Joined().session))
    (record,), bad = records.read(paths)
    again = records.session_of(record, run="r2", now=Moment(1.0, TIME), unused=0.0, patience=300.0)
    assert (bad, again.wish.attach, again.wish.resume, again.session) == ([], WAY, "01a1", C)


def test_the_registry_shows_that_a_session_is_joined_and_changes_nothing_else() -> None:
    story = Story()
    by = process(50)
    story.request(C, by)
    story.announce()
    (before,) = table(story.state, story.state.time, at=_at()).sessions
    attached = e.BridgeAttached(launch=LAUNCH, session=C, channel="app-server", process=process(60))
    assert story.tell(attached, source="/actor/bridges/b1") == ()
    (row,) = table(story.state, before.last_seen, at=_at()).sessions
    assert row.attached == "app-server"
    assert (row.process, row.verdict, row.launch, row.aliases) == (
        before.process,
        before.verdict,
        before.launch,
        before.aliases,
    )
    other = e.BridgeDetached(launch=LaunchId("launch-ba9876543210"), session=C, reason="another one left")
    story.tell(other, source="/actor/bridges/b1")
    assert table(story.state, before.last_seen, at=_at()).sessions[0].attached == "app-server"
    story.tell(e.BridgeDetached(launch=LAUNCH, session=C, reason="asked to"), source="/actor/bridges/b1")
    assert table(story.state, before.last_seen, at=_at()).sessions == (before,)


def test_a_session_that_nobody_else_knows_does_not_come_to_be_by_being_joined() -> None:
    story = Story()
    story.tell(e.BridgeAttached(launch=LAUNCH, session=C, channel="app-server", process=OURS), source="/actor/bridges/b1")
    story.tell(e.BridgeDetached(launch=LAUNCH, session=C, reason="asked to"), source="/actor/bridges/b1")
    assert not story.state.sessions
    assert story.announce() == []


def _at() -> AsOf:
    return AsOf(epoch="e", position=1, time=TIME)
