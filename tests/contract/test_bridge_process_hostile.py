"""A bridge as a real process, driving agents that hang, crash, flood, hide their children and speak nonsense."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import pytest

from actors.bridge.agent_process import LADDER, MAX_LINE, TAIL
from actors.bridge.contract import Answer, Close, Interrupt, Over, Replied, Send
from actors.probe.contract import ProbeError
from actors.probe.linux.procfs import read_stat
from schemas.content import ApprovalRequested, FailureTold, TextAdded, TextEnded, ToolEnded, TurnEnded, TurnStarted
from tests.bridge.port import DEADLINE, BridgeProcess, gone

ENOUGH = 96 << 20  # a bridge that kept what it should not keep would need far more


def peak(pid: int) -> int:
    """Return the most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def pids(bridge: BridgeProcess, turn: str = "t1") -> list[int]:
    return [int(line.split()[1]) for line in bridge.reply(turn).splitlines()]


def child_of(parent: int) -> int:
    """Wait until a process has a child."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(ProbeError):
                if read_stat(int(folder.name)).parent == parent:
                    return int(folder.name)
    raise AssertionError("no child was started")


def held_back(pid: int) -> None:
    """Wait until a process that would write for ever writes no more."""
    counts: list[str] = []
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        written = Path(f"/proc/{pid}/io").read_text().splitlines()[1]
        counts = [*counts, written] if written in counts else [written]
        if len(counts) > 20 and int(written.split()[1]) > 32768:
            return
        time.sleep(0.02)
    raise AssertionError("nobody held it back")


def test_one_that_exits_at_once_is_not_to_be_started_again(tmp_path: Path) -> None:
    with BridgeProcess("complain you are not logged in", "exit 3", cwd=tmp_path) as bridge:
        bridge.begin()
        asked = bridge.ask(Send, turn="t1", text="echo")
        over = bridge.over()
        assert (over.code, over.exit_code, over.resumable) == ("agent_exited", 3, False)
        failure = bridge.piece(FailureTold)
        assert "you are not logged in" in failure.message
        assert "not logged in" not in over.reason  # the agent's words are content
        replies = [line for line in bridge.lines if isinstance(line, Replied) and line.ask == asked]
        accepted = bool(replies) and not replies[0].code
        assert accepted == any(isinstance(piece, TurnEnded) and piece.turn == "t1" for piece in bridge.pieces)


def test_one_that_never_answers_its_greeting_is_ended(tmp_path: Path) -> None:
    with BridgeProcess("hang", cwd=tmp_path, greeting=0.3) as bridge:
        bridge.begin()
        bridge.send("echo never")
        over = bridge.over()
        assert (over.code, over.resumable, bridge.process.returncode) == ("agent_silent", True, 0)
        assert bridge.piece(TurnEnded).reason.startswith("not sent")
        assert gone(bridge.agent_pid())


@pytest.mark.parametrize("script", ["hang", "deaf\nhang", "stop", "deaf\nstop"])
def test_one_that_hears_nothing_is_ended_all_the_same(tmp_path: Path, script: str) -> None:
    assert LADDER <= 2.0
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send(f"leave child\n{script}")
        bridge.piece(TextAdded, channel="reply")
        assert bridge.close().code == "closed"
        assert bridge.piece(TurnEnded).outcome == "interrupted"
        assert all(gone(pid) for pid in [bridge.agent_pid(), *pids(bridge)])


def test_children_of_all_kinds_end_with_the_session(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.turn("leave child\nleave apart\nleave orphan\n" * 4)
        left = pids(bridge)
        assert len(left) == 12
        assert not any(gone(pid) for pid in left)
        assert bridge.close().code == "closed"
        assert all(gone(pid) for pid in left)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("die", -signal.SIGKILL)])
def test_one_that_ends_in_mid_turn_leaves_a_whole_stream_and_no_process(tmp_path: Path, script: str, code: int) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.turn("leave orphan\nleave apart")
        bridge.send('say {"say": "tool", "item": "x"}\necho half\n' + script, "t2")
        bridge.send("echo never", "t3")
        over = bridge.over()
        assert (over.code, over.exit_code, over.resumable) == ("agent_exited", code, True)
        assert bridge.piece(TurnEnded, turn="t2").outcome == "failed"
        assert bridge.piece(TextEnded, turn="t2", channel="reply").length == 4
        assert not bridge.piece(ToolEnded, turn="t2").ok
        assert bridge.piece(TurnEnded, turn="t3").reason.startswith("not sent")
        assert all(gone(pid) for pid in pids(bridge))


def test_one_that_goes_on_behind_an_interrupt_is_ended_and_can_be_resumed(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path, interrupt=0.3) as bridge:
        bridge.begin()
        bridge.send("hang")
        bridge.piece(TurnStarted)
        assert bridge.asked(Interrupt).code == ""
        assert bridge.asked(Interrupt).code == ""  # once more changes nothing
        over = bridge.over()
        assert (over.code, over.resumable) == ("interrupt_ignored", True)
        assert bridge.piece(TurnEnded).outcome == "interrupted"


def test_one_that_reads_nothing_is_ended(tmp_path: Path) -> None:
    with BridgeProcess('say {"say": "greeted"}', "hang", cwd=tmp_path, stuck=0.3) as bridge:
        bridge.begin()
        bridge.send("x" * 1_000_000)
        assert bridge.asked(Answer, approval="a", option="b", by="c").code == "no_such_approval"  # nobody is delayed by it
        assert bridge.over().code == "agent_stuck"
        assert bridge.piece(TurnEnded).outcome == "failed"


def test_a_gigabyte_on_stderr_costs_nothing_and_its_end_is_kept(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        assert bridge.turn(f"stderr {1 << 30}")[0] == "flooded"
        assert peak(bridge.process.pid) < ENOUGH
        bridge.send("exit 9", "t2")
        assert bridge.over().exit_code == 9
        message = bridge.piece(FailureTold).message
        assert "the very last words" in message
        assert len(message) <= TAIL


def test_huge_lines_are_taken_whole_and_monstrous_ones_are_left_out(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        assert bridge.turn("huge 600000", "t1")[0] == "z" * 600_000
        length = MAX_LINE + 100
        bridge.turn(f"huge {length}\necho and on", "t2")
        whole = length + len('{"say": "text", "text": ""}')
        assert bridge.reply("t2") == f"skipped {whole}and on"


def test_nonsense_is_noted_and_gone_over(tmp_path: Path) -> None:
    nonsense = ("{", "[]", "null", '"say"', "\x00\x01\xff", '{"say": 5}', '{"say": "text"' * 500, "[" * 100_000, "NaN")
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        script = "\n".join(f"raw {line}" for line in nonsense)
        assert bridge.turn(f"{script}\necho still here")[0].endswith("still here")


def test_a_hub_that_reads_nothing_holds_back_the_agent_and_loses_nothing(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path, deaf=True) as bridge:
        bridge.begin()
        bridge.tell(Send(ask=1, turn="t1", text="lines 3000 32768"))
        held_back(child_of(bridge.process.pid))
        assert peak(bridge.process.pid) < ENOUGH
        bridge.hear()
        bridge.piece(TurnEnded)
        assert bridge.reply() == "y" * 3000 * 32768


def test_what_the_adapter_did_not_foresee_ends_the_session_cleanly(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send('leave orphan\necho half\nsay {"say": "boom"}\nhang')
        over = bridge.over()
        assert (over.code, over.resumable, bridge.process.returncode) == ("bridge_crashed", True, 70)
        assert bridge.piece(TurnEnded).outcome == "failed"
        assert all(gone(int(line.split()[1])) for line in bridge.reply().splitlines() if line.startswith("pid"))
        assert b"KeyError" in bytes(bridge.log)


def test_an_adapter_that_cannot_go_on_says_why(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send('say {"say": "fail", "code": "not_logged_in", "message": "log in first", "resumable": false}\nhang')
        over = bridge.over()
        assert (over.code, over.resumable) == ("not_logged_in", False)
        assert "log in first" not in over.reason
        assert bridge.piece(FailureTold).message == "log in first"


def test_more_approvals_than_can_be_shown_are_denied(tmp_path: Path) -> None:
    script = "\n".join(f'say {{"say": "ask", "approval": "a{number}"}}' for number in range(70))
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.send(f"{script}\nask last")
        bridge.piece(TurnEnded)
        asked = [piece for piece in bridge.pieces if isinstance(piece, ApprovalRequested)]
        assert len(asked) == 64


def test_what_is_asked_while_it_ends_is_answered_before_the_last_line(tmp_path: Path) -> None:
    with BridgeProcess(cwd=tmp_path) as bridge:
        bridge.begin()
        bridge.turn("deaf")
        bridge.send("hang", "t2")
        first, second = bridge.ask(Close), bridge.ask(Send, turn="t3", text="too late")
        third = bridge.ask(Close)
        assert bridge.over().code == "closed"
        assert isinstance(bridge.lines[-1], Over)
        answers = {line.ask: line.code for line in bridge.lines if isinstance(line, Replied)}
        assert (answers[first], answers[second], answers[third]) == ("", "ending", "")
