"""The launches of the bridges that run: by what each one's agent may come to the gateway, and as whose its requests count.

Theory of operation
-------------------
A launch is one process's for ever, so every start of a bridge is a launch of its own; the first has the session's own id. Its
record names the session that it drives, and is written again when that has another name: requests that name no conversation
are routed by the pins of that session all the same. A session that takes up a conversation is that conversation's from the
start, before its agent has said so, or its first request could miss a pin. ``follow`` comes before anything that is asked of
the gateway for a session.

Must not know what a session does, nor what a pin is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import anyio
import anyio.to_thread

from actors.bridges.terms import Session, Wish
from actors.launch.start import new_launch, record_launch
from actors.probe import Probe
from actors.runtime.launches import write_launch
from actors.runtime.paths import Paths
from schemas.identity import IdentityError, LaunchId, SessionId, conversation_key, is_provisional, session_of
from schemas.launch import LaunchRecord


class Launches:
    """The records of all launches that bridges run by, by the ids of their sessions' first ones."""

    def __init__(self, paths: Paths, probe: Probe, sessions: Mapping[LaunchId, Session]) -> None:
        self._paths = paths
        self._probe = probe
        self._sessions = sessions
        self._records: dict[LaunchId, LaunchRecord] = {}
        self._alone = anyio.Lock()

    async def record(self, session: Session, pid: int, token: str) -> LaunchRecord:
        """Let a session's new bridge, and what it starts, come to the gateway with this token from now on.

        Raises:
            ProbeError: the process is gone already.
            OSError: the record cannot be written.

        """
        wish = session.wish
        key = await anyio.to_thread.run_sync(self._probe.identify, pid)
        recording = partial(
            record_launch,
            self._paths,
            token,
            agent=wish.agent,
            process=key,
            terminal=None,
            cwd=wish.cwd,
            provider=wish.provider or None,
            model=wish.model or None,
            launch=new_launch() if session.restarts else session.launch,
            session=driven(session.session, wish),
        )
        record = await anyio.to_thread.run_sync(recording)
        self._records[session.launch] = record
        return record

    def of(self, launch: LaunchId) -> LaunchId:
        """Return the launch that a session's bridge runs by now; its own one while none does."""
        record = self._records.get(launch)
        return launch if record is None else record.launch

    async def follow(self, launch: LaunchId, *, free: bool = False) -> None:
        """Have the record name the session as it is named now; ``free``: it asks for no provider any more.

        Raises:
            OSError: the record cannot be written.

        """
        async with self._alone:
            record, session = self._records.get(launch), self._sessions.get(launch)
            if record is None or session is None:
                return
            changed = replace(record, session=session.session, provider=None if free else record.provider)
            if changed == record:
                return
            await anyio.to_thread.run_sync(write_launch, self._paths, changed)
            if launch in self._records:  # its bridge may have ended meanwhile
                self._records[launch] = changed

    def over(self, launch: LaunchId) -> None:
        """Know that a session's bridge has ended; its record is the gateway's to remove."""
        self._records.pop(launch, None)


def driven(session: SessionId, wish: Wish) -> SessionId:
    """Return whose requests a new bridge's will be: the session's, or those of the conversation that it is to take up."""
    if is_provisional(session) and wish.resume and not wish.fork:
        try:
            return session_of(conversation_key(wish.agent, wish.resume))
        except IdentityError:
            return session  # no id of a conversation: what the agent makes of it, it will say
    return session
