"""The one place that touches libzmq: sockets made safe by construction, awaited on any event loop through anyio.

Theory of operation
-------------------
A ZeroMQ socket has one file descriptor, readable when *something* happened inside, not when a message is there, and that
signal is used up by any call that makes the socket process its commands, a send included. So ``EVENTS`` is asked before
every wait, and after every send: if a send finds messages to read, whoever waits for them is woken (``bus.readiness``).
Nothing here blocks: sends and receives are ``NOBLOCK`` and say when they could not be done.

``zmq.asyncio`` is a third as fast and works on fewer loops. Limits are set on every socket, none is left to libzmq's
defaults: high-water marks, frame size, handshake deadline, linger. ZMTP's own heartbeats stay off: a peer whose queue is
full reads no answer to them, and when one times out then, libzmq 4.3.5 ends the process (``Assertion failed:
_input_stopped``, libzmq#4767). On loopback the kernel says when a peer is gone, and the bus has beats of its own for one
that hangs.

Must not know verbs, keys' owners, or what a frame means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, cast

import anyio
import anyio.lowlevel
import zmq
from zmq.utils import z85 as z85_codec
from zmq.utils.monitor import parse_monitor_message

from bus.connection import Connection
from bus.protocol import MAX_FEED_FRAME, MAX_FRAME
from bus.readiness import Readiness, readiness

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
FEED_HIGH_WATER = 2048  # messages, of which a batch is one
PEER_HIGH_WATER = 1024
_HANDSHAKE_MS = 2000
_LINGER_MS = 200
_RECONNECT_MS = 20
_RECONNECT_MAX_MS = 500
_SUBSCRIPTION_FRAME = 1024
# Plain numbers: zmq's flags are enumerations, and joining two for every frame costs as much as sending it.
_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)
_LAST = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


class UndeliveredError(Exception):
    """A message that was not sent: its peer is gone or takes nothing."""


class Socket:
    """One ZeroMQ socket, used by one thread at a time. One task receives; any task of its loop sends."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._readiness: Readiness | None = None
        self._monitor: Monitor | None = None
        self._fd = cast("int", socket.getsockopt(zmq.FD))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close; what was sent has the linger's time to leave."""
        if self._monitor is not None:
            self._monitor.close()
        if self._readiness is not None:
            self._readiness.close()
            self._readiness = None
        if not self._socket.closed:
            self._socket.close()

    async def readable(self, within: float = math.inf) -> bool:
        """Wait until a message can be received; tell whether one can (False: ``within`` seconds passed)."""
        if self.has_message():
            await anyio.lowlevel.checkpoint()
            return True
        until = anyio.current_time() + within
        watched = self._watched_by_loop()
        while not (await watched.wait(until) or self.has_message()):
            if anyio.current_time() >= until:
                return False
        return True

    async def attend(self, take: Callable[[], bool]) -> None:
        """Call ``take`` whenever a message can be received, until it returns False; what it raises is raised here."""
        await self._watched_by_loop().attend(take)

    def _watched_by_loop(self) -> Readiness:
        if self._readiness is None:
            self._readiness = readiness(self._fd, self.has_message)
        return self._readiness

    def receive(self) -> list[bytes] | None:
        """Take one message, or None when there is none."""
        try:
            first = self._socket.recv(_LAST, copy=False)
        except zmq.Again:
            return None
        return self._with_rest(first)

    def receive_named(self) -> tuple[list[bytes], str] | None:
        """Take one message of a ROUTER and the name that ZAP gave its sender's key, or None when there is none.

        The name is empty when the peer chose its routing id itself: it could be taken for another by whom it answers.
        """
        try:
            first = self._socket.recv(_LAST, copy=False)
        except zmq.Again:
            return None
        try:
            name = "" if first.get("Identity") else str(first.get("User-Id"))
        except zmq.ZMQError:
            name = ""
        return self._with_rest(first), name

    def _with_rest(self, frame: zmq.Frame) -> list[bytes]:
        """Take the rest of a message. A frame knows whether another follows; ``recv_multipart`` asks the socket for each."""
        receive = self._socket.recv
        frames = [frame.bytes]
        while frame.more:
            frame = receive(_LAST, copy=False)
            frames.append(frame.bytes)
        return frames

    def send(self, frames: Sequence[bytes]) -> None:
        """Send one message now.

        Raises:
            UndeliveredError: the peer is not connected, or its queue is full.

        """
        send = self._socket.send
        try:
            for frame in frames[:-1]:
                send(frame, _MORE)
            send(frames[-1], _LAST)
        except zmq.Again as error:
            raise UndeliveredError("the peer's queue is full") from error
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            raise UndeliveredError("the peer is gone") from error
        finally:
            if self._readiness is not None and self.has_message():
                self._readiness.ring()

    def send_all(self, messages: Iterable[Sequence[bytes]]) -> None:
        """Send many messages of a socket that never refuses one (PUB)."""
        send = self._socket.send
        for *frames, last in messages:
            for frame in frames:
                send(frame, _MORE)
            send(last, _LAST)

    @property
    def endpoint(self) -> str:
        """Where a bound socket listens."""
        return cast("bytes", self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    def monitor(self) -> Monitor:
        """Watch the connection's life, from now until the socket is closed."""
        events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED
        self._monitor = Monitor(self._socket.get_monitor_socket(events), self._socket)
        return self._monitor

    def has_message(self) -> bool:
        """Tell whether a message can be received; cheaper than an attempt that fails."""
        return bool(cast("int", self._socket.getsockopt(_EVENTS)) & _POLLIN)


class Monitor(Socket):
    """What libzmq says of a connection: ``up``, ``refused`` or ``down``."""

    def __init__(self, socket: zmq.Socket[bytes], watched: zmq.Socket[bytes]) -> None:
        super().__init__(socket)
        self._watched = watched

    def news(self) -> str | None:
        """Take one piece of news, or None when there is none."""
        frames = self.receive()
        if frames is None:
            return None
        event = parse_monitor_message(frames)["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return "up"
        return "refused" if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH else "down"

    def close(self) -> None:
        """Stop watching."""
        if not self._watched.closed:
            self._watched.disable_monitor()
        super().close()


class Sockets:
    """A libzmq context and the sockets made from it; closing it closes them."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._made: list[Socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for socket in self._made:
            socket.close()
        self._context.term()

    def zap(self) -> Socket:
        """Make the socket on which libzmq asks who may come in. It must be there before anything is bound."""
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(ZAP_ENDPOINT)
        return self._keep(socket)

    def ingress(self, endpoint: str, secret_key: str) -> Socket:
        """Bind the ROUTER of a broker.

        Raises:
            OSError: the port is taken.

        """
        socket = self._server(zmq.ROUTER, secret_key)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 0)
        socket.setsockopt(zmq.SNDHWM, PEER_HIGH_WATER)
        socket.setsockopt(zmq.RCVHWM, PEER_HIGH_WATER)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
        return self._bind(socket, endpoint)

    def feed(self, endpoint: str, secret_key: str) -> Socket:
        """Bind the PUB of a broker: an XPUB, which also receives what is subscribed to.

        Raises:
            OSError: the port is taken.

        """
        socket = self._server(zmq.XPUB, secret_key)
        socket.setsockopt(zmq.SNDHWM, FEED_HIGH_WATER)
        socket.setsockopt(zmq.MAXMSGSIZE, _SUBSCRIPTION_FRAME)
        return self._bind(socket, endpoint)

    def dealer(self, connection: Connection) -> Socket:
        """Make the socket that asks; the caller connects it with ``connect`` once its monitor listens."""
        socket = self._peer(zmq.DEALER, connection)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDHWM, PEER_HIGH_WATER)
        socket.setsockopt(zmq.RCVHWM, PEER_HIGH_WATER)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
        return self._keep(socket)

    def teller(self, connection: Connection, high_water: int) -> Socket:
        """Connect the socket that tells: its queue holds what is told while the broker is away for a moment."""
        socket = self._peer(zmq.DEALER, connection)
        socket.setsockopt(zmq.SNDHWM, high_water)
        socket.setsockopt(zmq.RCVHWM, PEER_HIGH_WATER)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
        socket.connect(connection.ingress)
        return self._keep(socket)

    def subscriber(self, connection: Connection, prefixes: Iterable[bytes]) -> Socket:
        """Connect a SUB to the feed."""
        socket = self._peer(zmq.SUB, connection)
        socket.setsockopt(zmq.RCVHWM, FEED_HIGH_WATER)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FEED_FRAME)
        for prefix in prefixes:
            socket.setsockopt(zmq.SUBSCRIBE, prefix)
        socket.connect(connection.feed)
        return self._keep(socket)

    def connect(self, socket: Socket, endpoint: str) -> None:
        """Begin to connect, and connect again whenever the connection ends."""
        socket._socket.connect(endpoint)  # noqa: SLF001 - both are this module's

    def _server(self, kind: int, secret_key: str) -> zmq.Socket[bytes]:
        socket = self._common(kind)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret_key.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, b"tabwire")
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        return socket

    def _peer(self, kind: int, connection: Connection) -> zmq.Socket[bytes]:
        socket = self._common(kind)
        socket.setsockopt(zmq.CURVE_SERVERKEY, connection.server_key.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, connection.public_key.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, connection.secret_key.encode())
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
        return socket

    def _common(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, _LINGER_MS)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        return socket

    def _bind(self, socket: zmq.Socket[bytes], endpoint: str) -> Socket:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            socket.close(linger=0)
            raise OSError(error.errno, f"{endpoint} cannot be bound: {error.strerror}") from error
        return self._keep(socket)

    def _keep(self, socket: zmq.Socket[Any]) -> Socket:
        made = Socket(socket)
        self._made.append(made)
        return made


def new_key_pair() -> tuple[str, str]:
    """Mint a CURVE key pair: public and secret, in Z85."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def z85(key: bytes) -> str:
    """Write a key of 32 bytes as 40 characters."""
    return z85_codec.encode(key).decode()
