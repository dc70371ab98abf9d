"""``tabwire config``: where the configuration file is, and whether it can be used."""

from __future__ import annotations

import os

from actors.cli.output import show
from actors.runtime.config_file import load_config
from actors.runtime.paths import Paths


def print_path() -> None:
    """Print the path of the configuration file."""
    show(str(Paths.default(os.environ).config_file))


def validate() -> None:
    """Check the configuration.

    Raises:
        ConfigError: it cannot be used; file, line, key and advice are in its text.

    """
    paths = Paths.default(os.environ)
    config = load_config(paths)
    if not paths.config_file.exists():
        show(f"{paths.config_file}: not there, so everything has its default (provider {config.default_provider})")
        return
    providers = ", ".join(sorted(config.providers)) or "none, so the built-in echo"
    show(f"{paths.config_file}: ok; providers: {providers}; default: {config.default_provider}")
