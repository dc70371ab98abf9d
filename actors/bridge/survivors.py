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


def signal_all(agent: int, number: int) -> None:
    """Send a signal to everything below this process, or as much of it as this system shows."""
    if sys.platform == "linux":
        for pid, started in _below(os.getpid()):
            _signal(pid, started, number)
    elif sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(agent, number)


def sweep(agent: int, deadline: float) -> int:
    """End everything below this process; return how many are left after ``deadline``. Who waits for the agent reaps it."""
    if sys.platform == "win32":
        return 0
    if sys.platform != "linux":
        signal_all(agent, signal.SIGKILL)
        return 0
    end = time.monotonic() + deadline
    while reap(agent):
        if time.monotonic() >= end:
            return sum(1 for _ in _below(os.getpid()))
        signal_all(agent, signal.SIGKILL)
        time.sleep(PAUSE)
    return 0


def reap(agent: int) -> bool:
    """Take the exit status of adopted children, never the agent's own; tell whether there are children left."""
    if sys.platform != "linux":
        return False
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid == agent:
                return True
            os.waitpid(ended.si_pid, os.WNOHANG)
        except ChildProcessError:
            return False


def _below(root: int) -> Iterator[tuple[int, int]]:
    """Yield pid and start of every living descendant, parents first."""
    from actors.probe.contract import ProbeError  # noqa: PLC0415 - on Linux only
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


def _signal(pid: int, started: int, number: int) -> None:
    """Send a signal to the very process that was seen; one that is gone, or another user's, is counted by who looks later."""
    from actors.probe.contract import ProbeError  # noqa: PLC0415 - as above
    from actors.probe.linux.pidfd import held  # noqa: PLC0415 - as above
    from actors.probe.linux.procfs import read_stat  # noqa: PLC0415 - as above

    with contextlib.suppress(ProbeError, ProcessLookupError, PermissionError), held(pid) as descriptor:
        if sys.platform == "linux" and read_stat(pid).started == started:
            signal.pidfd_send_signal(descriptor, number)
