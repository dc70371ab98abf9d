"""Reads the few files of Codex that decide where its requests go: configuration layers and one thread's first line.

Reads only, and only what ``actors.cli.launch.codex`` asks for. Must not know what is decided from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from actors.cli.launch.codex import CodexHome, makes_requests, uses_user_config
from actors.cli.launch.plan import LaunchRefusedError
from actors.probe.codex_words import CodexCommand, read_command

SYSTEM_CONFIG: Final = Path("/etc/codex/config.toml")
_THREAD: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PROFILE: Final = re.compile(r"[A-Za-z0-9_-]+")
_FIRST_LINE: Final = 1 << 20


def read_codex_home(argv: Sequence[str], environ: Mapping[str, str], system_config: Path = SYSTEM_CONFIG) -> CodexHome:
    """Read what decides about this command.

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
    texts = [(str(file), _text(file)) for file in layers]
    return CodexHome(
        layers=tuple((name, text) for name, text in texts if text is not None),
        thread_provider=_thread_provider(command, home),
    )


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchRefusedError(f"{file} cannot be read: {error}", "Codex needs it too") from error


def _thread_provider(command: CodexCommand, home: Path) -> str | None:
    """Return the provider that the named thread is pinned to, or None when there is no such thread (Codex begins a new one)."""
    if command.thread is None or command.path[-1] != "resume":
        return None
    named = command.thread.lower()
    thread = named if _THREAD.fullmatch(named) else _thread_of_name(command.thread, home)
    if thread is None:
        return None
    for file in sorted((home / "sessions").glob(f"*/*/*/rollout-*-{thread}.jsonl")):
        meta = _first_line(file)
        provider = meta.get("payload", {}).get("model_provider") if isinstance(meta.get("payload"), dict) else None
        if isinstance(provider, str):
            return provider
    return None


def _thread_of_name(name: str, home: Path) -> str | None:
    """Find a thread by the name that its user gave it; the last naming counts."""
    found = None
    for entry in _lines(home / "session_index.jsonl"):
        identity = entry.get("id")
        if entry.get("thread_name") == name and isinstance(identity, str) and _THREAD.fullmatch(identity):
            found = identity
    return found


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with file.open("rb") as lines:
            for line in lines:
                yield _object(line)
    except OSError:
        return  # no index, no names


def _first_line(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as lines:
            return _object(lines.readline(_FIRST_LINE))
    except OSError:
        return {}


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
