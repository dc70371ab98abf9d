"""The real Claude Code, driven through hub, bridge and gateway: turns, tools, interrupts, clear, models, death and end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.transcripts.claude_messages import message_uuid
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Ended,
    FailureTold,
    TextAdded,
    ToolEnded,
    TurnEnded,
    TurnStarted,
    UsageTold,
)
from tests.contract.actor_process import ended
from tests.e2e.bridges import Bridges, Driven, hub
from tests.e2e.claude import BINARY, Claude, needs_claude
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.claude, needs_claude]
HAIKU = "claude-haiku-4-5"
LINGER = """
import os, time
if os.fork() == 0:  # a daemon: in a session of its own, its parent gone
    os.setsid()
    if os.fork() == 0:
        with open("left", "w") as left:
            left.write(f"{os.environ['TOOL']} {os.getpid()}")
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
""".replace("import os, time", "import os, time\nos.environ['TOOL'] = str(os.getpid())")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture(scope="module")
def bridges(system: System) -> Iterator[Bridges]:
    with hub(system) as bridges:
        yield bridges


@pytest.fixture
def claude(tmp_path: Path, system: System) -> Claude:
    return Claude(tmp_path, system)


@pytest.fixture
def driven(claude: Claude, bridges: Bridges) -> Iterator[Driven]:
    with bridges.session("claude", claude.work, **given(claude)) as driven:
        yield driven


def given(claude: Claude) -> dict[str, Any]:
    """Return where a session is to find its program, and a home that is the test's own."""
    own = {"HOME": str(claude.folder), "CLAUDE_CONFIG_DIR": str(claude.folder), "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    return {"program": BINARY, "environ": own}


def agent_of(driven: Driven) -> int:
    """Return the process of its Claude Code: the bridge is what is known of it from outside."""
    process = driven.row.process
    assert process is not None
    found: list[int] = []
    for one in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.Error):  # one that has just ended
            found += [one.pid] if BINARY is not None and one.exe() == os.path.realpath(BINARY) else []
    (agent,) = found
    return agent


def said_in(lines: list[dict[str, Any]]) -> list[str]:
    """Return the messages of the user that a transcript has."""
    contents = (line["message"]["content"] for line in lines if line.get("type") == "user")
    return [content for content in contents if isinstance(content, str)]


def test_two_turns_are_one_conversation(claude: Claude, driven: Driven, system: System) -> None:
    assert driven.turn("my name is Bob")[0] == "You said: my name is Bob"
    named = driven.identified()
    second = driven.send("what is my name?")
    assert driven.piece(TurnEnded, turn=second).outcome == "completed"
    usage = driven.piece(UsageTold, turn=second).usage
    assert usage.cached_input > 0  # the first turn was sent again with the second
    told = system.until_count("request.completed", 2, session=named.session)
    assert all(item.envelope.data.session == named.session for item in told)
    row = system.sessions()[named.session]
    assert (row["verdict"], row["agent"], row["conversation"]) == ("verified", "claude", f"claude:{named.conversation}")
    assert driven.row.session == named.session
    assert named.conversation in claude.transcripts()


def test_a_tool_is_allowed_and_another_denied(claude: Claude, driven: Driven) -> None:
    first = driven.send('[echo tool="touch allowed"] [echo say=done]')
    asked = driven.answer("allow")
    assert (asked.turn, asked.tool, asked.title) == (first, "Bash", "Bash: touch allowed")
    assert driven.piece(TurnEnded, turn=first).outcome == "completed"
    assert driven.text(first) == "done"
    second = driven.send('[echo tool="touch denied"]')
    driven.answer("deny", turn=second)
    assert driven.piece(TurnEnded, turn=second).outcome == "completed"
    assert driven.piece(ToolEnded, turn=second).ok is False
    assert driven.text(second) == "The tool said: The user does not allow this."
    assert [file.name for file in claude.work.iterdir() if file.name in ("allowed", "denied")] == ["allowed"]


def test_an_interrupted_turn_ends_and_the_conversation_goes_on(driven: Driven, system: System) -> None:
    turn = driven.send("[echo words=2000 pace=50ms]")
    driven.piece(TextAdded, turn=turn, channel="reply")
    driven.interrupt()
    assert driven.piece(TurnEnded, turn=turn).outcome == "interrupted"
    asking = driven.send('[echo tool="touch never"]')
    asked = driven.piece(ApprovalRequested, turn=asking)
    driven.interrupt()
    assert driven.piece(ApprovalResolved, approval=asked.approval).by == "interrupt"
    assert driven.piece(TurnEnded, turn=asking).outcome == "interrupted"
    assert driven.turn("what was that?")[1].outcome == "completed"  # the model is told of the interrupt with this one
    assert driven.turn("[echo say=on]")[0] == "on"
    system.until_count("request.completed", session=driven.identified().session)


def test_cleared_it_is_a_new_session_in_the_same_place(claude: Claude, driven: Driven, system: System) -> None:
    driven.turn("before")
    old = driven.identified()
    process = driven.row.process
    driven.clear()
    new = driven.identified(driven.pieces.index(old) + 1)
    assert new.cleared
    assert new.session != old.session
    reply, _ = driven.turn("after")
    assert reply.endswith("after")
    assert "before" not in reply
    row = driven.row
    assert (row.session, row.process, row.restarts) == (new.session, process, 0)
    linked = system.until_count("session.linked", session=new.session)
    assert (linked[0].envelope.data.relation, linked[0].envelope.data.to) == ("succeeds", old.session)
    system.until_count("request.completed", session=new.session)
    assert {old.conversation, new.conversation} <= set(claude.transcripts())


