"""The shell of the hub: bridges run and are listened to, frames and facts go out, the bus is answered.

Theory of operation
-------------------
All that happens to a session is one input of ``session.step``, taken in the event loop's own thread without waiting, and the
orders that follow are carried out at once in the same way; what takes time (starting a process, writing a file) is begun and
comes back as an input. So every session's stream, facts and answers have one order.

A bridge is started like this, as soon as nobody asks for another: what must be known to take the session up again is on disk;
its process runs, and waits; its launch is recorded, so that the gateway believes the token, and told; then it is told to begin.
At the start of the hub the sessions of before are begun again, a few at a time. When the hub stops, its bridges end and their
records stay.

Must not know the rules of a session (``session``), nor what is asked for over the bus (``commands``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from datetime import datetime
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread

from actors.bridge.contract import Ask, Begin, BridgeContractError, Up
from actors.bridges import records
from actors.bridges.agents import Agents
from actors.bridges.children import Children
from actors.bridges.config_file import ConfigFile
from actors.bridges.keeping import Keeping
from actors.bridges.launches import Launches
from actors.bridges.lull import Lull
from actors.bridges.pins import Pins
from actors.bridges.process import COMMAND, BridgeProcess
from actors.bridges.session import STOPPED, step
from actors.bridges.streams import Streams
from actors.bridges.terms import (
    Begun,
    Came,
    Closed,
    Forget,
    Gone,
    Input,
    Keep,
    Kill,
    Moment,
    Moved,
    NotSpawned,
    Output,
    Publish,
    Session,
    Settle,
    Spawned,
    Start,
    Tell,
    Tick,
    Unwritten,
    Write,
)
from actors.launch.start import launch_fact, mint_token
from actors.probe import Probe, ProbeError
from actors.runtime.actor import Actor
from actors.runtime.logging import register_secret
from bus.client import Client
from bus.outbox import Outbox
from bus.source import rfc3339
from schemas.config import Config
from schemas.envelope import subject
from schemas.identity import LaunchId, ProcessKey, SessionId

TICK_SECONDS: Final = 0.5
LATE_SECONDS: Final = 2.0
PUBLISH_SECONDS: Final = 1.0
STARTING: Final = max(2, os.cpu_count() or 0)  # bridges that are being started at one time, until they say something
RESUMING: Final = 4  # sessions of before that are being taken up at one time
RESUME_SECONDS: Final = 20.0
PREDECESSOR_SECONDS: Final = 3.0
STOP_SECONDS: Final = 3.5
END_SECONDS: Final = 0.7
KEPT_ENDED: Final = 64
ENDED_SECONDS: Final = 600.0


class Refused(Exception):  # noqa: N818 - what came of a question, told on as the bus tells it
    """What was asked of a session was refused: by which code, and why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Asked:
    """Somebody who waits for what comes of a question."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.code = ""
        self.message = ""


class Hub:
    """All driven sessions of one Tabwire."""

    def __init__(self, actor: Actor, client: Client, outbox: Outbox, tasks: anyio.abc.TaskGroup, probe: Probe) -> None:
        self.paths = actor.paths
        self.client = client
        self.children = Children()
        self.agents = Agents(self.children)
        self.sessions: dict[LaunchId, Session] = {}
        self.config: Config = actor.config
        self.config_file = ConfigFile(actor.paths.config_file, actor.log)
        self.log = actor.log
        self.run_id = secrets.token_hex(6)
        self._actor = actor
        self._outbox = outbox
        self._tasks = tasks
        self.probe = probe
        self._command = tuple(actor.bootstrap.settings.get("bridge", COMMAND))
        self._bridges: dict[LaunchId, BridgeProcess] = {}
        self.pins = Pins(client, actor.log)
        self._asked: dict[int, _Asked] = {}
        self._asks = 0
        self.lull = Lull()
        self._starting = anyio.CapacityLimiter(STARTING)
        self.keeping = Keeping(actor.paths, self.sessions, actor.log)
        self.launches = Launches(actor.paths, probe, self.sessions)
        self._changed = anyio.Event()
        self.streams = Streams(client)
        self._recalled: list[records.Record] = []
        self._said = ""

    # ------------------------------------------------------------------------------------------------ inputs and orders

    def now(self) -> Moment:
        """Return the time."""
        return Moment(time.monotonic(), rfc3339(self._actor.clock()))

    def add(self, session: Session) -> None:
        """Know a session."""
        self.sessions[session.launch] = session

    def take(self, launch: LaunchId, given: Input) -> None:
        """Feed one input to a session and carry out what follows."""
        session = self.sessions.get(launch)
        if session is None:
            return
        self.sessions[launch], orders = step(session, given, self.now())
        for order in orders:
            self._carry_out(launch, order)
        self._changed.set()
        self._changed = anyio.Event()

    async def ask(self, launch: LaunchId, build: Any) -> Session:
        """Feed an input that somebody waits for (``build`` makes it of a number); return the session as it is then.

        Raises:
            Refused: by the session or its bridge.

        """
        self._asks += 1
        ask, asked = self._asks, _Asked()
        self._asked[ask] = asked
        try:
            self.take(launch, build(ask))
            await asked.done.wait()
        finally:
            del self._asked[ask]
        if asked.code:
            raise Refused(asked.code, asked.message)
        return self.sessions[launch]

    async def until(self, launch: LaunchId, holds: Any, deadline: float) -> Session:
        """Wait until something holds of a session, but not longer; return the session."""
        with anyio.move_on_after(deadline):
            while not holds(self.sessions[launch]):
                await self._changed.wait()
        return self.sessions[launch]

    def _carry_out(self, launch: LaunchId, order: Output) -> None:
        match order:
            case Tell(frame=frame):
                self.streams.put(frame)
            case Publish(session=session, fact=fact):
                self._outbox.put(self._actor.source.envelope(subject("session", session), fact, correlationid=launch))
            case Write(line=line):
                self._write(launch, line)
            case Settle(ask=ask, code=code, message=message):
                self._settle(ask, code, message)
            case Keep() | Forget():
                self.keeping.want(launch)
            case Start():
                self._tasks.start_soon(self._run_bridge, launch)
            case Kill():
                if bridge := self._bridges.get(launch):
                    bridge.kill()
            case Moved(before=before, after=after):
                self._tasks.start_soon(self._move_pin, launch, before, after)

    def _write(self, launch: LaunchId, line: Ask) -> None:
        bridge = self._bridges.get(launch)
        try:
            taken = bridge is not None and bridge.write(line)
        except BridgeContractError as error:
            self.take(launch, Unwritten(ask=line.ask, code="too_large", message=str(error)))
        else:
            if not taken:
                self.take(launch, Unwritten(ask=line.ask, code="busy", message="its bridge does not read what it is told"))

    async def _move_pin(self, launch: LaunchId, before: SessionId, after: SessionId | None) -> None:
        """Let a session's pin follow it, behind its launch, so that there is no request in between that neither name has."""
        try:
            await self.launches.follow(launch)
        except OSError as error:
            self.log.warning("a launch cannot be written down", launch=launch, reason=str(error))
        await (self.pins.forget(before) if after is None else self.pins.move(before, after))

    def _settle(self, ask: int, code: str, message: str) -> None:
        if asked := self._asked.get(ask):
            asked.code, asked.message = code, message
            asked.done.set()

    # ------------------------------------------------------------------------------------------------ bridges

    async def _run_bridge(self, launch: LaunchId) -> None:
        """Run one bridge of a session from its start to its end."""
        bridge = BridgeProcess(self.children, self._command, partial(self._heard, launch), self.log.bind(launch=launch))
        self._bridges[launch] = bridge
        code: int | None = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                await self._starting.acquire_on_behalf_of(launch)
                stack.callback(self._started, launch)
                await self.lull.come()
                await self.keeping.saved(launch)
                process = await stack.enter_async_context(bridge.running())
                begin, spawned = await self._launched(self.sessions[launch], process.pid)
                bridge.write(begin)
                self.take(launch, spawned)
                code = await bridge.listen(process)
        except (OSError, ProbeError, BridgeContractError) as error:
            bridge.broken = f"its bridge could not be started: {error}"
        started = self.sessions[launch].process is not None
        if swept := await self.children.sweep():
            self.log.warning("ended what a bridge had left behind", launch=launch, pids=swept)
        del self._bridges[launch]
        self.launches.over(launch)
        self.take(launch, Gone(code, bridge.broken) if started else NotSpawned(bridge.broken))

    def _heard(self, launch: LaunchId, line: Up) -> None:
        self._started(launch)
        self.take(launch, Came(line))

    def _started(self, launch: LaunchId) -> None:
        """Let another bridge be started: this one has loaded what it needs, or is gone."""
        if launch in self._starting.statistics().borrowers:
            self._starting.release_on_behalf_of(launch)

    async def _launched(self, session: Session, pid: int) -> tuple[Begin, Spawned]:
        """Record the launch of a bridge, so that what it starts may come to the gateway, and tell it before anything does.

        A bridge that joins an agent starts nothing: there is no launch, and no token.

        Raises:
            ProbeError: the process is gone already.
            OSError: the record cannot be written.

        """
        if session.wish.attach is not None:
            key = await anyio.to_thread.run_sync(self.probe.identify, pid)
            return self._begin(session, ""), Spawned(process=key, launch=session.launch)
        token = mint_token()
        register_secret(token)
        record = await self.launches.record(session, pid, token)
        told = self._actor.source.envelope(subject("launch", record.launch), launch_fact(record), correlationid=session.launch)
        self._outbox.put(told)
        await self._outbox.drain(PUBLISH_SECONDS)
        return self._begin(session, token), Spawned(process=record.process, launch=record.launch)

    def _begin(self, session: Session, token: str) -> Begin:
        wish = session.wish
        return Begin(
            launch=session.launch,
            agent=wish.agent,
            origin=f"http://127.0.0.1:{self.config.gateway.port}",
            token=token,
            cwd=wish.cwd,
            program=wish.program,
            arguments=wish.arguments,
            environ=wish.environ,
            provider=wish.provider,
            model=wish.model,
            mode=wish.mode,
            resume=wish.resume,
            fork=wish.fork,
            patience=session.patience,
            attach=wish.attach,
            terminal=self.config.terminals.get(wish.agent),
        )

    # ------------------------------------------------------------------------------------------------ sessions of before

    async def recall(self) -> None:
        """Know the sessions of before."""
        self._recalled, bad = await anyio.to_thread.run_sync(records.read, self.paths)
        for problem in bad:
            self.log.warning("a session of before cannot be read", reason=problem)
        wall = self._actor.clock() / 1e9
        patience = float(self.config.bridges.approval_seconds)
        for record in self._recalled:
            unused = max(0.0, wall - datetime.fromisoformat(record.last_used).timestamp())
            self.add(records.session_of(record, run=self.run_id, now=self.now(), unused=unused, patience=patience))

    async def resume(self) -> None:
        """Take up the sessions of before, a few at a time."""
        limit = anyio.CapacityLimiter(RESUMING)
        async with anyio.create_task_group() as tasks:
            for record in self._recalled:
                tasks.start_soon(self._take_up, record, limit)
        self._recalled.clear()

    async def _take_up(self, record: records.Record, limit: anyio.CapacityLimiter) -> None:
        async with limit:
            if record.process is not None:
                await self._see_off(record.process)
            self.take(record.launch, Begun(cut_off=record.turn))
            await self.until(record.launch, lambda one: one.initialised or one.phase in ("resting", "ended"), RESUME_SECONDS)

    async def _see_off(self, process: ProcessKey) -> None:
        """Wait for the end of a bridge of before, and kill one that hangs: two must not drive one conversation."""
        try:
            with self.probe.exit_watch(process) as watch:
                with anyio.move_on_after(PREDECESSOR_SECONDS):
                    while not watch.exited():
                        await anyio.wait_readable(watch.fileno())
                if not watch.exited():
                    self.log.warning("a bridge of before had not ended; killed", pid=process.pid)
                    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        except (ProbeError, ProcessLookupError):
            return  # it is gone

    # ------------------------------------------------------------------------------------------------ time

    async def keep_time(self) -> None:
        """Let time pass for every session, for ever."""
        last = time.monotonic()
        while True:
            await anyio.sleep(TICK_SECONDS)
            now = time.monotonic()
            late = max(0.0, now - last - TICK_SECONDS)
            last = now
            changed = await anyio.to_thread.run_sync(self.config_file.changed)
            self.config = changed or self.config
            tick = Tick(self.config.bridges.idle_hours * 3600, late if late > LATE_SECONDS else 0.0)
            for launch in tuple(self.sessions):
                self.take(launch, tick)
            self.children.reap()
            self._forget(now)
            self._say_status()

    def _forget(self, now: float) -> None:
        """Let go of sessions that have ended a while ago, and of the oldest of too many."""
        over = [one for one in self.sessions.values() if one.phase == "ended" and not self.keeping.wanted(one.launch)]
        over.sort(key=lambda one: one.ended)
        for place, one in enumerate(over):
            if now - one.ended > ENDED_SECONDS or len(over) - place > KEPT_ENDED:
                del self.sessions[one.launch]

    def _say_status(self) -> None:
        lost = self.streams.dropped
        note = "; ".join(filter(None, (self.keeping.trouble, f"{lost} frames of streams were dropped" if lost else "")))
        if note != self._said:
            self._actor.status("degraded" if self.keeping.trouble else "ready", note)
            self._said = note

    async def end(self) -> None:
        """End every bridge; their sessions are taken up again when the hub runs again."""
        for launch in tuple(self.sessions):
            self.take(launch, Closed(reason=STOPPED, keep=True))
        with anyio.move_on_after(STOP_SECONDS):
            while self._bridges:
                await self._changed.wait()
        for bridge in self._bridges.values():
            bridge.kill()
        await self.keeping.write_down()
        await self.streams.drain(END_SECONDS)
        await self._outbox.drain(END_SECONDS)
