"""The configured providers, ready to be sent to: address, key, fields of their own, and whether they can take requests.

Built once from a configuration and never changed, so that one request sees one state. Must not know requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from actors.gateway.keys import KeyMissingError, Secret, read_key
from actors.gateway.routing import Standing
from schemas.config import ECHO, Config, ConfigError, Provider
from schemas.events import Dialect

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SHORTEST_KEY: Final = 8


class Upstream(Struct, frozen=True):
    """One provider. ``shown`` is its address for people, without anything after the host."""

    name: str
    base: str
    shown: str
    passthrough: bool
    key: Secret | None
    fields: tuple[tuple[str, str], ...]
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float

    def credentials(self, dialect: Dialect) -> tuple[tuple[str, str], ...]:
        """Return the field that carries the key, as the dialect wants it."""
        if self.key is None:
            return ()
        if dialect == "anthropic.messages":
            return (("x-api-key", self.key.reveal()),)
        return (("authorization", f"Bearer {self.key.reveal()}"),)


class Providers(Struct, frozen=True):
    """All of them, at one moment."""

    default: str
    upstreams: Mapping[str, Upstream]
    standings: Mapping[str, Standing]

    def problems(self) -> str:
        """Say what is wrong with providers that cannot take requests though they should."""
        return "; ".join(
            f"provider {name}: {standing.problem}" for name, standing in self.standings.items() if standing.problem
        )


def build_providers(config: Config, environ: Mapping[str, str], config_file: Path) -> Providers:
    """Read every provider's key and check its fields.

    Raises:
        ConfigError: a field cannot be sent, or the default provider has no key. Another provider without its key is only
            passed over, and says so.

    """
    upstreams, standings = {}, {}
    for name in {ECHO: None, **config.providers}:
        provider = config.provider(name)
        if provider is None:
            continue
        _check_fields(name, provider, config_file)
        key, problem = None, "" if provider.enabled else "is disabled (enabled = false)"
        if provider.auth == "key":
            try:
                key = read_key(provider.key, environ)
            except KeyMissingError as error:
                if name == config.default_provider and provider.enabled:
                    raise _config_error(config_file, name, "key", str(error), "it is the default provider") from None
                problem = problem or f"has no key: {error}"
            else:
                if len(key.reveal()) < _SHORTEST_KEY:
                    raise _config_error(config_file, name, "key", f"is shorter than {_SHORTEST_KEY} characters", "check it")
        upstreams[name] = Upstream(
            name=name,
            base=provider.base_url.rstrip("/"),
            shown="/".join(provider.base_url.split("/")[:3]).rpartition("@")[2],
            passthrough=provider.auth == "passthrough",
            key=key,
            fields=tuple(provider.headers.items()),
            connect_timeout=provider.connect_timeout,
            first_byte_timeout=provider.first_byte_timeout,
            idle_timeout=provider.idle_timeout,
        )
        standings[name] = Standing(problem)
    return Providers(config.default_provider, upstreams, standings)


def _check_fields(name: str, provider: Provider, config_file: Path) -> None:
    for field, value in provider.headers.items():
        if not _FIELD_NAME.fullmatch(field) or not value.isprintable():
            raise _config_error(config_file, name, f"headers.{field}", "cannot be a header field", "use printable characters")


def _config_error(config_file: Path, name: str, key: str, problem: str, advice: str) -> ConfigError:
    """Name the line by looking for the key below the provider's table header."""
    line, inside = 0, False
    try:
        lines = config_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for number, text in enumerate(lines, 1):
        if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", text):
            inside = header[1].replace('"', "").replace("'", "").startswith(f"providers.{name}")
            line = number if inside and not line else line
        elif inside and re.match(rf"\s*[\"']?{re.escape(key.rpartition('.')[2])}[\"']?\s*=", text):
            line = number
    return ConfigError(str(config_file), line, f"providers.{name}.{key}", problem, advice)
