"""``tabwire pin``, ``unpin`` and ``pins``: which session, terminal or project goes to which provider."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, cast

from actors.cli import bus, gateway
from actors.cli.failures import NOT_RUNNING, USAGE, CommandFailedError
from actors.cli.output import draw, say, show, show_json
from actors.cli.target import Target, find_pinned, find_target
from actors.runtime import config_edit
from actors.runtime.config_file import load_config
from actors.runtime.config_rows import pin_table, rfc3339
from actors.runtime.paths import Paths
from bus.connection import ConnectionFileError
from bus.errors import BusError
from schemas.commands import ListPins, ListSessions, PrunePins, RemovePin, SetPin
from schemas.config import Config, Pin, PinKind
from schemas.provider_rows import PinRow, PinTable
from schemas.rows import SessionTable

_TTL: Final = re.compile(r"([0-9]{1,6})(s|m|min|h|d|w)")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_POLICIES: Final = ("fail", "fallback", "ask")


def pin(target: str, to: str, *, kind: str | None, on_failure: str, ttl: str | None, json: bool) -> None:
    """Pin something to a provider, and perhaps a model."""
    if on_failure not in _POLICIES:
        raise CommandFailedError(f"--on-failure {on_failure!r}: expected one of {', '.join(_POLICIES)}", USAGE)
    provider, _, model = to.partition("/")
    expires = _expires(ttl)
    config = load_config(_paths())
    if config.provider(provider) is None:
        known = ", ".join(sorted({"echo", *config.providers}))
        raise CommandFailedError(f"no provider {provider!r} is configured; known here: {known}", USAGE)
    found = find_target(target, cast("PinKind | None", kind), session_table())
    policy = cast("Literal['fallback', 'fail', 'ask']", on_failure)
    command = SetPin(
        kind=found.kind,
        target=found.key,
        provider=provider,
        model=model,
        on_failure=policy,
        expires="" if expires is None else rfc3339(expires),
    )
    keys: dict[str, Any] = {found.kind: found.key}
    placed = Pin(provider=provider, model=model, on_failure=policy, expires=expires, **keys)
    table = _done(command, partial(config_edit.set_pin, _paths(), placed))
    if json:
        show_json(table)
    else:
        until = "" if expires is None else f", until {expires.astimezone():%Y-%m-%d %H:%M}"
        show(f"{found.kind} {found.key} goes to {to} from its next request on{until}")
    _say_more(found, table)


def unpin(target: str, *, kind: str | None, json: bool) -> None:
    """Take a pin back."""
    pins = _pins()
    found = find_pinned(target, cast("PinKind | None", kind), pins.pins, session_table())
    command = RemovePin(kind=found.kind, target=found.key)
    table = _done(command, partial(config_edit.remove_pin, _paths(), found.kind, found.key))
    if json:
        show_json(table)
    else:
        show(f"{found.kind} {found.key} is not pinned any more")


def list_pins(*, json: bool) -> None:
    """Print every pin."""
    table = _pins()
    if json:
        show_json(table)
    elif not table.pins:
        say("nothing is pinned; tabwire pin TARGET PROVIDER does")
    else:
        draw(_drawn(table))
    if not table.live and not json:
        say("the gateway does not answer: this is what the file says")


def prune(*, json: bool) -> None:
    """Remove the pins that can do nothing any more."""
    before = _pins()
    table = _done(PrunePins(), partial(config_edit.prune_pins, _paths(), datetime.now(UTC)))
    if json:
        show_json(table)
        return
    kept = {(one.kind, one.target) for one in table.pins}
    gone = [one for one in before.pins if (one.kind, one.target) not in kept]
    for one in gone:
        show(f"removed {one.kind} {one.target}: {_to(one)}")
    say(f"{len(gone)} removed, {len(table.pins)} kept")


def session_table() -> SessionTable | None:
    """Ask the registry for its table; None while nobody answers."""
    try:
        table: SessionTable = bus.ask(ListSessions())
    except CommandFailedError as error:
        if error.code != NOT_RUNNING:
            raise
        return None
    except (BusError, ConnectionFileError):
        return None
    return table


def _pins() -> PinTable:
    table: PinTable | None = gateway.ask(ListPins())
    return _from_file(load_config(_paths())) if table is None else table


def _done(command: SetPin | RemovePin | PrunePins, edit: Callable[[], Config]) -> PinTable:
    """Let the gateway do it; while it is down, do it here."""
    table: PinTable | None = gateway.ask(command)
    if table is not None:
        return table
    config = gateway.edit(edit)
    say(gateway.LATER)
    return _from_file(config)


def _from_file(config: Config) -> PinTable:
    return pin_table(config, str(_paths().config_file), datetime.now(UTC), live=False)


def _say_more(found: Target, table: PinTable) -> None:
    if found.note:
        say(found.note)
    for row in table.pins:
        if (row.kind, row.target) == (found.kind, found.key) and row.problem:
            say(f"as things are: {row.problem}")


def _expires(ttl: str | None) -> datetime | None:
    if ttl is None:
        return None
    read = _TTL.fullmatch(ttl)
    if read is None or int(read[1]) == 0:
        raise CommandFailedError(f"--ttl {ttl!r}: expected a duration such as 90s, 30m, 2h, 1d or 1w", USAGE)
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=int(read[1]) * _SECONDS[read[2]])


def _drawn(table: PinTable) -> Any:
    from actors.cli.grid import grid  # noqa: PLC0415 - rich is slow to load; JSON needs none

    columns = ("what", "target", "goes to", "on failure", "expires", "")
    rows = [(one.kind, one.target, _to(one), one.on_failure, one.expires or "-", one.problem) for one in table.pins]
    return grid(columns, rows)


def _to(row: PinRow) -> str:
    return f"{row.provider}/{row.model}" if row.model else row.provider


def _paths() -> Paths:
    return Paths.default(os.environ)
