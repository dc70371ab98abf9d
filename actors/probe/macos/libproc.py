"""The calls into macOS that Python has no words for: libproc and two names of this machine. Bytes in, values out."""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for macOS
from __future__ import annotations

import sys

assert sys.platform == "darwin", "these calls exist on macOS only; actors.probe.choose_probe() chooses"  # noqa: S101

import ctypes
import errno
import os
from typing import Final

from actors.probe.contract import ProbeError, ProcessGoneError, ProcessHiddenError
from actors.probe.macos import records
from actors.probe.macos.records import Record

_BSD_RECORD: Final = 3
_MAX_PATH: Final = 4096
_UUID: Final = 16

_system = ctypes.CDLL("/usr/lib/libSystem.dylib", use_errno=True)
_system.proc_pidinfo.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int)
_system.proc_pidinfo.restype = ctypes.c_int
_system.proc_pidpath.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
_system.proc_pidpath.restype = ctypes.c_int
_system.proc_listallpids.argtypes = (ctypes.c_void_p, ctypes.c_int)
_system.proc_listallpids.restype = ctypes.c_int
_system.sysctlbyname.argtypes = (
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.c_void_p,
    ctypes.c_size_t,
)
_system.sysctlbyname.restype = ctypes.c_int
_system.gethostuuid.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
_system.gethostuuid.restype = ctypes.c_int


class _Patience(ctypes.Structure):
    """``struct timespec``."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def record_of(pid: int) -> Record:
    """Read what the kernel keeps of a process, of an exited one too.

    Raises:
        ProcessGoneError: there is none.
        ProcessHiddenError: it may not be read.

    """
    buffer = ctypes.create_string_buffer(records.SIZE)
    got = _system.proc_pidinfo(pid, _BSD_RECORD, 1, buffer, records.SIZE)  # 1: of a zombie too
    if got != records.SIZE:
        code = ctypes.get_errno()
        if code == errno.EPERM:
            raise ProcessHiddenError(pid, "belongs to another user")
        raise ProcessGoneError(pid, "no such process")
    return records.parse(buffer.raw)


def program_of(pid: int) -> str:
    """Return the path of a program; nothing where it may not be read."""
    buffer = ctypes.create_string_buffer(_MAX_PATH)
    length = _system.proc_pidpath(pid, buffer, _MAX_PATH)
    return os.fsdecode(buffer.raw[:length]) if length > 0 else ""


def all_processes() -> tuple[int, ...]:
    """Return the pids of all processes.

    Raises:
        ProbeError: the kernel does not tell.

    """
    count = _system.proc_listallpids(None, 0)
    pids = (ctypes.c_int * (max(count, 0) + 256))()  # some may start meanwhile
    count = _system.proc_listallpids(pids, ctypes.sizeof(pids))
    if count <= 0:
        raise ProbeError(f"the table of processes cannot be read: {os.strerror(ctypes.get_errno())}")
    return tuple(pid for pid in pids[:count] if pid > 0)


def boot_session() -> str:
    """Return the id that the kernel draws at every start.

    Raises:
        ProbeError: the kernel does not tell.

    """
    buffer = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(buffer))
    if _system.sysctlbyname(b"kern.bootsessionuuid", buffer, ctypes.byref(size), None, 0):
        raise ProbeError(f"this boot has no name: {os.strerror(ctypes.get_errno())}")
    return buffer.value.decode()


def machine() -> bytes:
    """Return this machine's own id; nothing where it has none."""
    buffer = ctypes.create_string_buffer(_UUID)
    return b"" if _system.gethostuuid(buffer, ctypes.byref(_Patience(1, 0))) else buffer.raw
