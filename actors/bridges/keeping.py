"""Writes down what must be known to take sessions up again, whenever that has changed: the latest state, one file at a time.

Must not know what is written (``records``), nor what changes a session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread

from actors.bridges import records
from actors.bridges.terms import Session
from actors.runtime.paths import Paths
from schemas.identity import LaunchId


class Keeping:
    """The records of all sessions; ``trouble`` says why the last one could not be written."""

    def __init__(self, paths: Paths, sessions: Mapping[LaunchId, Session], log: Any) -> None:
        self._paths = paths
        self._sessions = sessions
        self._log = log
        self._unwritten: dict[LaunchId, None] = {}
        self._writing: set[LaunchId] = set()
        self._wanted = anyio.Event()
        self._written = anyio.Event()
        self.trouble = ""

    def want(self, launch: LaunchId) -> None:
        """Note that a session has changed."""
        self._unwritten[launch] = None
        self._wanted.set()

    def wanted(self, launch: LaunchId) -> bool:
        """Tell whether a session is not written down as it is."""
        return launch in self._unwritten or launch in self._writing

    async def saved(self, launch: LaunchId) -> None:
        """Wait until a session is written down as it is, or until that was tried."""
        while self.wanted(launch):
            await self._written.wait()

    async def run(self) -> None:
        """Write what changes, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            await self.write_down()

    async def write_down(self) -> None:
        """Write everything that has changed."""
        while self._unwritten:
            launch = next(iter(self._unwritten))
            del self._unwritten[launch]
            self._writing.add(launch)
            session = self._sessions.get(launch)
            try:
                if session is None or (session.phase == "ended" and not session.keep):
                    await anyio.to_thread.run_sync(records.remove, self._paths, launch)
                else:
                    await anyio.to_thread.run_sync(records.write, self._paths, records.record_of(session))
            except OSError as error:
                self.trouble = f"sessions cannot be written down: {error}"
                self._log.error("a session cannot be written down", launch=launch, reason=str(error))
            else:
                self.trouble = ""
            self._writing.discard(launch)
            self._written.set()
            self._written = anyio.Event()
