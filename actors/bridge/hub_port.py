"""The hub as the bridge sees it: lines that come on stdin, lines that go to the real stdout.

A launch's token never leaves in a line, wherever in it an agent has put it. Must not know what the lines mean.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from actors.bridge.contract import MAX_DOWN, Ask, Begin, BridgeContractError, Down, Up, decode_down, encode_line
from actors.bridge.pieces import merged
from actors.bridge.pipes import Lines, Outlet, TooLong, Valve, read_chunks
from actors.runtime.redaction import register_secret

HIGH_WATER: Final = 262_144
MAX_UNDER_WAY: Final = 16_777_216
_MARK: Final = "…".encode()


@dataclass(frozen=True, slots=True)
class Came:
    """A line of the hub, which holds ``size`` bytes of the valve until they are given back."""

    line: Ask = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nobody to work for any more."""

    reason: str


class HubPort:
    """Both directions. Takes the process's stdout for itself: what libraries print lands on stderr, beside the log."""

    def __init__(self, drained: Callable[[], None]) -> None:
        self.valve = Valve(MAX_UNDER_WAY)
        self._out = Outlet(os.dup(1), "hub out", drained)
        os.dup2(2, 1)
        self._lines = Lines(MAX_DOWN)
        self._behind: list[bytes | TooLong] = []
        self._token = b""
        self._started = False

    def first_line(self) -> Begin:
        """Wait for the line that says who this bridge is. Without a thread, so that the agent can be forked behind it.

        Raises:
            BridgeContractError: something else came, or nothing.

        """
        for chunk in read_chunks(0):
            found = list(self._lines.feed(chunk))
            if not found:
                continue
            begin = _read(found[0])
            if not isinstance(begin, Begin):
                raise BridgeContractError(f"the first line must be a begin, not a {type(begin).__name__}")
            if begin.token:  # who joins an agent has none
                register_secret(begin.token)
            self._token = begin.token.encode()
            self._behind = found[1:]
            return begin
        raise BridgeContractError("stdin ended before its first line (bridges are started by the hub, not by hand)")

    def start(self) -> None:
        """Begin to write; what was said before leaves first."""
        if not self._started:
            self._started = True
            self._out.start()

    def listen(self, tell: Callable[[Came | Gone], None]) -> None:
        """Begin to hand on what the hub says."""
        threading.Thread(target=self._read_all, args=(tell,), name="hub in", daemon=True).start()

    def say(self, lines: Iterable[Up]) -> None:
        """Say lines, in order; parts of one text that come together leave together."""
        for line in merged(lines):
            raw = encode_line(line)
            self._out.put(raw.replace(self._token, _MARK) if self._token else raw)

    @property
    def slow(self) -> bool:
        """Tell whether the hub lets so much wait that the agent should."""
        return self._out.pending > HIGH_WATER

    @property
    def idle(self) -> bool:
        """Tell whether everything has left."""
        return not self._out.pending

    @property
    def broken(self) -> bool:
        """Tell whether nobody reads any more."""
        return self._out.broken

    def close(self, seconds: float) -> None:
        """Let everything leave, but not for longer than this."""
        self.start()
        self._out.close()
        self._out.join(seconds)

    def _read_all(self, tell: Callable[[Came | Gone], None]) -> None:
        try:
            for line in self._behind:
                self._hand_on(line, tell)
            self._behind = []
            for chunk in read_chunks(0):
                for line in self._lines.feed(chunk):
                    self._hand_on(line, tell)
        except BridgeContractError as error:
            tell(Gone(f"the hub said what no bridge understands: {error}"))
        else:
            tell(Gone("stdin ended"))

    def _hand_on(self, line: bytes | TooLong, tell: Callable[[Came | Gone], None]) -> None:
        said = _read(line)
        if isinstance(said, Begin):
            raise BridgeContractError("a second begin")
        size = len(line) if isinstance(line, bytes) else 0
        if self.valve.enter(size):
            tell(Came(said, size))


def _read(line: bytes | TooLong) -> Down:
    if isinstance(line, TooLong):
        raise BridgeContractError(f"a line of {line.length} bytes: a line holds {MAX_DOWN}")
    return decode_down(line)
