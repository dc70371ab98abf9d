"""The loop of a terminal host: one program, its screen, who drives it and who looks on.

Theory of operation
-------------------
One loop waits for stdin, the program's terminal, the window's view, and for stdout where something is to be written. What the
program writes goes into the screen at once; a ``Drawn`` is made of it at most every ``FRAME_SECONDS``, and only when the one
before is written. So a program that floods costs a screen now and then, and a reader that is slow gets the newest. A view is a
terminal like any: one that does not read holds up the program, as it would elsewhere.

When there is no view, we answer what a program asks its terminal; otherwise the user's terminal does. A program that has ended
is told of behind its last screen. Hanging up is a ladder of ``LADDER`` seconds: the farewell, SIGHUP, SIGKILL.
Must not know what the program says.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from typing import Final

from actors.runtime import exits
from actors.terminal.contract import (
    MAX_DOWN,
    Closed,
    Drawn,
    Exited,
    Open,
    Opened,
    Press,
    Resize,
    TerminalContractError,
    Type,
    Up,
    decode_down,
    encode_line,
)
from actors.terminal.program import Program
from actors.terminal.screen import Screen
from actors.terminal.window import HEAD, SIZE, SIZED, TYPED, WindowError, open_window
from schemas.keys import typed

FRAME_SECONDS: Final = 0.025
UNHELD_SECONDS: Final = 0.2
FAREWELL: Final = 0.25
HANGUP: Final = 0.2
LADDER: Final = FAREWELL + HANGUP
LAST_WORDS: Final = 0.5
MAX_VIEWED: Final = 262_144
_CHUNK: Final = 65_536
_LAST_READS: Final = 64
_NOT_FOUND: Final = 127
_SIGNALLED: Final = 128
_TERM: Final = {"pty": "xterm-256color", "tmux": "screen-256color"}


class _Gone(Exception):  # noqa: N818 - no error
    """Who drives has left: hang up."""


class _Shut(_Gone):
    """The window was closed: hang up, and say so."""


def run_terminal() -> int:
    """Live as a terminal host and return the exit code."""
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, _leave)
    try:
        wished, rest = _first_line()
        view, attach = None, ""
        if wished.window == "tmux":
            view, attach = open_window(wished.name, wished.columns, wished.rows, wished.socket)
    except (TerminalContractError, WindowError, _Gone) as error:
        sys.stderr.write(f"{error}\n")
        return exits.BAD_CONFIG
    columns, rows = wished.columns, wished.rows
    try:
        program = Program(wished.argv, columns, rows, _TERM[wished.window])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{wished.argv[0] if wished.argv else 'no program'} cannot be started: {error}\n")
        return _NOT_FOUND
    return _Host(wished, program, view).run(attach, rest)


def _leave(*_: object) -> None:
    raise _Gone


def _first_line() -> tuple[Open, bytes]:
    """Read what is to be opened.

    Raises:
        TerminalContractError: it is something else.

    """
    raw = b""
    while b"\n" not in raw:
        more = os.read(0, _CHUNK)
        if not more or len(raw) > MAX_DOWN:
            raise TerminalContractError("expected a line that says what is to be opened")
        raw += more
    line, _, rest = raw.partition(b"\n")
    wished = decode_down(line)
    if not isinstance(wished, Open):
        raise TerminalContractError(f"expected a line that says what is to be opened, not a {type(wished).__name__}")
    return wished, rest


class _Host:
    """One terminal, from its program's start to its end."""

    def __init__(self, wished: Open, program: Program, view: socket.socket | None) -> None:
        self._wished = wished
        self._program = program
        self._view = view
        self._screen = Screen(wished.columns, wished.rows)
        self._typed = b""
        self._keyed = b""
        self._unwritten = bytearray()
        self._unseen = bytearray()
        self._changed = True
        self._drawn_at = 0.0
        self._last: Drawn | None = None
        self._selector = selectors.DefaultSelector()

    def run(self, attach: str, rest: bytes) -> int:
        """Live until the program has ended; return the exit code."""
        ended, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        os.set_blocking(1, False)
        if self._view is not None:
            self._view.settimeout(0)
        try:
            self._tell(Opened(pid=self._program.pid, attach=attach))
            self._take(rest)
            while self._program.poll() is None:
                self._turn(ended)
            return self._finish()
        except (_Gone, TerminalContractError, BrokenPipeError) as error:
            if isinstance(error, TerminalContractError):
                sys.stderr.write(f"{error}\n")
            if isinstance(error, _Shut):
                self._tell(Closed())
            self._hang_up()
            self._last_words()
            return exits.OK
        finally:
            self._program.signal(signal.SIGKILL)
            if self._view is not None:
                self._view.close()

    def _turn(self, ended: int) -> None:
        """Wait until something is to be done, and do it."""
        selector = self._selector = selectors.DefaultSelector()
        with selector:
            selector.register(0, selectors.EVENT_READ, self._read_orders)
            selector.register(ended, selectors.EVENT_READ, lambda: os.read(ended, _CHUNK))
            events = selectors.EVENT_WRITE if self._program.waiting else 0
            if len(self._unseen) < MAX_VIEWED and not self._program.unheld:
                events |= selectors.EVENT_READ
            if events:
                selector.register(self._program, events, self._of_the_program)
            if self._unwritten:
                selector.register(1, selectors.EVENT_WRITE, self._flush)
            if self._view is not None:
                both = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unseen else 0)
                selector.register(self._view, both, self._of_the_view)
            for key, _ in selector.select(self._patience()):
                key.data()
        if self._program.unheld:
            self._of_the_program()
        self._draw()

    def _patience(self) -> float | None:
        """Return how long may be waited: until the screen is to be told, where it can be.

        A program that has let go of its terminal may take it again: that can only be looked for.
        """
        if self._program.unheld:
            return UNHELD_SECONDS
        if not self._changed or self._unwritten:
            return None
        return max(0.0, self._drawn_at + FRAME_SECONDS - time.monotonic())

    # ------------------------------------------------------------------------------------------------ the program

    def _of_the_program(self) -> None:
        self._program.flush()
        if len(self._unseen) >= MAX_VIEWED:
            return
        if said := self._program.read():
            self._took(said)

    def _took(self, said: bytes) -> None:
        answer = self._screen.feed(said)
        self._changed = True
        if self._view is not None:
            self._unseen += said
            self._show()
        elif answer:
            self._program.write(answer.encode())

    # ------------------------------------------------------------------------------------------------ who drives

    def _read_orders(self) -> None:
        raw = os.read(0, _CHUNK)
        if not raw:
            raise _Gone
        self._take(raw)

    def _take(self, raw: bytes) -> None:
        *lines, self._typed = (self._typed + raw).split(b"\n")
        if len(self._typed) > MAX_DOWN:
            raise TerminalContractError(f"a line of more than {MAX_DOWN} bytes")
        for line in lines:
            match decode_down(line):
                case Type(text=text):
                    data = text.encode(errors="replace")
                    self._write(b"\x1b[200~" + data + b"\x1b[201~" if self._screen.paste else data)
                case Press(keys=keys):
                    self._write("".join(typed(key) or "" for key in keys.split()).encode())
                case Resize(columns=columns, rows=rows):
                    if self._view is None:
                        self._resize(columns, rows)
                case Open():
                    raise TerminalContractError("a terminal is opened once")

    def _write(self, data: bytes) -> None:
        if not self._program.write(data):
            raise TerminalContractError("the program reads nothing of what is typed")

    def _resize(self, columns: int, rows: int) -> None:
        self._screen.resize(columns, rows)
        rows, columns = self._screen.size
        self._program.resize(columns, rows)
        self._changed = True

    def _draw(self, *, last: bool = False) -> None:
        """Tell the screen, when it is time and nothing waits to be written."""
        due = last or (not self._unwritten and time.monotonic() >= self._drawn_at + FRAME_SECONDS)
        if not self._changed or not due:
            return
        self._changed = False
        self._drawn_at = time.monotonic()
        drawn = self._screen.drawn(lines=self._program.gathers_lines)
        if drawn != self._last or drawn.changed or drawn.left or drawn.bell:
            self._last = drawn
            self._tell(drawn)

    def _tell(self, line: Up) -> None:
        self._unwritten += encode_line(line)
        self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._unwritten:
                del self._unwritten[: os.write(1, self._unwritten)]

    # ------------------------------------------------------------------------------------------------ who looks on

    def _of_the_view(self) -> None:
        self._show()
        view = self._view
        if view is None:
            return
        try:
            said = view.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            raise _Shut
        self._keyed += said
        while (taken := self._keyed_once(self._keyed)) > 0:
            self._keyed = self._keyed[taken:]

    def _keyed_once(self, keyed: bytes) -> int:
        """Take one message of the view's; return its length, 0 when it is not whole yet."""
        if keyed[:1] == SIZED and len(keyed) >= SIZE.size:
            _, columns, rows = SIZE.unpack_from(keyed)
            self._resize(columns, rows)
            return SIZE.size
        if keyed[:1] == TYPED and len(keyed) >= HEAD.size:
            length: int = HEAD.unpack_from(keyed)[1]
            if len(keyed) >= HEAD.size + length:
                self._write(keyed[HEAD.size : HEAD.size + length])
                return HEAD.size + length
        return 0

    def _show(self) -> None:
        if self._view is None:
            return
        try:
            while self._unseen:
                del self._unseen[: self._view.send(self._unseen[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError as error:
            raise _Shut from error

    # ------------------------------------------------------------------------------------------------ the end

    def _finish(self) -> int:
        """Take the program's last words, tell them and its end."""
        for _ in range(_LAST_READS):
            if not (said := self._program.read()):
                break  # what it had started may write on: it is not waited for
            self._took(said)
        self._draw(last=True)
        code: int = self._program.poll() or 0
        self._tell(Exited(code=code))
        self._last_words()
        return code if code >= 0 else _SIGNALLED - code

    def _last_words(self) -> None:
        """Let what was told be read, but do not wait for it for ever."""
        until = time.monotonic() + LAST_WORDS
        with selectors.DefaultSelector() as selector:
            selector.register(1, selectors.EVENT_WRITE)
            while self._unwritten and time.monotonic() < until and selector.select(until - time.monotonic()):
                try:
                    self._flush()
                except BrokenPipeError:
                    return

    def _hang_up(self) -> None:
        """End the program as a terminal does that is closed, and then for certain."""
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, lambda *_: None)
        if self._wished.farewell:
            self._program.write("".join(typed(key) or "" for key in self._wished.farewell.split()).encode())
            if self._program.ended_within(FAREWELL):
                return
        self._program.signal(signal.SIGHUP)
        self._program.signal(signal.SIGCONT)
        if not self._program.ended_within(HANGUP):
            self._program.signal(signal.SIGKILL)
