"""A driven session in the table of sessions, through a whole Tabwire: known before any request, its status, its end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from schemas.content import Identified, TextAdded
from tests.bench import talker
from tests.e2e.bridged import session
from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="the agent is a script with a first line")]
OTHERS_TAB = {"WT_SESSION": "11111111-aaaa", "TERM_SESSION_ID": "w0t0p0", "TMUX": "/tmp/tmux-0/default,71,0", "TMUX_PANE": "%3"}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Run a Tabwire that was started in some tab, which is none of its sessions'."""
    started = System(tmp_path / "home")
    started.tabwire("up", environ=OTHERS_TAB)
    try:
        yield started
    finally:
        started.tabwire("down")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Make an agent that speaks ACP and uses no model."""
    file = tmp_path / "opencode"
    file.write_text(f"#!{sys.executable} -IS\n{Path(talker.__file__).read_text()}")
    file.chmod(0o700)
    return file


@pytest.mark.timeout(120)
def test_a_driven_session_is_in_the_table_from_its_start_to_its_end(system: System, program: Path, tmp_path: Path) -> None:
    def doing(name: str) -> tuple[str, str]:
        row = system.sessions()[name]
        return row["status"], row["status_source"]

    async def test() -> None:
        async with session(system, agent="opencode", cwd=str(tmp_path), program=str(program)) as told:
            named = await told.until(Identified)
            await anyio.to_thread.run_sync(lambda: system.until_count("session.identified", session=named.session))
            await told.idle()
            row = await anyio.to_thread.run_sync(lambda: system.sessions()[named.session])
            assert told.launch in row["aliases"]
            assert (row["agent"], row["provisional"], row["verdict"], row["requests"]) == ("opencode", False, "unverified", 0)
            assert (row["terminal"], row["launch"], row["cwd"]) == (None, told.launch, str(tmp_path))
            turn = await told.send("60 20")
            await told.until(TextAdded, lambda piece: piece.channel == "reply")
            assert await anyio.to_thread.run_sync(doing, named.session) == ("working", "bridge")
            await told.ended(turn)
            await anyio.to_thread.run_sync(
                lambda: system.until_count("session.status_changed", session=named.session, reason="the turn completed")
            )
            await told.close()
            await anyio.to_thread.run_sync(lambda: system.until_count("session.gone", session=named.session))
            assert await anyio.to_thread.run_sync(doing, named.session) == ("gone", "bridge")

    anyio.run(test)
    assert not [process for process in psutil.process_iter(["cmdline"]) if str(program) in (process.info["cmdline"] or [])]


@pytest.mark.timeout(120)
def test_a_session_whose_bridge_is_killed_is_the_same_one_or_gone(system: System, program: Path, tmp_path: Path) -> None:
    async def test() -> str:
        async with session(system, agent="opencode", cwd=str(tmp_path), program=str(program)) as told:
            named = await told.until(Identified)
            await told.idle()
            process = (await told.row()).process
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
            await anyio.to_thread.run_sync(lambda: system.until_count("bridge.started", 2, launch=told.launch))
            await anyio.to_thread.run_sync(lambda: system.until_count("bridge.ready", 2, launch=told.launch))
            return str(named.session)

    first = anyio.run(test)
    rows = system.sessions()
    driven = [row for row in rows.values() if row["agent"] == "opencode" and row["launch"] is not None]
    assert all(not row["session"].startswith("launch-") for row in driven), rows
    assert rows[first]["status"] == "gone"
