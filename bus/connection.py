"""Where the bus is and with which keys it is spoken to: the connection file, ``run/bus.json``.

The file is the whole secret of the bus: it is readable by its owner only, is written whole or not at all, and is refused
when anybody else could have read or written it. The key pair in it is the one named ``client``; an actor puts its own
pair in its place (``with_keys``). Must not know sockets, nor who reads or writes the file.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex

from bus.into_place import BINARY, put_in_place, when_free
from schemas.codec import InvalidMessageError, decode, encode

PROTOCOL = 1
_ENDPOINT = re.compile(r"tcp://127\.0\.0\.1:[0-9]{1,5}")
_Z85_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_FILE = 65_536
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | BINARY
_HAS_OWNERS = hasattr(os, "geteuid")


class ConnectionFileError(Exception):
    """The connection file is absent, not ours alone, or not what it should be."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything that a peer needs: endpoints, the broker's public key, and the peer's own CURVE key pair (Z85)."""

    protocol: int
    ingress: str
    feed: str
    server_key: str
    public_key: str
    secret_key: str

    def with_keys(self, public_key: str, secret_key: str) -> Connection:
        """Return the same place spoken to with another key pair."""
        return replace(self, public_key=public_key, secret_key=secret_key)

    def __repr__(self) -> str:
        """Show where, never the secret."""
        return f"Connection(ingress={self.ingress!r}, feed={self.feed!r}, public_key={self.public_key!r})"


def read_connection(path: str | os.PathLike[str]) -> Connection:
    """Read a connection file.

    Raises:
        ConnectionFileError: there is none (the bus is not up), others could read it, or it is not a connection file.

    """
    return check_connection(read_private(path), os.fspath(path))


def write_connection(path: str | os.PathLike[str], connection: Connection) -> None:
    """Write a connection file, whole or not at all, readable by its owner only."""
    write_private(path, encode(asdict(connection)))


def check_connection(raw: bytes, where: str) -> Connection:
    """Read a connection from its JSON.

    Raises:
        ConnectionFileError: it is not one; the message names the field.

    """
    try:
        connection = decode(raw, Connection)
    except InvalidMessageError as error:
        raise ConnectionFileError(f"{where}: not a connection file: {error}") from error
    for name in ("ingress", "feed"):
        if not _ENDPOINT.fullmatch(getattr(connection, name)):
            raise ConnectionFileError(f"{where}: {name}: expected tcp://127.0.0.1:<port>")
    for name in ("server_key", "public_key", "secret_key"):
        if not _Z85_KEY.fullmatch(getattr(connection, name)):
            raise ConnectionFileError(f"{where}: {name}: expected a CURVE key of 40 Z85 characters")
    if connection.protocol != PROTOCOL:
        raise ConnectionFileError(
            f"{where}: protocol {connection.protocol} is not spoken here (this is {PROTOCOL}); run the same version everywhere"
        )
    return connection


def read_private(path: str | os.PathLike[str]) -> bytes:
    """Read a small file that must be ours alone.

    Raises:
        ConnectionFileError: absent, not a regular file of ours, or open to others.

    """
    where = os.fspath(path)
    try:
        descriptor = when_free(lambda: os.open(path, _READ))
    except FileNotFoundError as error:
        raise ConnectionFileError(f"{where}: no such file; the bus is not up (tabwire up starts it)") from error
    except OSError as error:
        raise ConnectionFileError(f"{where}: cannot be read: {error.strerror}") from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise ConnectionFileError(f"{where}: not a regular file; remove it")
    with os.fdopen(descriptor, "rb") as file:
        if _HAS_OWNERS and (facts.st_uid != os.geteuid() or facts.st_mode & _OTHERS):
            raise ConnectionFileError(f"{where}: must belong to you and be closed to others (chmod 600)")
        return file.read(_MAX_FILE)


def write_private(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file of ours alone: born 0600, flushed to disk, then moved into place."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
