"""Peers of the bus that are none of ours: bare sockets, and the subscriber written from the specification alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import zmq

from bus.connection import Connection
from tests.bus.process import BrokerProcess


def plain(connection: Connection, kind: int, endpoint: str, *, curve: bool = True) -> zmq.Socket[bytes]:
    """Open a socket of a kind with the keys of a connection, or with none."""
    made: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    if curve:
        made.setsockopt(zmq.CURVE_SERVERKEY, connection.server_key.encode())
        made.setsockopt(zmq.CURVE_PUBLICKEY, connection.public_key.encode())
        made.setsockopt(zmq.CURVE_SECRETKEY, connection.secret_key.encode())
    made.setsockopt(zmq.IMMEDIATE, 1)
    made.setsockopt(zmq.SNDTIMEO, 700)
    made.setsockopt(zmq.RCVTIMEO, 700)
    if kind == zmq.SUB:
        made.setsockopt(zmq.SUBSCRIBE, b"")
    if endpoint:
        made.connect(endpoint)
    return made


def plain_subscriber(broker: BrokerProcess, last: int, prefixes: list[str]) -> subprocess.Popen[str]:
    """Start the subscriber, which prints every event through the last position."""
    file = Path(__file__).parents[1] / "contract" / "plain_subscriber.py"
    command = [sys.executable, "-I", str(file), str(broker.state / "run" / "bus.json"), str(last), *prefixes]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
