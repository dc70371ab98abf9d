"""Processes and connections for the probe of Linux to look at: children, forks without exec, peers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from actors.probe import (
    Peer,
    Probe,
)

PR_SET_DUMPABLE = 4
NOBODY = 65534
DEADLINE = 20
WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"
CONNECT = """
import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print(" ".join(str(s.getsockname()[1]) for s in held), flush=True)
sys.stdin.read()
"""


@contextmanager
def child(code: str, *arguments: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run Python code until the block ends; give its process and the line that it says when it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def forked(work: Callable[[], str]) -> Iterator[tuple[int, str]]:
    """Run a function in a fork without exec, which lives on until the block ends; give its pid and its answer."""
    answers, answer = os.pipe()
    stays, stay = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        os.close(stay)
        try:
            text = work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            text = f"{type(error).__name__}: {error}"
        os.write(answer, text.encode())
        os.close(answer)
        os.read(stays, 1)
        os._exit(0)
    os.close(answer)
    os.close(stays)
    try:
        chunks = list(iter(lambda: os.read(answers, 65536), b""))
        yield pid, b"".join(chunks).decode()
    finally:
        os.close(answers)
        os.close(stay)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def accepted(probe: Probe, server: socket.socket, client: socket.socket) -> Peer:
    """Accept the client's connection and return what the probe says about its other end."""
    connection, _ = server.accept()
    with connection:
        peer = probe.peer(connection.getsockname()[:2], connection.getpeername()[:2])
    assert peer is not None
    assert peer.inode == os.fstat(client.fileno()).st_ino
    return peer
