"""The price tables of ``config.toml`` as they are at the moment of a question.

The file is read again only when it has changed. While it cannot be used, the prices before it stay in force, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio.to_thread

from actors.registry.ledger_rows import Prices
from actors.runtime.config_file import load_config
from actors.runtime.paths import Paths
from schemas.config import Config, ConfigError


@dataclass(frozen=True, slots=True)
class Current:
    """Price tables by provider; ``problem`` is empty unless they are older than the file."""

    tables: Prices
    problem: str = ""


class PriceList:
    """Follows the file by its change time and size, whenever it is asked."""

    def __init__(self, paths: Paths, config: Config) -> None:
        self._paths = paths
        self._seen: tuple[int, int] | None = None
        self._current = Current(_tables(config))

    async def now(self) -> Current:
        """Return the prices of this moment."""
        return await anyio.to_thread.run_sync(self._read)

    def _read(self) -> Current:
        try:
            facts = self._paths.config_file.stat()
            seen = (facts.st_mtime_ns, facts.st_size)
        except OSError:
            seen = (0, 0)
        if seen != self._seen:
            self._seen = seen
            try:
                self._current = Current(_tables(load_config(self._paths)))
            except ConfigError as error:
                self._current = Current(self._current.tables, f"prices are those before the last edit: {error}")
        return self._current


def _tables(config: Config) -> Prices:
    return {name: provider.prices for name, provider in config.providers.items() if provider.prices}
