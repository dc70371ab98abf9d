"""What the supervisor, its fork server and a child that was forked say to each other: pure grammar, the same for all ends.

    supervisor → server   one packet: the words of a command, each followed by NUL; with it the child's three descriptors
    server → supervisor   one packet: the child's pid in digits, or ``!`` and why there is none
    supervisor → child    the first of its stdin: four bytes of length, then its folder and each NAME=value, followed by NUL

NUL, because no argument, path or variable can hold one; and no codec, because whoever starts the server loads nothing for
it. Must not know: processes, descriptors, the contract's lines, which come later on the same stdin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

MAX_PACKET: Final = 64 * 1024
LENGTH: Final = 4
_NUL: Final = b"\0"
_REFUSAL: Final = b"!"


def encode_command(command: Sequence[bytes]) -> bytes:
    """Write the words of a command."""
    return _joined(command)


def decode_command(packet: bytes) -> list[bytes]:
    """Read the words of a command."""
    return packet.split(_NUL)[:-1]


def encode_pid(pid: int) -> bytes:
    """Write which child there is."""
    return b"%d" % pid


def encode_refusal(reason: str) -> bytes:
    """Write why there is none."""
    return _REFUSAL + reason.encode(errors="replace")[: MAX_PACKET - len(_REFUSAL)]


def decode_answer(packet: bytes) -> int | str:
    """Return the pid, or the reason why there is none."""
    return int(packet) if packet.isdigit() else packet.removeprefix(_REFUSAL).decode(errors="replace")


def encode_surroundings(folder: bytes, environ: Mapping[bytes, bytes]) -> bytes:
    """Write the working directory and the environment of a child, behind their length."""
    body = _joined([folder, *(name + b"=" + value for name, value in environ.items())])
    return len(body).to_bytes(LENGTH, "big") + body


def decode_surroundings(body: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Read what follows the length."""
    folder, *variables = body.split(_NUL)[:-1]
    return folder, {name: value for name, _, value in (variable.partition(b"=") for variable in variables)}


def _joined(parts: Sequence[bytes]) -> bytes:
    return b"".join(part + _NUL for part in parts)
