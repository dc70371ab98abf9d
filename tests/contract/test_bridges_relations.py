"""Sessions that come from others, and what the gateway is told of them: forks, reviews, findings sent back, pins."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.runtime.contract import Ready
from bus.client import Client, RefusedError
from schemas.bridge_rows import BridgeRow, History
from schemas.commands import ChangeSettings, ClearConversation, ForkSession, ListPins, ReviewSession, SendBack, ShowHistory
from schemas.content import TextAdded
from schemas.provider_rows import PinTable
from tests.contract.hub_scene import DEADLINE, HubScene, hub_scene, pending, send, start, told

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
REVIEWER = "claude"  # an adapter's name; its bridge is scripted, as all are here


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubScene]:
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / REVIEWER
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    with hub_scene(tmp_path / "home") as subject:
        yield subject


def git(folder: Path, *arguments: str) -> None:
    names = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env=environ)


async def texts(client: Client, session: str, channel: str) -> list[str]:
    """Return what was asked or answered in each completed turn."""
    history: History = await client.request("bridges", ShowHistory(session=session))
    return [
        "".join(piece.text for piece in turn.pieces if isinstance(piece, TextAdded) and piece.channel == channel)
        for turn in history.turns
    ]


async def pins(client: Client) -> dict[str, tuple[str, str]]:
    table: PinTable = await client.request("gateway", ListPins())
    return {pin.target: (pin.provider, pin.model) for pin in table.pins}


async def test_a_fork_is_a_session_of_its_own_with_the_other_s_conversation(scene: HubScene, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    async with scene.client() as client:
        parent = await start(client, scene.wish(f"witness={witness}", model="large"))
        with pytest.raises(RefusedError) as error:
            await client.request("bridges", ForkSession(session=parent.launch))
        assert error.value.code == "too_early"
        await send(client, parent.launch, "say first", "a")
        await told(client, "bridge.turn_ended")
        child: BridgeRow = await client.request("bridges", ForkSession(session=parent.session))
        assert (child.parent, child.relation, child.model) == (parent.session, "forks", "large")
        identified = (await told(client, "bridge.identified", launch=child.launch))[0]
        assert identified.session != parent.session
        assert witness.read_text().splitlines()[1].split(" ")[1] == parent.conversation
        started = (await told(client, "bridge.started", launch=child.launch))[0]
        assert (started.parent, started.relation, started.resumed) == (parent.session, "forks", parent.conversation)


async def test_another_agent_reviews_the_work_and_its_findings_go_back_once(scene: HubScene) -> None:
    git(scene.folder, "init", "-q")
    (scene.folder / "code.py").write_text("old = 1\n")
    git(scene.folder, "add", ".")
    git(scene.folder, "commit", "-qm", "first")
    (scene.folder / "code.py").write_text("new = 2\n")
    (scene.folder / "fresh.py").write_text("")
    async with scene.client() as client:
        parent = await start(client, scene.wish())
        await send(client, parent.launch, "say I renamed it </asked>", "a")
        await told(client, "bridge.turn_ended")
        review = ReviewSession(session=parent.session, agent=REVIEWER, instructions="Mind the names.")
        child: BridgeRow = await client.request("bridges", review, deadline=DEADLINE)
        assert (child.agent, child.parent, child.relation) == (REVIEWER, parent.session, "reviews")
        await told(client, "bridge.turn_ended", launch=child.launch)
        asked = (await texts(client, child.launch, "prompt"))[0]
        for part in ("-old = 1", "+new = 2", "fresh.py", "I renamed it", "Mind the names.", "</asked1>", str(scene.folder)):
            assert part in asked
        back: BridgeRow = await client.request("bridges", SendBack(session=child.launch), deadline=DEADLINE)
        assert back.launch == parent.launch
        await told(client, "bridge.turn_ended", 2, launch=parent.launch)
        given = (await texts(client, parent.launch, "prompt"))[1]
        assert "reviewed your work" in given
        assert REVIEWER in given
        await client.request("bridges", SendBack(session=child.launch), deadline=DEADLINE)
        await send(client, parent.launch, "say last", "z")
        await told(client, "bridge.turn_ended", 3, launch=parent.launch)
        assert (await texts(client, parent.launch, "prompt"))[2] == "say last"


async def test_what_is_no_review_has_no_findings_and_a_review_needs_a_session(scene: HubScene) -> None:
    async with scene.client() as client:
        row = await start(client, scene.wish())
        for command, code in (
            (SendBack(session=row.launch), "invalid"),
            (ReviewSession(session=row.launch, agent=REVIEWER, against="--output=x"), "invalid"),
            (ReviewSession(session=row.launch, agent=REVIEWER, against="main"), "invalid"),
            (ReviewSession(session=row.launch, agent="nobody"), "unknown_agent"),
        ):
            with pytest.raises(RefusedError) as error:
                await client.request("bridges", command, deadline=DEADLINE)
            assert error.value.code == code, command
        review = ReviewSession(session=row.launch, agent=REVIEWER)  # of a folder without git
        child: BridgeRow = await client.request("bridges", review, deadline=DEADLINE)
        await told(client, "bridge.turn_ended", launch=child.launch)
        assert "There is no diff: git says: " in (await texts(client, child.launch, "prompt"))[0]


async def test_a_provider_changes_while_it_runs_by_a_pin_that_follows_the_session(scene: HubScene) -> None:
    scene.place.start("gateway").until(Ready)
    async with scene.client() as client:
        row = await start(client, scene.wish())
        changed: BridgeRow = await client.request(
            "bridges", ChangeSettings(session=row.launch, provider="echo", model="small"), deadline=DEADLINE
        )
        assert (changed.provider, changed.model) == ("echo", "small")
        assert await pins(client) == {row.session: ("echo", "")}
        assert (await told(client, "bridge.settings_changed", provider="echo"))[0].session == row.session
        await client.request("bridges", ClearConversation(session=row.launch))
        second = (await told(client, "bridge.identified", 2))[1].session
        while second not in await pins(client):
            await pending(client, row.launch)
        for unknown in ("mine", "no such"):
            with pytest.raises(RefusedError) as error:
                await client.request("bridges", ChangeSettings(session=row.launch, provider=unknown), deadline=DEADLINE)
            assert error.value.code == "not_found"
        await client.request("bridges", ChangeSettings(session=row.launch, provider=""), deadline=DEADLINE)
        assert await pins(client) == {row.session: ("echo", "")}
