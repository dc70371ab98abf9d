"""A whole Tabwire in a directory of its own: started and stopped by its own commands, watched through its own bus.

Owns the directory, the ports and the way in which tests wait: for facts on the feed, never for time to pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from bus.client import connect
from bus.connection import read_connection
from schemas.envelope import Recorded
from tests.ports import free_port

DEADLINE = 30.0


@dataclass
class System:
    """One installation of Tabwire; everything it keeps is below ``home``."""

    home: Path
    config: str = ""
    gateway: str = ""  # what else stands in the gateway's own table
    gateway_port: int = field(default_factory=free_port)
    echo_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.home.mkdir(mode=0o700, exist_ok=True)
        file = self.home / "config.toml"
        file.write_text(
            f"{self.config}\n[gateway]\nport = {self.gateway_port}\n{self.gateway}\n[echo]\nport = {self.echo_port}\n"
        )
        file.chmod(0o600)

    @property
    def base_url(self) -> str:
        """Where an agent that was not launched by Tabwire is pointed at."""
        return f"http://127.0.0.1:{self.gateway_port}/v1"

    @property
    def echo_url(self) -> str:
        """Where the echo provider takes its control requests."""
        return f"http://127.0.0.1:{self.echo_port}"

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment with nothing of this terminal in it."""
        plain = {name: os.environ[name] for name in ("PATH", "LANG", "HOME", "TMPDIR") if name in os.environ}
        agents = {"CODEX_HOME": str(self.home / "codex"), "CLAUDE_CONFIG_DIR": str(self.home / "claude")}  # not the user's
        return {**plain, **agents, "TABWIRE_HOME": str(self.home), "TERM": "xterm-256color", **(extra or {})}

    def command(self, *arguments: str) -> list[str]:
        """Return the argument list of a ``tabwire`` command."""
        return [sys.executable, "-m", "actors.cli", *arguments]

    def tabwire(
        self, *arguments: str, code: int | None = 0, environ: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a ``tabwire`` command to its end and check its exit code (None: any)."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environ(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert code is None or done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and read what it prints."""
        return json.loads(self.tabwire(*arguments, "--json").stdout)

    def sessions(self) -> dict[str, dict[str, Any]]:
        """Return the sessions table by session id."""
        return {row["session"]: row for row in self.json("sessions", "--all")["sessions"]}

    def until(self, seen: Callable[[list[Recorded]], bool], deadline: float = DEADLINE) -> list[Recorded]:
        """Read the feed from its beginning until ``seen`` is content with what came so far."""

        async def watch() -> list[Recorded]:
            so_far: list[Recorded] = []
            with anyio.move_on_after(deadline):
                async with connect(read_connection(self.home / "state/run/bus.json")) as client, client.feed(0) as feed:
                    async for item in feed:
                        if isinstance(item, Recorded):
                            so_far.append(item)
                            if seen(so_far):
                                return so_far
            types = [item.envelope.type for item in so_far]
            raise AssertionError(f"not seen within {deadline} s; {len(types)} events, the last: {types[-12:]}")

        return anyio.run(watch)

    def until_count(self, type_: str, count: int = 1, deadline: float = DEADLINE, **fields: Any) -> list[Recorded]:
        """Wait for ``count`` events of a type whose data has these values; return the matching ones."""

        def matching(so_far: list[Recorded]) -> list[Recorded]:
            return [
                item
                for item in so_far
                if item.envelope.type == type_
                and all(getattr(item.envelope.data, name) == value for name, value in fields.items())
            ]

        return matching(self.until(lambda so_far: len(matching(so_far)) >= count, deadline))


@contextlib.contextmanager
def running(home: Path, config: str = "", gateway: str = "") -> Iterator[System]:
    """Run a whole system for the length of a block."""
    system = System(home, config, gateway)
    system.tabwire("up")
    try:
        yield system
    finally:
        system.tabwire("down")
