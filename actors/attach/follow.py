"""Follows an agent that can only be written to: what it does is read from its transcript as that grows.

Theory of operation
-------------------
One loop: lines of our stdin, the end of the agent's process, the transcript. A file tells nobody that it grew, so it is looked
at ten times a second, which costs one ``stat`` each. Of what was there before at most ``MAX_PAST`` bytes are told, then what
comes. A transcript that is shorter than it was is another file, and the end.

Must not know what the lines say, nor how a text is given (``pane``, ``codex_queue``).
"""

from __future__ import annotations

import os
import select
import sys
from typing import Final, Protocol

from actors.attach.codex_queue import Queue
from actors.attach.contract import (
    MAX_LINE,
    CaughtUp,
    Follow,
    Give,
    Given,
    Left,
    NotGiven,
    NotGivenError,
    NotStopped,
    Skipped,
    Stop,
    Up,
    Works,
    Wrote,
    decode_down,
    encode_line,
)
from actors.attach.pane import Pane
from actors.probe import Probe, ProbeError, choose_probe
from actors.transcripts.files import opened, read_span
from actors.transcripts.history import locate
from actors.transcripts.tree import Found

LOOK_SECONDS: Final = 0.1
MAX_PAST: Final = 2 << 20
_CHUNK: Final = 1 << 18
_STDIN: Final = 0


class Hand(Protocol):
    """The way in which an agent is given something."""

    def give(self, text: str) -> None:
        """Give a text, or raise NotGivenError."""

    def stop(self) -> None:
        """Stop its turn, or raise NotGivenError."""

    def idle(self) -> bool | None:
        """Tell whether it says that nothing runs; raises NotGivenError where it has left the conversation."""


class LeftError(Exception):
    """There is nobody to follow any more; the message says why."""


def follow(whom: Follow) -> int:
    """Follow until our stdin or the agent ends; return the exit code."""
    probe = choose_probe()
    try:
        with probe.exit_watch(whom.attach.process) as watch:
            _Follower(whom, probe).run(watch.fileno())
    except (LeftError, ProbeError, NotGivenError, OSError) as error:
        _say(Left(reason=str(error)))
        return 1
    return 0


class _Follower:
    """One conversation, its transcript, and the way to it."""

    def __init__(self, whom: Follow, probe: Probe) -> None:
        attach = whom.attach
        self._whom = whom
        self._hand: Hand = (
            Pane(attach, whom.conversation, probe) if attach.channel == "tmux" else Queue(attach, whom.conversation)
        )
        self._found: Found | None = None
        self._at = 0
        self._rest = b""
        self._skipping = 0
        self._told = b""
        self._caught_up = False
        self._idle: bool | None = None

    def run(self, ended: int) -> None:
        """Go on until our stdin ends.

        Raises:
            LeftError: the agent, or its transcript, is gone.
            OSError: the transcript cannot be read.

        """
        while True:
            self._look()
            readable, _, _ = select.select([_STDIN, ended], [], [], LOOK_SECONDS)
            if ended in readable:
                self._look()
                raise LeftError(f"{self._whom.agent} has ended in its terminal")
            if _STDIN in readable and not self._listen():
                return

    def _look(self) -> None:
        """Tell what the transcript has grown by."""
        whom = self._whom
        if self._found is None:
            self._found = locate(whom.agent, whom.conversation, whom.attach.home, whom.attach.transcript)
            if self._found is None:
                return
            if self._found.name.compressed:
                raise LeftError("its transcript was put away, compressed")
        size = os.stat(self._found.path).st_size  # noqa: PTH116 - as all paths of transcripts are texts
        if size < self._at:
            raise LeftError("its transcript was begun anew")
        if not self._caught_up and self._at == 0 and size > MAX_PAST:
            self._at, self._skipping = size - MAX_PAST, 1
        while self._at < size:
            with opened(self._found.root, self._found.path) as descriptor:
                came = read_span(descriptor, self._at, min(size, self._at + _CHUNK))
            if not came:
                break
            self._take(came)
        idle = self._hand.idle()
        if not self._caught_up:
            self._caught_up = True
            _say(CaughtUp(transcript=self._found.path, idle=idle))
        elif idle is not None and idle != self._idle:
            _say(Works(idle=idle))
        self._idle = idle

    def _take(self, came: bytes) -> None:
        *lines, rest = (self._rest + came).split(b"\n")
        start = self._at - len(self._rest)
        self._at += len(came)
        for line in lines:
            if self._skipping:
                if self._caught_up:
                    _say(Skipped(length=self._skipping + len(line)))
                self._skipping = 0
            elif len(line) > MAX_LINE:
                _say(Skipped(length=len(line)))
            else:
                _say(Wrote(at=start, text=line.decode(errors="replace")))
            start += len(line) + 1
        if self._skipping or len(rest) > MAX_LINE:
            self._skipping += len(rest)
            rest = b""
        self._rest = rest

    def _listen(self) -> bool:
        """Do what our stdin says; False when that has ended."""
        came = os.read(_STDIN, _CHUNK)
        *lines, self._told = (self._told + came).split(b"\n")
        for line in lines:
            match decode_down(line):
                case Give(turn=turn, text=text):
                    self._give(turn, text)
                case Stop():
                    self._stop()
        return bool(came)

    def _stop(self) -> None:
        try:
            self._hand.stop()
        except NotGivenError as error:
            _say(NotStopped(reason=str(error)))
        else:  # it may have begun and ended to work since the last look
            self._look()
            _say(Works(idle=self._idle is True))

    def _give(self, turn: str, text: str) -> None:
        try:
            self._hand.give(text)
        except NotGivenError as error:
            _say(NotGiven(turn=turn, reason=str(error)))
        else:
            _say(Given(turn=turn))


def _say(line: Up) -> None:
    sys.stdout.buffer.write(encode_line(line))
    sys.stdout.buffer.flush()
