"""The command line's dealings with the gateway: asked over the bus, and stood in for by edits of the file while it is down.

Both ways edit under the same lock. Must not know what a command is about.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from actors.cli import bus
from actors.cli.failures import FAILURE, NOT_RUNNING, USAGE, CommandFailedError, not_running
from actors.cli.output import say
from actors.cli.system import running_status
from actors.runtime.config_edit import EditRefusedError
from actors.runtime.paths import Paths
from bus.connection import ConnectionFileError
from bus.errors import BusUnavailableError, RefusedError
from schemas.commands import ListProviders
from schemas.config import Config
from schemas.provider_rows import ProviderTable

GATEWAY: Final = "gateway"
LATER: Final = "the gateway does not answer: this is written down, and takes effect when it runs"
_ANSWER: Final = 15.0  # an edit waits for its lock, and for a keyring
_STARTING: Final = 2.0
_TAKEN_OVER: Final = 5.0
_POLL: Final = 0.05


def ask(command: Any) -> Any | None:
    """Ask the gateway; None while it is not there to answer.

    Raises:
        CommandFailedError: it refuses, and says why.

    """
    end = time.monotonic() + _STARTING
    while True:
        try:
            return bus.with_client(lambda client: client.request(GATEWAY, command, deadline=_ANSWER))
        except CommandFailedError as error:
            if error.code != NOT_RUNNING:
                raise
            return None
        except (BusUnavailableError, ConnectionFileError):
            return None
        except RefusedError as error:
            if error.code != "no_such_actor":
                raise _refused(error) from error
        if not _is_up() or time.monotonic() >= end:
            return None
        time.sleep(_POLL)


def must_ask(command: Any) -> Any:
    """Ask the gateway.

    Raises:
        CommandFailedError: it refuses, or is not there.

    """
    answer = ask(command)
    if answer is None:
        raise not_running("the gateway does not answer")
    return answer


def edit(change: Callable[[], Config]) -> Config:
    """Edit the file here.

    Raises:
        CommandFailedError: the edit is refused.
        ConfigError: the file as it is cannot be used.

    """
    try:
        return change()
    except EditRefusedError as error:
        raise CommandFailedError(error.message, USAGE if error.code in ("not_found", "invalid") else FAILURE) from error


def wait_for(config: Config) -> None:
    """Wait until a running gateway has taken over the providers of an edited file; say when that is not so."""
    end = time.monotonic() + _TAKEN_OVER
    while True:
        table = ask(ListProviders())
        if table is None:
            say(LATER)
            return
        if _same(table, config):
            return
        if time.monotonic() >= end:
            say("written, and not taken over by the gateway yet (tabwire status says why)")
            return
        time.sleep(_POLL)


def _same(table: ProviderTable, config: Config) -> bool:
    shown = {row.provider: (row.enabled, row.default) for row in table.providers if row.provider != "echo" or row.default}
    meant = {name: (one.enabled, name == config.default_provider) for name, one in config.providers.items()}
    return shown == meant or (config.default_provider == "echo" and shown == {**meant, "echo": (True, True)})


def _is_up() -> bool:
    status = running_status(Paths.default(os.environ), complain=False)
    rows = status.actors if status is not None else ()
    return any(row.actor == GATEWAY and row.state in ("ready", "degraded", "starting") for row in rows)


def _refused(error: RefusedError) -> CommandFailedError:
    return CommandFailedError(error.message, USAGE if error.code in ("not_found", "invalid") else FAILURE)
