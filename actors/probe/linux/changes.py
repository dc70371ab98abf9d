"""New processes, noticed for next to nothing.

Theory of operation
-------------------
The kernel's process connector tells every exec (and fork, and exit) over a netlink socket. A filter of four instructions
makes the kernel drop all but the execs before they are queued, so that nobody wakes up for anything else. It works for root
and, on recent kernels, for everybody, but only in the first network, user and pid namespaces: elsewhere it may be opened and
stay silent. So it counts as open only when the kernel has acknowledged the subscription, which it does before ``send``
returns. Its buffer overflows under a storm (ENOBUFS): then a survey tells what was missed.

Without it the last pid that the kernel gave out (``/proc/loadavg``) tells whether anything was started: threads take pids
too, so that it moves more often than needed, never less. What it cannot see is an exec of a process that was there before
and starts no thread: ``ChangeWatch`` says so.

Must not know which programs are interesting.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
import weakref
from collections.abc import Sequence

from actors.probe.contract import ChangeHint, ProbeError

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = 1
_CN_VAL_PROC = 1
_LISTEN = 1
_NLMSG_DONE = 3
_HEADERS = struct.Struct("=IHHII IIIIHH")  # nlmsghdr, cn_msg
_NONE = 0x00000000
_EXEC = 0x00000002
_EVENT = struct.Struct("=IIQII")  # what, cpu, timestamp, pid, tgid
_ACKNOWLEDGED = struct.Struct("=IIQI")  # what, cpu, timestamp, error
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_BUFFER = 1 << 20
_MESSAGE = 1024
_MOST_AT_ONCE = 4096
_NOT_HERE = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES, errno.ECONNREFUSED, errno.ENOENT)
_TAKE_ALL, _TAKE_NONE = 0xFFFFFFFF, 0


class ExecEvents:
    """A ``ChangeWatch`` over the process connector."""

    def __init__(self) -> None:
        """Subscribe.

        Raises:
            OSError: the connector is not to be had here.

        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
        self._closing = weakref.finalize(self, self._socket.close)
        try:
            _only_execs(self._socket)
            _enlarge(self._socket)
            self._socket.bind((0, _CN_IDX_PROC))
            self._socket.settimeout(0)
            body = struct.pack("=I", _LISTEN)
            header = _HEADERS.pack(
                _HEADERS.size + len(body), _NLMSG_DONE, 0, 0, os.getpid(), _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(body), 0
            )
            self._socket.send(header + body)
            self._await_acknowledgement()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int | None:
        """See ``ChangeWatch.fileno``."""
        return self._socket.fileno()

    def take(self) -> ChangeHint:
        """See ``ChangeWatch.take``."""
        pids: dict[int, None] = {}
        missed = False
        for _ in range(_MOST_AT_ONCE):
            try:
                raw = self._socket.recv(_MESSAGE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise ProbeError(f"the kernel's process events cannot be read: {error.strerror}") from error
                missed = True
                continue
            if len(raw) >= _HEADERS.size + _EVENT.size:
                what, _, _, _, process = _EVENT.unpack_from(raw, _HEADERS.size)
                if what == _EXEC:
                    pids[process] = None
        return ChangeHint(tuple(pids), survey=missed)

    def close(self) -> None:
        """See ``ChangeWatch.close``."""
        self._closing()

    def _await_acknowledgement(self) -> None:
        """Take the kernel's answer, which is there already if it is ever to come; execs before it count for nobody.

        Raises:
            OSError: there is none, or it is a refusal.

        """
        for _ in range(_MOST_AT_ONCE):
            try:
                raw = self._socket.recv(_MESSAGE)
            except BlockingIOError:
                break
            what, _, _, refusal = _ACKNOWLEDGED.unpack_from(raw, _HEADERS.size)
            if what == _NONE:
                if refusal:
                    raise OSError(refusal, os.strerror(refusal))
                return
        raise OSError(errno.ENOENT, "the process connector is silent in this namespace")


class LastPid:
    """A ``ChangeWatch`` over the last pid that was given out."""

    def __init__(self) -> None:
        """Open the kernel's account.

        Raises:
            ProbeError: it cannot be read.

        """
        try:
            self._file = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ProbeError(f"/proc/loadavg cannot be read: {error.strerror}") from error
        self._closing = weakref.finalize(self, os.close, self._file)
        self._last = self._read()

    def fileno(self) -> int | None:
        """See ``ChangeWatch.fileno``."""
        return None

    def take(self) -> ChangeHint:
        """See ``ChangeWatch.take``."""
        last = self._read()
        if last == self._last:
            return _NOTHING
        self._last = last
        return ChangeHint((), survey=True)

    def close(self) -> None:
        """See ``ChangeWatch.close``."""
        self._closing()

    def _read(self) -> bytes:
        return os.pread(self._file, 128, 0).rpartition(b" ")[2]


_NOTHING = ChangeHint()


def watch_changes() -> ExecEvents | LastPid:
    """Open the best watch that this kernel and namespace allow."""
    return open_exec_events() or LastPid()


def open_exec_events() -> ExecEvents | None:
    """Subscribe to the process connector; None where it is not to be had."""
    try:
        return ExecEvents()
    except OSError as error:
        if error.errno in _NOT_HERE:
            return None
        raise ProbeError(f"the kernel's process events cannot be asked for: {error.strerror}") from error


def _only_execs(subscriber: socket.socket) -> None:
    """Attach a classic BPF program: take a message if its event is an exec or an acknowledgement."""
    program: Sequence[tuple[int, int, int, int]] = (
        (0x20, 0, 0, _HEADERS.size),  # load the 32 bits after both headers
        (0x15, 1, 0, _as_loaded(_EXEC)),  # equal: one further
        (0x15, 0, 1, _as_loaded(_NONE)),  # equal: the next
        (0x06, 0, 0, _TAKE_ALL),
        (0x06, 0, 0, _TAKE_NONE),
    )
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    kept = ctypes.create_string_buffer(code, len(code))
    subscriber.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(kept)))


def _as_loaded(number: int) -> int:
    """Return a number of this machine's byte order as the filter loads it, which is big-endian."""
    return int.from_bytes(number.to_bytes(4, sys.byteorder), "big")


def _enlarge(subscriber: socket.socket) -> None:
    try:
        subscriber.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        subscriber.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
