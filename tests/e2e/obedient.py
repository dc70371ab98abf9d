"""The program of the obedient agent: one command a line on stdin, what came of it as a line on stdout.

It runs in a copy of Python that is called ``codex``, as text behind ``-c``; so it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

BODY = b'{"model":"m","input":"hi","stream":false}'
kept: list[Any] = []


def connect(port: int) -> None:
    """Connect to the gateway and keep the connection, where an exec keeps it too."""
    kept.append(socket.create_connection(("127.0.0.1", port)))
    os.set_inheritable(kept[-1].fileno(), True)  # noqa: FBT003 - the standard library's signature


def send(headers: dict[str, str]) -> dict[str, Any]:
    """Send a request over the connection that was kept last."""
    connection = kept[-1]
    head = ["POST /v1/responses HTTP/1.1", f"host: 127.0.0.1:{connection.getpeername()[1]}", "content-type: application/json"]
    head += [f"content-length: {len(BODY)}", "connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + BODY)
    got = b""
    while piece := connection.recv(65536):
        got += piece
    status, *lines = got.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {"status": int(status.split()[1]), "headers": fields}


def request(port: int, headers: dict[str, str]) -> dict[str, Any]:
    """Send a request over a connection of its own."""
    connect(port)
    return send(headers)


def connect_shared(port: int) -> int:
    """Connect with a socket that a copy of this process had before, so that nobody ever saw it with one owner."""
    kept.append(socket.socket())
    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        signal.pause()
    kept[-1].connect(("127.0.0.1", port))
    return child


def hold(path: str, *, lock: bool = False) -> None:
    """Hold a file open, and locked."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = Path(path).open("a")  # noqa: SIM115 - that is the point
    if lock:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    kept.append(file)


def rewrite(old: str, new: str) -> None:
    """Overwrite a part of the environment that the kernel shows of this process."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    at = ctypes.string_at(start, end - start).index(old.encode())
    ctypes.memmove(start + at, new.encode(), len(old.encode()))


COMMANDS = {one.__name__: one for one in (connect, connect_shared, send, request, hold, rewrite)}

if __name__ == "__main__":
    for line in sys.stdin:
        name, arguments = json.loads(line)
        sys.stdout.write(json.dumps(COMMANDS[name](**arguments)) + "\n")
        sys.stdout.flush()
