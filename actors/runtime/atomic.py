"""One way to write a small file: whole or not at all, private from birth, on the disk before its name is."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from bus.into_place import BINARY, put_in_place


def write_atomic(
    path: Path, content: bytes, mode: int = 0o600, *, durable: bool = True, owner: tuple[int, int] | None = None
) -> None:
    """Replace ``path`` by ``content``: a new file with ``mode``, synced, renamed over the old one, its folder synced.

    Without ``durable`` nothing is synced: for what means nothing after a power cut, such as which processes run. ``owner``
    (user and group) is for a file that may belong to somebody else, and sets its exact ``mode`` with it.

    Raises:
        OSError: the folder is missing or not ours, or the disk refused; the old file is untouched then.

    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | BINARY, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:  # buffered: writes everything or raises, where os.write may write a part
            file.write(content)
            file.flush()
            if owner is not None:
                _give(descriptor, mode, owner)
            if durable:
                os.fsync(file.fileno())
        put_in_place(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if durable:
        _sync_folder(path.parent)


def _give(descriptor: int, mode: int, owner: tuple[int, int]) -> None:
    """Give a file the owner, if it is not that already, and then the mode that the process's mask may have narrowed."""
    if not hasattr(os, "fchown"):
        return
    facts = os.fstat(descriptor)
    if (facts.st_uid, facts.st_gid) != owner:
        os.fchown(descriptor, *owner)
    os.fchmod(descriptor, mode)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows cannot open folders and makes renames durable by itself."""
    flag = getattr(os, "O_DIRECTORY", None)
    if flag is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | flag)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
