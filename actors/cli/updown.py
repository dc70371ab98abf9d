"""``tabwire up``, ``down`` and ``status``: the system as a whole."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import get_args

from actors.cli.failures import BAD_CONFIG, FAILURE, CommandFailedError, not_running
from actors.cli.output import draw, say, show, show_json
from actors.cli.retry import try_again
from actors.cli.system import Starting, find_supervisor, lock_holder, read_status, running_status, stop
from actors.probe import Capability, ProbeError, choose_probe
from actors.runtime import exits
from actors.runtime.config_file import load_config
from actors.runtime.contract import ELSEWHERE
from actors.runtime.paths import Paths
from schemas.config import ECHO, Config
from schemas.config_rules import is_loopback
from schemas.rows import ActorRow, SystemStatus


def up(*, demo: bool, foreground: bool, allow_remote: bool = False) -> None:
    """Start everything and say what runs where.

    Raises:
        ConfigError: the configuration cannot be used; nothing was started.
        CommandFailedError: the supervisor ended, or an actor has failed.

    """
    paths = Paths.default(os.environ)
    config = load_config(paths)
    paths.create()
    status = running_status(paths)
    if status is not None:
        say(f"already running (pid {status.pid}, since {status.started})")
        if foreground:
            raise CommandFailedError("--foreground: it runs in the background; stop it first with: tabwire down")
        _check_demo(status, demo=demo)
        _check_remote(status, config, allow_remote=allow_remote)
        status = try_again(paths, status)
    else:
        starting = Starting(paths, demo=demo, foreground=foreground, allow_remote=allow_remote)
        if foreground:
            _stay(starting)
        status = starting.wait()
    for line in welcome(status, config, str(paths.config_file)):
        show(line)
    _raise_failures(status.actors)
    if demo:
        from actors.cli.demo import play  # noqa: PLC0415 - only a demo needs it

        play(paths, config)
    else:
        for line in _NEXT:
            show(line)


def down() -> None:
    """Stop everything and say what ended."""
    paths = Paths.default(os.environ)
    status = read_status(paths)
    process = (find_supervisor(status) if status is not None else None) or lock_holder(paths)
    if process is None:
        say("Tabwire is not running")
        return
    ended = stop(paths, process)
    names = ", ".join(f"{row.actor}{f' ({row.last_exit})' if row.last_exit else ''}" for row in reversed(ended))
    show(f"stopped: {names or 'everything'}; supervisor (pid {process.pid})")


def show_status(*, json: bool) -> None:
    """Print the state of every actor.

    Raises:
        CommandFailedError: nothing is running.

    """
    paths = Paths.default(os.environ)
    status = read_status(paths)
    if status is None:
        raise not_running()
    if find_supervisor(status) is None:
        in_order = all(row.state == "stopped" for row in status.actors)
        raise not_running("" if in_order else f"its supervisor, pid {status.pid}, has died")
    if json:
        show_json(status)
        return
    show(f"Tabwire {status.version}, supervisor pid {status.pid}, since {status.started}")
    _print_actors(status.actors)
    for name, url in sorted(status.endpoints.items()):
        show(f"{name}: {url}")
    for line in (*probe_lines(status.actors), *_limits()):
        show(line)


def welcome(status: SystemStatus, config: Config, config_file: str) -> Iterator[str]:
    """Say what runs where."""
    yield f"Tabwire {status.version} is up (pid {status.pid})"
    for row in status.actors:
        note = f"  {row.note}" if row.note else ""
        where = status.endpoints.get(row.actor, "")
        yield f"  {row.actor:<9} {row.state}{f'  {where}' if where else ''}{note}"
    if config.default_provider == ECHO:
        yield f"Requests go to the built-in echo model; add a provider to {config_file} to change that."
    else:
        yield f"Requests go to {config.default_provider}, unless a launch says otherwise."


def probe_lines(actors: Sequence[ActorRow]) -> Iterator[str]:
    """Say what the probe can find out on this computer, and what it cannot; once for actors that say the same."""
    said: dict[tuple[str, ...], list[str]] = {}
    for row in actors:
        if row.capabilities:
            said.setdefault(row.capabilities, []).append(row.actor)
    for capabilities, names in said.items():
        yield f"probe ({', '.join(names)}) can tell: {', '.join(capabilities)}"
        if lacking := [name for name in get_args(Capability) if name not in capabilities]:
            yield f"  and not on this computer: {', '.join(lacking)}"


def _limits() -> Iterator[str]:
    """Say what cannot be seen from here, whoever looks."""
    try:
        yield from (f"  {limit}" for limit in choose_probe().limits())
    except ProbeError as error:
        yield f"  {error}"


_NEXT = (
    "Next:",
    "  tabwire run -- codex        start Codex in this terminal, through the gateway",
    "  tabwire sessions --watch    see which terminal talks to which provider",
)


def own_version() -> str:
    """Return the version of what is installed."""
    return version("tabwire")


def _stay(starting: Starting) -> None:
    """Be the supervisor's parent in the foreground until it ends, and end as it did."""

    def pass_on(number: int, _frame: object) -> None:
        starting.process.send_signal(signal.SIGTERM if number == signal.SIGTERM else signal.SIGINT)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    try:
        starting.wait()
        say("up; Ctrl-C or SIGTERM stops it")
    except CommandFailedError as error:
        if starting.process.poll() is None:
            say(str(error))
    code = starting.process.wait()
    if code in (exits.OK, exits.BAD_CONFIG):
        sys.exit(code)
    raise CommandFailedError(f"the supervisor ended: {exits.meaning(code)}")


def _check_demo(status: SystemStatus, *, demo: bool) -> None:
    if demo and not any(row.actor == ECHO for row in status.actors):
        raise CommandFailedError(
            "--demo: the running system has no echo provider; stop it first (tabwire down; tabwire up --demo)"
        )


def _check_remote(status: SystemStatus, config: Config, *, allow_remote: bool) -> None:
    if allow_remote and not is_loopback(config.gateway.host) and not any(name.endswith(ELSEWHERE) for name in status.endpoints):
        raise CommandFailedError(
            "--allow-remote: the running system was started without it; stop it first (tabwire down; tabwire up --allow-remote)"
        )


def _raise_failures(actors: Sequence[ActorRow]) -> None:
    failed = [row for row in actors if row.state == "failed"]
    if not failed:
        return
    reasons = "; ".join(f"{row.actor}: {row.note or row.last_exit}" for row in failed)
    bad_config = all(exits.meaning(BAD_CONFIG) in (row.last_exit, row.note) or "78" in row.last_exit for row in failed)
    raise CommandFailedError(
        f"failed: {reasons} (the others go on; tabwire down stops them)", BAD_CONFIG if bad_config else FAILURE
    )


def _print_actors(actors: Sequence[ActorRow]) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from actors.cli.text import printable  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for column in ("actor", "state", "pid", "restarts", "last exit", "note"):
        table.add_column(column, overflow="fold")
    styles = {"ready": "green", "failed": "red"}
    for row in actors:
        cells = [
            row.actor,
            row.state,
            "-" if row.pid is None else str(row.pid),
            str(row.restarts),
            row.last_exit or "-",
            row.note,
        ]
        styled = [Text(printable(cell)) for cell in cells]
        styled[1].stylize(styles.get(row.state, "yellow"))
        table.add_row(*styled)
    draw(table)
