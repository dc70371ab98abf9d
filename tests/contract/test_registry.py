"""The registry as a process: real broker, real sockets, facts of a gateway in, announcements and answers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from actors.registry.replay import replay
from actors.runtime.clock import Clock, take_anchor
from actors.runtime.contract import Anchor, Ready
from bus.client import CaughtUp, Client, RefusedError, connect
from bus.connection import read_connection
from bus.journal import Journal
from bus.source import Source, rfc3339
from schemas.commands import ExplainSession, ListSessions
from schemas.envelope import Recorded, subject
from schemas.identity import LaunchId, SessionId
from schemas.rows import SessionTable
from tests.contract.actor_process import ActorProcess, Place, place, place_with_bus
from tests.story import OTHER_TAB, TAB, Story, process, provisional

pytestmark = pytest.mark.e2e
DEADLINE = 20.0
HOUR = 3_600_000_000_000
STATUS = "session.status_changed"
C = SessionId("codex-01a1")
L = LaunchId("launch-0123456789ab")
AT_FIRST = SessionId(L)  # until its conversation is known


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Place]:
    with place_with_bus(tmp_path) as given:
        yield given


@asynccontextmanager
async def client(home: Place, name: str = "client") -> AsyncIterator[Client]:
    connection = read_connection(home.paths.connection_file)
    async with connect(connection if name == "client" else connection.with_keys(*home.keys[name])) as connected:
        yield connected


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        with anyio.fail_after(DEADLINE):
            return await work()

    return anyio.run(bounded)


async def publish(home: Place, story: Story) -> None:
    """Publish what a story told, each source with its own key, in the story's order."""
    async with client(home, "gateway") as gateway, client(home) as user:
        own = Source("/actor/gateway/0123456789ab", Clock(home.anchor or take_anchor()))
        speakers = {"actor": (gateway, own), "client": (user, Source("/client/run/77"))}
        for event in story.journal:
            speaker, source = speakers[event.envelope.source.split("/")[1]]
            await speaker.publish([source.envelope(subject("request", "told"), event.envelope.data)])


async def table_after(home: Place, announcements: int) -> SessionTable:
    """Wait until so many announcements beside statuses are recorded, and for an answer that reflects them all."""
    async with client(home) as user, user.feed(0) as feed:
        position = 0
        async for told in feed:
            if isinstance(told, Recorded) and told.envelope.source.startswith("/actor/registry/"):
                announcements -= told.envelope.type != STATUS
                position = told.position
            if announcements <= 0 and isinstance(told, Recorded | CaughtUp):
                break
        async with user.feed(0) as again:
            async for _ in again:
                table: SessionTable = await user.request("registry", ListSessions())
                if table.as_of.position >= position:
                    return table
    raise AssertionError("the feed ended")


async def settled(home: Place, table: SessionTable) -> SessionTable:
    """Wait until each session's status is announced as it is, and return the table that shows them."""
    async with client(home) as user, user.feed(0) as feed:
        said: dict[str, str] = {}
        wanted = {row.session: row.status for row in table.sessions}
        async for told in feed:
            if isinstance(told, Recorded) and told.envelope.type == STATUS:
                said[told.envelope.data.session] = told.envelope.data.status
            if isinstance(told, Recorded) and wanted.items() <= said.items():
                break
    return await table_after(home, 0)


def journal(home: Place) -> list[Recorded]:
    opened = Journal.open_readonly(home.paths.journal)
    try:
        found: list[Recorded] = []
        after, more = 0, True
        while more:
            page = opened.read(after)
            found += page.events()
            after, more = page.through, page.more
        return found
    finally:
        opened.close()


def announced(home: Place, *, statuses: bool = False) -> list[Any]:
    said = [event.envelope for event in journal(home) if event.envelope.source.startswith("/actor/registry/")]
    return [envelope for envelope in said if (envelope.type == STATUS) == statuses]


@pytest.fixture
def story() -> Story:
    told = Story()
    told.launched(L, process(41), terminal=TAB)
    told.request("codex-01a1", process(41), launch=L, terminal=TAB)
    told.seen(process(42), terminal=OTHER_TAB, source="/actor/gateway/g1")
    return told


