"""The processes that the hub starts, and those that it inherits when one of them dies.

Theory of operation
-------------------
The hub is the subreaper of all that descends from it (``hardening.adopt_orphans``): what a dead bridge leaves behind becomes
the hub's child. A bridge adopts its own descendants in the same way, so an adopted child is a dead bridge's for certain and may
be ended at sight. A child of the hub's own is known by its pid from its start on; start and sweep exclude each other, or a
child that was started this moment would be taken for an orphan. Where nobody adopts (macOS, Windows) the bridge's own sweep,
its Job Object and the supervisor's mark are what there is.

Must not know sessions.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import Process

from actors.runtime import orphans

_NO_WINDOW: Final = int(getattr(subprocess, "CREATE_NO_WINDOW", 0))
_END_SECONDS: Final = 2.0


class Children:
    """All processes that the hub has started and that still run."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._alone = anyio.Lock()

    @contextlib.asynccontextmanager
    async def started(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        cwd: Path | None = None,
        listen: bool = False,
    ) -> AsyncIterator[Process]:
        """Start a process for the length of a block, at whose end it is killed if it still runs.

        Raises:
            OSError: it cannot be started.

        """
        async with self._alone:
            process = await anyio.open_process(
                command,
                stdin=subprocess.PIPE if listen else subprocess.DEVNULL,
                env=dict(environ),
                cwd=cwd,
                start_new_session=True,
                creationflags=_NO_WINDOW,
            )
            self._known.add(process.pid)
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)
            self._known.discard(process.pid)

    async def sweep(self) -> list[int]:
        """End everything that dead bridges left behind; return the pids."""
        async with self._alone:
            return await anyio.to_thread.run_sync(orphans.end_adopted, frozenset(self._known))

    def reap(self) -> None:
        """Take the exit status of what was adopted and has ended by itself."""
        if not self._alone.locked():
            orphans.reap(self._known)

    async def output(
        self, command: Sequence[str], *, environ: Mapping[str, str], cwd: Path | None, deadline: float, most: int
    ) -> tuple[int | None, bytes, bytes]:
        """Run a program to its end; return its exit code (None: it took too long) and the beginning of what it wrote.

        Raises:
            OSError: it cannot be started.

        """
        kept = (bytearray(), bytearray())
        code: int | None = None
        async with self.started(command, environ=environ, cwd=cwd) as process:
            with anyio.move_on_after(deadline):
                async with anyio.create_task_group() as tasks:
                    for pipe, into in zip((process.stdout, process.stderr), kept, strict=True):
                        tasks.start_soon(_collect, pipe, into, most)
                code = await process.wait()
        return code, bytes(kept[0]), bytes(kept[1])


async def _collect(pipe: anyio.abc.ByteReceiveStream | None, into: bytearray, most: int) -> None:
    """Read a pipe to its end, and keep no more of it than is wanted."""
    if pipe is not None:
        async for chunk in pipe:
            into += chunk[: most - len(into)]


async def _end(process: Process) -> None:
    """End a process for certain, and let go of its pipes."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    with anyio.move_on_after(_END_SECONDS):
        await process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            await pipe.aclose()
