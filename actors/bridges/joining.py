"""How a session is joined whose agent runs in the user's own terminal: the evidence is looked for, and the session begun.

Must not know which channel is right (``attaching``), nor what becomes of the session.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Final

import anyio.to_thread

from actors.bridge.contract import Attachment
from actors.bridges import pasts
from actors.bridges.attaching import Evidence, NoChannelError, choose
from actors.bridges.beginning import check_room
from actors.bridges.rows import AmbiguousBridgeError, UnknownBridgeError, resolve
from actors.bridges.shell import Hub
from actors.bridges.terms import LIVING, Begun, Session, Wish
from actors.launch.start import new_launch
from actors.probe import Probe, ProbeError
from bus.client import RefusedError
from schemas.rows import SessionRow

PATIENCE: Final = 7 * 86_400.0
"""Seconds: the user is asked in the agent's own terminal too, so that no silence of ours may deny anything."""


async def attach(hub: Hub, prefix: str) -> Session:
    """Join a session; one that is driven or joined already is returned as it is.

    Raises:
        RefusedError: there is no such session, no exact way to its agent, or too many sessions.

    """
    try:
        return resolve((one for one in hub.sessions.values() if one.phase in LIVING), prefix)
    except UnknownBridgeError:
        row = await pasts.listed(hub, prefix)
    except AmbiguousBridgeError as error:
        raise RefusedError("ambiguous", str(error)) from error
    if found := _joined(hub, row):
        return found
    try:
        way = choose(await anyio.to_thread.run_sync(partial(_look, hub.probe, row)))
    except NoChannelError as error:
        raise RefusedError(error.code, error.reason) from error
    return _joined(hub, row) or _begin(hub, row, way)


def _joined(hub: Hub, row: SessionRow) -> Session | None:
    """Find the one that drives or has joined a session already; there is never a second."""
    living = (one for one in hub.sessions.values() if one.phase in LIVING)
    return next((one for one in living if row.session in (one.session, *one.aliases)), None)


def _look(probe: Probe, row: SessionRow) -> Evidence:
    """Look at the process of a session, which must still be that process. Runs in a worker thread."""
    if row.process is None:
        return Evidence(row=row)
    try:
        found = probe.process(row.process.pid)
    except ProbeError as error:
        return Evidence(row=row, unseen=str(error))
    if found.key != row.process:
        return Evidence(row=row, unseen=f"process {row.process.pid} is another one by now")
    return Evidence(row=row, argv=found.argv, variables=found.variables)


def _begin(hub: Hub, row: SessionRow, way: Attachment) -> Session:
    """Let the session begin as what it is: it keeps its id, and there is no launch of ours."""
    check_room(hub, hub.config)
    launch, now, conversation = new_launch(), hub.now(), (row.conversation or "").partition(":")[2]
    wish = Wish(
        agent=row.agent,
        cwd=row.cwd or os.sep,
        resume=conversation,
        program=sys.executable,
        attach=way,
    )
    session = Session(
        launch=launch,
        wish=wish,
        run=hub.run_id,
        created=now.text,
        last_used=now.text,
        used=now.steady,
        session=row.session,
        status_since=now.text,
        patience=PATIENCE,
        conversation=conversation,
        transcript=row.transcript or "",
        provider=row.routing_provider or "",
        model=row.served_model or row.requested_model or "",
    )
    hub.add(session)
    hub.take(launch, Begun())
    return hub.sessions[launch]
