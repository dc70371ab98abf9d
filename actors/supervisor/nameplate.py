"""What others read of this process in Linux' process lists: its command line, and one variable of its environment.

A forked process shows what its fork server was executed with. Both texts lie in its own memory, and the kernel looks there
each time somebody asks; so they are overwritten, as far as there is room. A command line in the way of nginx, sshd and
PostgreSQL: one text with spaces in it, and a last byte that is not NUL tells the kernel that it is one.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

_ARG_START: Final = 48  # the first of four in /proc/self/stat, counted from 1: arguments from, to, environment from, to
_STATE: Final = 3  # what follows the name, the one field that may hold anything


def show_command(command: bytes) -> None:
    """Show this command line, cut to the room that there is.

    Raises:
        OSError: this system does not say where it is.

    """
    start, end, _, _ = _areas()
    room = end - start
    ctypes.memmove(start, command[: room - 2].ljust(room - 1, b"\0") + b" ", room)


def show_variable(name: bytes, value: bytes) -> None:
    """Show this value of the last variable that this process was executed with, cut to its room.

    Only for a variable that has been set anew: until then the program itself reads it there.

    Raises:
        OSError: this system does not say where it is.

    """
    _, _, start, end = _areas()
    shown = ctypes.string_at(start, end - start)
    at = shown.rfind(b"\0" + name + b"=")
    if at < 0:
        raise OSError(f"{name.decode()} is not in the environment that this process was executed with")
    at += len(name) + 2
    room = len(shown) - at
    ctypes.memmove(start + at, value[: room - 1].ljust(room, b"\0"), room)


def _areas() -> tuple[int, int, int, int]:
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    first = _ARG_START - _STATE
    areas = tuple(int(field) for field in fields[first : first + 4])
    if len(areas) != 4 or 0 in areas:  # noqa: PLR2004 - as above
        raise OSError("/proc/self/stat does not say where arguments and environment are")
    return areas
