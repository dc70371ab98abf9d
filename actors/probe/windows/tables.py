"""The tables that Windows keeps, turned into values: connections with their owners, and processes. Pure.

Theory of operation
-------------------
Rows of connections have the same layout in every Windows; those of processes depend on the pointer width, 4 or 8 bytes, of
the program that asks. A connection is looked for by its bytes, so that a long table costs no more than a search in it.

Must not know how the bytes are got (``native``), nor what is believed of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from actors.probe.windows.layout import COUNT, LENGTHS, POINTER, LayoutError, Width, text

_STATE_LISTEN: Final = 2
_STATE_TIME_WAIT: Final = 11
_FILETIME_EPOCH: Final = 116_444_736_000_000_000  # 1970-01-01 in the units of FILETIME: 100 ns since 1601


# ---------------------------------------------------------------------------------------------------- connections


@dataclass(frozen=True, slots=True)
class TcpForm:
    """Where things stand in a row of one table of GetExtendedTcpTable; addresses are ``width`` bytes, ports big-endian."""

    size: int
    width: int
    state: int
    local: int
    local_port: int
    remote: int
    remote_port: int
    pid: int


IPV4: Final = TcpForm(size=24, width=4, state=0, local=4, local_port=8, remote=12, remote_port=16, pid=20)
IPV6: Final = TcpForm(size=56, width=16, state=48, local=0, local_port=20, remote=24, remote_port=44, pid=52)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection as the tables write it."""

    address: bytes
    port: bytes


def find_owner(table: bytes, form: TcpForm, source: End, destination: End) -> int | None:
    """Return the pid in the row of the socket at ``source`` that is connected to ``destination``.

    None when there is no such row, or nobody owns it any more (TIME_WAIT).

    Raises:
        LayoutError: the table says that it has more rows than it holds.

    """
    if not table:
        return None
    (count,) = COUNT.unpack_from(table)
    end = COUNT.size + count * form.size
    if end > len(table):
        raise LayoutError(f"a connection table of {len(table)} bytes claims {count} rows of {form.size} bytes")
    at = table.find(source.address, COUNT.size + form.local, end)
    while at >= 0:
        row, misplaced = divmod(at - COUNT.size - form.local, form.size)
        if not misplaced:
            pid = _owner_of_row(table, COUNT.size + row * form.size, form, source, destination)
            if pid is not None:
                return pid
        at = table.find(source.address, at + 1, end)
    return None


def _owner_of_row(table: bytes, row: int, form: TcpForm, source: End, destination: End) -> int | None:
    def part(offset: int, length: int) -> bytes:
        return table[row + offset : row + offset + length]

    if (
        part(form.local_port, 2) != source.port
        or part(form.remote_port, 2) != destination.port
        or part(form.remote, form.width) != destination.address
    ):
        return None
    (state,) = COUNT.unpack_from(table, row + form.state)
    (pid,) = COUNT.unpack_from(table, row + form.pid)
    return pid if pid and state not in (_STATE_LISTEN, _STATE_TIME_WAIT) else None


# ---------------------------------------------------------------------------------------------------- the process table


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One process in the system's table.

    ``created`` is a FILETIME, ``parent`` a number that may have been given to another, ``session`` the user's logon.
    """

    pid: int
    parent: int
    created: int
    name: str
    session: int


@dataclass(frozen=True, slots=True)
class _EntryForm:
    name: int
    name_pointer: int
    pid: int
    parent: int
    session: int
    size: int


_ENTRY: Final[dict[Width, _EntryForm]] = {
    4: _EntryForm(name=56, name_pointer=60, pid=68, parent=72, session=80, size=84),
    8: _EntryForm(name=56, name_pointer=64, pid=80, parent=88, session=100, size=104),
}
_CREATED: Final = 32
_CREATED_FORM: Final = struct.Struct("<q")


def process_table(raw: bytes, base: int, width: Width) -> Iterator[TableEntry]:
    """Read SystemProcessInformation out of a buffer that stood at the address ``base``; the idle process has no name.

    Raises:
        LayoutError: an entry or a name lies outside the buffer.

    """
    form = _ENTRY[width]
    pointer = POINTER[width]
    at = 0
    while True:
        if at + form.size > len(raw):
            raise LayoutError(f"an entry of the process table at {at} is not within its {len(raw)} bytes")
        length, _ = LENGTHS.unpack_from(raw, at + form.name)
        start = pointer.unpack_from(raw, at + form.name_pointer)[0] - base if length else 0
        if not 0 <= start <= len(raw) - length:
            raise LayoutError(f"a name in the process table at {at} is not within its {len(raw)} bytes")
        yield TableEntry(
            pid=pointer.unpack_from(raw, at + form.pid)[0],
            parent=pointer.unpack_from(raw, at + form.parent)[0],
            created=_CREATED_FORM.unpack_from(raw, at + _CREATED)[0],
            name=text(raw[start : start + length]),
            session=COUNT.unpack_from(raw, at + form.session)[0],
        )
        (step,) = COUNT.unpack_from(raw, at)
        if step == 0:
            return
        at += step


def wall_time_ns(filetime: int) -> int:
    """Turn a FILETIME into nanoseconds since 1970."""
    return (filetime - _FILETIME_EPOCH) * 100
