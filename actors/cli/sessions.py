"""``tabwire sessions``: the table once, or again whenever something happened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from actors.cli import bus
from actors.cli.output import console, draw, line_width, say, show_json, write_line
from schemas.codec import encode
from schemas.commands import ListSessions
from schemas.envelope import Recorded
from schemas.rows import SessionTable

if TYPE_CHECKING:
    from bus.client import Client

_LEAST: Final = 0.5
_MOST: Final = 5.0


def show_sessions(*, json: bool, everything: bool) -> None:
    """Print the table."""
    table = bus.ask(ListSessions())
    if json:
        show_json(table)
    else:
        print_table(table, everything=everything)


def print_table(table: SessionTable, *, everything: bool) -> None:
    """Print a table for people: shortened on a terminal, in full elsewhere."""
    from actors.cli.rows import View, footer, layout_for, sessions_table  # noqa: PLC0415 - rich is slow to load; JSON needs none

    if not table.sessions:
        say("no sessions yet; start one with: tabwire run -- codex")
    else:
        view = View(everything=everything, layout=layout_for(line_width()), home=str(Path.home()))
        draw(sessions_table(table, view))
    say(footer(table))


def watch_sessions(*, json: bool, everything: bool) -> None:
    """Show the table again at every change, at most twice a second, until interrupted."""
    if json or not sys.stdout.isatty():
        bus.with_client(_print_changes)
    else:
        bus.with_client(lambda client: _live(client, everything=everything))


class Changes:
    """Tells that something was recorded; drains the feed so that nothing piles up while the table is drawn."""

    def __init__(self) -> None:
        self._happened = anyio.Event()

    async def follow(self, client: Client) -> None:
        """Follow the feed from now on, for ever."""
        async with client.feed(None) as feed:
            async for told in feed:
                if isinstance(told, Recorded):
                    self._happened.set()

    async def next(self) -> None:
        """Wait for a change, no less than ``_LEAST`` and no more than ``_MOST`` seconds (ages grow without any)."""
        await anyio.sleep(_LEAST)
        with anyio.move_on_after(_MOST - _LEAST):
            await self._happened.wait()
        self._happened = anyio.Event()


async def _print_changes(client: Client) -> None:
    """Print one JSON document a line whenever the table says something new."""
    changes = Changes()
    last: object = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(changes.follow, client)
        while True:
            table = await bus.sessions(client)
            if table.sessions != last:
                last = table.sessions
                write_line(encode(table))
            await changes.next()


async def _live(client: Client, *, everything: bool) -> None:
    from rich.console import Group  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from actors.cli.rows import View, footer, layout_for, sessions_table  # noqa: PLC0415

    changes = Changes()
    with Live(console=console(), auto_refresh=False) as live:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(changes.follow, client)
            while True:
                table = await bus.sessions(client)
                view = View(everything=everything, layout=layout_for(console().width), home=str(Path.home()))
                hint = Text(f"{footer(table)}; Ctrl-C ends this", style="dim")
                live.update(Group(sessions_table(table, view), hint), refresh=True)
                await changes.next()
