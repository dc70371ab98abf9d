"""``tabwire bridges`` and ``tabwire agents``: what is driven, what could be, and how it is ended."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.cli import bus
from actors.cli.chat_session import SLOW_SECONDS, ask
from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.output import draw, say, show, show_json
from actors.cli.text import age, printable, short_ids, short_path
from actors.cli.variables import own_variables
from schemas.commands.bridges import CloseSession, ListAgents, ListBridges, ResetWorkspace

if TYPE_CHECKING:
    from bus.client import Client
    from schemas.bridge_rows import AgentRow, AgentTable, BridgeRow, BridgeTable

_NONE: Final = "-"


def list_bridges(*, json: bool) -> None:
    """Print every driven session."""
    table: BridgeTable = _ask(ListBridges())
    if json:
        show_json(table)
    elif not table.bridges:
        say("nothing is driven; start something with: tabwire chat --agent codex")
    else:
        _print_bridges(table.bridges)


def close(session: str, *, json: bool) -> None:
    """End one."""
    row: BridgeRow = _ask(CloseSession(session=session))
    if json:
        show_json(row)
    else:
        show(_ended(row))


def reset(folder: str, *, agent: str, force: bool, json: bool) -> None:
    """End every driven session of a folder."""
    real = os.path.realpath(Path(folder).expanduser())
    if not Path(real).is_dir():
        raise CommandFailedError(f"{folder}: there is no such folder", USAGE)
    table: BridgeTable = _ask(ResetWorkspace(cwd=real, agent=agent, force=force))
    if json:
        show_json(table)
    elif not table.bridges:
        say(f"nothing is driven in {real}")
    else:
        for row in table.bridges:
            show(_ended(row))


def list_agents(*, json: bool) -> None:
    """Print every agent that can be driven, and what was found of it on this computer."""
    table: AgentTable = _ask(ListAgents(environ=own_variables(os.environ)))
    if json:
        show_json(table)
        return
    from actors.cli.grid import grid  # noqa: PLC0415 - rich is slow to load; JSON needs none

    draw(grid(("agent", "version", "tested", "protocol", "can", "modes", "program"), [_agent(row) for row in table.agents]))
    for row in table.agents:
        for line in (
            *((f"{row.agent}: {row.problem}",) if row.problem else ()),
            *(f"{row.agent}: {note}" for note in row.notes),
        ):
            say(line)


def _ended(row: BridgeRow) -> str:
    if row.attached is not None:
        return f"{row.session} was left; its agent goes on in its own terminal"
    return f"{row.session} has ended, and all that it had started"


def _ask(command: Any) -> Any:
    async def exchange(client: Client) -> Any:
        return await ask(client, command, SLOW_SECONDS)

    return bus.with_client(exchange)


def _print_bridges(rows: tuple[BridgeRow, ...]) -> None:
    from actors.cli.grid import grid  # noqa: PLC0415 - rich is slow to load; JSON needs none

    short = short_ids([name for row in rows for name in (row.session, row.launch)])
    now = datetime.now(UTC).isoformat()
    columns = ("session", "agent", "provider", "model", "mode", "turns", "folder", "status", "note")
    draw(grid(columns, [_bridge(row, short, now) for row in rows]))


def _bridge(row: BridgeRow, short: dict[str, str], now: str) -> tuple[str, ...]:
    waits = f", {row.queued} waiting" if row.queued else ""
    notes = (
        f"{row.relation} {row.parent}" if row.parent and row.relation else "",
        "" if row.attached is None else f"joined in its own terminal ({row.attached})",
        row.status_reason,
        f"restarted {row.restarts} time{'s' if row.restarts > 1 else ''}" if row.restarts else "",
        row.note,
    )
    return (
        short[row.session],
        row.agent,
        row.provider or _NONE,
        row.model or _NONE,
        row.mode or _NONE,
        f"{row.turns}{waits}",
        short_path(row.cwd, str(Path.home())),
        f"{row.status.replace('_', ' ')} {age(row.status_since, now)}",
        "; ".join(note for note in notes if note),
    )


def _agent(row: AgentRow) -> tuple[str, ...]:
    version = row.version or ("?" if row.program else "not found")
    return (
        row.agent,
        version,
        row.tested or _NONE,
        row.protocol,
        " ".join(sorted(row.can)) or _NONE,
        " ".join(row.modes) or _NONE,
        short_path(printable(row.program), str(Path.home())),
    )
