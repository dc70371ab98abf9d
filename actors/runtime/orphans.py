"""Ends and reaps the children that a process did not start: those it adopted, as ``hardening.adopt_orphans`` makes it do.

Only systems that give orphans to somebody have such children; elsewhere there is nothing to do.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Collection
from typing import Final

import psutil

DEADLINE: Final = 2.0
_NOBODY_ADOPTS: Final = sys.platform.startswith("win")


def end_adopted(known: Collection[int]) -> list[int]:
    """End every child of ours that is not in ``known``, and all that comes to light when they end; return the pids.

    Only while nothing is being started: a process is our child a moment before anybody knows it.
    """
    ended: list[int] = []
    end = time.monotonic() + DEADLINE
    while not _NOBODY_ADOPTS and (found := [child for child in psutil.Process().children() if child.pid not in known]):
        for child in found:
            with contextlib.suppress(psutil.NoSuchProcess):  # it was reaped meanwhile
                child.kill()
                ended.append(child.pid)
        psutil.wait_procs(found, DEADLINE)
        if time.monotonic() >= end:
            break
    return ended


def reap(known: Collection[int]) -> None:
    """Take the exit status of adopted processes, so that none stays a zombie; our own children have their own waiters.

    To be called by the thread that starts children, which alone knows them all.
    """
    while hasattr(os, "waitid"):
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        os.waitpid(ended.si_pid, os.WNOHANG)
