"""Values that must turn up nowhere but where tests put them, and the search for them.

Every key of a provider and every token of a wider door that a test makes up begins with one of these marks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

KEY: Final = "sk-canary-"
TOKEN: Final = "tok-canary-"
MARKS: Final = (KEY.encode(), TOKEN.encode())

_PIECE: Final = 1 << 20
_MOST: Final = 64 << 20  # of one file; what is larger was made to be large
# Where a key may stand: files that hold nothing else, and what an agent keeps of its own login.
_HOLDERS: Final = (".key", ".keys")
_HOLDER_NAMES: Final = frozenset({"key", "tokens", "auth.json", "oauth_creds.json", ".credentials.json", "keyring_pass.cfg"})


def hits(folder: Path, marks: Iterable[bytes] = MARKS) -> Iterator[Path]:
    """Find the files below a folder that hold a mark where none may be; what cannot be read, or is no file, holds none."""
    wanted = tuple(marks)
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not Path(place, name).is_symlink()]
        for name in names:
            path = Path(place, name)
            if name not in _HOLDER_NAMES and not name.endswith(_HOLDERS) and holds(path, wanted):
                yield path


def holds(path: Path, marks: Iterable[bytes]) -> bool:
    """Tell whether a file holds one of the marks."""
    wanted = tuple(marks)
    overlap = max(map(len, wanted)) - 1
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        before, read = b"", 0
        while read < _MOST and (piece := file.read(_PIECE)):
            read += len(piece)
            text = before + piece
            if any(mark in text for mark in wanted):
                return True
            before = text[-overlap:]
    return False
