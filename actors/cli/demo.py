"""``tabwire up --demo``: the cast is started like any launch, and for some seconds a newcomer watches rows and events appear.

Must not know what the agents say (``actors.demo``); starts them with the same tokens, records and facts as ``tabwire run``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import anyio

from actors.cli import bus
from actors.cli.lines import event_line
from actors.cli.output import console, line_width, say, show
from actors.cli.system import gateway_origin
from actors.demo.cast import AGENT, PROVIDER, Member, cast
from actors.launch.plan import Door
from actors.launch.start import mint_token, publish_launches, record_launch
from actors.probe import choose_probe
from bus.client import Client
from schemas.envelope import Recorded
from schemas.launch import LaunchRecord
from schemas.rows import SessionTable

if TYPE_CHECKING:
    from actors.runtime.paths import Paths
    from schemas.config import Config

_TERMINAL_SECONDS: Final = 14.0
_PLAIN_SECONDS: Final = 12.0
_EVENTS: Final = 12
_FRAME: Final = 0.25
_NEXT: Final = (
    "The demo's agents go on for five minutes. Try:",
    "  tabwire sessions --all            every session, the unproven one too",
    "  tabwire explain launch-           why a row says what it says (any unique beginning of an id)",
    "  tabwire tail --type request       what happens, as it happens",
    "  tabwire run -- codex              your own agent, in this terminal",
    "  tabwire down                      stop everything",
)


def play(paths: Paths, config: Config) -> None:
    """Start the cast, show what comes of it, and say what to try."""
    origin, _ = gateway_origin(None, config)
    members = [member for member in cast(lambda: str(uuid4())) if member.launched or config.default_provider == PROVIDER]
    records = [record for member in members if (record := _start(member, paths, origin)) is not None]
    if failure := publish_launches(paths, records):
        say(f"the launches could not be told to the bus: {failure}")
    show()
    bus.with_client(lambda client: _watch(client, len(members)))
    for line in _NEXT:
        show(line)


def _start(member: Member, paths: Paths, origin: str) -> LaunchRecord | None:
    """Start one agent; a launched one gets its token and its record before it may send anything."""
    door = Door(origin, mint_token())
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        member.argv(sys.executable),
        env=member.environ(os.environ, door.base_url if member.launched else f"{origin}/v1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None  # noqa: S101 - PIPE was asked for
    record = None
    if member.launched:
        record = record_launch(
            paths,
            door.token,
            agent=AGENT,
            process=choose_probe().identify(process.pid),
            terminal=member.terminal_key,
            cwd=str(Path.cwd()),
            provider=PROVIDER,
            model=None,
        )
        process.stdin.write(b"go\n")
        process.stdin.flush()
    _KEPT.append(process)
    return record


_KEPT: list[subprocess.Popen[bytes]] = []  # they live on without us; only their pipes are ours


async def _watch(client: Client, members: int) -> None:
    """Show the table and the latest events until everybody has appeared and a little longer."""
    recent: deque[str] = deque(maxlen=_EVENTS)
    live = sys.stdout.isatty()

    async def follow() -> None:
        async with client.feed(None) as feed:
            async for told in feed:
                if isinstance(told, Recorded) and not told.envelope.type.startswith("actor."):
                    line = event_line(told, None, line_width())
                    recent.append(line)
                    if not live:
                        show(line)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        if live:
            await _draw(client, recent)
        else:
            await _wait_for(client, lambda table: _complete(table, members))
        tasks.cancel_scope.cancel()
    if not live:
        from actors.cli.sessions import print_table  # noqa: PLC0415

        show()
        print_table(_living(await bus.sessions(client)), everything=True)


def _complete(table: SessionTable, members: int) -> bool:
    rows = _living(table).sessions
    proven = [row for row in rows if row.verdict == "verified" and row.requests]
    return len(rows) >= members and len(proven) >= members - 1


def _living(table: SessionTable) -> SessionTable:
    """Leave out what is gone: a demo is about now."""
    return replace(table, sessions=tuple(row for row in table.sessions if row.activity != "gone"))


async def _wait_for(client: Client, enough: Callable[[SessionTable], bool]) -> None:
    with anyio.move_on_after(_PLAIN_SECONDS):
        while not enough(await bus.sessions(client)):  # noqa: ASYNC110 - the table can only be asked for
            await anyio.sleep(_FRAME)


async def _draw(client: Client, recent: Sequence[str]) -> None:
    from rich.console import Group  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from actors.cli.rows import View, layout_for, sessions_table  # noqa: PLC0415

    view = View(everything=True, layout=layout_for(console().width), home=str(Path.home()))
    end = time.monotonic() + _TERMINAL_SECONDS
    with Live(console=console(), auto_refresh=False) as live:
        while time.monotonic() < end:
            table = sessions_table(_living(await bus.sessions(client)), view)
            events = Text("\n".join(recent), style="dim", no_wrap=True)
            live.update(Group(table, Text("events", style="bold"), events), refresh=True)
            await anyio.sleep(_FRAME)
