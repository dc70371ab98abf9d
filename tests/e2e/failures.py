"""Rows of the failure table, run with a real agent: many at once, since most of their time is waiting.

Owns the Tabwire with a provider for each way to fail, and what became of each run: what was printed, what reached the provider,
what the gateway told. Must not know what any agent prints.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.system import System
from tests.ports import free_port

_SESSION_FIELDS = ("session-id", "x-claude-code-session-id")
QUICK = 2.0  # every deadline of the providers here; their answers take milliseconds


@dataclass(frozen=True)
class Row:
    """One failure: what the provider does (a directive of echo, or a provider of its own), and what must come of it."""

    name: str
    echo: str
    status: int  # that the agent was sent
    shown: str  # in what the agent prints
    upstream: int  # requests that the provider saw; -1: there was no provider to see any
    gateway: int = 0  # requests of the agent, if more or fewer than those
    provider: str = "model"
    code: str = "upstream_status"
    tries: str = ""  # how often the agent may try, where the row is not about that

    @property
    def seen(self) -> int:
        """Return how many requests the provider must have seen."""
        return max(0, self.upstream)

    @property
    def seen_at_most(self) -> int:
        """Return how many it may have seen: what a kept connection cuts at once is sent again on another one."""
        return self.seen * (2 if self.code == "upstream_cut" else 1)

    @property
    def sent(self) -> int:
        """Return how many requests the agent made."""
        return self.gateway or self.upstream


@dataclass
class Run:
    """What became of one row."""

    printed: str
    exit_code: int
    session: str
    seconds: float
    failed: list[dict[str, Any]] = field(default_factory=list)
    upstream: int = 0


@contextlib.contextmanager
def failing(home: Path, rows: tuple[Row, ...]) -> Iterator[System]:
    """Run a Tabwire whose projects ``<home>/<row>/project`` are pinned to the provider of their row."""
    home.mkdir()
    echo, nobody = free_port(), free_port()
    with _full() as full:
        common = 'dialects = ["openai.responses", "anthropic.messages"]\n'
        limits = f"first_byte_timeout = {QUICK}\nidle_timeout = {QUICK}\n"
        config = (
            'default_provider = "echo"\n'  # so that it is started; nobody is sent there
            f'[providers.model]\nbase_url = "http://127.0.0.1:{echo}/v1"\nauth = "none"\n{common}{limits}'
            f'[providers.login]\nbase_url = "http://127.0.0.1:{echo}/v1"\nauth = "passthrough"\n{common}'
            f'[providers.nobody]\nbase_url = "http://127.0.0.1:{nobody}/v1"\nauth = "none"\n{common}'
            f'[providers.full]\nbase_url = "http://127.0.0.1:{full}/v1"\nauth = "none"\nconnect_timeout = 0.5\n{common}'
            f"[breaker]\nfailures = 1000\n"  # these rows are about one provider and its errors, again and again
        )
        for row in rows:
            project = home / row.name / "project"
            config += f'[[pins]]\nproject = "{project}"\nprovider = "{row.provider}"\non_failure = "fail"\n'
        system = System(home / "tabwire", config, echo_port=echo)
        system.tabwire("up")
        try:
            yield system
        finally:
            system.tabwire("down")


@contextlib.contextmanager
def _full() -> Iterator[int]:
    """Give the port of a listener that takes no further connection, so that the kernel leaves each one waiting."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            one = held.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(("127.0.0.1", port))
        yield port


def account(system: System, rows: tuple[Row, ...], runs: dict[str, Run]) -> None:
    """Add to each run what the provider saw and what the gateway told of it."""
    exchanges = httpx.get(f"{system.echo_url}/control/requests", trust_env=False).json()["requests"]
    seen = Counter(value for each in exchanges for name, value in each["headers"] if name.lower() in _SESSION_FIELDS)
    for row in rows:
        run = runs[row.name]
        run.upstream = seen[run.session.partition("-")[2]]
        with contextlib.suppress(AssertionError):  # the row itself says what is missing
            system.until_count("request.failed", row.sent, 5.0, session=run.session)
    told = [json.loads(line) for line in system.tabwire("events", "export").stdout.splitlines()]
    for run in runs.values():
        run.failed = [
            each["data"] for each in told if each["type"] == "request.failed" and each["data"]["session"] == run.session
        ]
