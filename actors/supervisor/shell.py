"""Carries out what supervision decides: starts and ends processes, keeps the record, the status file and the bus told.

Theory of operation
-------------------
One task takes inputs from a bounded queue, one at a time, and does at once what ``step`` orders; so the state has one
owner and no two orders overlap. Children's threads put their lines into that queue (and wait when it is full), a task
puts signals, the loop itself makes ticks. Processes are started by this task, hence by the main thread: the kernel kills
a child when the *thread* that started it ends. Where there is a fork server they come from it, else they are executed.

Must not know when anything should be started or ended (``actors.supervisor.supervision``).
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import orjson

from actors.probe import ProbeError, choose_probe
from actors.runtime import orphans
from actors.runtime.atomic import write_atomic
from actors.runtime.clock import Clock
from actors.runtime.config_file import load_config
from actors.runtime.contract import Bootstrap
from actors.runtime.retry import take_retries
from actors.runtime.stop import ask_to_stop, take_stop
from actors.supervisor import leftovers, table
from actors.supervisor.forks import ForkFailedError, Forks
from actors.supervisor.log_file import LogFile
from actors.supervisor.owner import owner_mark
from actors.supervisor.process import Process, execute, log_path
from actors.supervisor.status import system_status
from actors.supervisor.supervision import TICK, begin, step
from actors.supervisor.terms import (
    Exited,
    Input,
    Kill,
    Output,
    Publish,
    RetryAsked,
    Said,
    Spawn,
    Spawned,
    SpawnFailed,
    StopAsked,
    Terminate,
    Tick,
)
from bus.sockets import new_key_pair
from bus.source import rfc3339
from schemas.codec import InvalidMessageError
from schemas.config import Config, ConfigError
from schemas.envelope import subject

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from actors.runtime.contract import Line
    from actors.runtime.paths import Paths
    from actors.supervisor.process import Started
    from actors.supervisor.terms import ChildSpec
    from schemas.identity import ProcessKey
    from schemas.rows import SystemStatus

QUEUE = 1000
NAME = "supervisor"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair (Z85)."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def mint(cls) -> KeyPair:
        """Draw a new one."""
        return cls(*new_key_pair())


class Supervisor:
    """All processes of one run. ``command`` tells how an actor is started, ``publish`` takes facts and never waits."""

    def __init__(
        self,
        specs: tuple[ChildSpec, ...],
        command: Callable[[str], list[str]],
        *,
        paths: Paths,
        config: Config,
        log: FilteringBoundLogger,
        publish: Callable[[str, Any], None],
        run: str,
        keys: KeyPair,
        clock: Clock,
        forks: Forks | None,
    ) -> None:
        self._command = command
        self._forks = forks
        self._paths = paths
        self._config = config
        self._log = log
        self._publish = publish
        self._run = run
        self._keys = {spec.actor: KeyPair.mint() for spec in specs}
        self._settings = {spec.actor: spec.settings for spec in specs}
        self._allowed = {pair.public: actor for actor, pair in self._keys.items()} | {keys.public: NAME}
        self._logs = {spec.actor: LogFile(log_path(paths.logs, spec.actor)) for spec in specs}
        self._probe = choose_probe()
        self._processes: dict[str, Process] = {}
        self._prepared: dict[str, Process] = {}
        self._recorded: dict[str, ProcessKey] = {}
        self._state = begin(specs, time.monotonic())
        self._clock = clock
        self._started = rfc3339(clock())
        self._shown: SystemStatus | None = None
        self._sweeps: anyio.abc.TaskGroup
        self._to_queue, self._queue = anyio.create_memory_object_stream[Any](QUEUE)

    async def run(self) -> None:
        """Start everything, keep it running, and return when a stop was asked for and done."""
        self._token = anyio.lowlevel.current_token()
        async with anyio.create_task_group() as tasks, self._queue, self._to_queue:
            self._sweeps = tasks
            tasks.start_soon(self._listen_to_signals)
            self._take(Tick())  # the first child goes on at once; it waits for nobody
            self._prepare_others()
            await self._work()
            tasks.cancel_scope.cancel()
        for process in self._prepared.values():
            process.discard()
        if self._forks is not None:
            self._forks.end()
        for log in self._logs.values():
            log.close()

    def sweep_at_end(self) -> None:
        """End what the actors left behind and forget the record: nothing is running any more."""
        ended = orphans.end_adopted(()) + leftovers.sweep_marked(owner_mark(self._run))
        if ended:
            self._log.warning("ended what actors had left behind", pids=ended)
        self._paths.children_file.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------------ the loop

    async def _work(self) -> None:
        next_tick = time.monotonic()
        while not self._state.done:
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK
                self._renew_forks()
                orphans.reap(self._own_pids())
                self._take_retries()
                if take_stop(self._paths):
                    self._log.info("stopping", reason="asked to")
                    self._take(StopAsked())
                self._take(Tick())
                continue
            with anyio.move_on_after(next_tick - now):
                self._take(await self._queue.receive())

    def _take(self, what: Any) -> None:
        """Feed one input to supervision and carry out its orders; what they bring about is fed in turn."""
        self._state, outputs = step(self._state, Input(time.monotonic(), random.random(), what))  # noqa: S311 - jitter
        if isinstance(what, Exited):
            self._bury(what)
        for output in outputs:
            self._carry_out(output)
        self._show()

    def _carry_out(self, output: Output) -> None:
        match output:
            case Spawn(actor, incarnation):
                self._spawn(actor, incarnation)
            case Terminate(actor, incarnation):
                self._log.info("terminating", child=actor)
                if process := self._process(actor, incarnation):
                    process.terminate()
            case Kill(actor, incarnation):
                self._log.warning("killing", child=actor)
                if process := self._process(actor, incarnation):
                    process.kill()
            case Publish(actor, event):
                self._log.info(event.TYPE, child=actor, **_shown_fields(event))
                self._publish(subject("actor", actor), event)

    def _process(self, actor: str, incarnation: int) -> Process | None:
        process = self._processes.get(actor)
        return process if process is not None and process.incarnation == incarnation else None

    # ------------------------------------------------------------------------------------------------ processes

    def _prepare_others(self) -> None:
        """Let every child load its code while it waits for its turn."""
        for child in self._state.children:
            if child.phase != "waiting":
                continue
            with contextlib.suppress(OSError):  # the same error comes at its turn, and is told then
                self._prepared[child.spec.actor] = self._prepare(child.spec.actor)

    def _prepare(self, actor: str) -> Process:
        """Start a process that will be told later who it is."""
        name = secrets.token_hex(6)
        process = Process(
            self._command(actor),
            actor=actor,
            name=name,
            folder=str(self._paths.state),
            environ=table.environment(actor, self._config, os.environ, owner_mark(self._run, actor, name)),
            log=self._logs[actor],
            tell=self._hear,
            start=self._start,
        )
        try:
            self._recorded[actor] = self._probe.identify(process.pid)
        except ProbeError as error:  # it died at once, or hides itself: its mark and its pipes remain
            self._log.info("a child's key could not be read", child=actor, reason=str(error))
        self._write_record()
        return process

    def _start(self, command: Sequence[str], environ: Mapping[str, str], folder: str) -> Started:
        """Start a process by fork where that can be had, else by exec."""
        if self._forks is not None:
            try:
                return self._forks.fork(command, environ, folder)
            except ForkFailedError as error:
                self._log.warning("started by exec", command=command[-1], reason=str(error))
        return execute(command, environ, folder)

    def _renew_forks(self) -> None:
        if self._forks is None:
            return
        try:
            if self._forks.renew():
                self._log.info("another fork server was started", pid=self._forks.pid)
        except OSError as error:
            self._log.warning("no fork server could be started", reason=error.strerror or str(error))

    def _spawn(self, actor: str, incarnation: int) -> None:
        try:
            process = self._prepared.pop(actor, None) or self._prepare(actor)
        except OSError as error:
            self._take(SpawnFailed(actor, incarnation, error.strerror or str(error)))
            return
        self._processes[actor] = process
        self._take(Spawned(actor, incarnation, process.pid, process.name))
        pair = self._keys[actor]
        bootstrap = Bootstrap(
            actor=actor,
            incarnation=process.name,
            config_file=str(self._paths.config_file),
            state=str(self._paths.state),
            public_key=pair.public,
            secret_key=pair.secret,
            anchor=self._clock.anchor,
            settings={"allow": self._allowed} if actor == table.BROKER else dict(self._settings[actor]),
        )
        process.begin(bootstrap, incarnation)

    def _own_pids(self) -> set[int]:
        """Return the processes that somebody waits for."""
        pids = {process.pid for process in (*self._processes.values(), *self._prepared.values())}
        return pids if self._forks is None or self._forks.pid is None else pids | {self._forks.pid}

    def _write_record(self) -> None:
        try:
            leftovers.record(self._paths.children_file, leftovers.Recorded(self._run, self._recorded))
        except OSError as error:
            self._log.error("the record of children could not be written", reason=str(error))

    def _hear(self, process: Process, said: Line | int) -> None:
        """Queue what a child says. Called in its threads; waits while the queue is full."""
        what = (
            Exited(process.actor, process.incarnation, said)
            if isinstance(said, int)
            else Said(process.actor, process.incarnation, said)
        )
        try:
            anyio.from_thread.run(self._to_queue.send, what, token=self._token)
        except (RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the supervisor has ended

    def _bury(self, exited: Exited) -> None:
        if process := self._process(exited.actor, exited.incarnation):
            process.close()
            del self._processes[exited.actor]
            self._recorded.pop(exited.actor, None)
            self._sweeps.start_soon(self._sweep_after, exited.actor, owner_mark(self._run, exited.actor, process.name))

    async def _sweep_after(self, actor: str, mark: str) -> None:
        """End what a dead actor left behind, while its successor starts."""
        ended = await anyio.to_thread.run_sync(leftovers.sweep_adopted, mark)
        if ended:
            self._log.warning("ended what an actor had left behind", child=actor, pids=ended)

    # ------------------------------------------------------------------------------------------------ requests

    async def _listen_to_signals(self) -> None:
        if sys.platform == "win32":  # whose event loop takes none: the interpreter's own do, and the next tick sees it
            for number in (signal.SIGINT, signal.SIGBREAK):
                signal.signal(number, lambda _number, _frame: ask_to_stop(self._paths))
            return
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self._log.info("stopping", reason=signal.Signals(number).name)
                await self._to_queue.send(StopAsked())

    def _take_retries(self) -> None:
        """Start again what somebody asked for, with the configuration as it is now."""
        try:
            if actors := take_retries(self._paths):
                self._config = load_config(self._paths)
        except (InvalidMessageError, ConfigError, OSError) as error:
            self._log.error("cannot retry", reason=str(error))
            return
        for actor in actors:
            self._take(RetryAsked(actor))

    # ------------------------------------------------------------------------------------------------ status

    def _show(self) -> None:
        """Write the status file when it would say something else than it does."""
        offset = self._clock() / 1e9 - time.monotonic()
        status = system_status(self._state, os.getpid(), self._started, lambda at: rfc3339(int((at + offset) * 1e9)))
        if self._shown is not None and _timeless(status) == _timeless(self._shown):
            return
        self._shown = status
        try:
            write_atomic(self._paths.status_file, orjson.dumps(status), durable=False)
        except OSError as error:
            self._log.error("the status could not be written", reason=str(error))


def _timeless(status: SystemStatus) -> Any:
    """Leave out the times, which a moving wall clock would change for no reason."""
    return [(row.actor, row.state, row.pid, row.restarts, row.last_exit, row.note) for row in status.actors], status.endpoints


def _shown_fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__slots__ if name != "actor"}


def new_run() -> str:
    """Draw the name of a run; it also marks every process of it."""
    return secrets.token_hex(16)


def sweep_previous(paths: Paths, log: FilteringBoundLogger) -> None:
    """End what a supervisor that could not do so itself had left behind; a damaged record is set aside and said."""
    file: Path = paths.children_file
    try:
        ended = leftovers.sweep_previous(file, choose_probe())
    except (ValueError, OSError) as error:
        aside = file.with_name(f"{file.name}.damaged")
        file.replace(aside)
        log.error("the record of an earlier run cannot be read", reason=str(error), kept_at=str(aside))  # noqa: TRY400 - said in full
        return
    if ended:
        log.warning("ended what an earlier run had left behind", pids=ended)
