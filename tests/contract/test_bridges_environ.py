"""Whose PATH finds an agent: that of who asks, where it comes along; a real hub, scripted bridges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.client import RefusedError
from schemas.bridge_rows import AgentRow, AgentTable, BridgeRow
from schemas.commands import ListAgents, ReviewSession, StartSession
from tests.contract.hub_scene import AGENT, DEADLINE, HubScene, hub_scene, start, told

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
OTHER = "qwen"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubScene]:
    with hub_scene(tmp_path_factory.mktemp("tabwire") / "home") as subject:
        yield subject


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Give a folder of programs that only their user has on PATH: they name their version by a variable of hers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (AGENT, OTHER):
        program = folder / name
        program.write_text('#!/bin/sh\necho "$LANG"\n')
        program.chmod(0o755)
    return folder


def row_of(table: AgentTable) -> AgentRow:
    return next(row for row in table.agents if row.agent == AGENT)


def program_of(scene: HubScene, row: BridgeRow) -> str:
    """Return the program that a session was written down with."""
    found: str = json.loads((scene.place.paths.bridges / f"{row.launch}.json").read_text())["wish"]["program"]
    return found


async def test_agents_are_listed_as_who_asks_would_find_them(scene: HubScene, programs: Path) -> None:
    async with scene.client() as client:
        ours = row_of(await client.request("bridges", ListAgents(), deadline=DEADLINE))
        asked = ListAgents(environ={"PATH": f"{programs}:/usr/bin:/bin", "LANG": "99.1.2"})
        hers = row_of(await client.request("bridges", asked, deadline=DEADLINE))
        assert (hers.program, hers.version) == (str(programs / AGENT), "99.1.2")
        assert ours.program != hers.program
        again = row_of(await client.request("bridges", ListAgents(), deadline=DEADLINE))
        assert (again.program, again.version) == (ours.program, ours.version)
        nowhere = row_of(await client.request("bridges", ListAgents(environ={"PATH": "bin::."}), deadline=DEADLINE))
        assert (nowhere.program, nowhere.version) == ("", "")
        assert "no such program" in nowhere.problem
        with pytest.raises(RefusedError, match="cannot be a variable"):
            await client.request("bridges", ListAgents(environ={"A=B": ""}), deadline=DEADLINE)


async def test_a_session_and_its_review_are_started_as_who_asks_would_find_them(scene: HubScene, programs: Path) -> None:
    environ = {"PATH": str(programs)}
    async with scene.client() as client:
        wish = StartSession(agent=AGENT, cwd=str(scene.folder), environ=environ)
        found = await start(client, wish)
        assert program_of(scene, found) == str(programs / AGENT)
        parent = await start(client, scene.wish(environ={"LANG": "its own"}))
        review = ReviewSession(session=parent.session, agent=OTHER, environ={**environ, "LANG": "hers"})
        child: BridgeRow = await client.request("bridges", review, deadline=DEADLINE)
        await told(client, "bridge.turn_ended", launch=child.launch)
        assert program_of(scene, child) == str(programs / OTHER)
        record = json.loads((scene.place.paths.bridges / f"{child.launch}.json").read_text())
        assert record["wish"]["environ"] == {**environ, "LANG": "its own"}
