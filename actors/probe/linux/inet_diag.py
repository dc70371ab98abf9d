"""Who holds one end of a TCP connection: one exact question to the kernel over NETLINK_SOCK_DIAG.

Theory of operation
-------------------
The kernel keeps established sockets in a hash table over the whole tuple; ``SOCK_DIAG_BY_FAMILY`` without ``NLM_F_DUMP``
looks up one of them, in 5 µs whatever the number of sockets or processes (``/proc/net/tcp`` walks the table: 4 ms when it is
empty). The question is put from the *client's* side: its address is the source. The kernel answers within ``sendmsg``, so
that the read never waits.

A connection over an IPv6 socket to a mapped address (``::ffff:127.0.0.1``) stands in the IPv4 table; both ends are therefore
asked for as IPv4. When no connection matches, the kernel falls back to a *listening* socket of that address: such an
answer is not the peer, nor is one without an inode (TIME_WAIT, or closed by its process).

Must not know processes; must not be asked for anything but TCP.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import weakref
from dataclasses import dataclass
from functools import lru_cache

from actors.probe.contract import Address, Peer, ProbeError

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_TCP_LISTEN = 10
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_PORTS = struct.Struct("!HH")
_OWNER = struct.Struct("=II")
_ID_OFFSET = _HEADER.size + 4
_OWNER_OFFSET = _ID_OFFSET + 48 + 12
_ERRNO = struct.Struct("=i")
_IPV4, _IPV6 = 4, 16
_LENGTH = _HEADER.size + _REQUEST.size + _PORTS.size + 2 * _IPV6 + len(_NO_COOKIE)
_FAMILIES = {_IPV4: int(socket.AF_INET), _IPV6: int(socket.AF_INET6)}  # plain numbers: an enum's cost shows at this pace
_TCP = int(socket.IPPROTO_TCP)
_MAPPED = b"\0" * 10 + b"\xff\xff"
_ABSENT = (errno.ENOENT, errno.ESTALE)


@dataclass(frozen=True, slots=True)
class Question:
    """Which socket is at ``source`` and connected to ``destination``? ``ends`` is that tuple as the kernel writes it."""

    family: int
    ends: bytes

    @classmethod
    def about(cls, source: Address, destination: Address) -> Question:
        """Put the question; mapped addresses are asked for as IPv4.

        Raises:
            ProbeError: not two addresses of one family.

        """
        try:
            ends = _packed(source[0]), _packed(destination[0])
        except OSError as error:
            raise ProbeError(f"not the ends of a TCP connection: {source[0]!r} and {destination[0]!r}") from error
        if len(ends[0]) != len(ends[1]):
            raise ProbeError(f"not of one address family: {source[0]!r} and {destination[0]!r}")
        ports = _PORTS.pack(source[1], destination[1])
        return cls(_FAMILIES[len(ends[0])], ports + ends[0].ljust(_IPV6, b"\0") + ends[1].ljust(_IPV6, b"\0"))

    def encode(self, sequence: int) -> bytes:
        """Write the question as a netlink message."""
        head = _HEADER.pack(_LENGTH, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, sequence, 0)
        return head + _REQUEST.pack(self.family, _TCP, 0, 0, _ALL_STATES) + self.ends + _NO_COOKIE

    def decode(self, answer: bytes, *, listening: bool = False) -> Peer | None:
        """Read the answer; None when the kernel knows no such connection (or listening socket) that a process holds.

        Raises:
            ProbeError: the kernel refused the question; its reason is told.

        """
        if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
            code = -_ERRNO.unpack_from(answer, _HEADER.size)[0]
            if code in _ABSENT:
                return None
            raise ProbeError(f"inet_diag refused to look up a TCP socket: {os.strerror(code)}")
        state = answer[_HEADER.size + 1]
        uid, inode = _OWNER.unpack_from(answer, _OWNER_OFFSET)
        same = _unmapped(answer[_ID_OFFSET : _ID_OFFSET + len(self.ends)]) == self.ends
        return Peer(inode=inode, uid=uid) if same and inode and (state == _TCP_LISTEN) is listening else None


@lru_cache(maxsize=64)
def _packed(text: str) -> bytes:
    if ":" not in text:
        return socket.inet_pton(socket.AF_INET, text)
    raw = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    return raw.removeprefix(_MAPPED)


def _unmapped(ends: bytes) -> bytes:
    """Rewrite the answer about an IPv6 socket with mapped addresses as the one about an IPv4 socket."""
    ports, source, destination = ends[:4], ends[4 : 4 + _IPV6], ends[4 + _IPV6 :]
    if not (source.startswith(_MAPPED) and destination.startswith(_MAPPED)):
        return ends
    return ports + source[len(_MAPPED) :].ljust(_IPV6, b"\0") + destination[len(_MAPPED) :].ljust(_IPV6, b"\0")


class SocketTable:
    """The kernel's table of TCP connections, one question at a time, from any thread."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        self._closing = weakref.finalize(self, self._netlink.close)
        self._lock = threading.Lock()
        self._sequence = 0

    def find(self, source: Address, destination: Address) -> Peer | None:
        """Find the socket at ``source`` that is connected to ``destination``.

        Raises:
            ProbeError: the kernel refuses such questions, as in some sandboxes.

        """
        question = Question.about(source, destination)
        return question.decode(self._ask(question))

    def find_listener(self, address: Address) -> Peer | None:
        """Find the socket that listens at exactly this address; one that listens at every address is not meant.

        Raises:
            ProbeError: the kernel refuses such questions, as in some sandboxes.

        """
        question = Question.about(address, ("::" if ":" in address[0] else "0.0.0.0", 0))
        return question.decode(self._ask(question), listening=True)

    def _ask(self, question: Question) -> bytes:
        with self._lock:
            self._sequence = self._sequence + 1 & 0xFFFFFFFF
            try:
                self._netlink.send(question.encode(self._sequence))
                answer = self._netlink.recv(4096, socket.MSG_DONTWAIT)
            except OSError as error:
                raise ProbeError(f"inet_diag cannot be asked: {error.strerror}") from error
            if _HEADER.unpack_from(answer)[3] != self._sequence:
                raise ProbeError("inet_diag answered another question")
        return answer

    def close(self) -> None:
        """Give the socket back; closing twice does nothing."""
        self._closing()
