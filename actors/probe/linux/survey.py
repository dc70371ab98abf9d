"""Shallow looks at every process, and at the files that one holds open.

A glance reads the owner of ``/proc/<pid>``, one stat line and one link: some 15 µs, without holding the process, so it proves
nothing. Must not know which programs are interesting.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from actors.probe.contract import Glimpse, OpenFile, ProbeError
from actors.probe.linux import procfs

_LOCK = b"\nlock:"
_DELETED = " (deleted)"
_ROOT = 0


def glimpse(pid: int, user: int) -> Glimpse | None:
    """Glance at one process; None when it is gone."""
    folder = f"{procfs.PROC}/{pid}"
    try:
        owner = os.stat(folder).st_uid  # noqa: PTH116 - a Path would cost more than the system call
        with open(f"{folder}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            raw = file.read(4096) or b""
        found = procfs.parse_stat(raw)
    except (*procfs.UNREADABLE, ValueError):
        return None
    except OSError as error:
        raise procfs.failure(pid, error) from error
    if found.exited:
        return None
    try:
        program = os.readlink(f"{folder}/exe").removesuffix(_DELETED)  # noqa: PTH115 - as above
    except OSError:
        program = ""
    name = raw[raw.index(b"(") + 1 : raw.rindex(b")")].decode("utf-8", "backslashreplace")
    return Glimpse(
        pid=pid,
        parent=found.parent,
        started=found.started,
        image=found.image,
        program=program,
        name=name,
        ours=owner == user or (owner == _ROOT and not program and _effective_user(pid) == user),
    )


def survey(user: int) -> Iterator[Glimpse]:
    """Glance at every process.

    Raises:
        ProbeError: the table of processes cannot be read.

    """
    try:
        names = os.listdir(procfs.PROC)  # noqa: PTH208 - a Path per process would double the cost
    except OSError as error:
        raise ProbeError(f"the table of processes cannot be read: {error.strerror}") from error
    for name in names:
        if name.isdecimal() and (found := glimpse(int(name), user)) is not None:
            yield found


def open_files(pid: int, below: Sequence[str]) -> tuple[OpenFile, ...]:
    """Name the regular files below some folders that a process holds open. A removed file counts no more.

    Raises:
        ProbeError: the process is gone or may not be asked.

    """
    folders = tuple(f"{folder.rstrip('/')}/" for folder in below)
    found: dict[str, OpenFile] = {}
    try:
        directory = os.open(f"{procfs.PROC}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(directory):  # noqa: PTH208 - as above
                path = _file_at(directory, name, folders)
                if path is not None:
                    before = found.get(path, OpenFile(path, locked=False, written=False))
                    locked = before.locked or _is_locked(pid, name)
                    found[path] = OpenFile(path, locked, before.written or _is_written(directory, name))
        finally:
            os.close(directory)
    except OSError as error:
        raise procfs.failure(pid, error) from error
    return tuple(found[path] for path in sorted(found))


def _file_at(directory: int, name: str, folders: tuple[str, ...]) -> str | None:
    try:
        path = os.readlink(name, dir_fd=directory)
        if not path.startswith(folders) or path.endswith(_DELETED):
            return None
        return path if stat.S_ISREG(os.stat(name, dir_fd=directory).st_mode) else None
    except FileNotFoundError:
        return None  # closed meanwhile


def _is_written(directory: int, name: str) -> bool:
    """Tell whether a descriptor is open for writing, which is shown as a permission of its link."""
    try:
        return bool(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode & stat.S_IWUSR)
    except FileNotFoundError:
        return False


def _is_locked(pid: int, descriptor: str) -> bool:
    """Tell whether an exclusive lock belongs to a descriptor; a shared or waiting one does not count."""
    try:
        with open(f"{procfs.PROC}/{pid}/fdinfo/{descriptor}", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            lines = (file.read(4096) or b"").splitlines()
    except procfs.UNREADABLE:
        return False
    return any(line.startswith(b"lock:") and b" WRITE " in line and b"->" not in line for line in lines)


def _effective_user(pid: int) -> int | None:
    """Return whose a process is that only root may look into, as one is that is not dumpable."""
    try:
        return procfs.effective_user(pid)
    except OSError:
        return None
