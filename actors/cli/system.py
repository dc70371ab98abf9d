"""The running system as the command line finds it: its status file, the supervisor's exact process, starting and stopping.

A supervisor is recognised by its pid, the moment that process was started and what it runs; it is signalled through a pidfd
where there are such, so that never another process gets the signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import filelock
import orjson
import psutil

from actors.cli.failures import CommandFailedError
from actors.cli.output import say
from actors.cli.text import moment
from actors.runtime import exits
from actors.runtime.paths import Paths, holder_file
from actors.runtime.stop import ask_to_stop
from bus.into_place import when_free
from schemas.codec import InvalidMessageError, decode
from schemas.rows import ActorRow, SystemStatus

if TYPE_CHECKING:
    from schemas.config import Config

START_DEADLINE: Final = 40.0
STOP_DEADLINE: Final = 20.0
SETTLED: Final = ("ready", "failed")
_GRACE: Final = 1.5
_MODULE: Final = "actors.supervisor"
_POLL: Final = 0.02
_CLOCK_SLACK: Final = 5.0
# Windows: no window, and a Ctrl-C in our console is not for it.
_APART: Final = int(getattr(subprocess, "CREATE_NO_WINDOW", 0)) | int(getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0))


def read_status(paths: Paths, *, complain: bool = True) -> SystemStatus | None:
    """Read the supervisor's own account, whether or not that supervisor still lives; None when there is none to be read."""
    try:
        return decode(when_free(paths.status_file.read_bytes), SystemStatus)
    except FileNotFoundError:
        return None
    except InvalidMessageError as error:
        if complain:
            say(f"{paths.status_file} is not understood: {error} (tabwire down; tabwire up)")
        return None


def running_status(paths: Paths, *, complain: bool = True) -> SystemStatus | None:
    """Return the account of the supervisor that is running now, or None."""
    status = read_status(paths, complain=complain)
    return status if status is not None and find_supervisor(status) is not None else None


def lock_holder(paths: Paths) -> psutil.Process | None:
    """Find the process that holds the supervisor's lock: for when there is no status to go by."""
    lock = filelock.FileLock(paths.lock_file, blocking=False)
    try:
        if not paths.lock_file.exists():
            return None
        lock.acquire()
    except filelock.Timeout:  # held, so the pid in it is its holder's
        with contextlib.suppress(ValueError, OSError, psutil.NoSuchProcess):
            return psutil.Process(int(holder_file(paths.lock_file).read_text()))
    else:
        lock.release()
    return None


def find_supervisor(status: SystemStatus) -> psutil.Process | None:
    """Find the very process that wrote a status; None when it is gone, whoever has its pid now."""
    try:
        process = psutil.Process(status.pid)
        created = process.create_time()
        said = moment(status.started).timestamp()
        supervises = _MODULE in process.cmdline()
    except (psutil.NoSuchProcess, ValueError):
        return None
    except (psutil.AccessDenied, OSError):  # it keeps its memory to itself, which holds its arguments on Windows
        supervises = sys.platform == "win32" and said - created < START_DEADLINE
    if created - said > _CLOCK_SLACK or not supervises:  # a pid that was given again was given later
        return None
    return None if process.status() == psutil.STATUS_ZOMBIE else process


class Settling:
    """Tells when every actor has come to rest: ready, failed, or degraded for a while."""

    def __init__(self) -> None:
        self._enough: float | None = None

    def at_rest(self, rows: Sequence[ActorRow]) -> bool:
        """Take the rows as they are now. Without its broker an actor backs off for ever, which is rest enough."""
        states = {row.state for row in rows}
        lost = any(row.actor == "broker" and row.state == "failed" for row in rows)
        if not states <= {*SETTLED, "degraded", *(("backoff",) if lost else ())}:
            self._enough = None
        elif self._enough is None:
            self._enough = time.monotonic() + _GRACE
        return self._enough is not None and (states <= set(SETTLED) or time.monotonic() >= self._enough)


