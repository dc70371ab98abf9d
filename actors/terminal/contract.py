"""The lines between a terminal host and who drives it: pure grammar, the same for both ends.

Theory of operation
-------------------
The host is told on stdin, one line of JSON each: first ``Open``, then what is typed. It tells on stdout what the terminal
shows. A ``Drawn`` names the rows that are not what they were, whole and without blanks at their ends, and the lines that left
the screen at its top since the one before; who reads them all knows the screen. A row that was full, so that its text goes on
in the next one, ends with a newline. While the reader does not read, nothing waits
but the newest screen: of lines that left meanwhile the last ``MAX_LEFT`` are kept, and ``lost`` counts those before them.

The end of stdin means *hang up*: the program is told as by a terminal that was closed, and ended when it does not end. The host
ends with its program, with that one's exit code (128 and the signal's number where one killed it). What the program's
processes in other sessions do then is for the host's own parent to see.
"""

from __future__ import annotations

from typing import Final, Literal

from actors.runtime.tagged_lines import Grammar, Message

MAX_LEFT: Final = 2_000
MAX_DOWN: Final = 8_388_608

Window = Literal["pty", "tmux"]


class Open(Message, tag="open", frozen=True, kw_only=True, gc=False):
    """Start this program in a terminal of this size: one that nobody sees, or one that a window of tmux shows.

    ``socket`` is that of the user's tmux server, where it is not the usual one; ``name`` is what its session is called.
    ``farewell`` is typed when the terminal is hung up, so that the program may end by itself.
    """

    argv: tuple[str, ...]
    columns: int = 160
    rows: int = 48
    window: Window = "pty"
    socket: str = ""
    name: str = ""
    farewell: str = ""


class Type(Message, tag="type", frozen=True, kw_only=True, gc=False):
    """Type this text; as a paste where the program has asked to be told what is pasted."""

    text: str


class Press(Message, tag="press", frozen=True, kw_only=True, gc=False):
    """Press these keys (``schemas.keys``), one behind the other."""

    keys: str


class Resize(Message, tag="resize", frozen=True, kw_only=True, gc=False):
    """Give the terminal another size. One that a window shows has the window's."""

    columns: int
    rows: int


class Opened(Message, tag="opened", frozen=True, kw_only=True, gc=False):
    """The program runs; ``attach`` is the command that shows its window."""

    pid: int
    attach: str = ""


class Drawn(Message, tag="drawn", frozen=True, kw_only=True, gc=False):
    """The screen is another: ``changed`` rows by their number from the top, the cursor's row and column, ``left`` lines.

    ``paste`` tells that the program wants to be told what is pasted, ``lines`` that the system gathers a line for it, so that
    none may be longer than the system takes. ``alternate`` is a screen beside the usual one, from which no line leaves.
    """

    changed: tuple[tuple[int, str], ...] = ()
    cursor: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (0, 0)
    left: tuple[str, ...] = ()
    lost: int = 0
    paste: bool = False
    lines: bool = False
    alternate: bool = False
    title: str = ""
    bell: bool = False


class Closed(Message, tag="closed", frozen=True, kw_only=True, gc=False):
    """Somebody closed the window; the host ends its program, and itself, behind this line."""


class Exited(Message, tag="exited", frozen=True, kw_only=True, gc=False):
    """The program has ended, negative for a signal; the host ends behind this line."""

    code: int


Ask = Type | Press | Resize
Down = Open | Ask
Up = Opened | Drawn | Closed | Exited


class TerminalContractError(ValueError):
    """A line that is not of the contract; the message says what was expected."""


_DOWN: Final = Grammar[Down](Down, "a line for a terminal", TerminalContractError)
_UP: Final = Grammar[Up](Up, "a line of a terminal", TerminalContractError)
decode_down: Final = _DOWN.read
decode_up: Final = _UP.read


def encode_line(line: Down | Up) -> bytes:
    """Write a line, newline included."""
    return _UP.write(line) if isinstance(line, Up) else _DOWN.write(line)
