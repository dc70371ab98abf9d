"""The life of an actor: from its first line on stdin to its exit code.

Theory of operation
-------------------
``run_actor`` is the only thing that an actor's ``__main__`` calls. In this order:

1. Ask the kernel to be killed with the parent; keep the real stdout for the contract's lines and lead every print into
   the log instead.
2. A reader thread takes the bootstrap line from stdin and then waits for its end. The end of stdin and SIGTERM both
   mean *stop*; either is put into a queue (the one thing that a signal handler may do), and a second thread carries it
   into the event loop and stays as a watchdog: an actor that has not ended ``STOP_DEADLINE`` + 2 s later ends hard.
   Threads rather than the loop's own reading and signals, because Windows' loop has neither for pipes.
3. Read the configuration, enter the event loop, run ``main`` beside a task that beats. Beats come from the loop, so a
   loop that is stuck stops beating.
4. Turn the way in which ``main`` ended into an exit code (``actors.runtime.exits``).

Nothing is caught to go on: an unexpected exception, in any thread, ends the process.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import anyio
import anyio.from_thread
import anyio.lowlevel

from actors.runtime import exits, hardening
from actors.runtime.clock import Clock, take_anchor
from actors.runtime.config_file import load_config
from actors.runtime.contract import (
    BEAT_INTERVAL,
    MAX_BOOTSTRAP,
    Beat,
    Bootstrap,
    ContractError,
    Line,
    Ready,
    Status,
    Stopping,
    decode_bootstrap,
    encode_line,
)
from actors.runtime.logging import configure, redact, register_secret
from actors.runtime.paths import Paths
from actors.runtime.pipe import LinePipe
from actors.runtime.priority import give_way
from bus.connection import ConnectionFileError, read_connection
from bus.errors import BusUnavailableError
from bus.source import Source
from schemas.config import Config, ConfigError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from bus.connection import Connection

BOOTSTRAP_DEADLINE = 60.0  # a supervisor starts an actor before its turn, so that its code is loaded by then
STOP_DEADLINE = 5.0
_LAST_WORDS = 1.0


class EndedEarlyError(RuntimeError):
    """``main`` returned although nobody had asked the actor to stop."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """What an actor's ``main`` is given."""

    bootstrap: Bootstrap
    paths: Paths
    config: Config
    log: FilteringBoundLogger
    source: Source
    clock: Clock
    stopping: anyio.Event = field(default_factory=anyio.Event)
    _say: Callable[[Line], None] = field(repr=False)
    _background: bool = field(repr=False)

    def ready(self, **facts: Any) -> None:
        """Say that the actor works; ``facts`` (addresses and the like) reach the supervisor's status."""
        if self._background:  # not before: a start is what others wait for
            give_way()
        self._say(Ready(facts))

    def status(self, state: Literal["ready", "degraded"], note: str = "") -> None:
        """Say how the actor does, in a word and a sentence for people."""
        self._say(Status(state, redact(note)))

    def connection(self) -> Connection:
        """Return where the bus is, with this actor's own keys.

        Raises:
            BusUnavailableError: there is no usable connection file, so no broker has been up.

        """
        try:
            connection = read_connection(self.paths.connection_file)
        except ConnectionFileError as error:
            raise BusUnavailableError(str(error)) from error
        return connection.with_keys(self.bootstrap.public_key, self.bootstrap.secret_key)


Main = Callable[[Actor], Awaitable[None]]


def run_actor(name: str, main: Main, *, inspectable: bool = True, background: bool = True) -> NoReturn:
    """Live as the actor ``name`` and exit with the contract's code.

    ``inspectable=False`` keeps this process's memory and environment from others of the same user, where the OS can;
    ``background=False`` keeps the priority that it was started with, since agents wait for what it does.
    """
    weaknesses = [hardening.die_with_parent()]
    if not inspectable:
        weaknesses.append(hardening.forbid_inspection())
    said = LinePipe(os.dup(1))
    os.dup2(2, 1)  # what C libraries print on stdout lands in the log
    written = LinePipe(2)
    log = configure(written, actor=name)
    threading.excepthook = lambda thrown: _crash_of_thread(log, written, thrown)
    code = _lead_a_life(name, main, log, said, [reason for reason in weaknesses if reason], background=background)
    said.drain(_LAST_WORDS)
    written.drain(_LAST_WORDS)
    # Python takes its own signal routines down before it is gone: a SIGTERM in that moment would turn this code into a kill.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(code)


def _lead_a_life(
    name: str, main: Main, log: FilteringBoundLogger, said: LinePipe, weaknesses: list[str], *, background: bool
) -> int:
    """Do everything between the two ends of ``run_actor`` and return the exit code."""
    lifeline = _Lifeline(log)
    say: Callable[[Line], None] = lambda line: _say(said, line)  # noqa: E731
    try:
        bootstrap = _bootstrap_of(name, lifeline)
        log = log.bind(incarnation=bootstrap.incarnation)
        for weakness in weaknesses:
            log.warning("a protection is missing", reason=weakness)
        clock = Clock(bootstrap.anchor or take_anchor())
        paths = Paths(Path(bootstrap.config_file), Path(bootstrap.state))
        actor_parts: dict[str, Any] = {
            "bootstrap": bootstrap,
            "paths": paths,
            "config": load_config(paths),
            "log": log,
            "source": Source(f"/actor/{name}/{bootstrap.incarnation}", clock),
            "clock": clock,
            "_say": say,
            "_background": background,
        }
        anyio.run(_live, main, actor_parts, lifeline, said)
    except ContractError as error:
        log.error("started in a wrong way", reason=str(error))  # noqa: TRY400 - expected; a traceback would say nothing more
        say(Status("failed", redact(str(error))))
        return exits.BAD_CONFIG
    except BaseException as error:  # noqa: BLE001 - here every end gets its exit code
        return _exit_code(error, log, say, stopping=lifeline.stopping)
    return exits.OK


