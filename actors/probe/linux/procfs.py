"""The files of ``/proc/<pid>``: parsing, and reading with errors that say why.

Owns the formats. A read by itself proves nothing about *which* process it was; ``probe`` proves that around the reads.
Must not keep an environment: what is not in ``actors.probe.variables`` is forgotten within ``read_variables``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from actors.probe.contract import ProbeError, ProcessGoneError, ProcessHiddenError
from actors.probe.variables import VARIABLES

PROC = "/proc"
_DELETED = " (deleted)"
_CHUNK = 1 << 14  # below malloc's mmap threshold: a larger buffer costs more than what is read into it
_NAMES = sorted(name.encode() for name in VARIABLES)
_INITIALS = b"".join(sorted({name[:1] for name in _NAMES}))  # looked at before any name is: most variables fail already there
_VARIABLE = re.compile(rb"\0(?=[" + _INITIALS + rb"])(" + b"|".join(_NAMES) + rb")=([^\0]*)")
_FLAGS = re.compile(rb"^flags:\s*([0-7]+)", re.MULTILINE)
_ZOMBIE_STATES = frozenset("ZXx")
_O_CLOEXEC = os.O_CLOEXEC
_PTS_MAJORS = range(136, 144)
_PTS_PER_MAJOR = 256
UNREADABLE = (FileNotFoundError, ProcessLookupError, PermissionError)
_VT_MAJOR = 4
_VT_COUNT = 64


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``/proc/<pid>/stat`` says. ``image`` changes with every exec (where the environment of the program starts)."""

    state: str
    parent: int
    session: int
    tty: int
    started: int
    image: int

    @property
    def exited(self) -> bool:
        """Whether only the exit status is left."""
        return self.state in _ZOMBIE_STATES


def parse_stat(raw: bytes) -> Stat:
    """Read a stat line; the program's name in it may contain blanks, parentheses and newlines."""
    field = raw[raw.rindex(b")") + 2 :].split()
    return Stat(
        state=field[0].decode(),
        parent=int(field[1]),
        session=int(field[3]),
        tty=int(field[4]),
        started=int(field[19]),
        image=int(field[47]),
    )


def tty_name(device: int) -> str | None:
    """Name a terminal device as ``ps`` does; None for no terminal."""
    if device == 0:
        return None
    major = device >> 8 & 0xFFF
    minor = device & 0xFF | device >> 12 & 0xFFF00
    if major in _PTS_MAJORS:
        return f"pts/{(major - _PTS_MAJORS.start) * _PTS_PER_MAJOR + minor}"
    if major == _VT_MAJOR:
        return f"tty{minor}" if minor < _VT_COUNT else f"ttyS{minor - _VT_COUNT}"
    return f"char/{major}:{minor}"


def parse_arguments(raw: bytes) -> tuple[str, ...]:
    """Read a command line. The last NUL ends the last argument; a title written over the arguments is one argument."""
    return tuple(_text(part) for part in raw.rstrip(b"\0").split(b"\0")) if raw.strip(b"\0") else ()


def parse_variables(raw: bytes) -> dict[str, str]:
    """Read the variables that count out of an environment block; the first of a repeated name counts, as in getenv."""
    found: dict[str, str] = {}
    for name, value in _VARIABLE.findall(b"\0" + raw):
        found.setdefault(name.decode(), _text(value))
    return found


