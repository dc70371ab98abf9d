"""Where everything lies: the configuration file and the state folder with its parts.

Owns the names of files and the rule that the state folder is private (0700, ours, no symlink). Must not know contents.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.config import ConfigError

HOME_VARIABLE = "TABWIRE_HOME"


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one Tabwire."""

    config_file: Path
    state: Path

    @classmethod
    def default(cls, environ: Mapping[str, str]) -> Paths:
        """Return the places this user's Tabwire lives in: below ``$TABWIRE_HOME``, or where the platform keeps such files.

        Raises:
            ConfigError: the variable holds a relative path, which would mean another place in every folder.

        """
        if home := environ.get(HOME_VARIABLE):
            if not Path(home).is_absolute():
                raise ConfigError(f"${HOME_VARIABLE}", 0, "", f"not an absolute path: {home!r}", "give the whole path")
            return cls(Path(home) / "config.toml", Path(home) / "state")
        from platformdirs import user_config_path, user_state_path  # noqa: PLC0415 - actors are told their paths; only the CLI asks

        return cls(
            user_config_path("tabwire", appauthor=False) / "config.toml",
            user_state_path("tabwire", appauthor=False),
        )

    @property
    def journal(self) -> Path:
        """The folder of the broker's journal."""
        return self.state / "journal"

    @property
    def run(self) -> Path:
        """The folder of what holds only while the system runs."""
        return self.state / "run"

    @property
    def launches(self) -> Path:
        """The folder of launch records."""
        return self.state / "launches"

    @property
    def bridges(self) -> Path:
        """The folder of what is known of driven sessions, so that they can be taken up again."""
        return self.state / "bridges"

    @property
    def checkpoints(self) -> Path:
        """The folder of what actors have folded so far: caches of the journal."""
        return self.state / "checkpoints"

    @property
    def logs(self) -> Path:
        """The folder of logs, one file an actor."""
        return self.state / "logs"

    @property
    def keys(self) -> Path:
        """The folder of the broker's own keys."""
        return self.state / "keys"

    @property
    def connection_file(self) -> Path:
        """Where clients of the bus find it."""
        return self.run / "bus.json"

    @property
    def status_file(self) -> Path:
        """The supervisor's account of the system."""
        return self.run / "status.json"

    @property
    def lock_file(self) -> Path:
        """Held by the one supervisor of this state folder."""
        return self.run / "supervisor.lock"

    @property
    def children_file(self) -> Path:
        """What the supervisor started, for the sweep of the next one."""
        return self.run / "children.json"

    @property
    def retry_file(self) -> Path:
        """A request to start failed actors again: a JSON list of names; the supervisor looks for it, and removes it."""
        return self.run / "retry.json"

    @property
    def stop_file(self) -> Path:
        """A request to stop, for where there are no signals; the supervisor looks for it, and removes it."""
        return self.run / "stop"

    def create(self) -> None:
        """Make the folders that are missing and check that they are private.

        Raises:
            ConfigError: a folder is a symlink, belongs to somebody else, or is open to others.

        """
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(self.state)
        for folder in (self.journal, self.run, self.launches, self.bridges, self.checkpoints, self.logs, self.keys):
            folder.mkdir(mode=0o700, exist_ok=True)
            check_private(folder)


def holder_file(lock_file: Path) -> Path:
    """Return where the holder of a lock says its pid: in the lock itself, but on Windows, where a lock keeps readers out."""
    return lock_file if hasattr(os, "getuid") else lock_file.with_suffix(".pid")


def check_private(folder: Path) -> None:
    """Refuse a folder that others could change under us or read.

    Raises:
        ConfigError: with the reason and the command that repairs it.

    """
    facts = folder.lstat()
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISDIR(facts.st_mode):
        problem, advice = "is not a folder of its own (a symlink or a file)", f"remove it, or set {HOME_VARIABLE}"
    elif not hasattr(os, "getuid"):
        return  # Windows: the profile folder's access list is the user's; POSIX modes say nothing there
    elif facts.st_uid != os.getuid():
        problem, advice = f"belongs to user {facts.st_uid}, not to you", f"set {HOME_VARIABLE} to a place of yours"
    elif mode & 0o077:
        problem, advice = f"is open to others (mode {mode:o})", f"chmod 700 {folder}"
    else:
        return
    raise ConfigError(str(folder), 0, "", problem, advice)