def test_model_and_mode_change_between_turns(claude: Claude, driven: Driven, system: System) -> None:
    driven.turn("[echo say=one]")
    row = driven.change(model=HAIKU, mode="acceptEdits")
    assert (row.model, row.mode) == (HAIKU, "acceptEdits")
    driven.turn('[echo tool="touch unasked"] [echo say=two]')
    assert (claude.work / "unasked").exists()
    completed = system.until_count("request.completed", 3, session=driven.identified().session)
    assert [item.envelope.data.requested_model for item in completed][-1] == HAIKU


def test_killed_in_a_turn_it_takes_the_conversation_up_again(claude: Claude, driven: Driven) -> None:
    driven.turn("[echo say=first]")
    named = driven.identified()
    turn = driven.send("[echo words=2000 pace=50ms]")
    driven.piece(TextAdded, turn=turn, channel="reply")
    agent = agent_of(driven)
    os.kill(agent, signal.SIGKILL)
    assert ended(agent)
    assert driven.piece(TurnEnded, turn=turn).outcome == "failed"
    again = driven.send("[echo say=again]")
    assert driven.piece(TurnEnded, turn=again).outcome == "completed"
    assert driven.text(again) == "again"
    row = driven.row
    assert (row.session, row.restarts) == (named.session, 1)
    assert driven.piece(UsageTold, turn=again).usage.cached_input > 0
    said = said_in(claude.transcripts()[named.conversation])
    assert (said[0], said[-1]) == ("[echo say=first]", "[echo say=again]")


def test_a_message_comes_as_it_was_written_and_is_found_by_its_turns_name(claude: Claude, driven: Driven) -> None:
    shell = "$(touch pwned) `touch pwned`; touch pwned\n!touch pwned"
    text = f"NUL \x00 bell \x07 \x1b[31m {shell} \u2028 \N{GRINNING FACE} [echo say=ok]"
    turn = driven.send(text)
    assert driven.piece(TurnEnded, turn=turn).outcome == "completed"
    long = driven.send("x" * 1_000_000 + " [echo say=ok]")
    assert driven.piece(TurnEnded, turn=long).outcome == "completed"
    lines = claude.transcripts()[driven.identified().conversation]
    found = {line["uuid"]: line["message"]["content"] for line in lines if line.get("type") == "user"}
    assert found[message_uuid(turn)] == text
    assert found[message_uuid(long)].startswith("x" * 1_000_000)
    assert not (claude.work / "pwned").exists()


def test_it_wakes_by_itself_when_what_it_left_running_is_done(driven: Driven) -> None:
    arguments = json.dumps(json.dumps({"command": "cat", "run_in_background": True, "description": "wait"}))
    first = driven.send(f"[echo call=Bash arguments={arguments}] [echo say=started]")
    assert driven.piece(TurnEnded, turn=first).outcome == "completed"
    own = driven.piece(TurnStarted, after=driven.pieces.index(driven.piece(TurnEnded, turn=first)))
    assert own.turn != first
    assert driven.piece(TurnEnded, turn=own.turn).outcome == "completed"
    assert driven.turn("[echo say=on]")[0] == "on"


def test_a_fork_has_the_past_and_a_future_of_its_own(claude: Claude, driven: Driven, bridges: Bridges) -> None:
    driven.turn("[echo say=common]")
    with bridges.following(driven.fork()) as fork:
        assert fork.turn("[echo say=forked]")[0] == "forked"
        mine, other = driven.identified(), fork.identified()
        assert mine.session != other.session
        assert (fork.row.relation, fork.row.parent) == ("forks", mine.session)
        assert driven.turn("[echo say=apart]")[0] == "apart"
    transcripts = claude.transcripts()
    said = {one: said_in(transcripts[one]) for one in (mine.conversation, other.conversation)}
    assert said == {
        mine.conversation: ["[echo say=common]", "[echo say=apart]"],
        other.conversation: ["[echo say=common]", "[echo say=forked]"],
    }


def test_closed_nothing_of_it_is_left(claude: Claude, bridges: Bridges) -> None:
    (claude.work / "linger.py").write_text(LINGER)
    left = claude.work / "left"
    os.mkfifo(left)
    with bridges.session("claude", claude.work, **given(claude)) as driven:
        driven.send('[echo tool="python3 linger.py"]')
        driven.answer("allow")
        tool, daemon = map(int, left.read_text().split())
        agent = agent_of(driven)
        driven.close()
        assert [ended(pid, 0.0) for pid in (agent, tool, daemon)] == [True, True, True]  # the answer came when all had ended


def test_what_is_no_conversation_is_said_and_not_tried_for_ever(claude: Claude, bridges: Bridges) -> None:
    unknown = "11111111-2222-4333-8444-555555555555"
    with bridges.session("claude", claude.work, resume=unknown, **given(claude)) as driven:
        told = driven.piece(FailureTold)
        assert told.code == "conversation_unknown"
        assert unknown in told.message
        driven.piece(Ended)
