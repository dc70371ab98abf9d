"""The calls into Windows, declared once: kernel32, ntdll, iphlpapi, advapi32. Bytes and handles in, bytes and handles out.

Owns every ctypes signature of the probe and the meaning of error numbers. Must not know layouts (``layout``).
"""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import ctypes
import sys

assert sys.platform == "win32", "these calls exist on Windows only; actors.probe.choose_probe() chooses"  # noqa: S101

import os
import weakref
from collections.abc import Callable
from ctypes import wintypes
from types import TracebackType
from typing import Any, Final, Self

from actors.probe.contract import ProbeError, ProcessGoneError, ProcessHiddenError
from actors.probe.windows.layout import LayoutError, Width, user_id

SYNCHRONIZE: Final = 0x0010_0000
QUERY_LIMITED: Final = 0x1000
READ_MEMORY: Final = 0x0010
_TOKEN_QUERY: Final = 0x0008
_TOKEN_USER: Final = 1
_TOKEN_ELEVATION: Final = 20
_PROCESS_BASIC: Final = 0
_PROCESS_WOW64: Final = 26
_PROCESS_CONSOLE: Final = 49
_PROCESS_PROTECTION: Final = 61
_SYSTEM_PROCESSES: Final = 5
_TCP_CONNECTIONS_WITH_PIDS: Final = 4
_ACCESS_DENIED: Final = 5
_INVALID_PARAMETER: Final = 87
_INSUFFICIENT_BUFFER: Final = 122
_PARTIAL_COPY: Final = 299
_NO_ACCESS: Final = 998
_LENGTH_MISMATCH: Final = 0xC0000004
_BUFFER_TOO_SMALL: Final = 0xC0000023
_WAIT_OBJECT: Final = 0
_WAIT_TIMEOUT: Final = 258
_MAX_PATH: Final = 32_768
_MAX_TABLE: Final = 1 << 28
_TRIES: Final = 16
_ONLY_ONCE: Final = 0x8
_SAME_ACCESS: Final = 2
_INVALID_HANDLE: Final = wintypes.HANDLE(-1)
_BOOT_NUMBER: Final = 0x7FFE_02C4  # KUSER_SHARED_DATA.BootId, mapped into every process since Windows 8
POINTER_WIDTH: Final[Width] = 8 if ctypes.sizeof(ctypes.c_void_p) == 8 else 4  # noqa: PLR2004 - bytes

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
_iphlpapi = ctypes.WinDLL("iphlpapi")
_ntdll = ctypes.WinDLL("ntdll")

_Size = ctypes.POINTER(wintypes.DWORD)
WAIT_CALLBACK = ctypes.WINFUNCTYPE(None, ctypes.c_void_p, wintypes.BOOLEAN)


