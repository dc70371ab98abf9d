"""The supervisor's own life: from its orders, one JSON line on stdin, to its exit code.

    {"config_file": …, "state": …, "demo": false, "foreground": false, "intensity": 5, "allow_remote": false,
     "fork": true}

With ``"fork": false`` it executes its children, as it does wherever there is no fork server.

Exit codes: 0 stopped as asked · 69 another supervisor runs here · 70 crash · 78 bad configuration. Until it holds the
lock it writes to stderr only; from then on to ``logs/supervisor.log`` (and to stderr as well in the foreground).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from actors.runtime import exits, hardening
from actors.runtime.clock import Clock, take_anchor
from actors.runtime.config_file import load_config
from actors.runtime.logging import configure, register_secret
from actors.runtime.paths import Paths
from actors.runtime.pipe import LinePipe
from actors.runtime.stop import take_stop
from actors.supervisor import table
from actors.supervisor.forks import Forks
from actors.supervisor.lock import AlreadyRunningError, only_one
from actors.supervisor.log_file import LogFile
from actors.supervisor.process import log_path
from actors.supervisor.shell import NAME, KeyPair, Supervisor, new_run, sweep_previous
from actors.supervisor.terms import ChildSpec
from bus.connection import Connection, read_connection
from bus.outbox import Outbox
from bus.source import Source
from schemas.codec import InvalidMessageError, decode
from schemas.config import Config, ConfigError

_MAX_ORDERS = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the supervisor is told."""

    config_file: str
    state: str
    demo: bool = False
    foreground: bool = False
    intensity: int = 5
    allow_remote: bool = False
    fork: bool = True


class _Both:
    """Two places for one log line."""

    def __init__(self, first: LogFile, second: LinePipe) -> None:
        self._first = first
        self._second = second
        self.dropped = 0
        self.idle = True

    def write(self, line: bytes) -> bool:
        self._second.write(line)
        return self._first.write(line)


def run_supervisor(
    children: Callable[[Config, Orders], tuple[ChildSpec, ...]],
    command: Callable[[str], list[str]] = table.command,
    forks: Forks | None = None,
) -> int:
    """Supervise ``children`` until asked to stop; return the exit code. ``forks`` is ended here."""
    said = LinePipe(2)
    log = configure(said, actor=NAME)
    try:
        orders = decode(sys.stdin.buffer.readline(_MAX_ORDERS), Orders)
        if forks is not None and not orders.fork:
            forks.end()
            forks = None
        paths = Paths(Path(orders.config_file), Path(orders.state))
        _part_from_terminal(foreground=orders.foreground)
        weaknesses = [hardening.forbid_inspection(), hardening.adopt_orphans()]
        paths.create()
        with only_one(paths.lock_file):
            take_stop(paths)  # asked of a supervisor that is gone
            own = LogFile(log_path(paths.logs, NAME))
            config = load_config(paths)
            log = configure(_Both(own, said) if orders.foreground else own, actor=NAME)
            for weakness in filter(None, weaknesses):
                log.warning("a protection is missing", reason=weakness)
            sweep_previous(paths, log)
            anyio.run(partial(_supervise, children(config, orders), command, paths, config, log, forks=forks))
            own.close()
    except InvalidMessageError as error:
        log.error("the first line on stdin is not orders for a supervisor", reason=str(error))  # noqa: TRY400 - expected
        return exits.BAD_CONFIG
    except ConfigError as error:
        log.error("bad configuration", reason=str(error))  # noqa: TRY400 - expected
        return exits.BAD_CONFIG
    except AlreadyRunningError as error:
        log.error("already running", reason=str(error), pid=error.pid)  # noqa: TRY400 - expected
        return exits.ALREADY_RUNNING
    except BaseException as error:
        log.critical("crashed", exc_info=error)
        return exits.CRASH
    finally:
        if forks is not None:
            forks.end()
        said.drain(1.0)
    return exits.OK


async def _supervise(
    specs: tuple[ChildSpec, ...],
    command: Callable[[str], list[str]],
    paths: Paths,
    config: Config,
    log: Any,
    *,
    forks: Forks | None,
) -> None:
    run = forks.run if forks is not None else new_run()
    keys = KeyPair.mint()
    register_secret(keys.secret)
    clock = Clock(take_anchor())
    source = Source(f"/actor/{NAME}/{run[:12]}", clock)

    def connect_to() -> Connection:
        return read_connection(paths.connection_file).with_keys(keys.public, keys.secret)

    outbox = Outbox(connect_to, source, NAME)

    def publish(about: str, event: Any) -> None:
        outbox.put(source.envelope(about, event))

    supervisor = Supervisor(
        specs, command, paths=paths, config=config, log=log, publish=publish, run=run, keys=keys, clock=clock, forks=forks
    )
    log.info("started", pid=os.getpid(), run=run[:12], actors=[spec.actor for spec in specs])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        await supervisor.run()
        tasks.cancel_scope.cancel()
    supervisor.sweep_at_end()
    log.info("stopped")


def _part_from_terminal(*, foreground: bool) -> None:
    """Live on when the terminal closes; in the foreground end, in order, with whoever started us."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if foreground:
        hardening.die_with_parent(signal.SIGTERM)
    elif hasattr(os, "setsid") and os.getpgrp() != os.getpid():  # the leader of a process group cannot, nor needs to
        os.setsid()
    os.chdir(os.sep)
