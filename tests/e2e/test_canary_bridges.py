"""What is said in driven sessions is searched for in everything that Tabwire keeps and shows: the stream alone may hold it.

A real Codex is told, answers, asks, runs a command and is refused; one agent says its last words on stderr and dies; bridge and
hub are killed with messages waiting. Then every file below Tabwire's home, the journal's export, the tables and every process
of ours is looked through.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from bus.client import connect
from bus.connection import read_connection
from bus.errors import RefusedError
from schemas.codec import encode
from schemas.commands.bridges import SendMessage, StartSession
from schemas.content import Ended, FailureTold, Identified, TextAdded
from tests import canary
from tests.e2e.bridged import Told, session
from tests.e2e.codex import BINARY, needs_codex
from tests.e2e.system import System, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.codex,
    needs_codex,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked through by /proc"),
]
SAID = {
    name: f"{name}-canary-{number}5e02af18"
    for number, name in enumerate(("prompt", "reply", "tool", "queued", "denied", "refused", "words", "nowhere", "program"))
}
MARKS = tuple(text.encode() for text in SAID.values())
SHOWN = (("sessions", "--all"), ("bridges",), ("agents",), ("status",), ("usage",), ("doctor",), ("pins", "list"))


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path / "home") as started:
        yield started


def homes(folder: Path) -> dict[str, str]:
    """Make an agent's own home, which may hold what it was told."""
    for name in ("project", "codex-home"):
        (folder / name).mkdir(exist_ok=True)
    config = 'model = "gpt-5.1-codex"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n'
    (folder / "codex-home" / "config.toml").write_text(config)
    return {"CODEX_HOME": str(folder / "codex-home"), "HOME": str(folder / "codex-home")}


async def talk(told: Told) -> None:
    """Say and hear every kind of content once."""
    turn = await told.send(f'{SAID["prompt"]} [echo tool="echo {SAID["tool"]}"] [echo say={SAID["reply"]}]')
    await told.answer(await told.asked(), "allow_once")
    assert (await told.ended(turn)).outcome == "completed"
    assert told.reply(turn) == SAID["reply"]
    turn = await told.send(f'[echo tool="touch {SAID["denied"]}"] [echo say=fine]')
    await told.answer(await told.asked(), "deny_once")
    await told.ended(turn)
    said = encode([frame.piece for frame in told.frames])
    assert all(SAID[name].encode() in said for name in ("reply", "tool", "denied"))  # so there was something to lose


async def be_killed(told: Told) -> None:
    """Kill the bridge in the middle of a turn, with a message waiting."""
    row = await told.row()
    assert row.process is not None
    await told.send("[echo words=2000 pace=20ms]")
    await told.until(TextAdded, lambda piece: piece.channel == "reply")
    await told.send(SAID["queued"])
    os.kill(row.process.pid, signal.SIGKILL)
    await told.until(FailureTold)


def kill_the_hub(system: System, **wishes: Any) -> None:
    """Kill the hub in the middle of a turn, with a message waiting; wait until it has taken the session up again."""

    async def begin() -> str:
        async with connect(read_connection(system.home / "state/run/bus.json")) as client:
            row = await client.request("bridges", StartSession(**wishes), deadline=30.0)
            for number, text in enumerate(("[echo words=2000 pace=20ms]", SAID["queued"])):
                await client.request("bridges", SendMessage(session=row.launch, text=text, message=f"m{number}"), deadline=30.0)
            return str(row.launch)

    launch = anyio.run(begin)
    system.until_count("bridge.turn_started", launch=launch)
    system.until_count("request.first_byte")
    hub = next(one["pid"] for one in system.json("status")["actors"] if one["actor"] == "bridges")
    os.kill(hub, signal.SIGKILL)
    system.until_count("actor.ready", 2, actor="bridges")
    system.until_count("bridge.started", 2, launch=launch)


async def be_refused(system: System, program: Path) -> None:
    """Say something to nobody, start what is no agent, and hear an agent's last words."""
    async with connect(read_connection(system.home / "state/run/bus.json")) as client:
        for command in (
            SendMessage(session="launch-0", text=SAID["nowhere"], message="m1"),
            StartSession(agent="codex", cwd=f"/nowhere/{SAID['nowhere']}"),
            StartSession(agent=SAID["refused"], cwd="/"),
        ):
            with pytest.raises(RefusedError):
                await client.request("bridges", command, deadline=20.0)
    async with session(system, agent="codex", cwd=str(program.parent), program=str(program)) as told:
        await told.send(SAID["program"])
        await told.until(Ended)
        said = encode([frame.piece for frame in told.frames])
        assert SAID["words"].encode() in said


def shown(system: System) -> dict[str, bytes]:
    """Return what the command line prints of everything, and what each process of ours was started with."""
    found: dict[str, bytes] = {}
    sessions = tuple(("explain", name) for name in system.sessions())
    for command in (*SHOWN, *sessions):
        done = system.tabwire(*command, "--json", code=None)
        found[" ".join(command)] = (done.stdout + done.stderr).encode()
    found["events export"] = system.tabwire("events", "export").stdout.encode()
    assert found["events export"].count(b"bridge.turn_ended") >= 2
    supervisor = psutil.Process(system.json("status")["pid"])
    for process in (supervisor, *supervisor.children(recursive=True)):
        try:
            found[f"process {process.pid}"] = b"".join(
                Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
            )
        except (OSError, psutil.Error):
            continue  # it ended, or keeps that to itself
    return found


@pytest.mark.timeout(300)
def test_what_is_said_in_driven_sessions_is_kept_and_shown_nowhere(system: System, tmp_path: Path) -> None:
    environ = homes(tmp_path)
    dying = tmp_path / "codex"
    dying.write_text(f"#!/bin/sh\necho {SAID['words']} >&2\nexit 3\n")
    dying.chmod(0o700)

    wishes = {"agent": "codex", "cwd": str(tmp_path / "project"), "program": BINARY, "environ": environ, "mode": "ask"}

    async def test() -> None:
        async with session(system, **wishes) as told:
            await told.until(Identified)
            await talk(told)
            await be_killed(told)
        await be_refused(system, dying)

    anyio.run(test)
    kill_the_hub(system, **wishes)
    for name, text in shown(system).items():
        for mark in MARKS:
            assert mark not in text, f"{mark!r} in {name}: {text[:2000]!r}"
    assert {path: [mark for mark in MARKS if canary.holds(path, [mark])] for path in canary.hits(system.home, MARKS)} == {}
