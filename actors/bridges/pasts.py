"""What is known of a session's past, driven or not: who it is, where it worked, and its completed turns.

A driven session is known here; of any other the registry is asked. Codex and Claude Code keep transcripts, which tell all;
of other agents there is what their bridge has seen. Must not know what the past is wanted for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, get_args

import anyio.to_thread

from actors.bridges.rows import AmbiguousBridgeError, UnknownBridgeError, resolve
from actors.bridges.shell import Hub
from actors.bridges.terms import Session
from actors.transcripts import history
from actors.transcripts.claude_messages import message_uuid
from actors.transcripts.pieces import named
from actors.transcripts.tree import Agent
from bus.client import RefusedError
from bus.protocol import MAX_ANSWER
from schemas.bridge_rows import History, Turn
from schemas.codec import encode
from schemas.commands import ListSessions
from schemas.identity import SessionId
from schemas.rows import SessionRow, SessionTable

_HOMES: Final[Mapping[Agent, tuple[str, str]]] = {
    "codex": ("CODEX_HOME", ".codex"),
    "claude": ("CLAUDE_CONFIG_DIR", ".claude"),
}
_SEEN: Final = "{agent} keeps no transcript that can be read: these are the turns that its bridge has seen"
_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A session as its past is looked for; ``driven`` is None where it is not driven here.

    ``seen`` are the completed turns that its bridge saw, ``names`` are those of all turns that the stream may have told of.
    """

    session: SessionId
    agent: str
    cwd: str
    conversation: str = ""
    transcript: str = ""
    environ: Mapping[str, str]
    running: bool = False
    seen: tuple[Turn, ...] = ()
    names: tuple[str, ...] = ()
    driven: Session | None = None


async def known(hub: Hub, prefix: str) -> Known:
    """Find a session, driven or not.

    Raises:
        RefusedError: none has this prefix, or several have.

    """
    try:
        return _of_driven(resolve(hub.sessions.values(), prefix))
    except AmbiguousBridgeError as error:
        raise RefusedError("ambiguous", str(error)) from error
    except UnknownBridgeError:
        return of_row(await listed(hub, prefix))


async def listed(hub: Hub, prefix: str) -> SessionRow:
    """Ask the registry for a session, whoever drives it.

    Raises:
        RefusedError: none has this prefix, or several have.

    """
    table: SessionTable = await hub.client.request("registry", ListSessions(), deadline=_SECONDS)
    rows = [row for row in table.sessions if any(name.startswith(prefix) for name in _names(row))] if prefix else []
    exact = [row for row in rows if prefix in _names(row)]
    found = exact or rows
    if len(found) > 1:
        raise RefusedError(
            "ambiguous", f"{prefix!r} names {len(found)} sessions: {', '.join(row.session for row in found[:8])}"
        )
    if not found:
        raise RefusedError("not_found", f"{prefix!r}: no session's id begins with it; `tabwire sessions --all` lists them")
    return found[0]


async def show(one: Known, *, limit: int, before: str) -> History:
    """Return completed turns, the newest or those in front of ``before``.

    Raises:
        RefusedError: ``before`` is no place that was told, or the transcript cannot be read.

    """
    limit = max(1, min(limit, history.MAX_TURNS))
    if one.agent in get_args(Agent) and one.conversation:
        told = await _from_transcript(one, limit, before)
        if told is not None:
            return told
    if not one.seen:
        note = "" if one.driven is not None else f"{one.agent} keeps no transcript that can be read, and it is not driven here"
        return History(session=one.session, source="bridge" if one.driven is not None else "none", turns=(), note=note)
    return _from_bridge(one, limit, before)


async def _from_transcript(one: Known, limit: int, before: str) -> History | None:
    """Read a page of a transcript, as many turns as an answer holds; None when there is no transcript yet."""
    agent: Agent = "codex" if one.agent == "codex" else "claude"
    if before and not before.isdecimal():
        raise RefusedError("invalid", f"before: {before!r} is no place that an answer named")
    try:
        finding = partial(history.locate, agent, one.conversation, _home(agent, one.environ), one.transcript)
        found = await anyio.to_thread.run_sync(finding)
        if found is None:
            return None
        while True:
            place = int(before) if before else -1
            reading = partial(history.page, found, limit=limit, before=place, running=one.running)
            page = await anyio.to_thread.run_sync(reading)
            told = History(
                session=one.session,
                source="transcript",
                turns=named(page.turns, page.messages, {_message_id(agent, turn): turn for turn in one.names}),
                before=str(page.before) if page.before >= 0 else "",
                note=page.note,
            )
            if len(encode(told)) <= MAX_ANSWER or limit == 1:
                return told
            limit = max(1, min(limit, len(page.turns)) // 2)
    except OSError as error:
        raise RefusedError("unreadable", f"its transcript cannot be read: {error}") from error


def _message_id(agent: Agent, turn: str) -> str:
    """Return under which id the message stands in a transcript that began a turn of the stream.

    Codex writes it under the turn's own name, which it is given with it (``client_id``), Claude Code under a uuid made of that.
    """
    return message_uuid(turn) if agent == "claude" else turn


def _from_bridge(one: Known, limit: int, before: str) -> History:
    """Return a page of what its bridge has seen; a page is named by its first turn."""
    turns = one.seen
    if before:
        names = [turn.turn for turn in turns]
        if before not in names:
            raise RefusedError("invalid", f"before: {before!r} is no turn that is still kept")
        turns = turns[: names.index(before)]
    shown = turns[-limit:]
    more = shown[0].turn if len(shown) < len(turns) else ""
    return History(session=one.session, source="bridge", turns=shown, before=more, note=_SEEN.format(agent=one.agent))


def _names(row: SessionRow) -> tuple[str, ...]:
    """Return all names of a session, that of its agent's own banner too."""
    return (row.session, *row.aliases, *((row.conversation.partition(":")[2],) if row.conversation else ()))


def _of_driven(session: Session) -> Known:
    running = session.running
    return Known(
        session=session.session,
        agent=session.wish.agent,
        cwd=session.wish.cwd,
        conversation=session.conversation,
        transcript=session.transcript,
        environ={**os.environ, **session.wish.environ},
        running=running is not None,
        seen=session.past,
        names=(*session.known, *(turn.turn for turn in session.past), *(() if running is None else (running.turn,))),
        driven=session,
    )


def of_row(row: SessionRow) -> Known:
    """Return a session as the registry knows it."""
    conversation = "" if row.conversation is None else row.conversation.partition(":")[2]
    return Known(
        session=row.session,
        agent=row.agent,
        cwd=row.cwd or "",
        conversation=conversation,
        transcript=row.transcript or "",
        environ=os.environ,
        running=row.status in ("working", "waiting_permission"),
    )


def _home(agent: Agent, environ: Mapping[str, str]) -> str:
    variable, usual = _HOMES[agent]
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    return str(Path(environ.get(variable) or home / usual).resolve())
