"""Who is at the other end of each connection: asked of the kernel when it is accepted, kept until the process exits.

Theory of operation
-------------------
``accept`` runs in the event loop at accept(): one question to the kernel (microseconds) yields the peer's socket and user,
and the processes seen lately are tried first (a known agent costs some 0.1 ms). A process that is not among them is looked
for by a full search, milliseconds long, in a worker thread; the request waits for it, but not for ever.

Facts are kept with the connection they were read for: an ``exec`` keeps a process's key and replaces everything else, and a
socket that is closed on exec cannot outlive the program. What is kept per process is that it was told of (``process.seen``),
what was made of its facts, for as long as the same are read again, and the watch on its exit, upon which it is forgotten and
told of again (``process.exited``, ``launch.ended``).

Everything here is bounded: searches at once, searches waiting, processes remembered. Must not know HTTP or providers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import anyio
import anyio.abc
import anyio.to_thread

from actors.gateway import limits
from actors.gateway.acquaintance import Acquaintance
from actors.gateway.admission import Kernel
from actors.gateway.ancestry import nearest_agent
from actors.gateway.attribution import NO_LAUNCH, OTHER, Caller, Standing, above, caller_of, lost, unknown_caller
from actors.gateway.launches import LaunchBook
from actors.probe import (
    Address,
    ExitWatch,
    Peer,
    Probe,
    ProbeError,
    ProcessFacts,
    ProcessGoneError,
    classify,
    find_terminal,
)
from actors.runtime.paths import Paths
from schemas.envelope import subject
from schemas.events import LaunchEnded, ProcessExited, ProcessSeen
from schemas.identity import LaunchId, ProcessKey, process_id
from schemas.ids import derived
from schemas.launch import LaunchRecord

Tell = Callable[[str, Any, str | None], None]
_SEARCH_QUEUE: Final = 64
_GONE: Final = "no process holds the caller's socket: it was closed, or belongs to another network namespace"
_BUSY: Final = "too many callers are being looked for at once"


class Identity:
    """Names the callers of one gateway."""

    def __init__(self, probe: Probe, paths: Paths, tell: Tell, log: Any) -> None:
        self._probe = probe
        self._tell = tell
        self._log = log
        self._user = probe.this_user()
        self._known: OrderedDict[int, ProcessKey] = OrderedDict()
        self._watched: dict[ProcessKey, ExitWatch] = {}
        self._told: set[ProcessKey] = set()
        self._met: dict[ProcessKey, tuple[ProcessFacts, Caller]] = {}
        self._untold: dict[ProcessKey, ProcessSeen] = {}
        self._launched: dict[ProcessKey, set[LaunchId]] = {}
        self._pending: list[ExitWatch] = []
        self._watch_wanted = anyio.Event()
        self.launches = LaunchBook(paths, log, self._launch_began)
        self._wanted, self._searches = anyio.create_memory_object_stream[Acquaintance](_SEARCH_QUEUE)

    async def run(self) -> None:
        """Search, watch and keep the launches in view, until cancelled."""
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(limits.SEARCHES):
                    tasks.start_soon(self._search)
                tasks.start_soon(self._poll_launches)
                while True:
                    self._watch_wanted = anyio.Event()
                    waiting, self._pending = self._pending, []
                    for watch in waiting:
                        tasks.start_soon(self._await_exit, watch)
                    await self._watch_wanted.wait()
        finally:  # after the waits have ended: what is waited for must not be closed
            for watch in self._watched.values():
                watch.close()

    def accept(self, local: Address, remote: Address) -> Acquaintance:
        """Ask the kernel about a connection that was accepted just now."""
        peer, missing = None, _GONE
        try:
            peer = self._probe.peer(local, remote)
        except ProbeError as error:
            missing = str(error)
            self._log.warning("the kernel could not be asked about a caller", reason=missing)
        if peer is None:
            acquaintance = Acquaintance(None, Kernel(None, missing))
            acquaintance.settle(unknown_caller(missing))
            return acquaintance
        acquaintance = Acquaintance(peer, Kernel(peer.uid == self._user))
        if not acquaintance.kernel.same_user:
            acquaintance.settle(unknown_caller("another user's process is not looked at"))
            return acquaintance
        if not self._recognise(acquaintance, peer, self._candidates()):
            try:
                self._wanted.send_nowait(acquaintance)
            except anyio.WouldBlock:
                acquaintance.settle(unknown_caller(_BUSY))
        return acquaintance

    async def reporter(self, acquaintance: Acquaintance, agent: str) -> tuple[Caller, Standing]:
        """Say which agent of this name runs the caller, a hook of it, and in which launch; without one, who the caller is."""
        caller = await acquaintance.wait()
        if caller.process is None:
            return caller, NO_LAUNCH
        await self.launches.refresh()
        kin = await anyio.to_thread.run_sync(nearest_agent, self._probe, caller.process, agent)
        if kin.agent is None:
            return lost(caller, kin.missing), NO_LAUNCH
        found = caller if kin.agent.key == caller.process else self._meet(kin.agent, caller.process)
        line = (kin.agent.key, *kin.wrappers)
        launched = [record for record in self.launches.records() if record.process in line]
        if len(launched) != 1:
            return found, NO_LAUNCH
        return found, Standing("living", launched[0], "same", "launch record")

    def standing_at_once(self, acquaintance: Acquaintance, token: str | None) -> tuple[Caller, Standing] | None:
        """Say the same as ``standing`` if nothing must be waited for, as is usual; None when something must."""
        standing = self.launches.known(token)
        if standing is None or acquaintance.caller is None:
            return None
        return self._related(acquaintance, acquaintance.caller, standing)

    async def standing(self, acquaintance: Acquaintance, token: str | None) -> tuple[Caller, Standing]:
        """Say who calls and what the token in its path is worth from that caller."""
        standing = await self.launches.find(token)
        record = standing.record if standing.worth == "living" else None
        if record is not None and acquaintance.caller is None and acquaintance.peer is not None:
            # Most likely the launched process itself: cheaper to ask about than to wait for the search.
            self._recognise(acquaintance, acquaintance.peer, (record.process.pid,))
        return self._related(acquaintance, await acquaintance.wait(), standing)

    def _related(self, acquaintance: Acquaintance, caller: Caller, standing: Standing) -> tuple[Caller, Standing]:
        """Tell of the caller if that is still to be done, and how it stands to the launch that its token names."""
        if self._untold:
            self._tell_seen(caller)
        record = standing.record
        if record is None or standing.worth != "living" or caller.process is None:
            return caller, standing
        if caller.process == record.process:
            return caller, Standing("living", record, "same")
        related = acquaintance.relations.get(record.launch, False)
        if not related:
            # Once proven it stays true, though a process in between may exit; "not proven" is asked again.
            try:
                related = self._probe.is_descendant(caller.process, record.process)
            except ProbeError as error:
                self._log.warning("a descent could not be read", launch=record.launch, reason=str(error))
                return caller, standing
            acquaintance.relations[record.launch] = related
        return caller, Standing("living", record, "descendant" if related else "stranger")

    # ------------------------------------------------------------------------------------------------ processes

    def _candidates(self) -> list[int]:
        """Return the processes seen lately, the latest first."""
        pids = []
        for pid in reversed(self._known):
            pids.append(pid)
            if len(pids) == limits.KNOWN_CANDIDATES:
                break
        return pids

    def _recognise(self, acquaintance: Acquaintance, peer: Peer, known: Iterable[int]) -> bool:
        """Look for the caller among known processes; False when it is none of them, or not what it was a moment ago."""
        try:
            facts = self._probe.recognise(peer, known)
        except ProbeError:
            return False  # the full search asks again, and says what is wrong
        if facts is None:
            return False
        acquaintance.settle(self._meet(facts))
        return True

    async def _search(self) -> None:
        async for first in self._searches:
            # Agents come in crowds: whoever waits by now is looked for in the same walk through the processes.
            waiting = [first]
            with suppress(anyio.WouldBlock):
                while True:
                    waiting.append(self._searches.receive_nowait())
            wanted = [(one, one.peer) for one in waiting if one.caller is None and one.peer is not None]
            found = await anyio.to_thread.run_sync(self._look_everywhere, [peer for _, peer in wanted])
            for (acquaintance, _), facts in zip(wanted, found, strict=True):
                acquaintance.settle(facts if isinstance(facts, Caller) else self._meet(facts))

    def _look_everywhere(self, peers: Sequence[Peer]) -> list[ProcessFacts | Caller]:
        """Look at every process of this user. Runs in a worker thread."""
        try:
            found = self._probe.search_all(peers)
        except ProbeError as error:
            return [unknown_caller(str(error)) for _ in peers]
        return [self._look_at(peer, owners) for peer, owners in zip(peers, found, strict=True)]

    def _look_at(self, peer: Peer, owners: tuple[int, ...]) -> ProcessFacts | Caller:
        try:
            if len(owners) == 1:
                return self._probe.process(owners[0], holding=peer)
        except ProbeError as error:
            return unknown_caller(str(error))
        if not owners:
            return unknown_caller(_GONE)
        return unknown_caller(f"{len(owners)} processes hold the caller's socket", tuple(self._names(owners)))

    def _names(self, owners: tuple[int, ...]) -> list[str]:
        names = []
        for pid in owners[:8]:
            try:
                names.append(process_id(self._probe.process(pid).key))
            except ProbeError:
                names.append(f"{pid} (not readable)")
        return names

    def _meet(self, facts: ProcessFacts, below: ProcessKey | None = None) -> Caller:
        """Turn what was read of a process into a caller, and tell of it the first time.

        ``below`` is the caller above which it was found; None when it is the caller itself.
        """
        met = self._met.get(facts.key)
        if met is not None and met[0] == facts:
            caller = met[1]
        else:
            caller = _caller(facts)
            if facts.key in self._watched:
                self._met[facts.key] = (facts, caller)
        if below is not None:
            caller = above(caller, below)
        if facts.key not in self._told and self._watch(facts.key):
            self._told.add(facts.key)
            launches = self._launched.get(facts.key, set())
            seen = ProcessSeen(
                process=facts.key,
                agent=caller.agent,
                kind=caller.kind,
                terminal=caller.terminal,
                terminal_missing=caller.terminal_missing,
                cwd=caller.cwd,
                launch=min(launches) if len(launches) == 1 else None,
                evidence=caller.evidence,
            )
            self._untold[facts.key] = seen
            if caller.agent != OTHER:
                self._tell_seen(caller)
        if facts.key in self._watched:
            self._known[facts.key.pid] = facts.key
            self._known.move_to_end(facts.key.pid)
        return caller

    def _tell_seen(self, caller: Caller) -> None:
        """Tell of a process: of an agent at once, of any other when it asks for something that an agent would."""
        if caller.process is not None and (seen := self._untold.pop(caller.process, None)) is not None:
            self._tell(subject("process", process_id(caller.process)), seen, None)

    def _watch(self, process: ProcessKey) -> bool:
        """Watch for a process's exit; False when it is gone already, or too many are watched."""
        if process in self._watched:
            return True
        if len(self._watched) >= limits.PROCESSES:
            self._log.warning("not watched: too many processes", process=process_id(process), limit=limits.PROCESSES)
            return False
        try:
            watch = self._probe.exit_watch(process)
        except ProcessGoneError:
            return False
        except ProbeError as error:
            self._log.warning("not watched", process=process_id(process), reason=str(error))
            return False
        self._watched[process] = watch
        self._pending.append(watch)
        self._watch_wanted.set()
        return True

    async def _await_exit(self, watch: ExitWatch) -> None:
        while not watch.exited():
            await anyio.wait_readable(watch.fileno())
        process = watch.process
        watch.close()
        del self._watched[process]
        self._met.pop(process, None)
        if self._known.get(process.pid) == process:
            del self._known[process.pid]
        for launch in sorted(self._launched.pop(process, ())):
            self._launch_ended(launch)
        if process in self._told:
            self._told.discard(process)
            if self._untold.pop(process, None) is None:
                self._tell(subject("process", process_id(process)), ProcessExited(process=process), None)

    # ------------------------------------------------------------------------------------------------ launches

    async def _poll_launches(self) -> None:
        while True:
            await self.launches.refresh()
            await anyio.sleep(limits.LAUNCH_POLL)

    def _launch_began(self, record: LaunchRecord) -> bool | None:
        """Watch a launched process; a launch whose process is gone has ended while nobody looked. None: it cannot be told."""
        if not self._watch(record.process):
            if self._lives(record.process):
                return None
            self._tell_ended(record.launch)
            return False
        self._launched.setdefault(record.process, set()).add(record.launch)
        return True

    def _lives(self, process: ProcessKey) -> bool:
        """Tell whether a process that cannot be watched may still live."""
        try:
            return self._probe.process(process.pid).key == process
        except ProcessGoneError:
            return False
        except ProbeError:
            return True

    def _launch_ended(self, launch: LaunchId) -> None:
        self.launches.end(launch)
        self._tell_ended(launch)

    def _tell_ended(self, launch: LaunchId) -> None:
        # The id is derived, so that a launch ends once however often gateways start.
        self._tell(subject("launch", launch), LaunchEnded(launch=launch), derived("launch.ended", launch))


def _caller(facts: ProcessFacts) -> Caller:
    agent = classify(facts.exe, facts.argv, facts.script)
    terminal = find_terminal(facts.variables, facts.tty, facts.leader)
    used = () if terminal.used is None else (terminal.used,)
    return caller_of(
        facts.key,
        agent.agent,
        agent.kind,
        terminal=terminal.key,
        terminal_missing=terminal.missing,
        seated=(*used, *terminal.rejected),
        cwd=facts.cwd,
    )
