"""The configured providers, ready to be sent to: address, key, fields of their own, and the table that routing looks at.

Built once from a configuration and never changed, so that one request sees one state. Must not know requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from actors.gateway.route_terms import Listing, Table
from actors.runtime.keys import KeyMissingError, Secret, read_keys
from schemas.config import ECHO, Config, ConfigError, Provider
from schemas.config_lines import line_of, shown
from schemas.events import Dialect

DISABLED: Final = "is disabled (enabled = false)"
NOT_STARTED: Final = "is not running: `tabwire up` starts it where it is the default provider, or with --demo"
_SHORTEST_KEY: Final = 8


class Upstream(Struct, frozen=True):
    """One provider. ``bases`` are its addresses of dialects that are not at ``base``; ``shown`` is that for people.

    What is shown has nothing after the host.
    """

    name: str
    base: str
    shown: str
    passthrough: bool
    key: Secret | None
    fields: tuple[tuple[str, str], ...]
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    bases: Mapping[str, str] = {}

    def base_for(self, dialect: Dialect) -> str:
        """Return the address of a dialect."""
        return self.bases.get(dialect, self.base)

    def credentials(self, dialect: Dialect) -> tuple[tuple[str, str], ...]:
        """Return the field that carries the key, as the dialect wants it."""
        if self.key is None:
            return ()
        if dialect == "anthropic.messages":
            return (("x-api-key", self.key.reveal()),)
        if dialect == "gemini.generate":
            return (("x-goog-api-key", self.key.reveal()),)
        return (("authorization", f"Bearer {self.key.reveal()}"),)


class Providers(Struct, frozen=True):
    """All of them, at one moment."""

    default: str
    upstreams: Mapping[str, Upstream]
    table: Table

    @property
    def standings(self) -> Mapping[str, Listing]:
        """Return every provider as routing sees it."""
        return self.table.listings

    def problems(self) -> str:
        """Say what is wrong: a provider without its key; a default or a pinned one that cannot take requests."""
        listings = self.table.listings
        found = {name: one.problem for name, one in listings.items() if one.problem not in ("", DISABLED, NOT_STARTED)}
        if self.table.listings[self.default].problem:
            found[self.default] = self.table.listings[self.default].problem
        notes = [f"provider {name}: {problem}" for name, problem in found.items()]
        for pin in self.table.pins:
            listing = listings.get(pin.provider)
            problem = "is not configured" if listing is None else listing.problem
            if problem and pin.provider not in found:
                notes.append(f"{pin.kind} {pin.target} is pinned to {pin.provider}, which {problem}")
        return "; ".join(notes)


def build_providers(config: Config, environ: Mapping[str, str], config_file: Path, *, echo: bool = True) -> Providers:
    """Read every provider's key; takes as long as a keyring takes. ``echo`` is whether the built-in provider was started.

    Raises:
        ConfigError: the default provider has no key, or a key is too short to be one. Another provider without its key is only
            passed over, and says so.

    """
    named = {name: provider for name in (ECHO, *config.providers) if (provider := config.provider(name)) is not None}
    keys = read_keys([one.key for one in named.values() if one.auth == "key"], environ)
    upstreams, listings = {}, {}
    for name, provider in named.items():
        key, problem = None, "" if provider.enabled else DISABLED
        if name == ECHO and not echo:
            problem = NOT_STARTED
        if provider.auth == "key":
            found = keys[provider.key]
            if isinstance(found, KeyMissingError):
                if name == config.default_provider and provider.enabled:
                    raise _key_error(config_file, name, str(found), "it is the default provider")
                problem = problem or f"has no key: {found}"
            elif len(found.reveal()) < _SHORTEST_KEY:
                raise _key_error(config_file, name, f"is shorter than {_SHORTEST_KEY} characters", "check it")
            else:
                key = found
        upstreams[name] = _upstream(name, provider, key)
        listings[name] = Listing(
            problem=problem,
            dialects=provider.dialects,
            models=provider.models,
            aliases=provider.aliases,
            group=provider.group,
            account=provider.account or name,
            passthrough=provider.auth == "passthrough",
        )
    return Providers(config.default_provider, upstreams, Table(listings, config.pins, config.default_provider, config.failover))


def _upstream(name: str, provider: Provider, key: Secret | None) -> Upstream:
    return Upstream(
        name=name,
        base=provider.base_url.rstrip("/"),
        shown="/".join(provider.base_url.split("/")[:3]).rpartition("@")[2],
        passthrough=provider.auth == "passthrough",
        key=key,
        fields=tuple(provider.headers.items()),
        connect_timeout=provider.connect_timeout,
        first_byte_timeout=provider.first_byte_timeout,
        idle_timeout=provider.idle_timeout,
        bases={dialect: url.rstrip("/") for dialect, url in provider.base_urls.items()},
    )


def _key_error(config_file: Path, name: str, problem: str, advice: str) -> ConfigError:
    place = ("providers", name, "key")
    try:
        lines = config_file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        lines = []
    return ConfigError(str(config_file), line_of(lines, place), shown(place), problem, advice)
