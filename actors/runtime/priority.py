"""Who goes first when processors are short: the gateway, which agents wait for, and after it whoever records and concludes.

Owns the priority of the calling process. Must not know which actor it is.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

BACKGROUND: Final = 5
"""Niceness of an actor that nobody waits for; a third of the weight of a process that was not asked to give way."""


def give_way() -> None:
    """Lower the priority of every thread of this process; those that they start later inherit it.

    Where there is no ``setpriority`` all processes stay equal.
    """
    if not hasattr(os, "setpriority"):
        return
    try:
        threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    except OSError:  # elsewhere than on Linux a priority is the process's, not a thread's
        threads = [0]
    for thread in threads:
        with contextlib.suppress(ProcessLookupError):  # a thread that has ended meanwhile
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(nice, BACKGROUND))
