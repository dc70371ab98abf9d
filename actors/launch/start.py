"""The shell of a launch: token, record on disk, the fact on the bus, and the command in place of this process.

The record is written before the command runs, so that the gateway knows the token without any bus. The fact is published
with a short deadline: a launch never waits for the bus. Must not know what any agent needs (``choose``).
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from actors.launch.shim import is_batch_file, script_of
from actors.runtime.launches import remove_launch, write_launch
from bus.source import Source, rfc3339
from schemas.envelope import subject
from schemas.events import LaunchStarted
from schemas.identity import LaunchId, ProcessKey, SessionId, TerminalKey
from schemas.launch import TOKEN_BYTES, LaunchRecord, token_digest

if TYPE_CHECKING:
    from actors.runtime.paths import Paths

PUBLISH_DEADLINE: Final = 1.0
CANNOT_RUN: Final = 126


def mint_token() -> str:
    """Draw a launch token."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def new_launch() -> LaunchId:
    """Draw the id of a launch."""
    return LaunchId(f"launch-{secrets.token_hex(6)}")


def record_launch(
    paths: Paths,
    token: str,
    *,
    agent: str,
    process: ProcessKey,
    terminal: TerminalKey | None,
    cwd: str | None,
    provider: str | None,
    model: str | None,
    launch: LaunchId | None = None,
    session: SessionId | None = None,
) -> LaunchRecord:
    """Write the record of a launch; the token is believed from now on, of this process and what it starts.

    ``launch`` is an id that was drawn before (``new_launch``): one names one process, for ever. ``session`` is what a bridge
    drives by it.
    """
    record = LaunchRecord(
        launch=launch or new_launch(),
        agent=agent,
        token_sha256=token_digest(token),
        process=process,
        created=rfc3339(time.time_ns()),
        terminal=terminal,
        cwd=cwd,
        provider=provider,
        model=model,
        session=session,
    )
    paths.create()
    write_launch(paths, record)
    return record


def publish_launches(paths: Paths, records: Sequence[LaunchRecord], deadline: float = PUBLISH_DEADLINE) -> str:
    """Publish launch.started for each record; return why not, or nothing. Waits no longer than ``deadline``."""
    import anyio  # noqa: PLC0415 - a launch without a bus needs neither

    from bus.client import BusError, connect  # noqa: PLC0415
    from bus.connection import ConnectionFileError, read_connection  # noqa: PLC0415

    source = Source(f"/client/cli/{os.getpid()}")
    envelopes = [
        source.envelope(subject("launch", record.launch), launch_fact(record), correlationid=record.launch)
        for record in records
    ]

    async def publish() -> str:
        with anyio.move_on_after(deadline):
            async with connect(read_connection(paths.connection_file), deadline=deadline) as client:
                await client.publish(envelopes, deadline=deadline)
                return ""
        return f"no answer within {deadline:g} s"

    try:
        return anyio.run(publish)
    except (BusError, ConnectionFileError) as error:
        return str(error)


def replace_process(argv: Sequence[str], environ: Mapping[str, str], program: str) -> NoReturn:
    """Become the command, whose file is ``program``: same pid, same start, same terminal; its exit code is ours.

    No process of Windows can become another program: there it runs as our child while we wait.

    Raises:
        FileNotFoundError: there is no such program.
        PermissionError: it may not be run.

    """
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        sys.exit(_run_and_wait(argv, environ, program))
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and an ignored signal stays ignored in the new program
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(program, list(argv), dict(environ))  # noqa: S606 - no shell is the point


def _run_and_wait(argv: Sequence[str], environ: Mapping[str, str], program: str) -> int:
    """Run a command in our console, which gives Ctrl-C to it as well as to us."""
    words = [program, *argv[1:]]
    if is_batch_file(program):
        script, node = (
            script_of(program, Path(program).read_text(errors="replace")),
            shutil.which("node", path=environ.get("PATH")),
        )
        if script is None or node is None:
            raise PermissionError(errno.EACCES, "a batch file cannot be given arguments safely; name the program behind it")
        words = [node, script, *argv[1:]]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.run(words, env=dict(environ), check=False).returncode  # noqa: S603 - the user's own command


def forget(paths: Paths, record: LaunchRecord) -> None:
    """Take a launch back whose command could not be started."""
    remove_launch(paths, record.launch)


def launch_fact(record: LaunchRecord) -> LaunchStarted:
    """Return the fact of a launch."""
    return LaunchStarted(
        launch=record.launch,
        agent=record.agent,
        process=record.process,
        terminal=record.terminal,
        cwd=record.cwd,
        provider=record.provider,
        model=record.model,
    )
