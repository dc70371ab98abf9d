"""Finds and ends what an agent leaves behind: its tools and all that they started, double-forked ones too.

Theory of operation
-------------------
A bridge is the subreaper of its descendants (Linux): whatever loses its parent becomes the bridge's own child, whichever
session or group it put itself into. So the kernel itself says when nothing is left: the bridge has no child any more. Until
then the tree below the bridge is read from ``/proc`` and everything in it ended, again and again, since what dies may have
been about to start something. Each is ended through a process descriptor, after a second look at its start.

Windows has a Job Object around the bridge, which ends with it (``actors.runtime.windows``); a system that has neither (macOS)
is swept as far as the agent's own process group reaches. What starts processes faster than they can be ended, or belongs
to another user, survives and is counted. Must not know what an agent is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Final

PAUSE: Final = 0.01
_LOOKED_AT_IS_US: Final = sys.platform == "linux"


def signal_all(agent: int, number: int) -> int:
    """Send a signal to everything below this process; return to how many."""
    if sys.platform == "win32":
        return 0
    if not _LOOKED_AT_IS_US:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(agent, number)
        return 1
    return sum(_signal(pid, started, number) for pid, started in _below(os.getpid()))


def sweep(agent: int, deadline: float) -> int:
    """End everything below this process; return how many are left after ``deadline``. Who waits for the agent reaps it."""
    if sys.platform == "win32":
        return 0
    end = time.monotonic() + deadline
    while reap(agent):
        signal_all(agent, signal.SIGKILL)
        reap(agent)
        if not _LOOKED_AT_IS_US or time.monotonic() >= end:
            break
        time.sleep(PAUSE)
    return sum(1 for _ in _below(os.getpid())) if _LOOKED_AT_IS_US and reap(agent) else 0


def reap(agent: int) -> bool:
    """Take the exit status of adopted children, never the agent's own; tell whether there are children left."""
    if sys.platform == "win32":
        return False
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return True
            if ended.si_pid == agent:
                return True
            os.waitpid(ended.si_pid, os.WNOHANG)
        except ChildProcessError:
            return False


def _below(root: int) -> Iterator[tuple[int, int]]:
    """Yield pid and start of every living descendant, parents first."""
    from actors.probe.contract import ProbeError  # noqa: PLC0415 - as above
    from actors.probe.linux.procfs import read_stat  # noqa: PLC0415 - exists on Linux only

    children: dict[int, list[tuple[int, int]]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdecimal():
            with contextlib.suppress(ProbeError, ValueError):
                stat = read_stat(int(name))
                children.setdefault(stat.parent, []).append((int(name), 0 if stat.exited else stat.started))
    waiting = [root]
    while waiting:
        for pid, started in children.get(waiting.pop(0), ()):
            waiting.append(pid)
            if started:
                yield pid, started


def _signal(pid: int, started: int, number: int) -> bool:
    """Send a signal to the very process that was seen."""
    from actors.probe.contract import ProbeError  # noqa: PLC0415 - as above
    from actors.probe.linux.pidfd import held  # noqa: PLC0415 - exists on Linux only
    from actors.probe.linux.procfs import read_stat  # noqa: PLC0415 - exists on Linux only

    try:
        with held(pid) as descriptor:
            if read_stat(pid).started != started:
                return False
            signal.pidfd_send_signal(descriptor, number)
    except (ProbeError, ProcessLookupError, PermissionError):  # gone, or another user's: counted by who looks afterwards
        return False
    return True
