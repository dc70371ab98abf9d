"""Ports for the servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody holds right now, and that no outgoing connection will be given.

    The system takes the ports of outgoing connections from a range of its own (Linux: from 32768, IANA's: from 49152);
    a port of that range is free when it is asked for and may be somebody's when a server starts on it.
    """
    for port in random.sample(range(10240, 32768), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("100 ports below the range of outgoing connections are all taken")