def _bootstrap_of(name: str, lifeline: _Lifeline) -> Bootstrap:
    """Wait for the bootstrap and keep its secret out of the log.

    Raises:
        ContractError: there is none, or it is another actor's.

    """
    bootstrap = decode_bootstrap(lifeline.first_line())
    if bootstrap.actor != name:
        raise ContractError(f"the bootstrap is for {bootstrap.actor!r}, this is {name!r}")
    if bootstrap.secret_key:
        register_secret(bootstrap.secret_key)
    return bootstrap


async def _live(main: Main, parts: dict[str, Any], lifeline: _Lifeline, said: LinePipe) -> None:
    """Run ``main`` beside the beat until it ends or is told to."""
    actor = Actor(**parts)
    ended = anyio.Event()

    async def work() -> None:
        await main(actor)
        if not actor.stopping.is_set():
            raise EndedEarlyError(f"actor {actor.bootstrap.actor!r} returned although nobody had asked it to stop")
        ended.set()

    async def beat() -> None:
        while True:
            said.flush()
            if said.idle:  # a pipe that is full holds beats enough
                _say(said, Beat())
            await anyio.sleep(BEAT_INTERVAL)

    async with anyio.create_task_group() as tasks:
        lifeline.attach(actor.stopping)
        tasks.start_soon(beat)
        tasks.start_soon(work)
        await actor.stopping.wait()
        _say(said, Stopping())
        with anyio.move_on_after(STOP_DEADLINE) as grace:
            await ended.wait()
        if grace.cancelled_caught:
            actor.log.warning("not done in time, so cancelled", seconds=STOP_DEADLINE)
        tasks.cancel_scope.cancel()


class _Lifeline:
    """The threads that know when to stop: see "Theory of operation"."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._first: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda caught, _frame: self._reasons.put(signal.Signals(caught).name))
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes is no reason to stop
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def first_line(self) -> bytes:
        """Wait for the bootstrap line.

        Raises:
            ContractError: stdin ended or stayed silent.

        """
        try:
            line = self._first.get(timeout=BOOTSTRAP_DEADLINE)
        except queue.Empty:
            raise ContractError(f"no bootstrap line on stdin within {BOOTSTRAP_DEADLINE:.0f} s") from None
        return line

    def attach(self, stopping: anyio.Event) -> None:
        """Set ``stopping``, in the event loop that calls this, once there is a reason to stop."""
        token = anyio.lowlevel.current_token()
        threading.Thread(target=self._carry, args=(stopping, token), name="lifeline", daemon=True).start()

    def _read(self) -> None:
        """Read the first line, then wait for the end. Runs in a thread of its own."""
        received = bytearray()
        handed_over = False
        while chunk := _read_some():
            if handed_over:
                continue  # nothing else is ever said on stdin
            received += chunk
            line, newline, _ = bytes(received).partition(b"\n")
            if newline or len(received) > MAX_BOOTSTRAP:
                self._first.put(line)
                handed_over = True
        if not handed_over:
            self._first.put(bytes(received))
        self._reasons.put("stdin ended")

    def _carry(self, stopping: anyio.Event, token: anyio.lowlevel.EventLoopToken) -> None:
        """Carry the first reason into the loop, then watch that the actor really ends. Runs in a thread of its own."""
        reason = self._reasons.get()
        self.stopping = True
        self._log.info("stopping", reason=reason)
        try:
            anyio.from_thread.run_sync(stopping.set, token=token)
        except RuntimeError:  # the loop has ended already
            return
        time.sleep(STOP_DEADLINE + 2)
        self._log.critical("did not stop, so ended hard", seconds=STOP_DEADLINE + 2)
        os._exit(exits.CRASH)


def _read_some() -> bytes:
    try:
        return os.read(0, 65536)
    except OSError:  # a stdin that cannot be read is one that has ended
        return b""


def _say(said: LinePipe, line: Line) -> None:
    said.write(encode_line(line))


def _exit_code(error: BaseException, log: FilteringBoundLogger, say: Callable[[Line], None], *, stopping: bool) -> int:
    """Log how the actor ended and return the exit code that says it; tell the supervisor the reason in a last STATUS."""
    leaves = list(_leaves(error))
    if bad := next((leaf for leaf in leaves if isinstance(leaf, ConfigError)), None):
        log.error("bad configuration", reason=str(bad))
        say(Status("failed", redact(str(bad))))
        return exits.BAD_CONFIG
    if all(isinstance(leaf, BusUnavailableError) for leaf in leaves):
        log.warning("broker unreachable", reason=str(leaves[0]))
        if stopping:
            return exits.OK
        say(Status("failed", redact(str(leaves[0]))))
        return exits.BROKER_UNREACHABLE
    log.critical("crashed", exc_info=error)
    say(Status("failed", redact(f"{type(leaves[0]).__name__}: {leaves[0]}")))
    return exits.CRASH


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions that a group of them is made of."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _crash_of_thread(log: FilteringBoundLogger, written: LinePipe, thrown: threading.ExceptHookArgs) -> None:
    """End the whole process: a thread that is gone would be missed by nobody else."""
    if thrown.exc_type is SystemExit:
        return
    log.critical("crashed in a thread", thread=getattr(thrown.thread, "name", ""), exc_info=thrown.exc_value)
    written.drain(_LAST_WORDS)
    os._exit(exits.CRASH)
