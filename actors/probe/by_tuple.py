"""Sockets of systems that number none: a peer is then its connection's exact tuple and the process that opened it. Pure.

Linux has a number for every socket; Windows and macOS have tables of connections with pids. Must not know any of them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from actors.probe.contract import Address, Peer, ProbeError


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedPeer(Peer):
    """The client's end of a connection; ``inode`` is its port, which is that socket's alone while it is connected."""

    source: Address
    destination: Address
    pid: int


def plain(address: Address) -> Address:
    """Write an address as its shortest self: no zone, an IPv4 one that was mapped into IPv6 as IPv4.

    Raises:
        ProbeError: not an address.

    """
    try:
        parsed = ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError as error:
        raise ProbeError(f"not the end of a TCP connection: {address[0]!r}") from error
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed), address[1]


def ends(source: Address, destination: Address) -> tuple[Address, Address]:
    """Return both ends as plain addresses of one family.

    Raises:
        ProbeError: not two addresses of one family.

    """
    plain_source, plain_destination = plain(source), plain(destination)
    if (":" in plain_source[0]) != (":" in plain_destination[0]):
        raise ProbeError(f"not of one address family: {source[0]!r} and {destination[0]!r}")
    return plain_source, plain_destination
