"""A window of tmux that shows a terminal of ours: where it is opened, and what runs in it.

Theory of operation
-------------------
The program belongs to the host, as in a terminal that nobody sees; so it ends as everything ends that a bridge started, and its
requests come from where the launch says. The window is only a pane of the user's tmux in which ``actors.terminal.view`` runs:
what the program writes goes there byte for byte, what is typed there comes back. When the host ends, in whatever way, the view
reads the end of its socket and leaves, and tmux closes the window; when the user closes the window, the host reads the end and
hangs up. So nothing has to be swept.

tmux is never started here: a server that we had started would end with the session, and take along what the user has opened in
it since. The socket is in a folder of the user's own, which is removed as soon as the view has come.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

OPEN_SECONDS: Final = 10.0
ENVIRON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMUX_TMPDIR", "TERM")
SIZE: Final = struct.Struct(">cHH")
HEAD: Final = struct.Struct(">cH")
SIZED: Final = b"s"
TYPED: Final = b"t"


class WindowError(Exception):
    """There can be no window: why, and what to do."""


def open_window(name: str, columns: int, rows: int, server: str = "") -> tuple[socket.socket, str]:
    """Open a session of tmux with one window; return the socket of its view, and the command that shows it.

    Raises:
        WindowError: tmux is not there, does not run, or does not open it.

    """
    tmux = shutil.which("tmux")
    if tmux is None:
        raise WindowError('tmux is not on PATH; install it, or set window = "pty"')
    command = [tmux, *(("-S", server) if server else ())]
    folder = Path(tempfile.mkdtemp(prefix="tabwire-"))
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "view"))
            listener.listen(1)
            listener.settimeout(OPEN_SECONDS)
            view = [sys.executable, "-I", "-m", "actors.terminal.view", str(folder / "view")]
            target = f"={name}:"
            # "off" is said of this window alone: with the user's own setting the pane of a program that ended might stay.
            order = ["new-session", "-d", "-s", name, "-x", str(columns), "-y", str(rows), "--", *view]
            _run([*command, "has-session"], 'start one ("tmux"), or set window = "pty"')
            _run([*command, *order, ";", "set-option", "-w", "-t", target, "remain-on-exit", "off"], "")
            try:
                taken, _ = listener.accept()
            except TimeoutError as error:
                raise WindowError(f"tmux opened its window, and nothing came of it within {OPEN_SECONDS:g} s") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return taken, " ".join(["tmux", *(("-S", server) if server else ()), "attach", "-t", name])


def _run(command: list[str], advice: str) -> None:
    """Give tmux an order; it gets none of the program's variables, since a key may be among them.

    Raises:
        WindowError: it refused.

    """
    environ = {one: os.environ[one] for one in ENVIRON if one in os.environ}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, timeout=OPEN_SECONDS, check=False)  # noqa: S603 - tmux
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WindowError(f"tmux does not answer: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:300]
        raise WindowError(f"tmux: {said or 'refused'}" + (f"; {advice}" if advice else ""))
