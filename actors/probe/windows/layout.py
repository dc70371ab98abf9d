"""What a Windows process keeps in its memory, turned into values: its parameters, its environment, its user's id. Pure.

Theory of operation
-------------------
Every layout is that of the architecture's pointer width, 4 or 8 bytes; a 32-bit program on a 64-bit Windows (WOW64) has its
parameters in the 32-bit form. The offsets are those of the public symbols since Windows 7; ``tests/windows`` reads real
processes with them. Whatever a foreign process can write (its parameters, its environment) is read with bounds, and what
contradicts itself is a ``LayoutError``, never a guess.

Must not know how the bytes are got (``native``), nor what is believed of them.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, Self

Width = Literal[4, 8]
MAX_ENVIRONMENT: Final = 1 << 24  # bytes; Windows itself has no limit since Vista, a sane block has some 10 KB
POINTER: Final[dict[Width, struct.Struct]] = {4: struct.Struct("<I"), 8: struct.Struct("<Q")}
COUNT: Final = struct.Struct("<I")
LENGTHS: Final = struct.Struct("<HH")
_SID_HEAD: Final = struct.Struct(">BBHI")


class LayoutError(ValueError):
    """The bytes cannot be what they were asked for as; the text says what contradicts what."""


@dataclass(frozen=True, slots=True)
class ParametersForm:
    """Where things stand in a process's PEB and RTL_USER_PROCESS_PARAMETERS, for one pointer width."""

    width: Width
    peb_parameters: int
    folder: int
    command_line: int
    environment: int
    environment_size: int
    size: int

    def pointer(self, raw: bytes, at: int = 0) -> int:
        """Read a pointer, or a number of a pointer's width."""
        value: int = POINTER[self.width].unpack_from(raw, at)[0]
        return value


NATIVE_64: Final = ParametersForm(8, 0x20, folder=0x38, command_line=0x70, environment=0x80, environment_size=0x3F0, size=0x400)
NATIVE_32: Final = ParametersForm(4, 0x10, folder=0x24, command_line=0x40, environment=0x48, environment_size=0x290, size=0x298)


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a process's memory."""

    address: int
    length: int


@dataclass(frozen=True, slots=True)
class Parameters:
    """Where a process keeps its folder, its command line and its environment right now."""

    folder: Span
    command_line: Span
    environment: Span

    @classmethod
    def parse(cls, raw: bytes, form: ParametersForm) -> Self:
        """Read the places out of a process's parameters.

        Raises:
            LayoutError: cut short, or an environment of a size that none has.

        """
        if len(raw) < form.environment_size + form.width:
            raise LayoutError(f"process parameters of {len(raw)} bytes end before the size of the environment")
        size = form.pointer(raw, form.environment_size)
        if size > MAX_ENVIRONMENT:
            raise LayoutError(f"an environment of {size} bytes (at most {MAX_ENVIRONMENT} are read)")
        return cls(
            folder=_span(raw, form.folder, form),
            command_line=_span(raw, form.command_line, form),
            environment=Span(form.pointer(raw, form.environment), size),
        )


def _span(raw: bytes, at: int, form: ParametersForm) -> Span:
    """Read a UNICODE_STRING: two lengths, then, aligned, a pointer."""
    length, _ = LENGTHS.unpack_from(raw, at)
    return Span(form.pointer(raw, at + form.width), length)


def text(raw: bytes) -> str:
    """Read UTF-16; what is none (Windows checks no text) is shown by its bytes."""
    return raw.decode("utf-16-le", "backslashreplace")


def variables(block: bytes, wanted: Collection[str]) -> dict[str, str]:
    """Pick the wanted variables out of an environment; names match in any case and come back as they were wanted.

    The first of a repeated name counts. An empty entry ends the block; entries that begin with ``=`` are the folders of
    drives. Nothing else of the environment is kept.
    """
    names = {name.upper(): name for name in wanted}
    found: dict[str, str] = {}
    for entry in text(block).split("\0"):
        if not entry:
            break
        name, _, value = entry.partition("=")
        if known := names.get(name.upper()):
            found.setdefault(known, value)
    return found


def user_id(sid: bytes) -> str:
    """Write a security identifier as Windows does: ``S-1-5-21-…``.

    Raises:
        LayoutError: cut short.

    """
    if len(sid) < _SID_HEAD.size or len(sid) < _SID_HEAD.size + 4 * sid[1]:
        raise LayoutError(f"a security identifier of {len(sid)} bytes is cut short")
    revision, count, high, low = _SID_HEAD.unpack_from(sid)
    parts = struct.unpack_from(f"<{count}I", sid, _SID_HEAD.size)
    return "-".join(str(part) for part in ("S", revision, high << 32 | low, *parts))
