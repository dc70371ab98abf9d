"""When a shared daemon is asked about its TUIs: at changes, again while something is not known, and otherwise never."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import sha1
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from actors.discovery.daemons import Client, Daemons, Server
from actors.probe.contract import Address, Peer
from actors.runtime import websocket
from schemas.identity import ProcessKey
from tests.discovery.codex_daemon import FIRST, Daemon

DAEMON = ProcessKey(host="h", boot="b", pid=41, started=1)
TUI = ProcessKey(host="h", boot="b", pid=42, started=2)


class Kernel:
    """The kernel's answers, of which one can be changed."""

    def __init__(self) -> None:
        self.server_pid = DAEMON.pid
        self.listening = {38537: TUI.pid}

    def listener(self, address: Address) -> Peer | None:
        return Peer(inode=address[1], uid=0) if address[1] in self.listening else None

    def owner(self, peer: Peer, known: Iterable[int]) -> int | None:
        pid = self.listening[peer.inode]
        return pid if pid in known else None

    def server(self, connection: socket.socket) -> int:
        assert connection.getpeername()
        return self.server_pid


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, _: str, *, reason: str) -> None:
        self.said.append(reason)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def serve(listener: socket.socket, daemon: Daemon) -> None:
    """Answer on a real local socket, one connection after the other, until it is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with closing(connection):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split(b": ")[1]
            proof = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455 names it
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n")
            while (request := _read(connection)) is not None:
                if "id" in request:
                    content = json.dumps(daemon.answer(request)).encode()
                    connection.sendall(b"\x81\x7e" + len(content).to_bytes(2, "big") + content)


def _read(connection: socket.socket) -> dict[str, Any] | None:
    head = connection.recv(2, socket.MSG_WAITALL)
    if len(head) < 2 or head[0] & 0x0F == websocket.CLOSE:
        return None
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
    mask = connection.recv(4, socket.MSG_WAITALL)
    masked = connection.recv(size, socket.MSG_WAITALL) if size else b""
    request: dict[str, Any] = json.loads(bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)))
    return request


@pytest.fixture
def home() -> Iterator[Path]:
    with TemporaryDirectory() as short:  # a socket's path has 107 characters at most
        folder = Path(short)
        (folder / "app-server-control").mkdir()
        (folder / "lock").touch()
        yield folder


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    answers = Daemon({FIRST: "http://127.0.0.1:38537"})
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(home / "app-server-control/app-server-control.sock"))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener, answers))
        thread.start()
        yield answers
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


class Scene:
    def __init__(self, home: Path) -> None:
        self.kernel, self.log, self.clock = Kernel(), Log(), Clock()
        self.daemons = Daemons(self.kernel, self.log, self.clock)
        self.locks = {FIRST: str(home / "lock")}
        self.clients = [Client(TUI, str(home), 1.0)]
        self.home = str(home)

    def update(self) -> frozenset[ProcessKey]:
        return self.daemons.update([Server(DAEMON, self.home, self.locks)], self.clients)


def test_it_is_asked_once_and_again_only_when_threads_or_tuis_change(home: Path, daemon: Daemon) -> None:
    scene = Scene(home)
    assert scene.update() == {TUI}
    (holding,) = scene.daemons.of(TUI)
    assert (holding.session, [one.kind for one in holding.evidence]) == (f"codex-{FIRST}", ["codex_daemon"])
    asked = len(daemon.asked)
    for _ in range(3):
        scene.clock.now += 100.0
        assert scene.update() == frozenset()
    assert len(daemon.asked) == asked

    scene.clients = []
    assert scene.update() == {TUI}
    assert scene.daemons.of(TUI) == ()
    assert len(daemon.asked) == asked


def test_while_an_opener_is_not_known_it_is_asked_less_and_less_often(home: Path, daemon: Daemon) -> None:
    scene = Scene(home)
    scene.kernel.listening = {}
    times = 0
    for _ in range(400):
        before = len(daemon.asked)
        assert scene.update() == frozenset()
        times += len(daemon.asked) > before
        scene.clock.now += 0.5
    assert 8 <= times <= 14
    scene.kernel.listening = {38537: TUI.pid}
    scene.clock.now += 60
    assert scene.update() == {TUI}


def test_whoever_else_listens_at_the_control_socket_is_not_believed(home: Path, daemon: Daemon) -> None:
    scene = Scene(home)
    scene.kernel.server_pid = 666
    assert scene.update() == frozenset()
    scene.clock.now += 100
    scene.update()
    assert daemon.asked
    assert len(scene.log.said) == 1
    assert "listens process 666" in scene.log.said[0]


def test_without_a_daemon_at_the_socket_or_a_kernel_that_tells_nothing_is_known(home: Path) -> None:
    scene = Scene(home)
    assert scene.update() == frozenset()
    assert "cannot be asked" in scene.log.said[0]
    blind = Daemons(object(), scene.log)
    assert blind.update([Server(DAEMON, scene.home, scene.locks)], scene.clients) == frozenset()
