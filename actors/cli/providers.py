"""``tabwire providers``: what is configured and how it does, and edits of it. Asks nothing and takes no key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, get_args

from actors.cli import gateway
from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.output import draw, say, show, show_json
from actors.runtime import config_edit
from actors.runtime.config_file import load_config
from actors.runtime.config_rows import provider_table
from actors.runtime.paths import Paths
from schemas.commands import ListProviders, SetProvider
from schemas.config import Config, Provider, ServedDialect
from schemas.config_rules import key_reference_problem
from schemas.provider_rows import ProviderRow, ProviderTable

_OPENAI: Final = ("openai.responses", "openai.chat")
KNOWN: Final[dict[str, dict[str, Any]]] = {
    "openai": {"base_url": "https://api.openai.com/v1", "dialects": _OPENAI, "key": "env:OPENAI_API_KEY"},
    "anthropic": {
        "base_url": "https://api.anthropic.com/v1",
        "dialects": ("anthropic.messages",),
        "key": "env:ANTHROPIC_API_KEY",
    },
    "gemini": {
        "base_url": "https://generativelanguage.googleapis.com/v1beta",
        "dialects": ("gemini.generate",),
        "key": "env:GEMINI_API_KEY",
    },
    "openrouter": {"base_url": "https://openrouter.ai/api/v1", "dialects": _OPENAI, "key": "env:OPENROUTER_API_KEY"},
    "ollama": {"base_url": "http://127.0.0.1:11434/v1", "dialects": _OPENAI, "auth": "none"},
}
"""What is meant by these names when no address is given."""
_SECRET_FIELDS: Final = ("authorization", "proxy-authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie")
_ALSO: Final = "also: models, aliases, prices, group, account, headers, base_urls, timeouts (README, Providers)"


def list_providers(*, json: bool) -> None:
    """Print every provider, the default one first."""
    table: ProviderTable | None = gateway.ask(ListProviders())
    if table is None:
        table = _from_file(load_config(_paths()))
    if json:
        show_json(table)
        return
    draw(_drawn(table))
    if not table.live:
        say("the gateway does not answer: this is what the file says, and whether keys can be read is not known")


def add(
    name: str,
    *,
    base_url: str | None,
    key: str | None,
    auth: str | None,
    dialects: Sequence[str],
    models: Sequence[str],
    aliases: Sequence[str],
    headers: Sequence[str],
    base_urls: Sequence[str],
    group: str,
    account: str,
    title: str,
    default: bool,
    json: bool,
) -> None:
    """Write a new provider."""
    given: dict[str, Any] = dict(KNOWN.get(name, {})) if base_url is None else {}
    if base_url is not None:
        given["base_url"] = base_url
    elif not given:
        known = ", ".join(KNOWN)
        raise CommandFailedError(f"--base-url is missing; only {known} are known without", USAGE)
    if auth is not None:
        given["auth"] = auth
        given = {field: value for field, value in given.items() if field != "key" or auth == "key"}
    if key is not None:
        given["key"] = _reference(key)
    given["dialects"] = tuple(dialects) or given.get("dialects", ("openai.responses",))
    given |= {"models": tuple(models), "group": group, "account": account, "name": title}
    given |= {"aliases": _pairs("--alias", aliases), "headers": _headers(headers)}
    given["base_urls"] = _pairs("--base-url-of", base_urls)
    _check_words(given)
    provider = Provider(**given)
    comments = (f"Added by `tabwire providers add` on {datetime.now(UTC):%Y-%m-%d}.", _ALSO)
    config = gateway.edit(partial(config_edit.add_provider, _paths(), name, provider, comments))
    if default and config.default_provider != name:
        config = gateway.edit(partial(config_edit.set_default, _paths(), name))
    if config.default_provider == name:
        say(f"{name} is the default provider from now on (tabwire providers default NAME chooses another)")
    _told(config, f"{name} is written to {_paths().config_file}; tabwire providers test {name} tries it", json=json)


def remove(name: str, *, force: bool, json: bool) -> None:
    """Take a provider out."""
    config = gateway.edit(partial(config_edit.remove_provider, _paths(), name, force=force))
    _told(config, f"{name} is removed", json=json)


def set_enabled(name: str, *, enabled: bool, json: bool) -> None:
    """Enable or disable a provider."""
    table: ProviderTable | None = gateway.ask(SetProvider(provider=name, enabled=enabled))
    if table is None:
        table = _from_file(gateway.edit(partial(config_edit.set_enabled, _paths(), name, enabled=enabled)))
        say(gateway.LATER)
    row = next((one for one in table.providers if one.provider == name), None)
    if json:
        show_json(table)
    else:
        show(f"{name} is {'enabled' if enabled else 'disabled'}")
    if row is not None and row.default and not enabled:
        say("it is the default provider: requests that nothing sends elsewhere are refused (tabwire providers default NAME)")
    elif row is not None and enabled and row.problem:
        say(f"as things are: {row.problem}")


def set_default(name: str, *, json: bool) -> None:
    """Make a provider the default one."""
    config = gateway.edit(partial(config_edit.set_default, _paths(), name))
    _told(config, f"{name} is the default provider", json=json)


def _told(config: Config, done: str, *, json: bool) -> None:
    """Wait for the gateway, then say what is done."""
    gateway.wait_for(config)
    if json:
        table: ProviderTable | None = gateway.ask(ListProviders())
        show_json(table or _from_file(config))
    else:
        show(done)


def _reference(key: str) -> str:
    if key_reference_problem(key):
        raise CommandFailedError(
            "--key: expected where the key is (env:NAME, keyring:SERVICE/USER or file:/path), never the key itself; "
            "if that was one, it is in your shell's history now: replace it",
            USAGE,
        )
    return key


def _headers(given: Sequence[str]) -> dict[str, str]:
    found = _pairs("--header", given)
    if secret := [name for name in found if name.lower() in _SECRET_FIELDS]:
        raise CommandFailedError(f"--header {secret[0]}: carries a key, which --key says the place of", USAGE)
    return found


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name or not value:
            raise CommandFailedError(f"{option} {name!r}: expected NAME=VALUE", USAGE)
        pairs[name] = value
    return pairs


def _check_words(given: dict[str, Any]) -> None:
    dialects: tuple[str, ...] = get_args(ServedDialect)
    for dialect in (*given["dialects"], *given["base_urls"]):
        if dialect not in dialects:
            raise CommandFailedError(f"{dialect!r} is no dialect; there are: {', '.join(dialects)}", USAGE)
    if given.get("auth", "key") not in ("key", "passthrough", "none"):
        raise CommandFailedError(f"--auth {given['auth']!r}: expected key, passthrough or none", USAGE)


def _drawn(table: ProviderTable) -> Any:
    from actors.cli.grid import grid  # noqa: PLC0415 - rich is slow to load; JSON needs none

    columns = ("provider", "address", "dialects", "key", "models", "group", "state")
    return grid(columns, [_cells(row) for row in table.providers])


def _cells(row: ProviderRow) -> tuple[str, ...]:
    models = ", ".join((*row.models, *(f"{asked} → {sent}" for asked, sent in row.aliases.items()))) or "any"
    key = row.key or {"none": "-", "passthrough": "the caller's own"}.get(row.auth, "-")
    return (row.provider, row.origin, ", ".join(row.dialects), key, models, row.group or "-", state(row))


def state(row: ProviderRow) -> str:
    """Say how a provider does, in words."""
    words = ["default"] if row.default else []
    words += [row.problem] if row.problem else []
    for breaker in row.breakers:
        of = f" for {breaker.model}" if breaker.model else ""
        words.append(f"breaker {breaker.state.replace('_', '-')}{of} until {breaker.until}: {breaker.reason}")
    return "; ".join(words if row.problem or row.breakers else [*words, "ok"])


def _from_file(config: Config) -> ProviderTable:
    return provider_table(config, str(_paths().config_file), live=False)


def _paths() -> Paths:
    return Paths.default(os.environ)
