"""Answers go before starts, and starts are not kept for ever."""

from __future__ import annotations

import anyio

from actors.bridges.lull import Lull


def test_it_is_there_when_nobody_has_asked() -> None:
    async def main() -> None:
        assert await Lull().come()

    anyio.run(main)


def test_it_comes_when_everybody_has_been_answered() -> None:
    async def main() -> None:
        lull, told = Lull(), []

        async def start() -> None:
            assert await lull.come(longest=30)
            told.append("started")

        async with anyio.create_task_group() as tasks:
            with lull.asking():
                with lull.asking():
                    tasks.start_soon(start)
                    await anyio.wait_all_tasks_blocked()
                told.append("one was answered")
                await anyio.wait_all_tasks_blocked()
                told.append("the other was answered")
        assert told == ["one was answered", "the other was answered", "started"]

    anyio.run(main)


def test_it_keeps_nobody_for_ever() -> None:
    async def main() -> None:
        lull = Lull()
        with lull.asking():
            assert not await lull.come(longest=0.001)

    anyio.run(main)