def test_facts_become_rows_announcements_and_explanations(home: Place, story: Story) -> None:
    registry = home.start("registry")
    registry.until(Ready)

    async def work() -> None:
        await publish(home, story)
        told = await table_after(home, 5)
        rows = {row.session: row for row in told.sessions}
        assert set(rows) == {"codex-01a1", provisional(process(42))}
        assert (rows[C].verdict, rows[C].aliases) == ("verified", (AT_FIRST, provisional(process(41))))
        async with client(home) as user:
            explained = await user.request("registry", ExplainSession(session="launch-01"))
            assert explained.row.session == "codex-01a1"
            for prefix, code in (("zzz", "not_found"), ("", "not_found")):
                with pytest.raises(RefusedError) as refused:
                    await user.request("registry", ExplainSession(session=prefix))
                assert refused.value.code == code
        assert replay(journal(home), until_position=told.as_of.position, now=told.as_of.time) == told

    run(work)
    said = announced(home)
    assert Counter(envelope.type for envelope in said) == {
        "session.seen": 3,
        "session.identified": 1,
        "session.verified": 1,
    }
    ids = {event.envelope.id for event in journal(home)}
    assert all(envelope.causationid in ids for envelope in said)
    assert all(
        envelope.subject == subject("session", envelope.data.session)
        for envelope in said
        if envelope.type != "session.identified"
    )


def test_a_late_registry_announces_what_it_missed_and_a_restarted_one_nothing(home: Place, story: Story) -> None:
    run(lambda: publish(home, story))
    first = home.start("registry")
    first.until(Ready)
    run(lambda: table_after(home, 5))
    first.end_stdin()
    assert first.exit_code() == 0
    before = len(announced(home))
    assert before == 5
    second = home.start("registry")
    assert second.until(Ready).facts["position"] >= len(story.journal) + before
    assert len(run(lambda: table_after(home, 5)).sessions) == 2
    assert len(announced(home)) == before
    counts = Counter((envelope.data.session, envelope.data.status) for envelope in announced(home, statuses=True))
    assert set(counts.values()) == {1}


def test_killed_under_load_it_announces_everything_once_and_agrees_with_replay(home: Place) -> None:
    story = Story()
    for number in range(60):
        name, key = f"codex-{number}", process(100 + number)
        story.seen(key, terminal=f"wt:{number}", started="2026-11-21T00:00:00Z")
        story.found(key, name)
        story.transcript(name)
        story.turn(name)
        story.request(name, key, process_kind="tui")
        story.turn(name, "completed")
        if number % 3 == 0:
            story.exited(key)

    async def kill_again_and_again() -> SessionTable:
        registries: list[ActorProcess] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish, home, story)
            for _ in range(4):
                registries.append(home.start("registry"))
                await anyio.to_thread.run_sync(registries[-1].until, Ready)
                registries[-1].process.kill()
                await anyio.to_thread.run_sync(registries[-1].exit_code)
        home.start("registry").until(Ready)
        return await settled(home, await table_after(home, 260))

    told = run(kill_again_and_again)
    said = Counter((envelope.type, envelope.data.session) for envelope in announced(home))
    assert said == Counter(
        [
            *(("session.seen", f"codex-{number}") for number in range(60)),
            *(("session.seen", provisional(process(100 + number))) for number in range(60)),
            *(("session.identified", f"codex-{number}") for number in range(60)),
            *(("session.verified", f"codex-{number}") for number in range(60)),
            *(("session.gone", f"codex-{number}") for number in range(0, 60, 3)),
        ]
    )
    assert replay(journal(home), until_position=told.as_of.position, now=told.as_of.time) == told
    last = {envelope.data.session: envelope.data.status for envelope in announced(home, statuses=True)}
    final = {f"codex-{number}": "idle" if number % 3 else "gone" for number in range(60)}
    assert {name: status for name, status in last.items() if not name.startswith("proc-")} == final


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_wall_clock_that_was_set_by_an_hour_since_the_start_changes_nothing(tmp_path: Path, jump: int) -> None:
    taken = take_anchor()
    anchor = Anchor(wall=taken.wall - jump, steady=taken.steady)  # what the supervisor would have read before the jump
    clock = Clock(anchor)
    with place(tmp_path) as home:
        home.anchor = anchor
        began = rfc3339(clock())
        for name in ("broker", "registry"):
            home.start(name).until(Ready)
        story = Story()
        story.request("codex-01a1", process(41))
        story.request("codex-01b2", process(42), end="")
        run(lambda: publish(home, story))
        told = run(lambda: table_after(home, 4))
        assert began < told.as_of.time < rfc3339(clock())
        for row in told.sessions:
            assert began < row.first_seen <= row.last_seen <= told.as_of.time
            assert (row.activity, began < row.status_since <= told.as_of.time) == ("active", True)
        stamps = [event.stamp.recordedtime for event in journal(home)]
        assert stamps == sorted(stamps)
        assert all(began < stamp for stamp in stamps)
        assert all(began < envelope.time for envelope in announced(home))
