"""The fork server: ``python -I -m actors.supervisor.fork_server DESCRIPTOR``, started by the supervisor (``forks``).

Theory of operation
-------------------
Nearly all of an actor's start is the import of what every actor imports. This process does that once, and a start is
then a fork. It has one thread, no event loop, no socket but its channel, and nothing in its environment that not every
child may see, since whatever it knew would be in every child's memory. It ends with its channel, and dies with the
supervisor's main thread.

A request is a command that begins as this process's own did, ``python … -m``, and three descriptors: the stdin, stdout and
stderr of the child. It forks *twice*. The process in between ends at once, and Linux gives its child to the supervisor, the
subreaper of all; so exit code, pidfd, parent-death signal and the ladder that ends it are those of a child that the
supervisor had executed itself. The answer is the child's pid. It is given when the one in between has been reaped, hence
after the child has got its new parent.

The child closes all that is the server's and waits for the first bytes on its stdin, which the supervisor writes upon
that answer: its folder and environment. So they, a provider's key among them, never pass through this process, and the
parent-death signal that the child asks for next is about the right parent. A stdin that ends instead ends the child: the
supervisor is gone, or has given this server up. Then it runs its module as ``-m`` would have.

Must not know: which actors there are, supervision, the contract's lines.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import runpy
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from actors.runtime import hardening
from actors.supervisor import nameplate
from actors.supervisor.fork_words import (
    LENGTH,
    MAX_PACKET,
    decode_command,
    decode_surroundings,
    encode_pid,
    encode_refusal,
)
from actors.supervisor.owner import OWNER_VARIABLE

COMMON: Final = (
    "actors.probe",
    "actors.runtime.actor",
    "actors.runtime.checkpoint",
    "actors.runtime.launches",
    "anyio._backends._asyncio",
    "bus.client",
    "bus.outbox",
    "schemas.bridge_rows",
    "schemas.commands.bridges",
    "schemas.commands.gateway",
    "schemas.commands.registry",
    "schemas.provider_rows",
    "schemas.rows",
    "sqlite3",
    "zstandard",
)
"""What most actors load. What only one of them does it loads after its fork, while others load theirs."""

_STREAMS: Final = 3
_MODULE: Final = b"-m"


def main() -> None:
    """Load, then serve; in a child, live its life."""
    hardening.die_with_parent()
    gc.disable()
    for name in COMMON:
        importlib.import_module(name)
    gc.freeze()  # no collection shall look at it again, and so copy it, in any child
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        command = _serve(channel)
    if command:
        _become(command)


def _serve(channel: socket.socket) -> list[bytes]:
    """Answer requests until the channel ends, and return nothing; in a child return its command."""
    while True:
        packet, streams, _, _ = socket.recv_fds(channel, MAX_PACKET, _STREAMS)
        if not packet:
            return []
        try:
            child = _fork_twice()
        except OSError as error:
            answer = encode_refusal(error.strerror or str(error))
        else:
            if child is None:
                _take(streams)
                return decode_command(packet)
            answer = encode_pid(child)
        for stream in streams:
            os.close(stream)
        channel.send(answer)


def _fork_twice() -> int | None:
    """Fork a child that has another parent than this process; return its pid, and in the child None.

    Raises:
        OSError: there is no child.

    """
    told, telling = os.pipe()
    with os.fdopen(told, "rb", buffering=0) as answer, os.fdopen(telling, "wb", buffering=0) as ask:
        between = os.fork()
        if between == 0:
            child = _fork_or_end()
            if child:
                ask.write(b"%d" % child)
                os._exit(0)
            return None
        ask.close()
        os.waitpid(between, 0)
        pid = answer.read()
    if not pid:
        raise OSError("the second fork failed: too many processes, or too little memory")
    return int(pid)


def _fork_or_end() -> int:
    try:
        return os.fork()
    except OSError:
        os._exit(1)


def _take(streams: Sequence[int]) -> None:
    """Make the given descriptors the child's own; it leaves the session of the server as well."""
    os.setsid()  # a Ctrl-C in the supervisor's terminal is for the supervisor alone
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)


def _become(command: list[bytes]) -> None:
    """Be the child: wait for what it is told, then run its module."""
    folder, environ = decode_surroundings(_read(int.from_bytes(_read(LENGTH), "big")))
    hardening.die_with_parent()
    os.environb.clear()
    os.environb.update(environ)
    time.tzset()
    os.chdir(folder)
    with contextlib.suppress(OSError):  # a process list that says less costs nothing
        nameplate.show_command(b" ".join(command))
        nameplate.show_variable(OWNER_VARIABLE.encode(), environ.get(OWNER_VARIABLE.encode(), b""))
    gc.enable()
    sys.orig_argv = [os.fsdecode(word) for word in command]
    sys.argv = sys.orig_argv[command.index(_MODULE) + 1 :]
    if not sys.flags.safe_path:
        sys.path[0] = str(Path.cwd())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _read(size: int) -> bytes:
    """Read exactly so much from stdin and not a byte of what follows, or end with it."""
    read = bytearray()
    while len(read) < size:
        part = os.read(0, size - len(read))
        if not part:
            os._exit(0)
        read += part
    return bytes(read)


if __name__ == "__main__":
    main()