def _declare(library: ctypes.WinDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


_OpenProcess = _declare(_kernel32, "OpenProcess", wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_CloseHandle = _declare(_kernel32, "CloseHandle", wintypes.BOOL, wintypes.HANDLE)
_GetProcessId = _declare(_kernel32, "GetProcessId", wintypes.DWORD, wintypes.HANDLE)
_GetCurrentProcess = _declare(_kernel32, "GetCurrentProcess", wintypes.HANDLE)
_DuplicateHandle = _declare(
    _kernel32,
    "DuplicateHandle",
    wintypes.BOOL,
    wintypes.HANDLE,
    wintypes.HANDLE,
    wintypes.HANDLE,
    ctypes.POINTER(wintypes.HANDLE),
    wintypes.DWORD,
    wintypes.BOOL,
    wintypes.DWORD,
)
_Wait = _declare(_kernel32, "WaitForSingleObject", wintypes.DWORD, wintypes.HANDLE, wintypes.DWORD)
_GetProcessTimes = _declare(
    _kernel32, "GetProcessTimes", wintypes.BOOL, wintypes.HANDLE, *[ctypes.POINTER(wintypes.FILETIME)] * 4
)
_ImageName = _declare(
    _kernel32, "QueryFullProcessImageNameW", wintypes.BOOL, wintypes.HANDLE, wintypes.DWORD, wintypes.LPWSTR, _Size
)
_ReadProcessMemory = _declare(
    _kernel32,
    "ReadProcessMemory",
    wintypes.BOOL,
    wintypes.HANDLE,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_size_t),
)
_RegisterWait = _declare(
    _kernel32,
    "RegisterWaitForSingleObject",
    wintypes.BOOL,
    ctypes.POINTER(wintypes.HANDLE),
    wintypes.HANDLE,
    WAIT_CALLBACK,
    ctypes.c_void_p,
    wintypes.ULONG,
    wintypes.ULONG,
)
_UnregisterWait = _declare(_kernel32, "UnregisterWaitEx", wintypes.BOOL, wintypes.HANDLE, wintypes.HANDLE)
_OpenProcessToken = _declare(
    _advapi32, "OpenProcessToken", wintypes.BOOL, wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE)
)
_GetTokenInformation = _declare(
    _advapi32, "GetTokenInformation", wintypes.BOOL, wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD, _Size
)
_GetLengthSid = _declare(_advapi32, "GetLengthSid", wintypes.DWORD, ctypes.c_void_p)
_GetExtendedTcpTable = _declare(
    _iphlpapi,
    "GetExtendedTcpTable",
    wintypes.DWORD,
    ctypes.c_void_p,
    _Size,
    wintypes.BOOL,
    wintypes.ULONG,
    ctypes.c_int,
    wintypes.ULONG,
)
_NtQueryInformationProcess = _declare(
    _ntdll,
    "NtQueryInformationProcess",
    wintypes.ULONG,
    wintypes.HANDLE,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.ULONG,
    ctypes.POINTER(wintypes.ULONG),
)
_NtQuerySystemInformation = _declare(
    _ntdll,
    "NtQuerySystemInformation",
    wintypes.ULONG,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.ULONG,
    ctypes.POINTER(wintypes.ULONG),
)


class _BasicFacts(ctypes.Structure):
    """PROCESS_BASIC_INFORMATION; pointers and numbers of pointer width, so right for both."""

    _fields_ = (
        ("exit_status", ctypes.c_long),
        ("peb", ctypes.c_void_p),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_long),
        ("pid", ctypes.c_size_t),
        ("parent", ctypes.c_size_t),
    )


class UnreadableMemoryError(OSError):
    """A place in a process's memory that cannot be read, or not whole: it changed meanwhile, or the process is ending."""