class Starting:
    """A supervisor that was just started; not yet said to be well."""

    def __init__(self, paths: Paths, *, demo: bool, foreground: bool, allow_remote: bool = False) -> None:
        self._paths = paths
        self.words = paths.logs / "supervisor.stderr"
        orders = {"config_file": str(paths.config_file), "state": str(paths.state), "demo": demo, "foreground": foreground}
        orders["allow_remote"] = allow_remote
        stderr = None if foreground else os.open(self.words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # -I: neither the working directory nor PYTHON* variables decide what code runs.
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-I", "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=not foreground,
                creationflags=0 if foreground else _APART,
            )
        finally:
            if stderr is not None:
                os.close(stderr)
        assert self.process.stdin is not None  # noqa: S101 - PIPE was asked for
        self.process.stdin.write(orjson.dumps(orders) + b"\n")
        self.process.stdin.close()

    def wait(self) -> SystemStatus:
        """Wait until every actor is ready, or has failed, or has been degraded for a while; return that account.

        Raises:
            CommandFailedError: the supervisor ended, or it took too long.

        """
        end = time.monotonic() + START_DEADLINE
        settling = Settling()
        rows: tuple[ActorRow, ...] = ()
        while time.monotonic() < end:
            if (code := self.process.poll()) not in (None, exits.ALREADY_RUNNING):
                raise self._ended(code)
            status = read_status(self._paths, complain=False) if code is None else running_status(self._paths, complain=False)
            if status is not None and (code is not None or status.pid == self.process.pid):
                rows = status.actors
                if settling.at_rest(rows):
                    return status
            time.sleep(_POLL)
        late = ", ".join(f"{row.actor} {row.state}" for row in rows if row.state not in SETTLED) or "no actor"
        raise CommandFailedError(
            f"not ready after {START_DEADLINE:.0f} s: {late}; it goes on trying (tabwire status; logs: {self._paths.logs})"
        )

    def _ended(self, code: int) -> CommandFailedError:
        reason = last_reason(self.words) or last_reason(self._paths.logs / "supervisor.log") or exits.meaning(code)
        return CommandFailedError(f"the supervisor ended: {reason}", code if code == exits.BAD_CONFIG else 1)


def last_reason(log: Path) -> str:
    """Return the reason that the last line of a JSON log gives, or nothing."""
    try:
        lines = log.read_bytes().splitlines()[-5:]
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("reason"), str):
            return str(entry["reason"])
    return ""


def stop(paths: Paths, process: psutil.Process) -> list[ActorRow]:
    """Ask the supervisor to stop and wait until it is gone; return its last account of its actors.

    Raises:
        CommandFailedError: it is not gone in time.

    """
    gone = _terminate(paths, process)
    end = time.monotonic() + STOP_DEADLINE
    while not gone():
        if time.monotonic() >= end:
            raise CommandFailedError(
                f"the supervisor (pid {process.pid}) did not stop within {STOP_DEADLINE:.0f} s; see {paths.logs}/supervisor.log"
            )
        time.sleep(_POLL)
    last = read_status(paths)
    return list(last.actors) if last is not None and last.pid == process.pid else []


def _terminate(paths: Paths, process: psutil.Process) -> Callable[[], bool]:
    """Ask exactly this process to end; return what tells whether it is gone."""
    if sys.platform == "win32":  # to terminate a process means to kill it there
        ask_to_stop(paths)
        return lambda: not process.is_running()
    if not hasattr(os, "pidfd_open"):
        process.terminate()
        return lambda: not process.is_running()
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return lambda: True
    try:
        if process.is_running():  # the same pid with the same start time, now that the pidfd holds on to it
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    finally:
        os.close(pidfd)
    return lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def gateway_origin(status: SystemStatus | None, config: Config) -> tuple[str, bool]:
    """Return where the gateway is, or will be, and whether it is up now."""
    origin = f"http://127.0.0.1:{config.gateway.port}"
    rows = status.actors if status is not None else ()
    up = any(row.actor == "gateway" and row.state in ("ready", "degraded") for row in rows)
    return origin, up
