"""Reads what one Windows process says of itself, out of its own memory; and says in words why one may not be read."""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import sys

assert sys.platform == "win32", "processes are read in this way on Windows only; actors.probe.choose_probe() chooses"  # noqa: S101

import os
from collections.abc import Collection
from dataclasses import dataclass

from actors.probe.contract import ProbeError, ProcessGoneError, ProcessHiddenError
from actors.probe.windows import command_line, layout, native
from actors.probe.windows.layout import LayoutError, Parameters, ParametersForm
from actors.probe.windows.native import Handle, UnreadableMemoryError, open_process

LOOK = native.QUERY_LIMITED | native.SYNCHRONIZE
_READ = LOOK | native.READ_MEMORY
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Declared:
    """What a process declares: arguments, folder, and of its environment only what was asked for."""

    argv: tuple[str, ...]
    cwd: str | None
    variables: dict[str, str]


def open_living(pid: int) -> Handle:
    """Open a process to be read.

    Raises:
        ProcessGoneError: it has exited.
        ProcessHiddenError: it may not be read; the reason is in words for the user.

    """
    try:
        handle = native.own_handle() if pid == os.getpid() else open_process(pid, _READ)
    except ProcessHiddenError as error:
        raise ProcessHiddenError(pid, why_hidden(pid)) from error
    if handle.exited():
        handle.close()
        raise ProcessGoneError(pid, "has exited")
    return handle


def declared(handle: Handle, wanted: Collection[str]) -> Declared:
    """Read the parameters of a process, again when they moved meanwhile.

    Raises:
        ProcessGoneError: it ends, and its memory with it.
        ProcessHiddenError: there is nothing to be read that makes sense.
        ProbeError: Windows refuses for another reason.

    """
    problem = ""
    for _ in range(_TRIES):
        try:
            return _declared(handle, wanted)
        except (UnreadableMemoryError, LayoutError) as error:
            problem = str(error)
        if handle.exited():
            raise ProcessGoneError(handle.pid, "exited while it was read")
    raise ProcessHiddenError(handle.pid, f"its parameters cannot be read: {problem}")


def why_hidden(pid: int) -> str:
    """Say why a process may not be read, as far as Windows tells."""
    try:
        handle = open_process(pid, native.QUERY_LIMITED)
    except ProbeError:
        return "belongs to another user or to Windows itself"
    with handle:
        if handle.protected():
            return "is protected by Windows, which lets nobody read it"
        user, elevated = handle.user(), handle.elevated()
    ours = current_user()
    if user is not None and user != ours:
        return f"belongs to another user ({user})"
    if elevated or user is None:
        return "runs as administrator or as another user, and Tabwire does not: start Tabwire as administrator to see it"
    return "does not let its own user read it"


def current_user() -> str:
    """Return the security identifier of the user we run as.

    Raises:
        ProbeError: Windows does not tell.

    """
    user = native.own_handle().user()
    if user is None:
        raise ProbeError("Windows does not tell which user Tabwire runs as")
    return user


def _declared(handle: Handle, wanted: Collection[str]) -> Declared:
    form, at = _place(handle)
    raw = handle.read(at, form.size)
    parameters = Parameters.parse(raw, form)
    found = Declared(
        argv=command_line.split(_text(handle, parameters.command_line)),
        cwd=_folder(_text(handle, parameters.folder)),
        variables=layout.variables(_bytes(handle, parameters.environment), wanted),
    )
    if Parameters.parse(handle.read(at, form.size), form) != parameters:
        raise LayoutError("they moved while they were read")
    return found


def _place(handle: Handle) -> tuple[ParametersForm, int]:
    """Return in which form, and where, a process keeps its parameters."""
    _, peb = handle.parent_and_peb()
    wow64 = handle.peb_of_32_bit()
    if layout.NATIVE_32.width == native.POINTER_WIDTH:
        if not peb:
            raise ProcessHiddenError(handle.pid, "is a 64-bit program, and Tabwire runs in a 32-bit Python: use a 64-bit one")
        form = layout.NATIVE_32
    elif wow64:
        form, peb = layout.NATIVE_32, wow64
    else:
        form = layout.NATIVE_64
    if not peb:
        raise ProcessHiddenError(handle.pid, "has no parameters (a part of Windows itself)")
    at = form.pointer(handle.read(peb + form.peb_parameters, form.width))
    if not at:
        raise LayoutError("it has not been given its parameters yet")
    return form, at


def _bytes(handle: Handle, span: layout.Span) -> bytes:
    return handle.read(span.address, span.length)


def _text(handle: Handle, span: layout.Span) -> str:
    return layout.text(_bytes(handle, span))


def _folder(path: str) -> str | None:
    """Write a folder without the backslash that Windows keeps at its end, but for a drive's root."""
    bare = path.rstrip("\\")
    return f"{bare}\\" if bare.endswith(":") else bare or None
