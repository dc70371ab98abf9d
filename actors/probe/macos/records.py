"""What macOS' libproc writes about a process, turned into values. Pure.

The layout is ``struct proc_bsdinfo`` of ``sys/proc_info.h``, which is public and the same on Intel and Apple processors.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

SIZE: Final = 136
_HEAD: Final = struct.Struct("=6I")
_NAMES: Final = struct.Struct("=16s32s")
_NAMES_AT: Final = 48
_DEVICE: Final = struct.Struct("=I")
_DEVICE_AT: Final = 108
_STARTED: Final = struct.Struct("=QQ")
_STARTED_AT: Final = 120
_ZOMBIE: Final = 5
_NO_DEVICE: Final = 0xFFFF_FFFF
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """One process as the kernel keeps it; ``started`` in microseconds since the epoch, ``name`` may be cut."""

    pid: int
    parent: int
    user: int
    name: str
    started: int
    exited: bool
    has_terminal: bool


def parse(raw: bytes) -> Record:
    """Read a record.

    Raises:
        ValueError: not of the size that the header says.

    """
    if len(raw) != SIZE:
        raise ValueError(f"a process record of {len(raw)} bytes, not {SIZE}")
    _flags, status, _exit_status, pid, parent, user = _HEAD.unpack_from(raw)
    short, long = _NAMES.unpack_from(raw, _NAMES_AT)
    (device,) = _DEVICE.unpack_from(raw, _DEVICE_AT)
    seconds, micros = _STARTED.unpack_from(raw, _STARTED_AT)
    return Record(
        pid=pid,
        parent=parent,
        user=user,
        name=(long.split(b"\0")[0] or short.split(b"\0")[0]).decode("utf-8", "backslashreplace"),
        started=seconds * _MICRO + micros,
        exited=status == _ZOMBIE,
        has_terminal=device not in (0, _NO_DEVICE),
    )
