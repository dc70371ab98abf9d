"""A second client of a Codex app-server that listens on a control socket: its messages as lines, both ways.

Theory of operation
-------------------
A bridge speaks with its agent in lines over pipes. Here this process stands where the agent would: a line of stdin becomes a
message on the socket, a message a line of stdout. It decides nothing and keeps nothing; the end of stdin is its end, and the
agent's business is untouched by that. When the server goes, the last line says so (``LEFT``). Facts (Codex 0.169.0):

* ``codex app-server proxy`` would hand on bytes as they are, which on a socket are WebSocket's, behind its upgrade: it saves
  nothing, and needs a Codex of the daemon's version. Hence this.
* Any process of the user may connect. The kernel says who listens (where it can: Linux): a process that is not the one that was
  chosen is another server, and is left at once.

Must not know what the messages say.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from contextlib import closing
from typing import Final

import orjson

from actors.probe import choose_probe
from actors.runtime import websocket

LEFT: Final = "tabwire/left"
"""The method of the line that tells why nothing more will come."""
CONNECT_SECONDS: Final = 5.0
MAX_UNSENT: Final = 1 << 20
_CHUNK: Final = 1 << 16
_STDIN: Final = 0


class ServerLeftError(Exception):
    """The server is not there, or not any more; the message says where and why."""


def join_server(path: str, server: int) -> int:
    """Stand between our pipes and the server ``server`` at the socket ``path`` until one of them ends; return the exit code."""
    try:
        with closing(_connected(path, server)) as connection:
            _Relay(connection).run()
    except (ServerLeftError, websocket.WebSocketError, OSError) as error:
        _say(orjson.dumps({"method": LEFT, "params": {"reason": str(error)}}))
        return 1
    return 0


def _connected(path: str, server: int) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise ServerLeftError("Python knows no such sockets on this system")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(os.path.realpath(path))  # a socket's path may have 107 bytes: Codex leaves a link to a shorter one
        _check(connection, server, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: socket.socket, server: int, path: str) -> None:
    asked = getattr(choose_probe(), "server", None)
    found = server if asked is None else asked(connection)
    if found != server:
        raise ServerLeftError(f"at {path} listens process {found}, and no longer {server}")


class _Relay:
    """Hands on what comes from either side, in order. A side that does not take what it is given holds up the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._key = os.urandom(16)
        self._incoming = websocket.Incoming()
        self._unsent = bytearray(websocket.upgrade_request(self._key))
        self._line = b""

    def run(self) -> None:
        """Go on until our stdin ends.

        Raises:
            ServerLeftError: the server closed the connection, or did not greet us.
            WebSocketError: what it says is not of the protocol.
            OSError: the connection broke.

        """
        self._connection.settimeout(0)
        until, server = time.monotonic() + CONNECT_SECONDS, self._connection.fileno()
        while True:
            upgraded = self._incoming.upgraded
            heard = [server, *([_STDIN] if upgraded and len(self._unsent) < MAX_UNSENT else [])]
            waits = None if upgraded else max(0.0, until - time.monotonic())
            readable, writable, _ = select.select(heard, [server] if self._unsent else [], [], waits)
            if not readable and not writable:
                raise ServerLeftError(f"the server did not answer within {CONNECT_SECONDS:g} s")
            if writable:
                del self._unsent[: self._connection.send(self._unsent)]
            if server in readable:
                self._receive()
            if _STDIN in readable and not self._send():
                return

    def _receive(self) -> None:
        received = self._connection.recv(_CHUNK)
        if not received:
            raise ServerLeftError("the server closed the connection")
        self._incoming, messages = websocket.receive(self._incoming, received, self._key)
        for message in messages:
            if message.opcode == websocket.TEXT:
                _say(message.content.replace(b"\n", b" "))
            elif message.opcode == websocket.PING:
                self._put(message.content, websocket.PONG)
            elif message.opcode == websocket.CLOSE:
                raise ServerLeftError("the server closed the connection")

    def _send(self) -> bool:
        """Take what our stdin has; False when that has ended."""
        came = os.read(_STDIN, _CHUNK)
        *lines, self._line = (self._line + came).split(b"\n")
        for line in lines:
            self._put(line, websocket.TEXT)
        return bool(came)

    def _put(self, content: bytes, opcode: int) -> None:
        self._unsent += websocket.frame(content, os.urandom(4), opcode)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
