"""A bridge as a real process, driving an agent that behaves: turns, approvals, changes, what comes from the hub, the end."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.bridge.contract import Answer, Began, Change, Clear, Initialised, Interrupt, Send, encode_line
from actors.bridge.state import MAX_QUEUED
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    FailureTold,
    Identified,
    SettingsTold,
    StatusTold,
    TextAdded,
    TextEnded,
    TurnEnded,
    TurnStarted,
)
from tests.bridge.port import ROOT, TOKEN, BridgeProcess, gone


def test_two_turns_a_close_and_nothing_left(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin(model="wished")
        assert bridge.turn("echo one\necho two", "t1") == ("onetwo", TurnEnded(turn="t1", outcome="completed"))
        assert bridge.turn("echo three", "t2")[0] == "three"
        over = bridge.close()
        assert (over.code, over.exit_code, over.resumable) == ("closed", 0, True)
        assert gone(bridge.agent_pid())
        assert bridge.process.returncode == 0
        assert bridge.line(Initialised).models == ("m1", "m2")
        statuses = [piece.status for piece in bridge.pieces if isinstance(piece, StatusTold)]
        assert statuses == ["starting", "working", "idle", "working", "idle"]
        turn = [piece for piece in bridge.pieces if getattr(piece, "turn", "") == "t2"]
        assert turn == [
            TurnStarted(turn="t2"),
            TextAdded(turn="t2", item="prompt", channel="prompt", text="echo three"),
            TextEnded(turn="t2", item="prompt", channel="prompt", length=10),
            TextAdded(turn="t2", item="reply", channel="reply", text="three"),
            TextEnded(turn="t2", item="reply", channel="reply", length=5),
            TurnEnded(turn="t2", outcome="completed"),
        ]


def test_messages_wait_for_the_greeting_and_for_each_other_and_no_more_than_so_many(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send("await decide", "first")
        bridge.piece(TurnStarted, turn="first")
        for number in range(MAX_QUEUED):
            bridge.send(f"echo {number}", f"t{number}")
        assert bridge.asked(Send, turn="more", text="echo").code == "queue_full"
        assert bridge.asked(Send, turn="t3", text="echo").code == "duplicate_turn"
        assert bridge.asked(Send, turn="empty", text="").code == "empty"
        assert bridge.asked(Interrupt).code == ""
        assert bridge.piece(TurnEnded, turn="first").outcome == "interrupted"
        bridge.piece(TurnEnded, turn=f"t{MAX_QUEUED - 1}")
        assert "".join(bridge.reply(f"t{number}") for number in range(MAX_QUEUED)) == "".join(map(str, range(MAX_QUEUED)))


def test_what_waits_is_given_back_with_an_interrupt(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send("await decide", "runs")
        bridge.send("echo never", "waits")
        bridge.piece(TurnStarted, turn="runs")
        assert bridge.asked(Interrupt, queued=True).code == ""
        ended = bridge.piece(TurnEnded, turn="waits")
        assert (ended.outcome, ended.reason.partition(":")[0]) == ("interrupted", "not sent")
        assert bridge.piece(TurnEnded, turn="runs").outcome == "interrupted"
        assert bridge.asked(Interrupt).code == "no_turn"
        assert TurnStarted(turn="waits") not in bridge.pieces


@pytest.mark.parametrize(("option", "allowed"), [("yes", True), ("no", False)])
def test_an_approval_is_answered_once_and_the_second_is_told_by_whom(tmp_path: Path, option: str, allowed: bool) -> None:  # noqa: FBT001
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send("ask a1")
        asked = bridge.piece(ApprovalRequested, approval="a1")
        assert [one.id for one in asked.options] == ["yes", "no"]
        assert bridge.piece(StatusTold, status="waiting_permission")
        assert bridge.asked(Answer, approval="a1", option="maybe", by="anna").code == "no_such_option"
        first, second = (bridge.ask(Answer, approval="a1", option=option, by=by) for by in ("anna", "bert"))
        assert first < second
        resolved = bridge.piece(ApprovalResolved, approval="a1")
        assert (resolved.option, resolved.allowed, resolved.by) == (option, allowed, "anna")
        late = bridge.asked(Answer, approval="a1", option=option, by="carla")
        assert (late.code, late.message.split()[0]) == ("already_answered", "anna")
        bridge.piece(TurnEnded)
        assert bridge.reply() == f"told {option}"
        assert bridge.asked(Answer, approval="a9", option=option, by="anna").code == "no_such_approval"


def test_an_approval_that_nobody_answers_is_denied_and_said_so(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path, patience=0.2) as bridge:
        bridge.begin()
        reply, ended = bridge.turn("ask a1")
        assert (reply, ended.outcome) == ("told None", "completed")
        resolved = bridge.piece(ApprovalResolved)
        assert (resolved.allowed, resolved.by, "nobody answered" in resolved.reason) == (False, "deadline", True)


def test_an_interrupt_ends_the_turn_and_what_it_waits_for(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send("echo before\nask a1")
        bridge.piece(ApprovalRequested)
        assert bridge.asked(Interrupt).code == ""
        assert bridge.piece(ApprovalResolved).by == "interrupt"
        assert bridge.piece(TurnEnded).outcome == "interrupted"
        assert bridge.turn("echo after", "t2")[0] == "after"


def test_settings_change_at_once_or_behind_the_running_turn(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin(provider="p")
        bridge.turn("echo")
        assert bridge.asked(Change, model="m2").code == ""
        assert bridge.piece(SettingsTold, model="m2").provider == "p"
        refused = bridge.asked(Change, model="wrong")
        assert (refused.code, refused.message) == ("refused", "no such model")
        assert bridge.piece(SettingsTold, reason="no such model").model == "m2"
        bridge.send("await decide", "t2")
        assert bridge.asked(Change, mode="bold").code == ""
        assert bridge.asked(Clear).code == "in_use"
        assert bridge.asked(Interrupt).code == ""
        bridge.piece(SettingsTold, mode="bold")
        ended = next(n for n, piece in enumerate(bridge.pieces) if isinstance(piece, TurnEnded) and piece.turn == "t2")
        changed = next(n for n, piece in enumerate(bridge.pieces) if isinstance(piece, SettingsTold) and piece.mode == "bold")
        assert ended < changed


def test_a_clear_begins_a_new_conversation(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.turn("echo")
        assert bridge.asked(Clear).code == ""
        assert [(piece.conversation, piece.cleared) for piece in bridge.pieces if isinstance(piece, Identified)] == [
            ("c0", False),
            ("c1", True),
        ]


PROMPTS = {
    "control characters": "digest \x00\x01\x1b[31m\x7f\u202e\r\n",
    "shell syntax": "digest $(touch pwned); `touch pwned` | touch pwned && 'touch' \"pwned\" > pwned",
    "a megabyte": "digest " + "ab\n€\x00" * 200_000,
    "other planes": "digest 🧵\U0010ffff",
}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_arrives_as_it_was_written_and_is_run_by_nobody(tmp_path: Path, name: str) -> None:
    text = PROMPTS[name]
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        assert bridge.turn(text)[0] == hashlib.sha256(text.encode()).hexdigest()
        shown = [piece for piece in bridge.pieces if isinstance(piece, TextAdded) and piece.channel == "prompt"]
        assert "".join(piece.text for piece in shown) == text
        assert list(tmp_path.iterdir()) == []


def test_the_agent_gets_the_environment_that_was_asked_for_and_its_token_stays_inside(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin(environ={"MINE": "from begin", "SCRIPTED_AWAY": "taken away by the plan"})
        assert bridge.turn("env MINE", "t1")[0] == "from begin"
        assert bridge.turn("env SCRIPTED_AWAY", "t2")[0] == "None"
        reply = bridge.turn("env SCRIPTED_DOOR", "t3")[0]
        assert reply == "http://127.0.0.1:1/s/…"
        assert bridge.turn("complain token " + TOKEN + "\nexit 4", "t4")[1].outcome == "failed"
        assert bridge.over().exit_code == 4
        assert TOKEN not in repr(bridge.lines).replace(repr(bridge.pieces), "")
        assert TOKEN not in bridge.log.decode()
        assert not [piece for piece in bridge.pieces if isinstance(piece, FailureTold) and TOKEN in piece.message]


def test_the_end_of_the_hub_is_the_end_of_the_agent(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.turn("leave orphan")
        orphan = int(bridge.reply().split()[1])
        bridge.hang_up()
        assert bridge.over().code == "hub_gone"
        assert gone(bridge.agent_pid())
        assert gone(orphan)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_bridge_and_its_agent(tmp_path: Path, number: int) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.turn("echo")
        bridge.process.send_signal(number)
        assert bridge.over().code == "hub_gone"
        assert (gone(bridge.agent_pid()), bridge.process.returncode) == (True, 0)


def test_a_bridge_that_is_killed_takes_its_agent_along(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send("hang")
        bridge.piece(TurnStarted)
        watch = os.pidfd_open(bridge.agent_pid())
        bridge.process.kill()
        bridge.process.wait()
        assert select.select([watch], [], [], 20.0)[0], "the agent outlived its bridge"
        os.close(watch)


def test_the_bridge_of_the_product_knows_its_adapters_alone(tmp_path: Path) -> None:
    command = (sys.executable, "-I", "-m", "actors.bridge")
    for agent in ("nobody", "../evil", "acp", "Codex", "os", ""):
        with BridgeProcess(cwd=tmp_path, command=command) as bridge:
            bridge.begin(agent=agent)
            over = bridge.over()
            assert (over.code, over.resumable) == ("no_such_agent", False)
            assert bridge.piece(FailureTold).code == "no_such_agent"
            assert not [line for line in bridge.lines if isinstance(line, Began)]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"program": "/nowhere/at/all"}, "not_installed"),
        ({"program": "no-such-agent-is-installed"}, "not_installed"),
        ({"program": __file__}, "not_installed"),
        ({"cwd": "/nowhere/at/all"}, "no_such_folder"),
        ({"environ": {"A": "nul\0"}}, "cannot_start"),
    ],
)
def test_an_agent_that_cannot_be_started_is_said_so(tmp_path: Path, fields: dict[str, str], code: str) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin(**fields)
        over = bridge.over()
        assert (over.code, over.resumable, bridge.process.returncode) == (code, False, 0)
        assert bridge.piece(FailureTold).code == code


@pytest.mark.parametrize("first", [b"", b"nonsense\n", b"{}\n", encode_line(Send(ask=1, turn="t", text="x"))])
def test_a_bridge_that_is_not_told_who_it_is_says_so_and_exits_with_78(first: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "actors.bridge"], input=first, capture_output=True, cwd=ROOT, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"started in a wrong way" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_an_idle_bridge_is_small(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.turn("echo")
        rollup = Path(f"/proc/{bridge.process.pid}/smaps_rollup").read_text().splitlines()
        assert sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) <= 30 * 1024


def test_no_adapter_brings_what_a_bridge_has_no_room_for() -> None:
    names = [file.stem for file in (ROOT / "actors/bridge/adapters").glob("*.py") if file.stem != "__init__"]
    heavy = {"asyncio", "anyio", "structlog", "zmq", "httpx", "psutil", "pydantic", "rich", "acp"}
    code = f"""
import importlib, sys
import actors.bridge.shell
for name in {names!r}:
    importlib.import_module("actors.bridge.adapters." + name)
print(*({heavy!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (names != [], done.stdout.split()) == (True, [])
