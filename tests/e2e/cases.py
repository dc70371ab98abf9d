"""What the cases of the sessions table share: Codex's TUI in a tmux pane, an agent that obeys the test, waiting for rows.

Must not know what is right in any case; that is in the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import psutil

from bus.client import connect
from bus.connection import read_connection
from bus.errors import BusError
from schemas.commands import ListSessions
from schemas.rows import SessionRow
from tests.e2e.codex import Codex
from tests.e2e.system import DEADLINE, System
from tests.e2e.terminal import Tmux

PROMPT = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
Rows = dict[str, SessionRow]


def rows_when(system: System, content: Callable[[Rows], Any], deadline: float = DEADLINE) -> Rows:
    """Ask for the table at each change of it until ``content`` is; return that table by session id."""

    async def watch() -> Rows:
        rows: Rows = {}
        with anyio.move_on_after(deadline):
            while True:
                try:
                    async with connect(read_connection(system.home / "state/run/bus.json")) as client:
                        while True:
                            table = await client.request("registry", ListSessions())
                            rows = {row.session: row for row in table.sessions}
                            if content(rows):
                                return rows
                            await anyio.sleep(0.1)  # not everything that changes a row is an event of its own
                except (BusError, OSError):  # being restarted, as some of the cases do
                    await anyio.sleep(0.1)
        shown = "\n".join(map(brief, rows.values())) or "no rows"
        raise AssertionError(f"the table did not become what it should within {deadline} s:\n{shown}")

    return anyio.run(watch)


def brief(row: SessionRow) -> str:
    """Show what matters of a row in one line."""
    own = (
        f"pid={row.process.pid if row.process else None} kind={row.process_kind} terminal={row.terminal} {row.terminal_missing}"
    )
    counts = f"requests={row.requests} conflicts={row.conflicts} threads={row.threads} aliases={row.aliases}"
    return (
        f"{row.session} {row.verdict} {row.activity} {own} {counts} missing={row.missing} relation={row.relation} {row.parent}"
    )


def sessions_of(rows: Rows, pid: int) -> list[SessionRow]:
    """Return the rows of a process."""
    return [row for row in rows.values() if row.process is not None and row.process.pid == pid]


# ---------------------------------------------------------------------------------------------------- Codex


def log_in(codex: Codex) -> None:
    """Give Codex the login that its TUI wants to see, as ``codex login --with-api-key`` writes it."""
    (codex.home / "auth.json").write_text('{"auth_mode": "apikey", "OPENAI_API_KEY": "dummy-key-0001"}\n')


def own_codex(place: Path, system: System) -> Codex:
    """Install Codex below a folder, logged in and pointed at the system."""
    place.mkdir(exist_ok=True)
    codex = Codex(place, system)
    log_in(codex)
    return codex


@dataclass
class Tui:
    """Codex's TUI in a pane of its own."""

    tmux: Tmux
    pane: str

    @classmethod
    def open(cls, tmux: Tmux, codex: Codex, *arguments: str, tab: str | None = None) -> Tui:
        """Open it in a new window; ``tab`` is the WT_SESSION that it inherits."""
        return cls(tmux, tmux.open(shlex.join([codex.binary, *arguments]), codex.environ(tab), codex.work))

    def ready(self) -> Tui:
        """Wait until it takes prompts."""
        self.tmux.wait_for(self.pane, PROMPT)
        return self

    @property
    def pid(self) -> int:
        """The process that is Codex itself: below the npm wrapper where Node cannot replace itself by it."""
        root = psutil.Process(self.tmux.pid(self.pane))
        pid: int = next(one.pid for one in (root, *root.children()) if one.exe().endswith("/bin/codex"))
        return pid

    def thread(self, codex: Codex) -> str:
        """Wait for the one thread that it holds locked, which is before its first prompt and just after it is drawn."""
        end = time.monotonic() + DEADLINE
        while not (held := threads_locked(codex, self.pid)) and time.monotonic() < end:
            time.sleep(0.05)
        (thread,) = held
        return thread

    def prompt(self, text: str) -> None:
        """Type a prompt; Enter goes apart from the text, since Codex takes one burst of both for a paste."""
        self.tmux.wait_for(self.pane, PROMPT)
        self.tmux.type(self.pane, text)
        self.tmux.wait_for(self.pane, text)
        self.tmux.press(self.pane, "Enter")


def threads_locked(codex: Codex, pid: int) -> set[str]:
    """Return the threads whose locks a process holds, as the kernel says it to us."""
    folder = f"{codex.home}/thread-writer-locks/"
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(link))  # noqa: PTH115
    return {link.removeprefix(folder).removesuffix(".lock") for link in links if link.startswith(folder) and "/." not in link}


# ---------------------------------------------------------------------------------------------------- an obedient agent

_OBEDIENT = Path(__file__).with_name("obedient.py").read_text()


class ObedientAgent:
    """A process whose program is called ``codex`` and that does what the test says: everything that a forger could."""

    def __init__(self, place: Path, environ: Mapping[str, str], *arguments: str, cwd: Path | None = None) -> None:
        place.mkdir(exist_ok=True)
        program = place / "codex"
        if not program.exists():
            shutil.copy2(os.path.realpath(sys.executable), program)
        library = Path(sys.base_prefix) / "lib"
        self.process = subprocess.Popen(
            [program, "-I", "-S", "-c", _OBEDIENT, *arguments],
            env={**environ, "PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": str(library)},
            cwd=cwd or place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def do(self, name: str, **arguments: Any) -> Any:
        """Let it do something and return what came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the obedient agent is gone, exit code {self.process.wait(timeout=10)}"
        return json.loads(line)

    def end(self) -> None:
        """End it and what it forked."""
        if self.process.poll() is None:
            for child in psutil.Process(self.pid).children(recursive=True):
                child.kill()
            self.process.kill()
        self.process.wait(timeout=10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()


def codex_headers(conversation: str, thread: str | None = None) -> dict[str, str]:
    """Return the headers by which Codex names a conversation."""
    return {
        "session-id": conversation,
        "thread-id": thread or conversation,
        "originator": "codex_exec",
        "user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64) xterm (codex_exec; 0.169.0)",
    }
