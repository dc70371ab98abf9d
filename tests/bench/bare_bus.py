"""What the bus is measured against: the least that numbers an event, has it on disk, acknowledges and delivers it.

Plain pyzmq with CURVE, blocking sockets, a file and ``fdatasync``; three processes like the bus' own: sequencer, publisher,
subscriber. No identities, no checks, no types, no JSON, no index, no catch-up, one thread. What it takes is this machine's
share of the bus' figures: its disk, its scheduler, libzmq.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any, cast

import zmq

PAYLOAD = 1_100
PREALLOCATED = 16 * 1024 * 1024
_DRAINED = 256
_SPAWN = multiprocessing.get_context("spawn")
_CLOCK_BYTES = 8


def sequence(pipe: Pipe) -> None:
    """Be the sequencer, until killed."""
    context = zmq.Context()
    public, secret = zmq.curve_keypair()
    ingress, feed = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    for socket in (ingress, feed):
        socket.curve_server, socket.curve_secretkey, socket.curve_publickey = True, secret, public
        socket.sndhwm = socket.rcvhwm = 0
        socket.bind("tcp://127.0.0.1:*")
    pipe.send((public, _endpoint(ingress), _endpoint(feed)))
    with tempfile.TemporaryFile() as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, b"\0" * PREALLOCATED, 0)  # a write-ahead log is overwritten too
        os.fsync(descriptor)
        at = position = 0
        while True:
            taken = [ingress.recv_multipart()]
            while len(taken) < _DRAINED and ingress.poll(0):
                taken.append(ingress.recv_multipart())
            raw = b"".join(frame for message in taken for frame in message[1:])
            at = 0 if at + len(raw) > PREALLOCATED else at
            at += os.pwrite(descriptor, raw, at)
            os.fdatasync(descriptor)
            for connection, *events in taken:
                position += len(events)
                feed.send_multipart([b"events", position.to_bytes(8, "big"), *events])
                ingress.send_multipart([connection, position.to_bytes(8, "big")])


def _endpoint(socket: zmq.Socket[bytes]) -> str:
    return cast("bytes", socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()


def _peer(kind: int, server_key: bytes, endpoint: str) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.curve_serverkey = server_key
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.sndhwm = socket.rcvhwm = 0
    socket.connect(endpoint)
    return socket


def follow(pipe: Pipe, place: tuple[bytes, str, str], count: int) -> None:
    """Be the subscriber: send when the last of ``count`` events came, and how long each message was on its way, in ms."""
    public, _, endpoint = place
    socket = _peer(zmq.SUB, public, endpoint)
    socket.subscribe(b"")
    socket.recv_multipart()
    pipe.send("joined")
    delays: list[float] = []
    seen = 0
    while seen < count:
        _, _, *events = socket.recv_multipart()
        if len(events[0]) < PAYLOAD:
            continue  # of those sent until this subscriber was there
        delays.append((time.monotonic_ns() - int.from_bytes(events[0][:_CLOCK_BYTES], "big")) / 1e6)
        seen += len(events)
    pipe.send((time.monotonic_ns(), delays))


def publish(pipe: Pipe, place: tuple[bytes, str, str], messages: int, events: int, rate: float) -> None:
    """Be the publisher: ``messages`` of so many ``events``, four unanswered, or (``rate``) so many messages a second."""
    public, endpoint, _ = place
    socket = _peer(zmq.DEALER, public, endpoint)
    while not pipe.poll(0.01):
        socket.send(b"join")
    pipe.recv()
    while socket.poll(100):
        socket.recv()
    filling = b"x" * (PAYLOAD - _CLOCK_BYTES)
    started = time.monotonic_ns()
    unanswered = 0
    for number in range(messages):
        while rate and time.monotonic_ns() < started + number / rate * 1e9:
            time.sleep(max(0.0, (started + number / rate * 1e9 - time.monotonic_ns()) / 1e9))
        socket.send_multipart([time.monotonic_ns().to_bytes(_CLOCK_BYTES, "big") + filling] * events)
        unanswered += 1
        while unanswered and (socket.poll(0) or (unanswered == 4 and not rate)):
            socket.recv()
            unanswered -= 1
    while unanswered:
        socket.recv()
        unanswered -= 1
    pipe.send(started)


@contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[Pipe]:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _run(messages: int, events: int, rate: float) -> tuple[int, int, list[float]]:
    with _process(sequence) as sequencer:
        place = sequencer.recv()
        with (
            _process(publish, place, messages, events, rate) as publisher,
            _process(follow, place, messages * events) as subscriber,
        ):
            subscriber.recv()
            publisher.send("go")
            ended, delays = subscriber.recv()
            return publisher.recv(), ended, delays


def batches(messages: int, events: int) -> float:
    """Return events a second, delivered, in messages of so many."""
    started, ended, _ = _run(messages, events, 0)
    return messages * events / ((ended - started) / 1e9)


def paced(messages: int, rate: float) -> list[float]:
    """Return how many milliseconds each event was on its way, at so many a second."""
    return _run(messages, 1, rate)[2]
