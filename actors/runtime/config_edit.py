"""Tabwire's own edits of ``config.toml``: whole or not at all, one at a time, and everything else in the file stays as it is.

Theory of operation
-------------------
An edit holds one lock beside the file for its whole length: it reads the text, changes it (``config_text``), reads the new text
by the same rules as a start does, and compares what it means with what was intended, so that neither a broken file nor another
meaning can come of it. Then a new file, with the mode and owner of the old one, is synced and renamed over it; through a
symlink, over what it leads to. An editor knows nothing of the lock: whoever changed the file meanwhile is not overwritten, the
edit begins again with their text.

Both the gateway and, while there is none, the command line edit this way. Must not know who asks, nor what follows from it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.runtime import config_text
from actors.runtime.atomic import write_atomic
from actors.runtime.config_file import read_config_text
from actors.runtime.paths import Paths
from schemas.config import ECHO, Config, ConfigError, Pin, PinKind, Provider
from schemas.config_reader import parse_config

LOCK_SECONDS: Final = 5.0
_TRIES: Final = 5
_Change = Callable[[str, Config], tuple[str, Config]]


class EditRefusedError(Exception):
    """An edit that is not made: ``code`` for programs, the message with what to do for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def set_pin(paths: Paths, pin: Pin) -> Config:
    """Pin something; a pin that it has is replaced.

    Raises:
        ConfigError: the file as it is cannot be used.
        EditRefusedError: the pin breaks a rule (``invalid``), or the edit cannot be made.

    """
    values = _values(pin)

    def change(text: str, config: Config) -> tuple[str, Config]:
        for number, one in enumerate(config.pins, 1):
            if (one.kind, one.target) == (pin.kind, pin.target):
                pins = (*config.pins[: number - 1], pin, *config.pins[number:])
                return _with_values(text, number, values), msgspec.structs.replace(config, pins=pins)
        added = config_text.add_table(text, ("pins", len(config.pins) + 1), values)
        return added, msgspec.structs.replace(config, pins=(*config.pins, pin))

    return _edit(paths, change)


def remove_pin(paths: Paths, kind: PinKind, target: str) -> Config:
    """Take a pin back.

    Raises:
        ConfigError: the file as it is cannot be used.
        EditRefusedError: there is no such pin (``not_found``), or the edit cannot be made.

    """

    def change(text: str, config: Config) -> tuple[str, Config]:
        for number, one in enumerate(config.pins, 1):
            if (one.kind, one.target) == (kind, target):
                return _without_pins(text, config, [number])
        raise EditRefusedError("not_found", f"{kind} {target} is not pinned (tabwire pins list)")

    return _edit(paths, change)


def prune_pins(paths: Paths, now: datetime) -> Config:
    """Remove the pins that have expired or name a provider that is no more.

    Raises:
        ConfigError: the file as it is cannot be used.
        EditRefusedError: the edit cannot be made.

    """

    def change(text: str, config: Config) -> tuple[str, Config]:
        dead = [number for number, pin in enumerate(config.pins, 1) if _is_dead(pin, config, now)]
        return _without_pins(text, config, dead)

    return _edit(paths, change)


def add_provider(paths: Paths, name: str, provider: Provider, comments: tuple[str, ...] = ()) -> Config:
    """Write a new provider, with comments of the caller's below its header.

    Raises:
        ConfigError: the file as it is cannot be used.
        EditRefusedError: there is one of this name (``exists``), it breaks a rule (``invalid``), or the edit cannot be made.

    """

    def change(text: str, config: Config) -> tuple[str, Config]:
        if config.provider(name) is not None:
            raise EditRefusedError("exists", f"provider {name!r} exists already (tabwire providers list)")
        providers = {**config.providers, name: provider}
        default = config.default_provider if config.providers or config_text.has_value(text, "default_provider") else name
        added = config_text.add_table(text, ("providers", name), _set_fields(provider), comments)
        return added, msgspec.structs.replace(config, providers=providers, default_provider=default)

    return _edit(paths, change)


def remove_provider(paths: Paths, name: str, *, force: bool = False) -> Config:
    """Take a provider out; ``force`` even though it is the default or pinned.

    Raises:
        ConfigError: the file as it is cannot be used.
        EditRefusedError: there is none (``not_found``), it is needed (``in_use``), or the edit cannot be made.

    """

    def change(text: str, config: Config) -> tuple[str, Config]:
        _check_own(config, name)
        if (used := _use(config, name)) and not force:
            raise EditRefusedError("in_use", f"provider {name!r} {used}; change that first, or add --force")
        if name in {one for budget in config.budgets for one in (budget.provider, budget.switch_to)}:
            raise EditRefusedError("in_use", f"provider {name!r} is named in a budget; change that in the file first")
        providers = {other: one for other, one in config.providers.items() if other != name}
        default = config.default_provider
        text = config_text.remove_table(text, ("providers", name))
        if default == name:
            text = config_text.remove_value(text, (), "default_provider")
            default = next(iter(providers), ECHO)
        return text, msgspec.structs.replace(config, providers=providers, default_provider=default)

    return _edit(paths, change)


def set_enabled(paths: Paths, name: str, *, enabled: bool) -> Config:
    """Enable or disable a provider.

    Raises:
        ConfigError: the file as it is cannot be used.
        EditRefusedError: there is none (``not_found``), it is built in, or the edit cannot be made.

    """

    def change(text: str, config: Config) -> tuple[str, Config]:
        _check_own(config, name)
        provider = config.providers[name]
        if provider.enabled == enabled:
            return text, config
        providers = {**config.providers, name: msgspec.structs.replace(provider, enabled=enabled)}
        text = config_text.set_value(text, ("providers", name), "enabled", enabled)
        return text, msgspec.structs.replace(config, providers=providers)

    return _edit(paths, change)


