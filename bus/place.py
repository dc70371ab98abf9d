"""Where a broker lives between its runs: its key pair, the clients' key pair, and its ports (``keys/bus.json``, 0600).

A restarted broker keeps all of them, so that whoever is connected finds it again by itself. Must not know sockets beyond
binding, nor who connects.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bus.connection import PROTOCOL, Connection, ConnectionFileError, read_private, write_private
from bus.sockets import Socket, Sockets, new_key_pair
from schemas.codec import InvalidMessageError, decode, encode

FILE = "bus.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Keys and ports; port 0 is one that was never chosen."""

    server_key: str
    server_secret: str
    client_key: str
    client_secret: str
    ingress_port: int = 0
    feed_port: int = 0

    def connection(self) -> Connection:
        """Return what a client needs to know."""
        return Connection(
            protocol=PROTOCOL,
            ingress=_endpoint(self.ingress_port),
            feed=_endpoint(self.feed_port),
            server_key=self.server_key,
            public_key=self.client_key,
            secret_key=self.client_secret,
        )


def read_place(folder: Path) -> Place:
    """Read the broker's place, or make up a new one where there is none.

    Raises:
        ConnectionFileError: there is one, but it is open to others or is not what it should be.

    """
    file = folder / FILE
    if not file.exists():
        return Place(*new_key_pair(), *new_key_pair())
    try:
        return decode(read_private(file), Place)
    except InvalidMessageError as error:
        raise ConnectionFileError(f"{file}: {error}; remove it, and start every actor again") from error


def bind(sockets: Sockets, place: Place) -> tuple[Place, Socket, Socket]:
    """Bind both ports; one that is taken, or was never chosen, is chosen anew."""
    ingress = _bind(sockets, "ingress", place.ingress_port, place.server_secret)
    feed = _bind(sockets, "feed", place.feed_port, place.server_secret)
    return replace(place, ingress_port=_port(ingress), feed_port=_port(feed)), ingress, feed


def write_place(folder: Path, place: Place) -> None:
    """Write the broker's place."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / FILE, encode(asdict(place)))


def _bind(sockets: Sockets, kind: str, port: int, secret: str) -> Socket:
    make = sockets.ingress if kind == "ingress" else sockets.feed
    try:
        return make(_endpoint(port), secret)
    except OSError:
        if not port:
            raise
        return make(_endpoint(0), secret)


def _endpoint(port: int) -> str:
    return f"tcp://127.0.0.1:{port or '*'}"


def _port(socket: Socket) -> int:
    return int(socket.endpoint.rpartition(":")[2])
