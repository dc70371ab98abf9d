"""The real Claude Code driven through nothing but its screen, as declared: through hub, bridge and gateway."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest

from schemas.content import Ended, TextAdded
from tests.contract.actor_process import ended
from tests.e2e.bridged import Told, session
from tests.e2e.claude import BINARY, PROMPT, Claude, needs_claude
from tests.e2e.system import System, running
from tests.e2e.terminal import Tmux

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.claude,
    needs_claude,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

DECLARED = r"""
[terminals.claude_tui]
program = '{program}'
arguments = ["--permission-mode", "default"]
window = "tmux"
socket = '{socket}'
ready = '^{prompt}$'
busy = 'esc to interrupt'
reply = '^● '
leave_out = ['^ ?[▐▝]', '^[·✢✳✶✻✽] ', '^─+$', '· /effort$', '⎿  Tip:', '^  ⎿  Interrupted']
interrupt = "Escape"
clear = "/clear"
quit = "C-c C-c"
columns = 120
rows = 40

[[terminals.claude_tui.questions]]
pattern = 'Do you want to proceed\?'
yes = "1"
no = "Escape"
tool = "Bash"
"""


@pytest.fixture(scope="module")
def tmux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    """Run a tmux server as the user's."""
    socket = tmp_path_factory.mktemp("tmux") / "socket"
    with Tmux(socket) as server:
        server.open("sleep 600", dict(os.environ), socket.parent)
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, tmux: Tmux) -> Iterator[System]:
    config = DECLARED.format(program=BINARY, socket=tmux.socket, prompt=PROMPT)
    with running(tmp_path_factory.mktemp("tabwire") / "home", config) as system:
        yield system


@pytest.fixture
def claude(tmp_path: Path, system: System) -> Claude:
    """Make a Claude Code that has been here before: no welcome, no question whether to trust the folder."""
    claude = Claude(tmp_path, system)
    claude.folder.mkdir()
    here = {"projects": {str(claude.work): {"hasTrustDialogAccepted": True}}}
    (claude.folder / ".claude.json").write_text(json.dumps({"hasCompletedOnboarding": True, "theme": "dark", **here}))
    return claude


@asynccontextmanager
async def driven(claude: Claude, tmux: Tmux) -> AsyncIterator[Told]:
    home = str(claude.folder)
    login = {"ANTHROPIC_AUTH_TOKEN": "a-token-that-nobody-checks"}
    own = {"HOME": home, "CLAUDE_CONFIG_DIR": home, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", **login}
    async with session(claude.system, agent="claude_tui", cwd=str(claude.work), environ=own) as told:
        with tmux.noted():
            yield told


async def family(told: Told) -> list[psutil.Process]:
    process = (await told.row()).process
    assert process is not None
    members: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return members


def test_turns_interrupts_and_questions_of_a_tui(claude: Claude, tmux: Tmux) -> None:
    async def test() -> None:
        async with driven(claude, tmux) as told:
            first = await told.say("my name is Bob")
            assert told.reply(first.turn) == "You said: my name is Bob"
            assert "attach -t tabwire-claude_tui" in told.text(first.turn, "notice")
            assert (await told.say("what is my name?")).outcome == "completed"
            long = await told.send("[echo words=2000 pace=50ms]")
            await told.until(TextAdded, lambda piece: piece.channel == "reply")
            await told.interrupt()
            assert (await told.ended(long)).outcome == "interrupted"
            allowed = await told.send('[echo tool="touch allowed"] [echo say=done]')
            asked = await told.asked()
            assert (asked.turn, asked.tool) == (allowed, "Bash")
            assert "touch allowed" in asked.detail
            await told.answer(asked, "allow_once")
            assert (await told.ended(allowed)).outcome == "completed"
            assert told.reply(allowed).endswith("done")
            members = await family(told)
            assert len(tmux.sessions()) == 2
            await told.close()
            assert [ended(one.pid, 0.0) for one in members] == [True] * len(members)

    anyio.run(test)
    assert (claude.work / "allowed").exists()
    assert len(tmux.sessions()) == 1
    completed = claude.system.until_count("request.completed", 2)
    assert {item.envelope.data.provider for item in completed} == {"echo"}
    assert any(item.envelope.data.usage.cached_input for item in completed if item.envelope.data.usage)  # what was said before
    assert any(row["verdict"] == "verified" for row in claude.system.sessions().values())


def test_killed_in_a_turn_it_ends_and_says_so(claude: Claude, tmux: Tmux) -> None:
    async def test() -> None:
        async with driven(claude, tmux) as told:
            turn = await told.send("[echo words=2000 pace=50ms]")
            await told.until(TextAdded, lambda piece: piece.turn == turn and piece.channel == "reply")
            (agent,) = [one for one in await family(told) if one.name() == "claude"]
            agent.kill()
            assert (await told.ended(turn)).outcome == "failed"
            assert "cannot take its conversation up again" in (await told.until(Ended)).reason

    anyio.run(test)
    assert len(tmux.sessions()) == 1