def set_default(paths: Paths, name: str) -> Config:
    """Make a provider the default one.

    Raises:
        ConfigError: the file as it is cannot be used.
        EditRefusedError: there is none (``not_found``), or the edit cannot be made.

    """

    def change(text: str, config: Config) -> tuple[str, Config]:
        if config.provider(name) is None:
            raise _unknown(config, name)
        text = config_text.set_value(text, (), "default_provider", name)
        return text, msgspec.structs.replace(config, default_provider=name)

    return _edit(paths, change)


def is_expired(pin: Pin, now: datetime) -> bool:
    """Tell whether a pin's time is over."""
    return pin.expires is not None and pin.expires <= now


# ---------------------------------------------------------------------------------------------------- what an edit is


def _edit(paths: Paths, change: _Change) -> Config:
    real = Path(os.path.realpath(paths.config_file))
    with _alone(real):
        for _ in range(_TRIES):
            text, facts = read_config_text(real)
            config = parse_config(text, str(paths.config_file))
            try:
                edited, intended = change(text, config)
            except config_text.NotPlainError as error:
                raise EditRefusedError("not_plain", f"{paths.config_file}: {error}") from error
            if edited == text:
                return config
            _check(edited, intended, paths.config_file)
            if _put(real, edited, facts):
                return intended
    raise EditRefusedError("busy", f"{paths.config_file} is being changed by somebody else; try again")


def _check(edited: str, intended: Config, file: Path) -> None:
    """Read the new text as a start would, and see that it means what was intended."""
    try:
        meant = parse_config(edited, str(file)) == intended
    except ConfigError as error:
        if error.key:
            raise EditRefusedError("invalid", f"{error.key}: {error.problem} ({error.advice})") from error
        meant = False
    if not meant:
        raise EditRefusedError("not_plain", f"{file} is not written so that this can be changed in it alone; edit it by hand")


@contextmanager
def _alone(real: Path) -> Iterator[None]:
    import filelock  # noqa: PLC0415 - 9 ms that no start shall wait for

    try:
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with filelock.FileLock(real.with_name(f".{real.name}.lock"), timeout=LOCK_SECONDS, mode=0o600):
            yield
    except filelock.Timeout:
        raise EditRefusedError("busy", f"{real} has been locked for {LOCK_SECONDS:.0f} s by another edit; try again") from None
    except OSError as error:
        raise EditRefusedError("not_writable", f"{error.filename or real} cannot be written: {error.strerror}") from error


def _put(real: Path, text: str, read: os.stat_result | None) -> bool:
    """Put a text in place of what was read; tell whether it was still there."""
    mode = 0o600 if read is None else stat.S_IMODE(read.st_mode)
    try:
        now: os.stat_result | None = real.stat()
    except FileNotFoundError:
        now = None
    if _version(now) != _version(read):
        return False
    write_atomic(real, text.encode(), mode, owner=None if read is None else (read.st_uid, read.st_gid))
    return True


def _version(facts: os.stat_result | None) -> tuple[int, int, int] | None:
    return None if facts is None else (facts.st_ino, facts.st_size, facts.st_mtime_ns)


# ---------------------------------------------------------------------------------------------------- parts of edits


def _values(pin: Pin) -> dict[str, Any]:
    values: dict[str, Any] = {pin.kind: pin.target, "provider": pin.provider, "model": pin.model, "on_failure": pin.on_failure}
    if pin.expires is not None:
        values["expires"] = pin.expires
    return {name: value for name, value in values.items() if value and value != ("fallback" if name == "on_failure" else "")}


def _with_values(text: str, number: int, values: dict[str, Any]) -> str:
    for name, value in values.items():
        text = config_text.set_value(text, ("pins", number), name, value)
    for name in {"model", "on_failure", "expires"} - values.keys():
        text = config_text.remove_value(text, ("pins", number), name)
    return text


def _without_pins(text: str, config: Config, numbers: list[int]) -> tuple[str, Config]:
    for number in reversed(numbers):
        text = config_text.remove_table(text, ("pins", number))
    pins = tuple(pin for number, pin in enumerate(config.pins, 1) if number not in numbers)
    return text, msgspec.structs.replace(config, pins=pins)


def _set_fields(provider: Provider) -> dict[str, Any]:
    """Return what is to be written: what is not the default anyway."""
    fields = msgspec.structs.asdict(provider)
    defaults = {field.name: field.default for field in msgspec.structs.fields(Provider)}
    kept = {name: value for name, value in fields.items() if value not in (defaults[name], {}, ())}
    prices = kept.pop("prices", {})
    if prices:
        kept["prices"] = {
            model: {name: cost for name, cost in msgspec.structs.asdict(price).items() if cost is not None}
            for model, price in prices.items()
        }
    return kept


def _is_dead(pin: Pin, config: Config, now: datetime) -> bool:
    return is_expired(pin, now) or config.provider(pin.provider) is None


def _check_own(config: Config, name: str) -> None:
    if name == ECHO:
        raise EditRefusedError("built_in", "echo is built in; it is neither changed nor removed")
    if name not in config.providers:
        raise _unknown(config, name)


def _unknown(config: Config, name: str) -> EditRefusedError:
    known = ", ".join(sorted({ECHO, *config.providers}))
    return EditRefusedError("not_found", f"no provider {name!r} is configured; known here: {known}")


def _use(config: Config, name: str) -> str:
    """Say who needs a provider."""
    pins = [pin for pin in config.pins if pin.provider == name]
    uses = ["is the default"] if config.default_provider == name else []
    uses += [f"is pinned by {', '.join(f'{pin.kind} {pin.target}' for pin in pins[:3])}"] if pins else []
    return " and ".join(uses)
