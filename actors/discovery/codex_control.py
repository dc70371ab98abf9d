"""The control socket of Codex's shared daemon: connect, ask what ``codex_daemon`` wants to know, leave.

Owns the dialogue's bytes, its deadline, and the questions to the kernel that turn ports into processes. Blocking: for the
worker thread that looks at processes. Must not know when it is worth asking (``daemons``).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from actors.discovery import codex_daemon
from actors.discovery.codex_daemon import DaemonRefusedError, Inquiry, Listening, Opening
from actors.probe.contract import Address, Peer
from actors.runtime import websocket
from schemas.identity import ProcessKey

CONTROL_SOCKET: Final = "app-server-control/app-server-control.sock"
DEADLINE: Final = 2.0
LOOPBACK: Final = "127.0.0.1"
_VERSION: Final = "0.169.0"  # of the dialogue, which is that of this version of Codex
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class DaemonAnswer:
    """What a daemon answered; ``server`` is the pid of the process that listens at its control socket, says the kernel."""

    server: int
    inquiry: Inquiry


class DaemonSilentError(Exception):
    """The daemon could not be asked, or did not answer; the message says where and why."""


@runtime_checkable
class Kernel(Protocol):
    """What of a probe is needed here; only that of Linux has it yet, so ``isinstance`` tells whether it is worth asking."""

    def listener(self, address: Address) -> Peer | None:
        """Find the socket that listens at exactly this address."""

    def owner(self, peer: Peer, known: Iterable[int]) -> int | None:
        """Name the one process among ``known`` that holds a socket."""

    def server(self, connection: socket.socket) -> int:
        """Return the pid of the process that listens at the other end of a connected local socket."""


def find_openings(
    kernel: Kernel, daemon: ProcessKey, codex_home: str, tuis: Sequence[Listening], loaded: Mapping[str, float]
) -> tuple[Opening, ...]:
    """Find which of ``tuis`` opened which thread that ``daemon`` has loaded.

    ``tuis`` are living Codex TUIs of this user, ``loaded`` says when the lock of each thread was made (both in seconds since
    the epoch).

    Raises:
        DaemonSilentError: it could not be asked, or another process listens at the control socket.
        ProbeError: the kernel could not be asked.

    """
    path = control_socket(codex_home)
    answer = ask_daemon(path, kernel.server)
    if answer.server != daemon.pid:
        raise DaemonSilentError(f"at {path} listens process {answer.server}, not Codex's daemon {daemon.pid}")
    by_pid = {tui.process.pid: tui for tui in tuis}
    listening = {}
    for port in {one.port for one in codex_daemon.opened_threads(answer.inquiry)}:
        heard = kernel.listener((LOOPBACK, port))
        pid = None if heard is None else kernel.owner(heard, by_pid)
        if pid is not None:
            listening[port] = by_pid[pid]
    return codex_daemon.openings(answer.inquiry, listening, loaded, tuis)


def control_socket(codex_home: str) -> str:
    """Return where the daemon of a Codex home listens.

    Codex leaves a link there, which is resolved by us: a socket's path may have 107 bytes, and a home can be deeper.
    """
    return os.path.realpath(f"{codex_home}/{CONTROL_SOCKET}")


def ask_daemon(path: str, server_of: Callable[[socket.socket], int], deadline: float = DEADLINE) -> DaemonAnswer:
    """Ask a daemon which threads its TUIs opened; ``server_of`` asks the kernel who listens at the other end of a socket.

    Raises:
        DaemonSilentError: nobody listens, it does not speak as Codex does, or takes longer than ``deadline`` seconds.

    """
    if not hasattr(socket, "AF_UNIX"):
        raise DaemonSilentError(f"Codex's daemon at {path} cannot be asked: Python knows no such sockets on this system")
    try:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.settimeout(deadline)
            connection.connect(path)
            return DaemonAnswer(server_of(connection), _converse(connection, time.monotonic() + deadline))
    except TimeoutError as error:
        raise DaemonSilentError(f"Codex's daemon at {path} did not answer within {deadline} s") from error
    except OSError as error:
        raise DaemonSilentError(f"Codex's daemon at {path} cannot be asked: {error}") from error
    except (websocket.WebSocketError, DaemonRefusedError) as error:
        raise DaemonSilentError(f"Codex's daemon at {path}: {error}") from error


def _converse(connection: socket.socket, until: float) -> Inquiry:
    key = os.urandom(16)
    connection.sendall(websocket.upgrade_request(key))
    incoming = websocket.Incoming()
    inquiry, due = codex_daemon.begin(_VERSION)
    messages: tuple[websocket.Message, ...]
    while not inquiry.done:
        if incoming.upgraded:
            for message in due:
                connection.sendall(websocket.frame(message, os.urandom(4)))
            due = ()
        connection.settimeout(max(until - time.monotonic(), 0.001))
        received = connection.recv(_CHUNK)
        if not received:
            raise DaemonRefusedError("it closed the connection")
        incoming, messages = websocket.receive(incoming, received, key)
        for one in messages:
            if one.opcode == websocket.PING:
                connection.sendall(websocket.frame(one.content, os.urandom(4), websocket.PONG))
            elif one.opcode == websocket.CLOSE:
                raise DaemonRefusedError("it closed the connection")
            elif one.opcode == websocket.TEXT:
                inquiry, more = codex_daemon.step(inquiry, one.content)
                due = (*due, *more)
    connection.sendall(websocket.frame(b"", os.urandom(4), websocket.CLOSE))
    return inquiry
