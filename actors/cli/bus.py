"""The command line's access to the bus: one connection with the client key, asked and closed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio

from actors.cli.failures import not_running
from actors.cli.system import running_status
from actors.runtime.paths import Paths
from bus.client import Client, connect
from bus.connection import read_connection
from bus.errors import BusUnavailableError
from schemas.commands import ListSessions
from schemas.rows import SessionTable

REGISTRY = "registry"
_DEADLINE = 3.0
_T = TypeVar("_T")


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    """Connect to the bus.

    Raises:
        CommandFailedError: nothing is running.
        BusUnavailableError: the system runs and its broker does not answer.

    """
    paths = Paths.default(os.environ)
    status = running_status(paths)
    if status is None:
        raise not_running()
    try:
        async with connect(read_connection(paths.connection_file), deadline=_DEADLINE) as connected:
            yield connected
    except BusUnavailableError as error:
        broker = next((row for row in status.actors if row.actor == "broker"), None)
        if broker is None or broker.state == "ready":
            raise
        raise BusUnavailableError(f"the broker is {broker.state}{f': {broker.note}' if broker.note else ''}") from error


def ask(command: Any) -> Any:
    """Ask the registry and return its answer."""

    async def exchange(connected: Client) -> Any:
        return await connected.request(REGISTRY, command)

    return with_client(exchange)


def with_client(work: Callable[[Client], Awaitable[_T]]) -> _T:
    """Do something with a connection to the bus."""

    async def main() -> _T:
        async with client() as connected:
            return await work(connected)

    return anyio.run(main)


async def sessions(connected: Client) -> SessionTable:
    """Return the sessions table."""
    table: SessionTable = await connected.request(REGISTRY, ListSessions())
    return table
