"""Files that are written whole and read by others at any time; the one place for how Windows differs in that.

Windows refuses to replace a file while somebody reads it, and to open one that is being replaced. Both are over in moments
here, so both are tried again, for ``PATIENCE`` seconds at most. Must not know what the files are.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

BINARY: Final = int(getattr(os, "O_BINARY", 0))
"""For ``os.open``: without it a descriptor changes line ends on Windows."""
PATIENCE: Final = 0.5
_PAUSE: Final = 0.005
_SHARES_NOT: Final = sys.platform.startswith("win")

T = TypeVar("T")


def put_in_place(draft: Path, target: Path) -> None:
    """Move ``draft`` over ``target``.

    Raises:
        OSError: the system refuses.

    """
    when_free(lambda: draft.replace(target))


def when_free(act: Callable[[], T]) -> T:
    """Do something with a file that others replace or read.

    Raises:
        OSError: what ``act`` raises; on Windows a PermissionError only when it lasts.

    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except PermissionError:
            if not _SHARES_NOT or time.monotonic() >= end:
                raise
        time.sleep(_PAUSE)
