"""How a session is joined whose agent runs in the user's own terminal: the evidence is looked for, and the session begun.

Must not know which channel is right (``attaching``), nor what becomes of the session.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Final

import anyio.to_thread

from actors.bridges import pasts
from actors.bridges.attaching import Evidence, NoChannelError, choose, pane_of
from actors.bridges.beginning import check_room
from actors.bridges.rows import AmbiguousBridgeError, UnknownBridgeError, resolve
from actors.bridges.shell import Hub
from actors.bridges.terms import LIVING, Begun, Session, Wish
from actors.launch.start import new_launch
from actors.probe import Probe, ProbeError
from bus.client import RefusedError
from schemas.attachment import Attachment
from schemas.identity import ProcessKey
from schemas.rows import SessionRow

SHOWN_TURNS: Final = 10
TMUX_SECONDS: Final = 5.0
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
    turns = await _told_before(row)
    return _joined(hub, row) or _begin(hub, row, way, turns)


async def _told_before(row: SessionRow) -> int:
    """Count the completed turns that whoever joins is shown first."""
    try:
        return len((await pasts.show(pasts.of_row(row), limit=SHOWN_TURNS, before="")).turns)
    except RefusedError:
        return 0  # its transcript cannot be read: what comes from now on is told all the same


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
    not_there = "" if (pane := pane_of(row.terminal)) is None else _not_there(probe, row.process, *pane)
    return Evidence(row=row, argv=found.argv, variables=found.variables, exe=found.exe, not_there=not_there)


def _not_there(probe: Probe, process: ProcessKey, socket: str, server: int, pane: str) -> str:
    """Say why a process does not run in a pane of tmux; empty where it does."""
    try:
        command = ("tmux", "-S", socket, "display-message", "-p", "-t", pane, "#{pid} #{pane_pid}")
        told = subprocess.run(command, capture_output=True, text=True, timeout=TMUX_SECONDS, check=True).stdout.split()  # noqa: S603
        above = probe.identify(int(told[1]))
        there = int(told[0]) == server and (above == process or probe.is_descendant(process, above))
    except (OSError, subprocess.SubprocessError, ProbeError, ValueError, IndexError) as error:
        return f"its pane {pane} of tmux cannot be asked: {error}"
    return "" if there else f"its pane {pane} of tmux runs something else by now"


def _begin(hub: Hub, row: SessionRow, way: Attachment, turns: int) -> Session:
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
        turns=turns,
        provider=row.routing_provider or "",
        model=row.served_model or row.requested_model or "",
    )
    hub.add(session)
    hub.take(launch, Begun())
    return hub.sessions[launch]
