"""Joining a session that runs in a terminal of the test's own, and the person at that terminal."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import anyio.to_thread

from schemas.bridge_rows import BridgeRow
from schemas.commands.bridges import AttachSession
from tests.e2e.bridged import DEADLINE, Told, listening, on_bus
from tests.e2e.system import System
from tests.e2e.terminal import Tmux


class Person:
    """The person at a pane, who looks, types and presses keys while others talk to the agent in it."""

    def __init__(self, tmux: Tmux, pane: str) -> None:
        self._tmux = tmux
        self._pane = pane

    async def sees(self, text: str) -> None:
        await anyio.to_thread.run_sync(self._tmux.wait_for, self._pane, text)

    async def types(self, text: str) -> None:
        await anyio.to_thread.run_sync(self._tmux.type, self._pane, text)
        await self.sees(text)

    async def presses(self, key: str) -> None:
        await anyio.to_thread.run_sync(self._tmux.press, self._pane, key)

    async def leaves(self, key: str) -> None:
        """Press a key until the program has ended: it may go at once, or want to be asked a second time."""
        with anyio.fail_after(DEADLINE):
            while self._pane in await anyio.to_thread.run_sync(self._tmux.panes):
                with contextlib.suppress(subprocess.CalledProcessError):  # it may go before the key comes
                    await self.presses(key)
                await anyio.sleep(0.2)  # a pane can only be looked for

    async def answers(self, question: str, key: str) -> None:
        """Press a key until a question is gone: one that was just drawn may not listen yet."""
        await self.sees(question)
        with anyio.fail_after(DEADLINE):
            while question in await anyio.to_thread.run_sync(self._tmux.screen, self._pane):
                await self.presses(key)
                await anyio.sleep(0.2)  # a screen can only be looked at


@asynccontextmanager
async def joined(system: System, session: str) -> AsyncIterator[Told]:
    """Join a session, and listen to it for the length of a block."""
    async with on_bus(system) as client:
        row: BridgeRow = await client.request("bridges", AttachSession(session=session), deadline=30.0)
        async with listening(client, row.launch) as told:
            with anyio.fail_after(DEADLINE):
                while not (await told.row()).initialised:
                    await anyio.lowlevel.checkpoint()
            yield told
