"""An agent in a terminal without any process: its bytes go to a real screen, its time is a number, what is typed is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from actors.bridge import adapter as seam
from actors.bridge.terminal.declared import Declared, declared
from actors.launch.plan import Door
from actors.terminal.contract import Drawn, Opened, Press, Type, Up, decode_down, encode_line
from actors.terminal.screen import Screen
from schemas.content import Piece, TextAdded, TurnEnded
from schemas.terminals import Question, Terminal

CALCULATOR = Terminal(program="calc", ready="^>>>$", columns=40, rows=8)
ASKS = Question(pattern=r"^Run it\?$", yes="y", no="n")
TUI = Terminal(
    program="tui",
    ready="^[|] >$",
    busy="esc to stop",
    reply="^[*] ",
    leave_out=("^-+$",),
    questions=(Question(pattern=r"^Run it\?", yes="1", always="2", no="Escape", tool="shell"),),
    interrupt="Escape",
    clear="/new",
    columns=40,
    rows=12,
)
BOX = "----------\r\n| >\r\n----------"
TOKEN = "a-token-of-the-launch-a-token-of-the-launch"
_T = TypeVar("_T")


def beginning(**more: Any) -> seam.Beginning:
    door = Door("http://127.0.0.1:8129", TOKEN)
    wishes: dict[str, Any] = {"cwd": Path("/w"), "door": door, "program": "/bin/agent", "launch": "launch-0123456789ab", **more}
    return seam.Beginning(**wishes)


@dataclass
class Play:
    """One session. ``typed`` is what went to the terminal, keys in brackets; ``outputs`` is all else that the adapter said."""

    terminal: Terminal
    adapter: Declared = field(init=False)
    outputs: list[seam.Output] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    timers: dict[str, float] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.adapter = declared("agent", self.terminal)
        self.state = self.adapter.begin(beginning())
        self.screen = Screen(self.terminal.columns, self.terminal.rows)
        self.take(seam.Spawned())
        self.line(Opened(pid=7))

    def take(self, input_: seam.Input) -> None:
        self.state, outputs = self.adapter.step(self.state, input_)
        for output in outputs:
            match output:
                case seam.Wait(name=name, seconds=None):
                    self.timers.pop(name, None)
                case seam.Wait(name=name, seconds=float() | int() as seconds):
                    self.timers[name] = self.now + seconds
                case seam.Write(line=raw):
                    line = decode_down(raw)
                    if isinstance(line, Type | Press):
                        self.typed.append(line.text if isinstance(line, Type) else f"<{line.keys}>")
                case _:
                    self.outputs.append(output)

    def line(self, line: Up) -> None:
        self.take(seam.LineCame(encode_line(line).rstrip()))

    def draw(self, text: str, *, lines: bool = False) -> Drawn:
        """Let the program write; the screen is told as a host would tell it."""
        self.screen.feed(text.encode())
        drawn = self.screen.drawn(lines=lines)
        self.line(drawn)
        return drawn

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while due := [(at, name) for name, at in self.timers.items() if at <= until]:
            self.now, name = min(due)
            del self.timers[name]
            self.take(seam.Passed(name=name))
        self.now = until

    def settle(self) -> None:
        self.wait(self.terminal.settle_seconds + 0.01)

    def prompt(self, text: str, turn: str = "t1", *, echo: bool = True) -> None:
        """Give a message to an agent that waits for one, as far as its Enter; ``echo``: the terminal shows what is typed."""
        before = len(self.typed)
        self.take(seam.Prompt(turn=turn, text=text))
        if echo:
            self.draw("".join(one for one in self.typed[before:] if not one.startswith("<")))
        self.wait(self.terminal.enter_seconds + 0.01)

    def said(self, kind: type[_T]) -> list[_T]:
        """Return outputs, or pieces that were said, of one kind."""
        given: list[Any] = [output.piece if isinstance(output, seam.Say) else output for output in self.outputs]
        return [one for one in given if isinstance(one, kind)]

    def text(self, turn: str = "t1", channel: str = "reply") -> str:
        added = [one for one in self.said(TextAdded) if (one.turn, one.channel) == (turn, channel)]
        return "".join(one.text for one in added)

    @property
    def pieces(self) -> list[Piece]:
        return [output.piece for output in self.outputs if isinstance(output, seam.Say)]


def calculator() -> Play:
    """Return one that is at its prompt."""
    play = Play(CALCULATOR)
    play.draw(">>> ")
    play.settle()
    return play


def tui(terminal: Terminal = TUI) -> Play:
    play = Play(terminal)
    play.draw(f"Welcome\r\n{BOX}\x1b[2A\x1b[4G")
    play.settle()
    return play


def repaint(play: Play, *rows: str) -> None:
    """Let a program draw its whole screen anew."""
    play.draw("\x1b[2J\x1b[H" + "\r\n".join(rows))


def ended(play: Play) -> list[TurnEnded]:
    return play.said(TurnEnded)
