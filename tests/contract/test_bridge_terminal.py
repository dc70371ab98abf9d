"""Bridges that drive real programs through their screens: an interpreter, a shell, a chat that paints, a hostile one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.bridge.contract import Answer, Began, Clear, Close, Initialised, Interrupt, Over, Send
from schemas.content import ApprovalRequested, FailureTold, TextAdded, TurnEnded
from schemas.terminals import Question, Terminal
from tests.contract.actor_process import ended
from tests.contract.terminal_scene import Bridge

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")

INTERPRETER = Terminal(program=sys.executable, arguments=("-i", "-q"), ready="^>>>$", settle_seconds=0.3)
CHAT = r"""
import os, sys, time
past, here = [], "?"
def paint(*rows, box="> "):
    sys.stdout.write("\x1b[H\x1b[2J" + "\r\n".join([*past[-12:], *rows, "----", box]))
    sys.stdout.flush()
sys.stdout.write("\x1b[?1049h\x1b[?2004h")
while True:
    paint()
    said = input()
    if said.startswith("\x1b[200~"):
        said = said[6:-6]
    if said == "/new":
        past = []
        continue
    past.append("> " + said)
    paint("working 1", box="")
    time.sleep(0.2)
    if said == "ask":
        paint("working 2", "Allow it? [1/2]", box="")
        os.system("stty -icanon -echo")
        past.append("* " + ("allowed" if sys.stdin.read(1) == "1" else "denied"))
        os.system("stty icanon echo")
        continue
    try:
        for number in range(600 if said == "long" else 3):
            paint(*["* line 0", "  line 1", "  line 2"][: number // 4 + 1], f"working {number}", box="")
            time.sleep(0.05)
        past.append("* You said: " + said)
    except KeyboardInterrupt:
        past.append("* stopped")
"""
PAINTED = Terminal(
    program=sys.executable,
    ready="^>$",
    busy="^working",
    reply="^[*] ",
    leave_out=("^-+$",),
    questions=(Question(pattern=r"^Allow it\?", yes="1", no="2", tool="it"),),
    clear="/new",
    columns=60,
    rows=20,
    settle_seconds=0.3,
    start_seconds=1.0,
)
HOSTILE = r"""
import os, signal, sys, time
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3):
            os.close(number)
        while True:
            time.sleep(600)
    os._exit(0)
os.wait()
sys.stdout.write("\x1b[?3h\x1b[?1049h\x1b[99999;99999H\x1b[r\x1b[2J\x1b[H\x1bc> ")
sys.stdout.flush()
for line in sys.stdin:
    while True:
        sys.stdout.write("\x1b[2J\x1b[H\x1b]0;" + "x" * 9000 + "\x07" + "flood \x1b[31m\xff\x9b" * 500 + "\n")
"""


def of(turn: str) -> Callable[[Any], bool]:
    return lambda piece: bool(piece.turn == turn)


def test_turns_in_an_interpreter_and_nothing_left(tmp_path: Path) -> None:
    with Bridge(INTERPRETER, tmp_path) as bridge:
        assert bridge.line(Initialised).can == ("interrupt",)
        assert bridge.say("name = 'Bob'", "t1") == ("", TurnEnded(turn="t1", outcome="completed"))
        assert bridge.say("print(name); print('x' * 500)", "t2")[0] == "Bob\n" + "x" * 500
        assert bridge.say("import os; os.environ['OPENAI_BASE_URL']", "t3")[0] == "'http://127.0.0.1:9/s/…/v1'"
        assert bridge.say("for n in range(300): print(n)\r", "t4")[1].reason.startswith("not typed: ")
        text, _ = bridge.say("print(*range(300), sep=chr(10))", "t5")
        assert text.split("\n") == [str(number) for number in range(300)]
        bridge.ask(Send, turn="t6", text="import time; time.sleep(600)")
        family = psutil.Process(bridge.line(Began).pid).children(recursive=True)
        bridge.ask(Interrupt)
        assert bridge.line(TurnEnded, lambda piece: piece.turn == "t6").outcome == "interrupted"
        over = bridge.close()
        assert over.code == "closed"
        assert [ended(one.pid, 0.0) for one in family] == [True] * len(family)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_gets_its_lines_as_a_paste_and_says_its_end(tmp_path: Path) -> None:
    shell = Terminal(
        program="bash", arguments=("--norc", "-i"), environ={"PS1": "ready> "}, ready="^ready>$", settle_seconds=0.3, quit="C-d"
    )
    with Bridge(shell, tmp_path) as bridge:
        assert bridge.say("echo one\necho two", "t1")[0].endswith("one\ntwo")
        bridge.ask(Send, turn="t2", text="echo bye; exit 7")
        assert bridge.line(TurnEnded, lambda piece: piece.turn == "t2").outcome == "failed"
        assert "mine: exited with 7; its last rows: " in bridge.line(FailureTold).message
        assert bridge.line(Over).code == "agent_exited"


def test_a_chat_that_paints_its_screen(tmp_path: Path) -> None:
    with Bridge(PAINTED, tmp_path, arguments=("-c", CHAT)) as bridge:
        assert bridge.line(Initialised).can == ("approve", "clear", "interrupt")
        assert bridge.say("hello", "t1") == ("You said: hello", TurnEnded(turn="t1", outcome="completed"))
        assert bridge.say("hello", "t2")[0] == "You said: hello"
        for turn, option, reply in (("t3", "yes", "allowed"), ("t4", "no", "denied")):
            bridge.ask(Send, turn=turn, text="ask")
            asked = bridge.line(ApprovalRequested, of(turn))
            bridge.ask(Answer, approval=asked.approval, option=option, by="test")
            bridge.line(TurnEnded, of(turn))
            assert bridge.text(turn) == reply
        bridge.ask(Send, turn="t5", text="long")
        bridge.line(TextAdded, lambda piece: (piece.turn, piece.channel) == ("t5", "reply"))
        bridge.ask(Interrupt)
        assert bridge.line(TurnEnded, lambda piece: piece.turn == "t5").outcome == "interrupted"
        bridge.ask(Clear)
        assert bridge.say("again", "t6")[0] == "You said: again"
        os.kill(bridge.line(Began).pid, signal.SIGKILL)
        assert bridge.line(Over).code == "agent_exited"


def test_a_hostile_program_ends_with_all_that_it_started(tmp_path: Path) -> None:
    hostile = Terminal(program=sys.executable, ready="^>$", settle_seconds=0.3)
    with Bridge(hostile, tmp_path, arguments=("-c", HOSTILE)) as bridge:
        bridge.line(Initialised)
        bridge.ask(Send, turn="t1", text="go")
        family = psutil.Process(bridge.process.pid).children(recursive=True)
        assert len(family) == 3
        bridge.ask(Close)
        assert bridge.line(Over).code == "closed"
        assert [ended(one.pid, 0.0) for one in family] == [True] * 3
        assert bridge.line(TurnEnded).outcome == "interrupted"


def test_a_window_without_a_tmux_server_is_said(tmp_path: Path) -> None:
    windowed = Terminal(program=sys.executable, ready="^>$", window="tmux", socket=str(tmp_path / "none"))
    with Bridge(windowed, tmp_path) as bridge:
        over = bridge.line(Over)
        assert (over.code, over.resumable) == ("agent_exited", False)
        assert "tmux" in bridge.line(FailureTold).message
