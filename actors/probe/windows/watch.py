"""The exit of a process on Windows, made readable: event loops there wait for sockets, and for nothing else."""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import sys

assert sys.platform == "win32", "process handles exist on Windows only; actors.probe.choose_probe() chooses"  # noqa: S101

import contextlib
import socket
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Self

from actors.probe.contract import ProbeError
from actors.probe.windows.native import Handle, when_ended
from schemas.identity import ProcessKey


class HandleWatch:
    """An ``ExitWatch``: a process handle, and a UDP socket connected to itself that gets a byte when the process ends.

    Connected to itself, it takes datagrams from nobody else, and stands in no table of connections.
    """

    def __init__(self, process: ProcessKey, handle: Handle) -> None:
        """Take over the handle.

        Raises:
            ProbeError: Windows is short of sockets or of whatever it waits with.

        """
        self._process = process
        self._handle = handle
        try:
            self._wake = _self_connected()
        except OSError as error:
            handle.close()
            raise ProbeError(f"process {process.pid} cannot be watched: {error.strerror}") from error
        try:
            cancel = when_ended(handle, _Bell(self._wake))
        except ProbeError:
            self._wake.close()
            handle.close()
            raise
        self._closing = weakref.finalize(self, _close, cancel, self._wake, handle)

    @property
    def process(self) -> ProcessKey:
        """The watched process."""
        return self._process

    def fileno(self) -> int:
        """Return the socket that becomes readable when the process exits."""
        return self._wake.fileno()

    def exited(self) -> bool:
        """Tell whether the process has exited, without waiting."""
        return self._handle.exited()

    def close(self) -> None:
        """Give everything back; closing twice does nothing."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Bell:
    """Rings the socket; holds it and nothing else, so that a watch can be collected."""

    def __init__(self, wake: socket.socket) -> None:
        self._wake = wake

    def __call__(self) -> None:
        with contextlib.suppress(OSError):  # closed at the same moment: then nobody waits any more
            self._wake.send(b"\0")


def _self_connected() -> socket.socket:
    wake = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        wake.bind(("127.0.0.1", 0))
        wake.connect(wake.getsockname())
        wake.settimeout(0)
    except OSError:
        wake.close()
        raise
    return wake


def _close(cancel: Callable[[], None], wake: socket.socket, handle: Handle) -> None:
    cancel()
    wake.close()
    handle.close()
