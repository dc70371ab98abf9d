"""Which TUIs opened the threads of Codex's shared daemons: asks when something has changed, remembers the answer.

A daemon is asked when the threads that it holds or the TUIs of its home are others than at the last time, and again, less and
less often, while the opener of a thread is not known or the daemon does not answer. Otherwise nothing is asked: a settled
daemon costs a comparison of two sets. What is not answered is not known: those conversations stay without a tab.

Lives in the scout's thread. Must not know how a daemon is asked (``codex_control``), nor what is believed (``codex_daemon``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from actors.discovery.codex_control import DaemonSilentError, Kernel, find_openings
from actors.discovery.codex_daemon import Listening, Opening
from actors.discovery.terms import Holding
from actors.probe import ProbeError
from schemas.identity import ProcessKey

RETRY_SECONDS: Final = 0.5
MAX_RETRY_SECONDS: Final = 30.0


class Server(Struct, frozen=True):
    """A daemon: its home, and the lock files that it holds by thread."""

    process: ProcessKey
    home: str
    locks: Mapping[str, str]


class Client(Struct, frozen=True):
    """A TUI of some home."""

    process: ProcessKey
    home: str
    started: float
    resumes: str = ""


@dataclass(slots=True)
class _Memory:
    """What a daemon was asked about last, and how often since it changed."""

    about: tuple[frozenset[str], frozenset[ProcessKey]] = (frozenset(), frozenset())
    retry: float = 0.0
    next: float = 0.0
    openings: tuple[Opening, ...] = ()
    problem: str = field(default="")


class Daemons:
    """What is known of the TUIs of all shared daemons."""

    def __init__(self, probe: object, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._kernel = probe if isinstance(probe, Kernel) else None
        self._log = log
        self._clock = clock
        self._memories: dict[ProcessKey, _Memory] = {}

    def waits(self) -> bool:
        """Tell whether a daemon is to be asked once more though nothing has changed."""
        now = self._clock()
        return any(not _is_settled(memory) and now >= memory.next for memory in self._memories.values())

    def update(self, servers: Sequence[Server], clients: Sequence[Client]) -> frozenset[ProcessKey]:
        """Ask whom it is worth asking; return the TUIs whose conversations are others now."""
        if self._kernel is None:
            return frozenset()
        before = {process: self.of(process) for process in self._openers()}
        living = {server.process for server in servers}
        for gone in self._memories.keys() - living:
            del self._memories[gone]
        for server in servers:
            memory = self._memories.setdefault(server.process, _Memory())
            own = [client for client in clients if client.home == server.home]
            if self._is_due(memory, server, own):
                self._ask(self._kernel, memory, server, own)
        return frozenset(one for one in before.keys() | self._openers() if before.get(one, ()) != self.of(one))

    def of(self, process: ProcessKey) -> tuple[Holding, ...]:
        """Return the conversations that a TUI opened in a daemon."""
        return tuple(
            Holding(conversation=one.conversation, session=one.session, thread=one.thread, evidence=(one.evidence,))
            for memory in self._memories.values()
            for one in memory.openings
            if one.process == process and one.thread == one.conversation.partition(":")[2]
        )

    def _openers(self) -> set[ProcessKey]:
        return {one.process for memory in self._memories.values() for one in memory.openings}

    def _is_due(self, memory: _Memory, server: Server, clients: Iterable[Client]) -> bool:
        about = (frozenset(server.locks), frozenset(client.process for client in clients))
        if about != memory.about:
            memory.about, memory.retry, memory.next = about, 0.0, 0.0
        if not all(about):
            memory.openings = ()
        return not _is_settled(memory) and self._clock() >= memory.next

    def _ask(self, kernel: Kernel, memory: _Memory, server: Server, clients: Sequence[Client]) -> None:
        memory.retry = min(max(RETRY_SECONDS, 2 * memory.retry), MAX_RETRY_SECONDS)
        memory.next = self._clock() + memory.retry
        loaded = {thread: made for thread, path in server.locks.items() if (made := _made(path)) is not None}
        tuis = [Listening(client.process, client.started, client.resumes) for client in clients]
        try:
            memory.openings = find_openings(kernel, server.process, server.home, tuis, loaded)
            memory.problem = ""
        except (DaemonSilentError, ProbeError) as error:
            memory.openings = ()
            if str(error) != memory.problem:
                memory.problem = str(error)
                self._log.warning("Codex's daemon does not say which tabs it serves", reason=memory.problem)


def _is_settled(memory: _Memory) -> bool:
    """Tell whether there is nothing more to ask: nobody to ask about, or every thread's opener is known."""
    threads, tuis = memory.about
    if not threads or not tuis:
        return True
    return memory.retry > 0 and threads <= {one.thread for one in memory.openings if one.process in tuis}


def _made(path: str) -> float | None:
    """Return when a lock file was made: it is never written, and removed when its thread is unloaded."""
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 - next to its kin in the scout
    except OSError:
        return None
