"""The configuration as the hub follows it: read again when its file was changed, the same text looked into once.

A shell, for a worker thread. Must not know what the configuration is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.runtime.config_file import read_config_text
from schemas.config import Config, ConfigError
from schemas.config_reader import parse_config


class ConfigFile:
    """One file, what was last read of it, and when it was last looked at."""

    def __init__(self, path: Path, log: Any) -> None:
        self._path = path
        self._log = log
        self._changed = 0
        self._read: tuple[str, Config] | None = None

    def read(self) -> Config:
        """Return the configuration as it is now.

        Raises:
            ConfigError: it cannot be used.

        """
        text, facts = read_config_text(self._path)
        if facts is None:
            return Config()
        if self._read is None or self._read[0] != text:
            self._read = (text, parse_config(text, str(self._path)))
        return self._read[1]

    def changed(self) -> Config | None:
        """Return the configuration if it was changed since this was asked last; one that cannot be used changes nothing."""
        try:
            changed = self._path.stat().st_mtime_ns
        except OSError:  # there is none, or not now
            changed = 0
        if changed == self._changed:
            return None
        self._changed = changed
        try:
            return self.read()
        except ConfigError as error:
            self._log.warning("the configuration stays as it was", reason=str(error))
            return None
