"""A tmux server of the test's own: panes are opened, typed into and read, and end with the block.

A failure inside the block carries what every pane shows, and what those showed last that are gone.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE = 30.0


class Tmux:
    """One tmux server on a private socket, with no configuration of the user's."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._base = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._seen: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.note(error)
        subprocess.run([*self._base, "kill-server"], capture_output=True, timeout=10, check=False)

    def _run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        env = dict(os.environ if environ is None else environ)
        done = subprocess.run([*self._base, *arguments], env=env, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout

    def open(self, command: str, environ: Mapping[str, str], cwd: Path) -> str:
        """Open a window that runs a shell command with exactly this environment; return its pane id (``%3``)."""
        variables = " ".join(
            f"{name}={shlex.quote(value)}" for name, value in environ.items() if name not in ("TMUX", "TMUX_PANE")
        )
        keep = 'TMUX="$TMUX" TMUX_PANE="$TMUX_PANE"'
        # A session of its own each: windows of one session would share its size and close with it.
        place = ["new-session", "-d", "-P", "-F", "#{pane_id}", "-x", "120", "-y", "40", "-c", str(cwd)]
        return self._run(*place, f"exec env -i {keep} {variables} {command}", environ=environ).strip()

    def close(self, session: str) -> None:
        """Close a session with its windows, as a person does."""
        self._run("kill-session", "-t", session)

    def sessions(self) -> list[str]:
        """Return the names of its sessions, whoever opened them."""
        return self._run("list-sessions", "-F", "#{session_name}").split()

    def pid(self, pane: str) -> int:
        """Return the process that was started in a pane."""
        return int(self._run("display-message", "-p", "-t", pane, "#{pane_pid}"))

    def screen(self, pane: str, *, styled: bool = False) -> str:
        """Return what a pane shows now."""
        shown = self._run("capture-pane", "-p", "-t", pane, *(["-e"] if styled else []))
        self._seen[pane] = shown
        return shown

    def panes(self) -> list[str]:
        """Return the panes that there are, whoever opened them; the server has gone with its last one."""
        try:
            return self._run("list-panes", "-a", "-F", "#{pane_id}").split()
        except subprocess.CalledProcessError:
            return []

    def note(self, error: BaseException) -> None:
        """Add to a failure what the panes show; of those that are gone, what was seen last."""
        here: list[str] = []
        with contextlib.suppress(subprocess.SubprocessError):  # one may go meanwhile
            here = self.panes()
            for pane in here:
                self.screen(pane)
        for pane, shown in self._seen.items():
            when = "shows" if pane in here else "is gone; seen last"
            error.add_note(f"pane {pane} {when}:\n{shown.rstrip()}")

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note what the panes show at a failure inside a block, before anything at its end closes them."""
        try:
            yield
        except BaseException as error:
            self.note(error)
            raise

    def type(self, pane: str, text: str) -> None:
        """Type text as a person would, with no key behind it."""
        self._run("send-keys", "-t", pane, "-l", text)

    def press(self, pane: str, *keys: str) -> None:
        """Press keys by name (``Enter``, ``C-c``)."""
        self._run("send-keys", "-t", pane, *keys)

    def wait_for(self, pane: str, text: str, deadline: float = DEADLINE) -> str:
        """Wait until a pane shows a text; a screen can only be polled."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            screen = self.screen(pane)
            if text in screen:
                return screen
            time.sleep(0.05)
        raise AssertionError(f"{text!r} did not appear within {deadline} s on:\n{self.screen(pane)}")