class StatFile:
    """The stat line of one process, to be read again and again: cheaper than by name, and never another process's."""

    def __init__(self, pid: int) -> None:
        """Open it.

        Raises:
            ProcessGoneError: there is no such process.
            ProbeError: it cannot be opened.

        """
        self._pid = pid
        try:
            self._file = os.open(f"{PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise failure(pid, error) from error

    def read(self) -> Stat:
        """Read it, of a zombie too.

        Raises:
            ProcessGoneError: the process is gone.

        """
        try:
            return parse_stat(os.pread(self._file, _CHUNK, 0))
        except OSError as error:
            raise failure(self._pid, error) from error

    def close(self) -> None:
        """Close it."""
        os.close(self._file)


def read_stat(pid: int) -> Stat:
    """Read a process's stat line, of a zombie too.

    Raises:
        ProcessGoneError: there is no such process.

    """
    try:
        return parse_stat(_read(f"{PROC}/{pid}/stat"))
    except OSError as error:
        raise failure(pid, error) from error


def read_arguments(pid: int) -> tuple[str, ...]:
    """Read a command line."""
    return parse_arguments(_read(f"{PROC}/{pid}/cmdline"))


def read_variables(pid: int) -> dict[str, str]:
    """Read the variables that count of a process, as they were when its program started."""
    return parse_variables(_read(f"{PROC}/{pid}/environ"))


def read_program(pid: int) -> str:
    """Read the resolved path of a program; a replaced file counts under its old name, a kernel thread has none."""
    try:
        return _link(f"{PROC}/{pid}/exe").removesuffix(_DELETED)
    except FileNotFoundError:
        return ""


def read_folder(pid: int) -> str | None:
    """Read the working directory; None when it was removed."""
    try:
        path = _link(f"{PROC}/{pid}/cwd")
    except FileNotFoundError:
        return None
    return None if path.endswith(_DELETED) else path


def processes_of(user: int | str) -> Iterator[int]:
    """Yield the processes whose folder belongs to a user; one that is not dumpable belongs to root here.

    Raises:
        ProbeError: the table of processes cannot be read.

    """
    try:
        with os.scandir(PROC) as entries:
            for entry in entries:
                try:
                    if entry.name.isdecimal() and entry.stat().st_uid == user:
                        yield int(entry.name)
                except UNREADABLE:
                    continue
    except OSError as error:
        raise ProbeError(f"the table of processes cannot be read: {error.strerror}") from error


def find_socket(pid: int, inode: int) -> int | None:
    """Search the descriptors of a process for a socket, the newest first; None when it has none such.

    Raises:
        OSError: gone, or not to be read.

    """
    wanted = f"socket:[{inode}]"
    folder = os.open(f"{PROC}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in reversed(os.listdir(folder)):  # noqa: PTH208 - a Path per descriptor would double the cost of the search
            try:
                if os.readlink(name, dir_fd=folder) == wanted:
                    return int(name)
            except FileNotFoundError:
                continue
    finally:
        os.close(folder)
    return None


def find_sockets(pid: int, wanted: Mapping[str, int]) -> list[int]:
    """Return which of many sockets a process holds; ``wanted`` has their inodes by what a descriptor of them links to.

    Raises:
        OSError: gone, or not to be read.

    """
    found = set()
    folder = os.open(f"{PROC}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - a Path per descriptor would double the cost of the search
            try:
                if (inode := wanted.get(os.readlink(name, dir_fd=folder))) is not None:
                    found.add(inode)
            except FileNotFoundError:
                continue
    finally:
        os.close(folder)
    return sorted(found)


def is_socket_at(pid: int, descriptor: int, inode: int) -> bool:
    """Tell whether that very descriptor is that socket; False also when it cannot be seen."""
    try:
        return os.readlink(b"/proc/%d/fd/%d" % (pid, descriptor)) == b"socket:[%d]" % inode  # noqa: PTH115 - as in _link
    except UNREADABLE:
        return False


def closes_on_exec(pid: int, descriptor: int) -> bool:
    """Tell whether a descriptor is closed by an exec, so that no other program can have inherited it.

    Raises:
        OSError: gone, or not to be read.

    """
    flags = _FLAGS.search(_read(f"{PROC}/{pid}/fdinfo/{descriptor}"))
    return flags is not None and bool(int(flags[1], 8) & _O_CLOEXEC)


def failure(pid: int, error: OSError) -> ProbeError:
    """Turn an error of the file system into what it says about the process, or about us (no descriptor left)."""
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return ProcessGoneError(pid, "no such process")
    if not isinstance(error, PermissionError):
        return ProbeError(f"process {pid} cannot be read: {error.strerror}")
    try:
        owner = effective_user(pid)
    except OSError:
        return ProcessGoneError(pid, "exited while it was read")
    if owner != os.geteuid():
        return ProcessHiddenError(pid, f"belongs to another user (uid {owner})")
    return ProcessHiddenError(pid, "protects its memory (not dumpable, or has privileges that we do not have)")


def effective_user(pid: int) -> int:
    """Return the effective uid; the owner of the folder would be root for a process that is not dumpable."""
    for line in _read(f"{PROC}/{pid}/status").splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[2])
    raise ProcessLookupError(pid)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        first = os.read(descriptor, _CHUNK)
        if len(first) < _CHUNK:
            return first
        chunks = [first]
        while chunk := os.read(descriptor, _CHUNK):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _link(path: str) -> str:
    return _text(os.readlink(path.encode()))  # noqa: PTH115 - a Path would cost more than the system call, and cannot be bytes


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
