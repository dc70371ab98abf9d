"""The shell: a look-out in a thread, a watch on each process's exit, facts out to the journal.

Theory of operation
-------------------
First the account is recalled: what former incarnations told, from the checkpoint and the journal. Those of its processes that
are gone by now have exited unseen, which is told at once. Then the scout looks at everybody, and from there on whenever a
hint says so. Each finding and each exit is one input of ``account.step``; one at a time, and the facts that follow are
recorded before the next is taken, so that the checkpoint never says more than the journal.

A process is told only while its exit is watched: whoever exits between the look and the watch was never there. A stopped
process is there; a zombie is not.

READY is said when everybody was looked at, or after ``READY_SECONDS`` with a status that says what is still to come. Nothing
here waits in the event loop for a file or for ``/proc``. Must not know what the facts mean to a session.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Final

import anyio
import anyio.to_thread
from msgspec import Struct

from actors.discovery.account import MAX_PROCESSES, Exited, Fact, Input, Observed, State, living, step
from actors.discovery.memory import Memory
from actors.discovery.scout import Found, Scout
from actors.probe import ExitWatch, Probe, ProbeError, ProcessGoneError, choose_probe
from actors.runtime.actor import Actor
from bus.client import Client, RefusedError, connect
from bus.source import Source
from schemas.identity import ProcessKey

READY_SECONDS: Final = 0.3
RETRY_SECONDS: Final = 1.0
END_SECONDS: Final = 1.0
STATUS_SECONDS: Final = 1.0
HANGING_SECONDS: Final = 10.0
_SWITCH_SECONDS: Final = 0.0005
_NEVER: Final = frozenset(("invalid", "too_large"))


class _News(Struct, frozen=True):
    """What the worker thread found, with the watches on processes that were not watched yet."""

    found: Found
    watches: tuple[ExitWatch, ...] = ()
    gone: tuple[ProcessKey, ...] = ()
    problem: str = ""


class Discovery:
    """One discovery on one connection to the bus."""

    def __init__(self, actor: Actor, client: Client, probe: Probe) -> None:
        self._actor = actor
        self._client = client
        self._probe = probe
        self._source: Source = actor.source
        self._log = actor.log
        self._memory = Memory(actor.paths, actor.log)
        self._scout = Scout(probe, actor.paths, actor.config.gateway.port, actor.log)
        self._state = State()
        self._watches: dict[ProcessKey, ExitWatch] = {}
        self._turn = anyio.Lock()
        self._threads = anyio.CapacityLimiter(1)
        self._listed = anyio.Event()
        self._ended = anyio.Event()
        self._problem = ""
        self._waiting = ""
        self._said = ""

    async def run(self, tasks: anyio.abc.TaskGroup) -> None:
        """Recall, then look and tell, for ever."""
        self._state = await self._memory.recall(self._client)
        news = await anyio.to_thread.run_sync(self._watch_known, living(self._state))
        self._await_exits(tasks, news)
        for process in news.gone:  # while nobody looked
            await self._take(Exited(process))
        try:
            while not self._actor.stopping.is_set():
                news = await anyio.to_thread.run_sync(self._look, limiter=self._threads, abandon_on_cancel=True)
                self._problem = news.found.problem or news.problem
                self._await_exits(tasks, news)
                seen = tuple(one for one in news.found.portraits if one.process in self._watches)
                await self._take(Observed(seen))
                self._listed.set()
            self._ended.set()
        finally:
            self._scout.wake()  # or the thread, which nobody waits for any more, would keep the process alive

    async def begin(self) -> None:
        """Say READY, and that not everybody was looked at, if so."""
        with anyio.move_on_after(READY_SECONDS):
            await self._listed.wait()
        self._actor.ready(
            capabilities=list(self._probe.capabilities),
            surroundings=self._probe.surroundings,
            limits=list(await anyio.to_thread.run_sync(self._probe.limits)),  # Windows asks its WSL, which may be slow
            processes=len(self._state.processes),
        )
        while True:
            self._say_status()
            await self._memory_keeps()
            await anyio.sleep(STATUS_SECONDS)

    async def end(self) -> None:
        """Let the thread end, and keep the account for the next start."""
        self._scout.wake()
        with anyio.move_on_after(END_SECONDS):
            await self._ended.wait()
            self._scout.close()
        async with self._turn:
            await self._memory.save(self._state, now=True)

    # ------------------------------------------------------------------------------------------------ facts

    async def _take(self, given: Input) -> None:
        """Take one input in and record what follows."""
        async with self._turn:
            state, facts = step(self._state, given)
            if facts:
                await self._record(facts)
            self._state = state

    async def _record(self, facts: Iterable[Fact]) -> None:
        """Publish until recorded; what the broker will never take is dropped, loudly."""
        left = [(fact, self._source.envelope(fact.subject, fact.data, id=fact.id)) for fact in facts]
        while left:
            try:
                self._memory.acknowledged(await self._client.publish([envelope for _, envelope in left]))
            except RefusedError as error:
                if not error.refused:
                    self._waiting = f"facts wait: {error}"
                    await anyio.sleep(RETRY_SECONDS)
                    continue
                for one in error.refused:
                    if one.code in _NEVER:
                        self._log.error("a fact was refused for good", type=left[one.index][0].data.TYPE, reason=one.message)
                left = [left[one.index] for one in error.refused if one.code not in _NEVER]
                self._waiting = f"facts wait: {error}" if left else ""
                if left:
                    await anyio.sleep(RETRY_SECONDS)
            else:
                left, self._waiting = [], ""

    async def _memory_keeps(self) -> None:
        if not self._turn.locked():  # otherwise there is more to come, and what is decided may not be recorded yet
            async with self._turn:
                await self._memory.save(self._state)

    # ------------------------------------------------------------------------------------------------ processes

    def _look(self) -> _News:
        """Wait for the scout, and watch whom it found. Runs in the worker thread."""
        found = self._scout.next()
        return self._watched(found, [one.process for one in found.portraits if one.process not in self._watches])

    def _watch_known(self, processes: Iterable[ProcessKey]) -> _News:
        """Watch those that were told of before. Runs in a worker thread."""
        return self._watched(Found(), processes)

    def _watched(self, found: Found, processes: Iterable[ProcessKey]) -> _News:
        watches: list[ExitWatch] = []
        gone: list[ProcessKey] = []
        problem = ""
        for process in processes:
            if len(self._watches) + len(watches) >= MAX_PROCESSES:
                problem = f"more than {MAX_PROCESSES} agent processes; the others are not listed"
                break
            try:
                watches.append(self._probe.exit_watch(process))
            except ProcessGoneError:
                gone.append(process)
            except ProbeError as error:
                problem = str(error)
        return _News(found, tuple(watches), tuple(gone), problem)

    def _await_exits(self, tasks: anyio.abc.TaskGroup, news: _News) -> None:
        for watch in news.watches:
            self._watches[watch.process] = watch
            tasks.start_soon(self._await_exit, watch)

    async def _await_exit(self, watch: ExitWatch) -> None:
        while not watch.exited():
            await anyio.wait_readable(watch.fileno())
        self._watches.pop(watch.process).close()
        await self._take(Exited(watch.process))

    # ------------------------------------------------------------------------------------------------ status

    def _say_status(self) -> None:
        note = self._note()
        if note != self._said:
            self._actor.status("degraded" if note else "ready", note)
            self._said = note

    def _note(self) -> str:
        notes = []
        if not self._listed.is_set():
            notes.append(f"not everybody was looked at yet (journal read to {self._memory.position} of {self._client.head})")
        elif (silent := time.monotonic() - self._scout.looked) > HANGING_SECONDS:
            notes.append(f"no look for {silent:.0f} s: a file system that agents use may hang")
        if self._problem:
            notes.append(f"some processes cannot be looked at: {self._problem}")
        if self._state.refused:
            notes.append(f"{len(self._state.refused)} agent processes beyond {MAX_PROCESSES} are not listed")
        if self._state.crowded:
            notes.append(f"{len(self._state.crowded)} processes have more conversations than are listed")
        if self._waiting:
            notes.append(self._waiting)
        return "; ".join(notes)


async def serve(actor: Actor) -> None:
    """Be discovery until told to stop."""
    sys.setswitchinterval(_SWITCH_SECONDS)  # so that the thread's work never holds the loop up for longer
    probe = choose_probe()
    async with connect(actor.connection()) as client, anyio.create_task_group() as tasks:
        discovery = Discovery(actor, client, probe)
        tasks.start_soon(discovery.run, tasks)
        tasks.start_soon(discovery.begin)
        await actor.stopping.wait()
        with anyio.CancelScope(shield=True):
            await discovery.end()
        tasks.cancel_scope.cancel()
