"""A hub between a real bus and scripted bridges: real processes and sockets, no agent.

Owns how these tests wait: for facts in the journal and for rows, always with a deadline.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from actors.runtime.contract import Ready
from bus.client import Client, RefusedError, connect
from bus.connection import read_connection
from schemas.bridge_rows import BridgeRow, BridgeTable, Pending
from schemas.codec import decode
from schemas.commands import CloseSession, ListBridges, SendMessage, ShowPending, StartSession
from schemas.content import Frame
from schemas.envelope import Envelope, Recorded
from tests.contract.actor_process import ActorProcess, Place, place_with_bus

DEADLINE = 20.0
AGENT = "codex"  # any that an adapter is there for: its bridge is scripted
SCRIPT = [sys.executable, str(Path(__file__).with_name("scripted_bridge.py"))]


@dataclass
class HubScene:
    """A place with a broker and a hub."""

    place: Place
    folder: Path
    program: Path
    hub: ActorProcess | None = None
    started: list[str] = field(default_factory=list)

    def start(self) -> ActorProcess:
        self.hub = self.place.start("bridges")
        self.hub.until(Ready)
        return self.hub

    def wish(self, *arguments: str, **fields: Any) -> StartSession:
        given: dict[str, Any] = {"agent": AGENT, "cwd": str(self.folder), "program": str(self.program), **fields}
        return StartSession(arguments=arguments, **given)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        with anyio.fail_after(4 * DEADLINE):
            async with connect(read_connection(self.place.paths.connection_file)) as client:
                yield client


async def facts(client: Client, enough: Callable[[list[Envelope]], bool]) -> list[Envelope]:
    """Read the hub's facts from the beginning of the journal until there are enough."""
    found: list[Envelope] = []
    with anyio.move_on_after(DEADLINE):
        async with client.feed(0) as feed:
            async for told in feed:
                if isinstance(told, Recorded) and told.envelope.source.startswith("/actor/bridges/"):
                    found.append(told.envelope)
                    if enough(found):
                        return found
    raise AssertionError(f"not told within {DEADLINE} s: {[one.type for one in found]}")


async def told(client: Client, type_: str, count: int = 1, **fields: Any) -> list[Any]:
    """Wait for so many facts of a type whose data has these values; return their data."""

    def matching(found: list[Envelope]) -> list[Any]:
        return [
            one.data
            for one in found
            if one.type == type_ and all(getattr(one.data, name) == value for name, value in fields.items())
        ]

    return matching(await facts(client, lambda found: len(matching(found)) >= count))


async def start(client: Client, wish: StartSession) -> BridgeRow:
    """Start a session, and wait until its agent has greeted and named its conversation."""
    row: BridgeRow = await client.request("bridges", wish)
    await told(client, "bridge.identified", launch=row.launch)
    return (await pending(client, row.launch)).bridge


async def send(client: Client, session: str, text: str, message: str) -> BridgeRow:
    """Give a message."""
    row: BridgeRow = await client.request(
        "bridges", SendMessage(session=session, text=text, message=message), deadline=DEADLINE
    )
    return row


async def pending(client: Client, session: str) -> Pending:
    """Ask for what is under way."""
    answer: Pending = await client.request("bridges", ShowPending(session=session))
    return answer


@contextlib.contextmanager
def hub_scene(home: Path, config: str = "") -> Iterator[HubScene]:
    """Give a scene with a broker and a hub for the length of a block."""
    home.mkdir(exist_ok=True)
    folder = home / "work"
    folder.mkdir()
    program = home / "agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with place_with_bus(home, config) as found:
        found.settings["bridges"] = {"bridge": SCRIPT}
        scene = HubScene(found, folder.resolve(), program)
        scene.start()
        yield scene


async def frames(client: Client, launch: str, until: str) -> list[Frame]:
    """Read a stream to the first piece of a kind."""
    found: list[Frame] = []
    with anyio.fail_after(DEADLINE):
        async with client.stream(launch) as stream:
            async for raw in stream:
                if isinstance(raw, bytes):
                    found.append(decode(raw, Frame))
                    if found[-1].piece.__struct_config__.tag == until:
                        return found
    raise AssertionError("the stream ended")


async def refused(client: Client, command: Any) -> RefusedError:
    """Ask what cannot be done; return the refusal."""
    with pytest.raises(RefusedError) as error:
        await client.request("bridges", command, deadline=DEADLINE)
    return error.value


async def close(client: Client, session: str) -> BridgeRow:
    """Close a session; return its last row."""
    row: BridgeRow = await client.request("bridges", CloseSession(session=session), deadline=DEADLINE)
    return row


async def bridges(client: Client) -> dict[str, BridgeRow]:
    """Return the hub's rows by launch."""
    table: BridgeTable = await client.request("bridges", ListBridges())
    return {row.launch: row for row in table.bridges}


def records(scene: HubScene) -> dict[str, dict[str, Any]]:
    """Return what the hub wrote down of its bridges, by launch."""
    return {file.stem: json.loads(file.read_text()) for file in scene.place.paths.bridges.glob("*.json")}
