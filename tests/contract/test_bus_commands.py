"""Commands over real sockets: answered by type, refused by name, bounded, and never waited for without end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest

from bus.client import Client, RefusedError, connect
from schemas.commands import ExplainSession, ListSessions
from schemas.rows import AsOf, SessionTable
from tests.bus.process import BrokerProcess

pytestmark = pytest.mark.anyio
TABLE = SessionTable(as_of=AsOf(epoch="e", position=3, time="t"), sessions=())
Answer = Callable[[ListSessions], Awaitable[SessionTable]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("bus"), "gateway", "registry") as broker:
        yield broker


async def answering(broker: BrokerProcess, answer: Answer, ask: Callable[[Client], Awaitable[None]]) -> None:
    async with connect(broker.connection("registry"), serve={ListSessions: answer}), connect(broker.connection()) as client:
        with anyio.fail_after(20):
            await ask(client)


async def test_a_command_is_answered_by_type(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        return TABLE

    async def ask(client: Client) -> None:
        assert await client.request("registry", ListSessions()) == TABLE
        with pytest.raises(RefusedError, match="unknown_command"):
            await client.request("registry", ExplainSession(session="x"))
        with pytest.raises(RefusedError, match="no_such_actor"):
            await client.request("nobody", ListSessions())

    await answering(shared, answer, ask)


async def test_a_refusal_reaches_the_asker(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        raise RefusedError("not_now", "still catching up")

    async def ask(client: Client) -> None:
        with pytest.raises(RefusedError, match="not_now: still catching up"):
            await client.request("registry", ListSessions())

    await answering(shared, answer, ask)


async def test_a_command_that_takes_too_long_times_out(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        await anyio.sleep_forever()
        return TABLE

    async def ask(client: Client) -> None:
        with pytest.raises(RefusedError, match="timeout"):
            await client.request("registry", ListSessions(), deadline=0.2)

    await answering(shared, answer, ask)


async def test_many_commands_at_once_are_answered_or_told_busy(shared: BrokerProcess) -> None:
    release = anyio.Event()
    outcomes: list[str] = []

    async def answer(_: ListSessions) -> SessionTable:
        await release.wait()
        return TABLE

    async def one(client: Client) -> None:
        try:
            await client.request("registry", ListSessions(), deadline=10)
            outcomes.append("answered")
        except RefusedError as error:
            outcomes.append(error.code)
            if outcomes.count("busy") == 36:
                release.set()

    async def ask(client: Client) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(one, client)

    await answering(shared, answer, ask)
    assert (outcomes.count("answered"), outcomes.count("busy")) == (64, 36)


async def test_an_actor_that_left_is_no_such_actor(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        return TABLE

    async with connect(shared.connection()) as client:
        async with connect(shared.connection("registry"), serve={ListSessions: answer}):
            assert await client.request("registry", ListSessions()) == TABLE
        with pytest.raises(RefusedError) as caught:
            await client.request("registry", ListSessions(), deadline=0.3)
        assert caught.value.code in ("no_such_actor", "timeout")


async def test_what_an_answer_raises_ends_the_actor_as_itself(shared: BrokerProcess) -> None:
    async def answer(_: ListSessions) -> SessionTable:
        raise ZeroDivisionError

    async def live() -> None:
        async with connect(shared.connection("registry"), serve={ListSessions: answer}):
            up.set()
            await anyio.sleep_forever()

    async def serve() -> None:
        with pytest.raises(ZeroDivisionError):
            await live()

    up = anyio.Event()
    async with anyio.create_task_group() as group, connect(shared.connection()) as client:
        group.start_soon(serve)
        with anyio.fail_after(20):
            await up.wait()
            with pytest.raises(RefusedError):
                await client.request("registry", ListSessions(), deadline=0.3)
