"""``tabwire run``: starts an agent in this terminal so that its requests come to the gateway, and becomes that agent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from actors.cli.failures import NOT_FOUND, NOT_RUNNING, USAGE, CommandFailedError
from actors.cli.output import say
from actors.cli.system import gateway_origin, running_status
from actors.launch.choose import INSTALL, agent_of, plan_launch
from actors.launch.codex_home import is_guarded, read_codex_home, read_text
from actors.launch.plan import Door
from actors.launch.start import CANNOT_RUN, forget, mint_token, publish_launches, record_launch, replace_process
from actors.probe import choose_probe, find_terminal
from actors.runtime.config_file import load_config
from actors.runtime.paths import Paths
from schemas.config import Config, ServedDialect


def run(argv: Sequence[str], *, provider: str | None, model: str | None, name: str | None, require: bool) -> NoReturn:
    """Start the command ``argv`` behind the gateway; does not return when it could.

    Raises:
        CommandFailedError: unknown provider, no such program, or no gateway although one is required.
        LaunchRefusedError: the command cannot be pointed at the gateway.

    """
    program = find_program(argv[0])
    paths = Paths.default(os.environ)
    config = load_config(paths)
    check_provider(config, provider)
    origin, up = gateway_origin(running_status(paths), config)
    door = Door(origin, mint_token())
    argv, pinned = _whole(argv, name)
    read_home = partial(read_codex_home, argv, os.environ, thread_provider=pinned)
    wished = {"name": name, "model": model}
    plan = plan_launch(argv, door, os.environ, read_home, **wished, cwd=Path.cwd(), read=read_text, guarded=is_guarded)
    environ = {**os.environ, **plan.environ}
    if not plan.launched:
        _become(program, plan.argv, environ)
    if not up:
        _warn_or_refuse(require=require)
    for note in (*plan.notes, *_unserved(config, provider, plan.speaks)):
        say(note)
    probe = choose_probe()
    me = probe.process(os.getpid())
    record = record_launch(
        paths,
        door.token,
        agent=plan.agent,
        process=me.key,
        terminal=find_terminal(me.variables, me.tty, me.leader).key,
        cwd=me.cwd,
        provider=provider,
        model=model,
    )
    if up and (failure := publish_launches(paths, [record])):
        say(f"the launch could not be told to the bus ({failure}); it is attributed all the same")
    try:
        _become(program, plan.argv, environ)
    except CommandFailedError:
        forget(paths, record)
        raise


def _whole(argv: Sequence[str], name: str | None) -> tuple[Sequence[str], str | None]:
    """Make the beginning of a thread's id in a Codex command whole; return the provider of a thread to be resumed too."""
    if (name or agent_of(argv[0])) != "codex" or not {"resume", "fork"} & set(argv):
        return argv, None
    from actors.cli.threads import settle_thread  # noqa: PLC0415 - a launch that names no thread does without

    target = settle_thread(argv, os.environ, former_thread, choose_probe)
    return target.argv, target.provider


def former_thread(name: str) -> str | None:
    """Ask the registry which Codex session is, or was, known by the beginning of a name; None while it does not run.

    Raises:
        CommandFailedError: several are, or the one has no conversation yet.

    """
    from actors.cli import bus  # noqa: PLC0415
    from actors.cli.tail import rows_of  # noqa: PLC0415
    from schemas.commands import ListSessions  # noqa: PLC0415

    if running_status(Paths.default(os.environ), complain=False) is None:
        return None
    rows = [row for row in rows_of(name, bus.ask(ListSessions())) if row.agent == "codex"]
    if len(rows) > 1:
        raise CommandFailedError(f"{name!r} names {len(rows)} sessions: {', '.join(row.session for row in rows)}", USAGE)
    if rows and rows[0].conversation is None:
        raise CommandFailedError(f"{rows[0].session}: its conversation is not known yet; there is nothing to go on with")
    return rows[0].conversation.partition(":")[2] if rows and rows[0].conversation else None


def find_program(name: str) -> str:
    """Return the program's file.

    Raises:
        CommandFailedError: there is none (exit code 127), with what to install.

    """
    if found := shutil.which(name):
        return found
    if Path(name).name != name and Path(name).exists():
        raise CommandFailedError(f"{name}: not a program that may be run", CANNOT_RUN)
    install = INSTALL.get(agent_of(name))
    advice = f"install it with: {install}" if install else "is it installed, and on PATH?"
    raise CommandFailedError(f"{name}: no such program; {advice}", NOT_FOUND)


def check_provider(config: Config, provider: str | None) -> None:
    """Refuse a provider that the gateway would not know.

    Raises:
        CommandFailedError: with those that there are.

    """
    if provider is None:
        return
    known = sorted({"echo", *config.providers})
    found = config.provider(provider)
    if found is None:
        raise CommandFailedError(f"--provider {provider!r}: not configured; there are: {', '.join(known)}", USAGE)
    if not found.enabled:
        raise CommandFailedError(f"--provider {provider!r}: is disabled in the configuration", USAGE)


def _unserved(config: Config, provider: str | None, speaks: Sequence[ServedDialect]) -> tuple[str, ...]:
    """Say when what an agent speaks is not what its provider serves; a pin may send it elsewhere, so it is no refusal."""
    name = provider or config.default_provider
    found = config.provider(name)
    if found is None or not speaks or set(speaks) & set(found.dialects):
        return ()
    others = [each for each, one in config.providers.items() if one.enabled and set(speaks) & set(one.dialects)]
    advice = f"use --provider {others[0]}" if others else "configure one that does: tabwire providers add"
    return (f"this agent speaks {' or '.join(speaks)}, which provider {name!r} does not serve; {advice}",)


def _warn_or_refuse(*, require: bool) -> None:
    if require:
        raise CommandFailedError("the gateway is not running and --require was given; start it with: tabwire up", NOT_RUNNING)
    say("the gateway is not running: this agent's requests will wait for it (start it with: tabwire up)")


def _become(program: str, argv: Sequence[str], environ: dict[str, str]) -> NoReturn:
    try:
        replace_process(argv, environ, program)
    except PermissionError as error:
        raise CommandFailedError(f"{program}: {error.strerror}", CANNOT_RUN) from error
    except FileNotFoundError as error:
        raise CommandFailedError(f"{program}: {error.strerror} (its interpreter?)", NOT_FOUND) from error
    except OSError as error:
        raise CommandFailedError(f"{program}: {error.strerror}", CANNOT_RUN) from error
