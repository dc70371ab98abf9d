"""Reads the few files of an agent that decide where its requests go; of Codex: the layers of its configuration.

Reads only, and only what ``actors.launch.codex`` asks for. Must not know what is decided from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from actors.launch.codex import CodexHome, makes_requests, uses_user_config
from actors.launch.plan import LaunchRefusedError
from actors.probe.codex_words import read_command

SYSTEM_CONFIG: Final = Path("/etc/codex/config.toml")
_PROFILE: Final = re.compile(r"[A-Za-z0-9_-]+")


def read_codex_home(
    argv: Sequence[str], environ: Mapping[str, str], system_config: Path = SYSTEM_CONFIG, *, thread_provider: str | None = None
) -> CodexHome:
    """Read what decides about this command; the provider that its thread is pinned to is known already (``threads``).

    Raises:
        LaunchRefusedError: a file exists and cannot be read.

    """
    command = read_command(argv[1:])
    if not makes_requests(command):
        return CodexHome()
    home = Path(environ.get("CODEX_HOME") or Path(environ.get("HOME") or Path.home()) / ".codex")
    layers = [system_config]
    if uses_user_config(command):
        layers.append(home / "config.toml")
        profile = command.last("-p", "--profile")
        if profile is not None and _PROFILE.fullmatch(profile):
            layers.append(home / f"{profile}.config.toml")
    texts = [(str(file), read_text(file)) for file in layers]
    return CodexHome(
        layers=tuple((name, text) for name, text in texts if text is not None),
        thread_provider=thread_provider,
    )


def read_text(file: Path) -> str | None:
    """Read one of an agent's own files; None when there is none.

    Raises:
        LaunchRefusedError: it exists and cannot be read.

    """
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchRefusedError(f"{file} cannot be read: {error}", "the agent needs it too") from error


def is_guarded(file: Path) -> bool:
    """Tell whether nobody but its owner can write in any folder above a file; always so where folders have no modes."""
    return os.name == "nt" or not any(folder.stat().st_mode & 0o022 for folder in file.resolve().parents)
