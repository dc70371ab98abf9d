"""What runs in a window of tmux: what the host's program writes goes to this terminal, what is typed here goes to the host.

Started by ``window``. It ends with its socket, and the window with it. Must not know what is shown.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import termios
import tty
from typing import Final

from actors.terminal.window import HEAD, SIZE, SIZED, TYPED

_CHUNK: Final = 65_536
_KEYS: Final = 4_096


def main() -> int:
    """Show the terminal whose socket is the argument."""
    resized, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGWINCH, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    with socket.socket(socket.AF_UNIX) as host, contextlib.suppress(OSError):
        host.connect(sys.argv[1])
        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            _relay(host, resized)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
    return 0


def _relay(host: socket.socket, resized: int) -> None:
    _tell_size(host)
    with selectors.DefaultSelector() as selector:
        for source in (host.fileno(), 0, resized):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == resized:
                    os.read(resized, _CHUNK)
                    _tell_size(host)
                elif not (said := os.read(key.fd, _CHUNK if key.fd else _KEYS)):
                    return
                elif key.fd:
                    _write(said)
                else:
                    host.sendall(HEAD.pack(TYPED, len(said)) + said)


def _write(said: bytes) -> None:
    while said:
        said = said[os.write(1, said) :]


def _tell_size(host: socket.socket) -> None:
    size = os.get_terminal_size(0)
    host.sendall(SIZE.pack(SIZED, size.columns, size.lines))


if __name__ == "__main__":
    sys.exit(main())
