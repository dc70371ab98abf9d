"""How a session begins: what is wished for is checked, and answered before anything of its agent runs.

Must not know what becomes of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread

from actors.bridge.adapter import AgentFacts
from actors.bridges.agents import MissingProgramError, facts, find_program
from actors.bridges.shell import Hub
from actors.bridges.terms import LIVING, Begun, Relation, Session, Wish
from actors.launch.start import new_launch
from bus.client import RefusedError
from schemas.config import Config, ConfigError
from schemas.identity import SessionId


async def begin(hub: Hub, wish: Wish, parent: SessionId | None = None, relation: Relation | None = None) -> Session:
    """Check what is wished for, and let a session begin; return it before anything of its agent runs.

    Raises:
        RefusedError: unknown agent, no program, no such folder or provider, or too many sessions.

    """
    config, known, wish = await anyio.to_thread.run_sync(_checked, hub, wish)
    hub.config = config
    check_room(hub, config)
    launch, now = new_launch(), hub.now()
    session = Session(
        launch=launch,
        wish=wish,
        run=hub.run_id,
        created=now.text,
        last_used=now.text,
        used=now.steady,
        session=SessionId(launch),
        status_since=now.text,
        patience=float(config.bridges.approval_seconds),
        parent=parent,
        relation=relation,
        can=tuple(sorted(known.can)),
        modes=known.modes,
        provider=wish.provider,
        model=wish.model,
        mode=wish.mode or (known.modes[0] if known.modes else ""),
    )
    hub.add(session)
    hub.take(launch, Begun())
    return hub.sessions[launch]


def check_room(hub: Hub, config: Config) -> None:
    """Look whether there may be one session more.

    Raises:
        RefusedError: there may not.

    """
    living = sum(one.phase in LIVING for one in hub.sessions.values())
    if living >= config.bridges.sessions:
        raise RefusedError(
            "too_many", f"{living} sessions are driven, and no more may be ([bridges] sessions); close one first"
        )


def _checked(hub: Hub, wish: Wish) -> tuple[Config, AgentFacts, Wish]:
    """Look whether what is wished for can be. Runs in a worker thread."""
    try:
        config = hub.config_file.read()
    except ConfigError as error:
        raise RefusedError("bad_config", f"{error}; mend the file first") from error
    there = facts(config.terminals)
    known = there.get(wish.agent)
    if known is None:
        raise RefusedError("unknown_agent", f"{wish.agent!r} cannot be driven; there are: {', '.join(there) or 'none'}")
    if wish.provider:
        _check_provider(config, wish.provider)
    if wish.mode and known.modes and wish.mode not in known.modes:
        raise RefusedError("invalid", f"mode {wish.mode!r}: {wish.agent} has {', '.join(known.modes)}")
    if wish.resume:
        _check_resume(known)
    check_variables(wish.environ)
    if any("\0" in one for one in (*wish.arguments, wish.program, wish.model)):
        raise RefusedError("invalid", "no argument of a program can have a NUL in it")
    cwd = folder(wish.cwd)
    try:
        program = find_program(known, wish.program, {**os.environ, **wish.environ})
    except MissingProgramError as error:
        raise RefusedError("not_installed", str(error)) from error
    parts = {name: getattr(wish, name) for name in wish.__struct_fields__}
    return config, known, Wish(**(parts | {"cwd": cwd, "program": program}))


def check_variables(environ: Mapping[str, str]) -> None:
    """Look whether a program can be started with these variables.

    Raises:
        RefusedError: it cannot.

    """
    for name, value in environ.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise RefusedError("invalid", f"environ: {name!r} cannot be a variable")


def _check_provider(config: Config, provider: str) -> None:
    found = config.provider(provider)
    if found is None:
        there = ", ".join(sorted({"echo", *config.providers}))
        raise RefusedError("not_found", f"no provider {provider!r} is configured; there are: {there}")
    if not found.enabled:
        raise RefusedError("disabled", f"provider {provider!r} is disabled in the configuration")


def _check_resume(known: AgentFacts) -> None:
    if "resume" not in known.can:
        raise RefusedError("unsupported", f"{known.agent} cannot take up a conversation again")


def folder(path: str) -> str:
    """Return a folder by its one name.

    Raises:
        RefusedError: there is none.

    """
    if "\0" in path or not Path(path).is_absolute():
        raise RefusedError("invalid", f"cwd: expected the whole path of a folder, not {path!r}")
    found = Path(path).resolve()
    if not found.is_dir():
        raise RefusedError("invalid", f"cwd: {path} is no folder")
    return str(found)
