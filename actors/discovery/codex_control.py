"""The control socket of Codex's shared daemon: connect, ask what ``codex_daemon`` wants to know, leave.

Owns the dialogue's bytes, its deadline, and the questions to the kernel that turn ports into processes. Must not know when it
is worth asking: whoever watches the daemon does, at each change of the threads or of the TUIs that it serves.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import anyio
from anyio.abc import SocketAttribute, SocketStream

from actors.discovery import codex_daemon, websocket
from actors.discovery.codex_daemon import DaemonRefusedError, Inquiry, Listening, Opening
from actors.probe.contract import Address, Peer
from schemas.identity import ProcessKey

CONTROL_SOCKET: Final = "app-server-control/app-server-control.sock"
DEADLINE: Final = 5.0
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class DaemonAnswer:
    """What a daemon answered; ``server`` is the pid of the process that listens at its control socket, says the kernel."""

    server: int
    inquiry: Inquiry


class DaemonSilentError(Exception):
    """The daemon could not be asked, or did not answer; the message says where and why."""


def control_socket(codex_home: Path) -> str:
    """Return where the daemon of a Codex home listens.

    Codex leaves a link there, which is resolved by us: a socket's path may have 107 bytes, and a home can be deeper.
    """
    return os.path.realpath(codex_home / CONTROL_SOCKET)


@runtime_checkable
class Kernel(Protocol):
    """What of a probe is needed here; only that of Linux has it yet, so ``isinstance`` tells whether it is worth asking."""

    def listener(self, address: Address) -> Peer | None:
        """Find the socket that listens at exactly this address."""

    def owner(self, peer: Peer, known: Iterable[int]) -> int | None:
        """Name the one process among ``known`` that holds a socket."""

    def server(self, connection: socket.socket) -> int:
        """Return the pid of the process that listens at the other end of a connected local socket."""


async def find_openings(
    kernel: Kernel,
    daemon: ProcessKey,
    codex_home: Path,
    *,
    tuis: Sequence[Listening],
    loaded: Mapping[str, float],
    version: str,
) -> tuple[Opening, ...]:
    """Find which of ``tuis`` opened which thread that ``daemon`` has loaded; the daemon must be proven alive by the caller.

    ``tuis`` are living Codex TUIs of this user, ``loaded`` says when the lock of each thread was made (both in seconds since
    the epoch), ``version`` is the daemon's.

    Raises:
        DaemonSilentError: it could not be asked, or another process listens at the control socket.
        ProbeError: the kernel could not be asked.

    """
    path = control_socket(codex_home)
    answer = await ask_daemon(path, version, kernel.server)
    if answer.server != daemon.pid:
        raise DaemonSilentError(f"at {path} listens process {answer.server}, not Codex's daemon {daemon.pid}")
    by_pid = {tui.process.pid: tui for tui in tuis}
    listening = {}
    for port in {one.port for one in codex_daemon.opened_threads(answer.inquiry)}:
        socket_ = kernel.listener((LOOPBACK, port))
        pid = None if socket_ is None else kernel.owner(socket_, by_pid)
        if pid is not None:
            listening[port] = by_pid[pid]
    return codex_daemon.openings(answer.inquiry, listening, loaded)


async def ask_daemon(
    path: str, version: str, server_of: Callable[[socket.socket], int], deadline: float = DEADLINE
) -> DaemonAnswer:
    """Ask a daemon which threads its TUIs opened; ``server_of`` asks the kernel who listens at the other end of a socket.

    Raises:
        DaemonSilentError: nobody listens, it does not speak as Codex does, or takes longer than ``deadline`` seconds.

    """
    try:
        with anyio.fail_after(deadline):
            async with await anyio.connect_unix(path) as stream:
                return DaemonAnswer(server_of(_raw(stream)), await _converse(stream, version))
    except TimeoutError as error:
        raise DaemonSilentError(f"Codex's daemon at {path} did not answer within {deadline} s") from error
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise DaemonSilentError(f"Codex's daemon at {path} cannot be asked: {error or type(error).__name__}") from error
    except (websocket.WebSocketError, DaemonRefusedError) as error:
        raise DaemonSilentError(f"Codex's daemon at {path}: {error}") from error


async def _converse(stream: SocketStream, version: str) -> Inquiry:
    key = os.urandom(16)
    await stream.send(websocket.upgrade_request(key))
    incoming = websocket.Incoming()
    inquiry, due = codex_daemon.begin(version)
    messages: tuple[websocket.Message, ...]
    while not inquiry.done:
        if incoming.upgraded:
            for message in due:
                await stream.send(websocket.frame(message, os.urandom(4)))
            due = ()
        incoming, messages = websocket.receive(incoming, await stream.receive(), key)
        for received in messages:
            if received.opcode == websocket.PING:
                await stream.send(websocket.frame(received.content, os.urandom(4), websocket.PONG))
            elif received.opcode == websocket.CLOSE:
                raise DaemonRefusedError("it closed the connection")
            elif received.opcode == websocket.TEXT:
                inquiry, more = codex_daemon.step(inquiry, received.content)
                due = (*due, *more)
    await stream.send(websocket.frame(b"", os.urandom(4), websocket.CLOSE))
    return inquiry


def _raw(stream: SocketStream) -> socket.socket:
    raw: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's
    return raw