class Handle:
    """A hold on one process: as long as it lives, the pid is that process's and nobody else's."""

    def __init__(self, pid: int, value: int) -> None:
        self.pid = pid
        self.value = value
        self._closing = weakref.finalize(self, _CloseHandle, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go; doing so twice does nothing."""
        self._closing()

    def exited(self) -> bool:
        """Tell whether the process has exited. Its exit code would not: 259 means "still active" and is a code like any."""
        answer = _Wait(self.value, 0)
        if answer not in (_WAIT_OBJECT, _WAIT_TIMEOUT):
            raise ProbeError(f"process {self.pid} cannot be waited for: {last_error()}")
        return bool(answer == _WAIT_OBJECT)

    def created(self) -> int:
        """Return the FILETIME at which the process was created."""
        times = [wintypes.FILETIME() for _ in range(4)]
        if not _GetProcessTimes(self.value, *[ctypes.byref(time) for time in times]):
            raise ProbeError(f"the times of process {self.pid} cannot be read: {last_error()}")
        return int(times[0].dwHighDateTime) << 32 | int(times[0].dwLowDateTime)

    def program(self) -> str:
        """Return the path of the program."""
        size = wintypes.DWORD(_MAX_PATH)
        name = ctypes.create_unicode_buffer(size.value)
        if not _ImageName(self.value, 0, name, ctypes.byref(size)):
            raise ProbeError(f"the program of process {self.pid} cannot be read: {last_error()}")
        return "".join(name[: size.value])

    def parent_and_peb(self) -> tuple[int, int]:
        """Return the pid of the process that started this one (it may be anybody's by now) and the address of its PEB."""
        facts = _BasicFacts()
        status = _NtQueryInformationProcess(self.value, _PROCESS_BASIC, ctypes.byref(facts), ctypes.sizeof(facts), None)
        if status:
            raise ProbeError(f"process {self.pid} cannot be asked for its parent: status {status:#x}")
        return int(facts.parent), int(facts.peb or 0)

    def peb_of_32_bit(self) -> int:
        """Return the address of the 32-bit PEB of a 32-bit program on a 64-bit Windows; 0 for any other."""
        return self._number(_PROCESS_WOW64) or 0

    def console(self) -> int:
        """Return the pid of the process that draws this one's console; 0 when it has none, or Windows does not tell."""
        return (self._number(_PROCESS_CONSOLE) or 0) & ~3  # the two lowest bits are flags

    def protected(self) -> bool:
        """Tell whether Windows lets nobody read this process, administrators included."""
        level = ctypes.c_ubyte()
        status = _NtQueryInformationProcess(self.value, _PROCESS_PROTECTION, ctypes.byref(level), 1, None)
        return not status and bool(level.value)

    def read(self, address: int, length: int) -> bytes:
        """Read its memory.

        Raises:
            UnreadableMemoryError: not there, or not all of it.

        """
        if not length:
            return b""
        buffer = ctypes.create_string_buffer(length)
        got = ctypes.c_size_t()
        if not _ReadProcessMemory(self.value, address, buffer, length, ctypes.byref(got)) or got.value != length:
            code = ctypes.get_last_error()
            if code not in (0, _PARTIAL_COPY, _NO_ACCESS):
                raise ProbeError(f"the memory of process {self.pid} cannot be read: {ctypes.FormatError(code).strip()}")
            raise UnreadableMemoryError(code, f"{length} bytes at {address:#x} of process {self.pid}")
        return buffer.raw

    def user(self) -> str | None:
        """Return the security identifier of its user; None when we may not know."""
        raw = self._token(_TOKEN_USER)
        if raw is None:
            return None
        at = int.from_bytes(raw[1][:POINTER_WIDTH], "little") - raw[0]
        try:
            return user_id(raw[1][at:])
        except LayoutError as error:
            raise ProbeError(f"the user of process {self.pid}: {error}") from error

    def elevated(self) -> bool | None:
        """Tell whether it runs as administrator; None when we may not know."""
        raw = self._token(_TOKEN_ELEVATION)
        return None if raw is None else any(raw[1])

    def _number(self, question: int) -> int | None:
        value = ctypes.c_size_t()
        status = _NtQueryInformationProcess(self.value, question, ctypes.byref(value), ctypes.sizeof(value), None)
        return None if status else int(value.value)

    def _token(self, question: int) -> tuple[int, bytes] | None:
        """Ask the process's token; return where the answer stood and the answer."""
        token = wintypes.HANDLE()
        if not _OpenProcessToken(self.value, _TOKEN_QUERY, ctypes.byref(token)):
            return None
        try:
            buffer = ctypes.create_string_buffer(256)
            size = wintypes.DWORD()
            if not _GetTokenInformation(token, question, buffer, len(buffer), ctypes.byref(size)):
                return None
            return ctypes.addressof(buffer), buffer.raw[: size.value]
        finally:
            _CloseHandle(token)


def open_process(pid: int, access: int) -> Handle:
    """Open a process.

    Raises:
        ProcessGoneError: there is none with that number.
        ProcessHiddenError: Windows refuses that access to us.
        ProbeError: we are short of something ourselves.

    """
    value = _OpenProcess(access, False, pid)  # noqa: FBT003 - bInheritHandle
    if not value:
        code = ctypes.get_last_error()
        if code == _INVALID_PARAMETER:
            raise ProcessGoneError(pid, "no such process")
        if code == _ACCESS_DENIED:
            raise ProcessHiddenError(pid, "may not be read by us")
        raise ProbeError(f"process {pid} cannot be opened: {ctypes.FormatError(code).strip()}")
    handle = Handle(pid, value)
    if _GetProcessId(handle.value) != pid:  # Windows rounds a number down to the next process's
        handle.close()
        raise ProcessGoneError(pid, "the number of no process")
    return handle


def own_handle() -> Handle:
    """Return a handle to the calling process; not opened but copied, as it may keep everybody from opening it."""
    this, copy = _GetCurrentProcess(), wintypes.HANDLE()
    if not _DuplicateHandle(this, this, this, ctypes.byref(copy), 0, False, _SAME_ACCESS) or not copy.value:  # noqa: FBT003
        raise ProbeError(f"this process cannot be held: {last_error()}")
    return Handle(os.getpid(), copy.value)


def connections(family: int) -> bytes:
    """Return the table of TCP connections of an address family, with the pids of those who opened them.

    Raises:
        ProbeError: Windows does not give it.

    """
    size = wintypes.DWORD(1 << 14)
    for _ in range(_TRIES):  # the table may grow between two calls
        buffer = ctypes.create_string_buffer(size.value)
        code = _GetExtendedTcpTable(buffer, ctypes.byref(size), False, family, _TCP_CONNECTIONS_WITH_PIDS, 0)  # noqa: FBT003
        if code == 0:
            return buffer.raw
        if code != _INSUFFICIENT_BUFFER or size.value > _MAX_TABLE:
            raise ProbeError(f"the table of connections cannot be read: {ctypes.FormatError(code).strip()}")
        size.value += size.value // 4
    raise ProbeError(f"the table of connections outgrew {_TRIES} attempts to read it")


def processes() -> tuple[bytes, int]:
    """Return the system's table of processes and the address at which it was written (its names are pointers).

    Raises:
        ProbeError: Windows does not give it.

    """
    size = wintypes.ULONG(1 << 18)
    for _ in range(_TRIES):
        buffer = ctypes.create_string_buffer(size.value)
        status = _NtQuerySystemInformation(_SYSTEM_PROCESSES, buffer, len(buffer), ctypes.byref(size))
        if status == 0:
            return buffer.raw[: size.value or len(buffer)], ctypes.addressof(buffer)
        if status not in (_LENGTH_MISMATCH, _BUFFER_TOO_SMALL) or size.value > _MAX_TABLE:
            raise ProbeError(f"the table of processes cannot be read: status {status:#x}")
        size.value = max(size.value, len(buffer)) * 5 // 4
    raise ProbeError(f"the table of processes outgrew {_TRIES} attempts to read it")


def boot_number() -> int:
    """Return the number that Windows counts up at every start; 0 where it does not."""
    return ctypes.c_uint32.from_address(_BOOT_NUMBER).value


def is_wine() -> bool:
    """Tell Wine by the function with which it says so."""
    return hasattr(_ntdll, "wine_get_version")


def when_ended(handle: Handle, tell: Callable[[], None]) -> Callable[[], None]:
    """Call ``tell`` once, in a thread of Windows' pool, when a process ends; return what ends this, and waits for ``tell``.

    Raises:
        ProbeError: Windows is short of something.

    """
    callback = WAIT_CALLBACK(lambda _context, _timed_out: tell())
    registered = wintypes.HANDLE()
    if not _RegisterWait(ctypes.byref(registered), handle.value, callback, None, 0xFFFFFFFF, _ONLY_ONCE):
        raise ProbeError(f"process {handle.pid} cannot be watched: {last_error()}")

    def cancel(_kept: Any = callback) -> None:  # the callback must live for as long as it may be called
        _UnregisterWait(registered, _INVALID_HANDLE)

    return cancel


def last_error() -> str:
    """Say in Windows' words why the last call failed."""
    return ctypes.FormatError(ctypes.get_last_error()).strip()
