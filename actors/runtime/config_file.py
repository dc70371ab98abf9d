"""Reads ``config.toml``: the file's own rules here, the text's rules in ``schemas.config_reader``."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from actors.runtime.paths import Paths
from schemas.config import Config, ConfigError
from schemas.config_reader import parse_config

_MAX_SIZE = 1 << 20


def load_config(paths: Paths) -> Config:
    """Read the configuration; a file that does not exist means all defaults.

    Raises:
        ConfigError: unreadable, writable by others, not UTF-8, too large, or its text breaks a rule.

    """
    text, facts = read_config_text(paths.config_file)
    return Config() if facts is None else parse_config(text, str(paths.config_file))


def read_config_text(path: Path) -> tuple[str, os.stat_result | None]:
    """Read the text and what the system says of the file; no text and None when there is no file.

    Raises:
        ConfigError: unreadable, writable by others, not UTF-8, or too large.

    """
    place = str(path)
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if hasattr(os, "getuid") and stat.S_IMODE(facts.st_mode) & 0o022:
                mode = f"{stat.S_IMODE(facts.st_mode):o}"
                raise ConfigError(place, 0, "", f"can be written by others (mode {mode})", f"chmod 600 {place}")
            raw = file.read(_MAX_SIZE + 1)
    except FileNotFoundError:
        return "", None
    except OSError as error:
        raise ConfigError(place, 0, "", f"cannot be read: {error.strerror}", "check the file and its permissions") from error
    if len(raw) > _MAX_SIZE:
        raise ConfigError(place, 0, "", f"larger than {_MAX_SIZE} bytes", "is this the right file?")
    try:
        return raw.decode(), facts
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(place, line, "", "not UTF-8 text", "save the file as UTF-8") from error
