"""What Windows can be asked for so that secrets stay in and children do not outlive their owner.

A Job Object with kill-on-close holds a process and everything that it, and they, ever start; when its last handle goes, by
whatever death of its holder, the kernel ends them all. An access list on the process keeps its memory from programs of the
same user: its owner's implicit right to change that list is taken away with it.

Each call returns an empty string when the protection holds and otherwise the reason why it does not, fit for a log line.
"""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import sys

assert sys.platform == "win32", "these protections are Windows'; actors.runtime.hardening chooses"  # noqa: S101

import ctypes
from ctypes import wintypes
from typing import Any, Final

_EXTENDED_LIMITS: Final = 9
_KILL_ON_JOB_CLOSE: Final = 0x2000
_DACL: Final = 4
_SDDL_REVISION: Final = 1
_TOKEN_QUERY: Final = 8
_TOKEN_USER: Final = 1
# Its user may see that it runs, wait for its end, end it and read this list, and so may its owner (who could do more, were it
# not said here); only Windows itself may do more.
_ACCESS: Final = "D:P(A;;0x121001;;;{user})(A;;0x121001;;;OW)(A;;GA;;;SY)"

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
_job: list[int] = []  # held until this process ends


class _BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("process_time", ctypes.c_longlong),
        ("job_time", ctypes.c_longlong),
        ("flags", wintypes.DWORD),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority", wintypes.DWORD),
        ("scheduling", wintypes.DWORD),
    )


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("basic", _BasicLimits),
        ("counters", ctypes.c_ulonglong * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


def _declare(library: ctypes.WinDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


_GetCurrentProcess = _declare(_kernel32, "GetCurrentProcess", wintypes.HANDLE)
_CloseHandle = _declare(_kernel32, "CloseHandle", wintypes.BOOL, wintypes.HANDLE)
_LocalFree = _declare(_kernel32, "LocalFree", ctypes.c_void_p, ctypes.c_void_p)
_CreateJob = _declare(_kernel32, "CreateJobObjectW", wintypes.HANDLE, ctypes.c_void_p, wintypes.LPCWSTR)
_SetJob = _declare(
    _kernel32, "SetInformationJobObject", wintypes.BOOL, wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD
)
_AssignToJob = _declare(_kernel32, "AssignProcessToJobObject", wintypes.BOOL, wintypes.HANDLE, wintypes.HANDLE)
_IsInJob = _declare(_kernel32, "IsProcessInJob", wintypes.BOOL, wintypes.HANDLE, wintypes.HANDLE, ctypes.POINTER(wintypes.BOOL))
_SetSecurity = _declare(_advapi32, "SetKernelObjectSecurity", wintypes.BOOL, wintypes.HANDLE, wintypes.DWORD, ctypes.c_void_p)
_ParseSecurity = _declare(
    _advapi32,
    "ConvertStringSecurityDescriptorToSecurityDescriptorW",
    wintypes.BOOL,
    wintypes.LPCWSTR,
    wintypes.DWORD,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(wintypes.ULONG),
)
_OpenToken = _declare(
    _advapi32, "OpenProcessToken", wintypes.BOOL, wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE)
)
_AskToken = _declare(
    _advapi32,
    "GetTokenInformation",
    wintypes.BOOL,
    wintypes.HANDLE,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.DWORD),
)
_WriteSid = _declare(_advapi32, "ConvertSidToStringSidW", wintypes.BOOL, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p))


def enclose() -> str:
    """Hold this process and all that it will ever start in a job that ends with this process."""
    job = _CreateJob(None, None)
    if not job:
        return f"no Job Object can be made: {_reason()}"
    limits = _Limits()
    limits.basic.flags = _KILL_ON_JOB_CLOSE
    if not _SetJob(job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)):
        reason = f"the Job Object cannot be told to end with its holder: {_reason()}"
    elif not _AssignToJob(job, _GetCurrentProcess()):
        reason = f"this process cannot be put into a Job Object: {_reason()}"
    else:
        _job.append(job)
        return ""
    _CloseHandle(job)
    return reason


def enclosed() -> str:
    """Tell whether a job holds this process, as the supervisor's does its children."""
    held = wintypes.BOOL()
    if not _IsInJob(_GetCurrentProcess(), None, ctypes.byref(held)):
        return f"whether a Job Object holds this process cannot be told: {_reason()}"
    return "" if held.value else "no Job Object holds this process: only the end of its stdin tells it that its owner died"


def forbid_inspection() -> str:
    """Keep this process's memory from others of the same user."""
    user = _own_user()
    if user is None:
        return f"the user of this process cannot be read: {_reason()}"
    descriptor = ctypes.c_void_p()
    if not _ParseSecurity(_ACCESS.format(user=user), _SDDL_REVISION, ctypes.byref(descriptor), None):
        return f"the access list of this process cannot be made: {_reason()}"
    try:
        if not _SetSecurity(_GetCurrentProcess(), _DACL, descriptor):
            return f"the access list of this process cannot be set: {_reason()}"
    finally:
        _LocalFree(descriptor)
    return ""


def _own_user() -> str | None:
    """Return the security identifier of the user we run as."""
    token, written, size = wintypes.HANDLE(), ctypes.c_void_p(), wintypes.DWORD()
    answer = ctypes.create_string_buffer(256)
    if not _OpenToken(_GetCurrentProcess(), _TOKEN_QUERY, ctypes.byref(token)):
        return None
    try:
        if not _AskToken(token, _TOKEN_USER, answer, len(answer), ctypes.byref(size)):
            return None
        if not _WriteSid(ctypes.c_void_p.from_buffer(answer), ctypes.byref(written)):
            return None
    finally:
        _CloseHandle(token)
    try:
        return ctypes.wstring_at(written.value or 0)
    finally:
        _LocalFree(written)


def _reason() -> str:
    return ctypes.FormatError(ctypes.get_last_error()).strip()
