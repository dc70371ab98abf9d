"""Finds and ends what actors leave behind: children of dead actors, and all that a killed supervisor had started.

Theory of operation
-------------------
Three nets, because each has holes. *Recorded keys*: every child's process key (pid, start, pidfd inode) is written to
``run/children.json`` before it is told anything; a key cannot belong to another process. *The mark*: every child has a
random value in its environment that all its descendants inherit, also those that left session and process group; only a
program that wipes its environment escapes it. *Adoption*: the supervisor is the subreaper of its descendants, so what an
actor leaves behind becomes the supervisor's child, whatever its environment says. Windows gives nobody's children to
anybody; there the supervisor's job (``actors.runtime.windows``) ends with the supervisor all that descends from it.

Before a process is ended, its start time is compared once more. Must not know supervision.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from actors.probe import Probe, ProcessGoneError
from actors.runtime.atomic import write_atomic
from actors.supervisor.owner import OWNER_VARIABLE
from schemas.codec import decode, encode
from schemas.identity import ProcessKey

DEADLINE = 2.0
_NOBODY_ADOPTS = sys.platform.startswith("win")
_CONSOLE = "conhost.exe"  # draws the console of one of our children and ends with it


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a supervisor had started: its run's mark and its children's keys."""

    run: str
    children: dict[str, ProcessKey]


def record(path: Path, recorded: Recorded) -> None:
    """Write down what runs."""
    write_atomic(path, encode(recorded), durable=False)


def sweep_previous(path: Path, probe: Probe) -> tuple[int, ...]:
    """End everything that an earlier supervisor left behind and forget its record; return the pids.

    Raises:
        OSError: the record exists and cannot be read.
        InvalidMessageError: the record is damaged; the file stays for inspection.

    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ()
    recorded = decode(raw, Recorded)
    ended = [key.pid for key in recorded.children.values() if _end_recorded(key, probe)]
    ended += sweep_marked(recorded.run + ".")
    path.unlink()
    return tuple(ended)


def sweep_marked(mark: str) -> list[int]:
    """End every process of ours whose mark starts with ``mark``; return the pids."""
    return _sweep(mark, psutil.pids)


def sweep_adopted(mark: str) -> list[int]:
    """End those of our adopted children that carry ``mark``, and what they leave to us in turn; return the pids."""
    if _NOBODY_ADOPTS:
        return sweep_marked(mark)
    return _sweep(mark, lambda: [child.pid for child in psutil.Process().children()])


def _sweep(mark: str, candidates: Callable[[], list[int]]) -> list[int]:
    """Go on until a whole look finds none: what dies may leave children of its own."""
    ended: list[int] = []
    end = time.monotonic() + DEADLINE
    while found := [pid for pid in candidates() if _end_marked(pid, mark)]:
        ended += found
        if time.monotonic() >= end:
            break
    return ended


def _end_recorded(key: ProcessKey, probe: Probe) -> bool:
    try:
        with probe.exit_watch(key) as watch:
            if watch.exited():
                return False
            return _end(psutil.Process(key.pid))
    except (ProcessGoneError, psutil.NoSuchProcess):
        return False


def _end_marked(pid: int, mark: str) -> bool:
    try:
        process = psutil.Process(pid)
        exempt = pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE or process.name() == _CONSOLE
        return not exempt and process.environ().get(OWNER_VARIABLE, "").startswith(mark) and _end(process)
    except (psutil.Error, OSError):  # gone, or somebody else's
        return False


def _end(process: psutil.Process) -> bool:
    """Kill a process and wait until it is gone. psutil compares its start time first."""
    process.kill()
    process.wait(DEADLINE)
    return True
