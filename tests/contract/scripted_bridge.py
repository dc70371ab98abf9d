"""A bridge that does what the messages it is given say, so that the hub can be tried without any agent.

Started by the hub in the real one's place; speaks ``actors.bridge.contract`` over its real pipes. The first word of a message
is what to do: see ``Bridge``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

from actors.bridge.contract import (
    Answer,
    Beat,
    Began,
    Begin,
    Change,
    Clear,
    Close,
    Initialised,
    Interrupt,
    Over,
    Replied,
    Said,
    Send,
    Up,
    decode_down,
    encode_line,
)
from schemas.bridge_rows import Ability
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Identified,
    Option,
    Piece,
    SettingsTold,
    StatusTold,
    TextAdded,
    TextEnded,
    TurnEnded,
    TurnStarted,
)
from schemas.events.bridges import TurnOutcome
from schemas.identity import SessionId

_LOCK = threading.Lock()
_ALL: tuple[Ability, ...] = ("interrupt", "approve", "set_model", "clear", "fork", "resume", "review", "history")
_OPTIONS = (Option(id="yes", label="Allow", kind="allow_once"), Option(id="no", label="Deny", kind="deny_once"))


def say(line: Up) -> None:
    """Write one line to the hub."""
    raw = encode_line(line)
    with _LOCK:
        while raw:
            raw = raw[os.write(1, raw) :]


def show(piece: Piece) -> None:
    """Say a piece of content."""
    say(Said(piece=piece))


class Bridge:
    """One session.

    ``say WORDS`` answers, ``hold`` works until it is interrupted, ``ask`` wants an approval, ``die`` ends at once, ``fork``
    leaves a double-forked child behind (its pid is the answer), ``flood N`` answers in N pieces, ``stop`` stops beating.
    """

    def __init__(self, begin: Begin) -> None:
        self.begin = begin
        self.turn = ""
        self.waiting: list[Send] = []
        self.approval = ""
        self.beating = True

    def greet(self) -> None:
        """Begin as the arguments say: ``refuse`` fails for good, ``mute`` is never initialised."""
        if "refuse" in self.begin.arguments:
            say(Over(code="refused", reason="not logged in: run the agent once", resumable=False))
            sys.exit(0)
        say(Began(pid=os.getpid()))
        if "mute" in self.begin.arguments:
            return
        can: tuple[Ability, ...] = ("interrupt",) if "frail" in self.begin.arguments else _ALL
        say(Initialised(version="1.0", can=can))
        self.identify(self.begin.resume if self.begin.resume and not self.begin.fork else str(uuid.uuid4()))
        show(SettingsTold(model=self.begin.model or "scripted", mode=self.begin.mode))
        show(StatusTold(status="idle"))

    def identify(self, conversation: str, *, cleared: bool = False) -> None:
        name = SessionId(f"{self.begin.agent}-{conversation}")
        show(Identified(session=name, conversation=conversation, cleared=cleared))

    def next(self) -> None:
        """Begin with the first message that waits, if no turn runs."""
        while self.waiting and not self.turn:
            message = self.waiting.pop(0)
            self.turn = message.turn
            show(TurnStarted(turn=self.turn))
            show(TextAdded(turn=self.turn, item="prompt", channel="prompt", text=message.text[:8000]))
            show(StatusTold(status="working"))
            word, _, rest = message.text.partition(" ")
            self.act(word, rest)

    def act(self, word: str, rest: str) -> None:
        if word == "die":
            os._exit(9)
        elif word == "stop":
            self.beating = False
            time.sleep(3600)
        elif word == "ask":
            self.approval = f"approval-{self.turn}"
            show(
                ApprovalRequested(
                    turn=self.turn,
                    approval=self.approval,
                    tool="shell",
                    title=rest,
                    options=_OPTIONS,
                    expires="2030-01-01T00:00:00Z",
                )
            )
            show(StatusTold(status="waiting_permission"))
        elif word == "flood":
            for _ in range(int(rest)):
                show(TextAdded(turn=self.turn, item="reply", channel="reply", text="x" * 100))
            self.end(100 * int(rest))
        elif word == "fork":
            self.reply(str(self.leave_child()))
        elif word == "environ":
            self.reply(os.environ.get(rest, "") or self.begin.environ.get(rest, ""))
        elif word != "hold":
            self.reply(rest)

    def leave_child(self) -> int:
        """Start a process that is nobody's child and in no group of ours."""
        code = (
            "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
            " start_new_session=True, stdin=-3, stdout=-3, stderr=-3); print(p.pid)"
        )
        return int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout)

    def reply(self, text: str) -> None:
        for at in range(0, len(text), 5_000):
            show(TextAdded(turn=self.turn, item="reply", channel="reply", text=text[at : at + 5_000]))
        self.end(len(text))

    def end(self, length: int = 0, outcome: TurnOutcome = "completed") -> None:
        show(TextEnded(turn=self.turn, item="reply", channel="reply", length=length))
        show(TurnEnded(turn=self.turn, outcome=outcome))
        show(StatusTold(status="idle"))
        self.turn = ""

    def take(self, line: object) -> None:  # noqa: C901 - one case for each thing that a hub says
        """Do what the hub says."""
        match line:
            case Send():
                refused = line.text.startswith("refuse-me")
                say(Replied(ask=line.ask, code="refused" if refused else "", message="it is refused" if refused else ""))
                if not refused:
                    self.waiting.append(line)
            case Interrupt():
                if line.queued:
                    self.waiting.clear()
                say(Replied(ask=line.ask))
                if self.turn:
                    self.end(outcome="interrupted")
            case Answer():
                if line.approval != self.approval:
                    say(Replied(ask=line.ask, code="already_answered", message="answered by somebody"))
                    return
                self.approval = ""
                say(Replied(ask=line.ask))
                allowed = line.option == "yes"
                show(ApprovalResolved(turn=self.turn, approval=line.approval, option=line.option, allowed=allowed, by=line.by))
                self.reply("did it" if allowed else "left it")
            case Change():
                show(SettingsTold(model=line.model or "", mode=line.mode or ""))
                say(Replied(ask=line.ask))
            case Clear():
                say(Replied(ask=line.ask))
                self.identify(str(uuid.uuid4()), cleared=True)
            case Close():
                if "stubborn" in self.begin.arguments:
                    return
                say(Replied(ask=line.ask))
                say(Over(code="closed", reason="asked to"))
                sys.exit(0)
        self.next()


def _beat(bridge: Bridge) -> None:
    while bridge.beating:
        say(Beat(queued=len(bridge.waiting)))
        time.sleep(0.5)


def main() -> None:
    """Be a bridge until stdin ends."""
    begin = decode_down(sys.stdin.buffer.readline())
    assert isinstance(begin, Begin)
    sys.stderr.write(f"drives {begin.agent}\n")
    bridge = Bridge(begin)
    threading.Thread(target=_beat, args=(bridge,), daemon=True).start()
    for argument in begin.arguments:
        if argument.startswith("witness="):
            with Path(argument.removeprefix("witness=")).open("a") as file:
                file.write(f"{os.getpid()} {begin.resume} {begin.token}\n")
    bridge.greet()
    for raw in sys.stdin.buffer:
        bridge.take(decode_down(raw))


if __name__ == "__main__":
    main()
