"""The address of the gateway: listens on loopback always, and beyond it where the configuration and a flag both say so.

A wider door has tokens. They stand in a file that only its owner may read, one a line; of each only a digest stays here.
Must not know requests.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from actors.gateway.admission import Door
from schemas.config import ConfigError, Gateway
from schemas.config_rules import is_loopback

SHORTEST_TOKEN: Final = 32
_MOST_TOKENS: Final = 256
_MOST_BYTES: Final = 64 * 1024
_BACKLOG: Final = 512
_ANYWHERE: Final = ("0.0.0.0", "::")
_LOOPBACK: Final = "127.0.0.1"


@lru_cache(maxsize=1024)
def beyond_loopback(address: str) -> bool:
    """Tell whether an address is of another computer, or of this one as others see it."""
    return not is_loopback(address)


def open_door(
    gateway: Gateway, config_file: str, *, allow_remote: bool, keep_out: Callable[[str], Any]
) -> tuple[Door, list[socket.socket]]:
    """Listen, and say who may come; ``keep_out`` gets each token, to keep it out of logs.

    Raises:
        ConfigError: the port is taken, or the door would be wider than it was allowed to be.

    """
    if is_loopback(gateway.host):
        hosts = (_LOOPBACK, "::1") if gateway.host == "::1" else (_LOOPBACK,)
        return Door(gateway.port, _names(gateway)), bind(hosts, gateway.port, config_file)
    if not allow_remote:
        problem = f"{gateway.host} can be reached from other computers, which nobody allowed when Tabwire was started"
        advice = 'start it with `tabwire up --allow-remote`, or set host = "127.0.0.1"'
        raise ConfigError(config_file, 0, "gateway.host", problem, advice)
    tokens = read_tokens(gateway.tokens, config_file)
    for token in tokens:
        keep_out(token)
    door = Door(gateway.port, _names(gateway), tuple(sha256(token.encode()).digest() for token in tokens))
    hosts = (gateway.host,) if gateway.host == _ANYWHERE[0] else (_LOOPBACK, gateway.host)
    return door, bind(hosts, gateway.port, config_file)


def _names(gateway: Gateway) -> frozenset[str]:
    """Return every Host beyond the usual ones; a proxy before us may leave out the port that it serves itself."""
    own = () if is_loopback(gateway.host) or gateway.host in _ANYWHERE else (gateway.host,)
    names = [f"[{host}]" if ":" in host else host.lower() for host in (*gateway.hosts, *own)]
    return frozenset((*names, *(f"{name}:{gateway.port}" for name in names)))


def read_tokens(reference: str, config_file: str) -> tuple[str, ...]:
    """Read the tokens of a wider door.

    Raises:
        ConfigError: there are none to be had, or others may read them, or one is too short.

    """

    def wrong(problem: str, advice: str) -> ConfigError:
        return ConfigError(config_file, 0, "gateway.tokens", problem, advice)

    if not reference.startswith("file:"):
        raise wrong("missing, though others can reach this gateway", 'set tokens = "file:/path"')
    path = Path(reference[5:])
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise wrong(f"{path} is not a file", "name a file with one token a line")
            if hasattr(os, "getuid") and (facts.st_mode & 0o077 or facts.st_uid not in (os.getuid(), 0)):
                raise wrong(f"{path} can be read or written by others", f"close it with: chmod 600 {path}")
            text = file.read(_MOST_BYTES + 1).decode("ascii", "replace")
    except OSError as error:
        raise wrong(f"{path} cannot be read: {error.strerror}", "create it with one token a line, mode 0600") from error
    tokens = [line.strip() for line in text.splitlines() if line.strip()]
    if not tokens or len(tokens) > _MOST_TOKENS or len(text) > _MOST_BYTES:
        raise wrong(f"{path} has {len(tokens)} tokens", f"write 1 to {_MOST_TOKENS}, one a line")
    for number, token in enumerate(tokens, 1):
        if len(token) < SHORTEST_TOKEN or not all("!" <= char <= "~" and char not in "/?#%" for char in token):
            problem = f"token {number} of {path} is shorter than {SHORTEST_TOKEN} characters, or has one that is not for paths"
            raise wrong(problem, 'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"')
    return tuple(tokens)


def bind(hosts: tuple[str, ...], port: int, config_file: str) -> list[socket.socket]:
    """Take the port at each address.

    Raises:
        ConfigError: it is taken, or not to be had.

    """
    listening: list[socket.socket] = []
    try:
        for host in hosts:
            listening.append(_listen(host, port))
    except OSError as error:
        for one in listening:
            one.close()
        problem = f"port {port} cannot be listened at: {error.strerror or error}"
        advice = "stop the program that has it, or choose another port and start the agents again"
        if host != _LOOPBACK:
            problem, advice = f"port {port} of {host} cannot be listened at: {error.strerror or error}", "check gateway.host"
        raise ConfigError(config_file, 0, "gateway.port", problem, advice) from error
    return listening


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # The protocol is named so that asyncio knows that a small write must not wait for an acknowledgement (TCP_NODELAY).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    except OSError:
        listening.close()
        raise
    return listening
