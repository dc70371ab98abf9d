"""A network of the test's own, in which this computer has an address that is not loopback's and that nobody else can reach.

A network namespace of the calling thread, with all that it starts: nothing in it leaves this computer, and nothing of it stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

import pytest

ADDRESS: Final = "192.0.2.1"  # of a range that documentation may use, and nobody else
_NEW_NETWORK: Final = 0x40000000
_SET_FLAGS, _SET_ADDRESS = 0x8914, 0x8916
_UP_AND_RUNNING: Final = 0x41


@contextlib.contextmanager
def own_network() -> Iterator[str]:
    """Live in a network of one's own for the length of a block; gives the address. Skips the test where that is not allowed."""
    if not sys.platform.startswith("linux"):
        pytest.skip("networks of one's own are Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(_NEW_NETWORK) != 0:
            pytest.skip(f"no network of one's own: {os.strerror(ctypes.get_errno())}")
        try:
            _address_of_its_own()
            yield ADDRESS
        finally:
            if libc.setns(before, _NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "the test's thread is lost in a network of its own")
    finally:
        os.close(before)


def _address_of_its_own() -> None:
    """Switch loopback on, and give it an address that is none of loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(ADDRESS))
        fcntl.ioctl(any_socket, _SET_ADDRESS, struct.pack("16s16s", b"lo:1", address))
