"""The joiner as a process between real pipes and a real socket: a server of WebSocket that says and hears what a test wants."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha1
from pathlib import Path

import pytest

DEADLINE = 20.0
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets in Python")


class Server:
    """One connection of a server, byte for byte."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(DEADLINE)
        self.connection = socket.socket(socket.AF_UNIX)
        self.rest = b""

    def close(self) -> None:
        self.connection.close()
        self.listener.close()

    def upgrade(self, *, answer: bytes = b"") -> None:
        self.connection.close()
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(DEADLINE)
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.connection.recv(65_536)
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
        proof = b64encode(sha1(key + _MAGIC).digest())  # noqa: S324 - RFC 6455 names it
        good = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        self.connection.sendall(answer or good)

    def say(self, content: bytes, opcode: int = 1) -> None:
        size = bytes([len(content)]) if len(content) < 126 else bytes([127]) + struct.pack(">Q", len(content))
        self.connection.sendall(bytes([0x80 | opcode]) + size + content)

    def hear(self) -> tuple[int, bytes]:
        """Read one masked frame."""
        opcode, short = self._take(2)
        assert short & 0x80
        length = short & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
        mask, content = self._take(4), self._take(length)
        return opcode & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))

    def _take(self, count: int) -> bytes:
        while len(self.rest) < count:
            came = self.connection.recv(65_536)
            assert came, "the joiner hung up"
            self.rest += came
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


@contextmanager
def joiner(path: Path, server: int) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-I", "-m", "actors.attach", "app-server", str(path), str(server)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        watch = threading.Timer(DEADLINE, process.kill)
        watch.start()
        try:
            yield process
        finally:
            watch.cancel()
            process.kill()


def line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def put(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(text)


def test_lines_become_messages_and_messages_lines(tmp_path: Path) -> None:
    with closing(Server(tmp_path / "s")) as server, joiner(tmp_path / "s", os.getpid()) as process:
        server.upgrade()
        put(process, b'{"id":1}\n{"id"')
        assert server.hear() == (1, b'{"id":1}')
        put(process, b":2}\n")
        assert server.hear() == (1, b'{"id":2}')
        server.say(b'{"method":"a",\n"params":{}}')
        assert line(process) == b'{"method":"a", "params":{}}\n'
        server.say(b"here", opcode=9)
        assert server.hear() == (10, b"here")
        long = b'{"x":"' + b"y" * 700_000 + b'"}'
        put(process, long + b"\n")
        assert server.hear() == (1, long)
        server.say(long)
        assert line(process) == long + b"\n"
        assert process.stdin is not None
        process.stdin.close()  # leaving is all that it does
        assert process.wait(DEADLINE) == 0
        assert server.connection.recv(1) == b""


@pytest.mark.parametrize("how", ["closes", "says that it closes", "speaks nonsense", "refuses"])
def test_a_server_that_goes_is_told_of_in_the_last_line(tmp_path: Path, how: str) -> None:
    with closing(Server(tmp_path / "s")) as server, joiner(tmp_path / "s", os.getpid()) as process:
        server.upgrade(answer=b"HTTP/1.1 403 Forbidden\r\n\r\n" if how == "refuses" else b"")
        if how == "closes":
            server.connection.close()
        elif how == "says that it closes":
            server.say(b"", opcode=8)
        elif how == "speaks nonsense":
            server.connection.sendall(b"\xff\xff\xff")
        last = json.loads(line(process))
        assert last["method"] == "tabwire/left"
        assert last["params"]["reason"]
        assert process.wait(DEADLINE) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says here who listens")
def test_another_process_at_the_socket_is_not_spoken_to(tmp_path: Path) -> None:
    with closing(Server(tmp_path / "s")) as server, joiner(tmp_path / "s", os.getppid()) as process:
        last = json.loads(line(process))
        assert f"listens process {os.getpid()}, and no longer {os.getppid()}" in last["params"]["reason"]
        connection, _ = server.listener.accept()
        with connection:
            assert connection.recv(1) == b""


def test_where_nobody_listens_that_is_said(tmp_path: Path) -> None:
    with joiner(tmp_path / "none", 1) as process:
        assert "No such file" in json.loads(line(process))["params"]["reason"]
