"""The loop of one bridge: takes what the threads bring, gives it to the conversation, does what that says.

Theory of operation
-------------------
One queue brings everything; the loop waits for nothing else, until the next deadline or beat. While the hub is slow to read,
nothing more is taken from the agent, which then waits for its own pipe; answers, deadlines and beats go on. An agent
that reads nothing for ``Terms.stuck`` seconds, or lets more than ``MAX_UNREAD`` bytes wait, is ended.

When the agent's process has ended, its last lines are still taken; then what it left behind is ended, and the conversation is
told. Must not know any agent, nor what may be told to whom.
"""

from __future__ import annotations

import contextlib
import queue
import time
import traceback
from dataclasses import dataclass
from typing import Any, Final

from actors.bridge import adapter as seam
from actors.bridge import conversation
from actors.bridge.agent_process import AgentProcess, Died, Output, OutputEnded
from actors.bridge.contract import BEAT_SECONDS, Beat, Over, Up
from actors.bridge.hub_port import Came, Gone, HubPort
from actors.bridge.log import Log
from actors.bridge.pipes import TooLong
from actors.bridge.state import Broken, End, Exited, HubGone, Input, Moment, Started, State, Stuck, Tell, Tick
from actors.bridge.survivors import reap
from actors.runtime.redaction import redact

MAX_UNREAD: Final = 33_554_432
LAST_LINES: Final = 0.3
_AT_ONCE: Final = 64
_WORDS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Crashed:
    """A thread has ended as none should."""

    error: BaseException


class Loop:
    """One session, from its agent's start to its end."""

    def __init__(
        self,
        *,
        hub: HubPort,
        agent: AgentProcess,
        adapter: seam.Adapter,
        state: State,
        inbox: queue.SimpleQueue[Any],
        log: Log,
    ) -> None:
        self._hub = hub
        self._agent = agent
        self._adapter = adapter
        self._state = state
        self._inbox = inbox
        self._log = log
        self._told: list[Up] = []
        self._beat_at = 0.0
        self._died_at: float | None = None
        self._output_ended = False
        self._ending = False
        self._broken = False

    def run(self, argv0: str) -> bool:
        """Live until the conversation is over; False when that was by something that was not foreseen."""
        self._step(Started(self._agent.pid, argv0))
        while self._state.phase != "over":
            self._flush()
            self._take()
            self._watch()
        self._flush()
        return not self._broken

    # ------------------------------------------------------------------------------------------------ in

    def _take(self) -> None:
        """Take what there is, waiting for the first of it until something is due."""
        try:
            item = self._inbox.get(timeout=max(0.0, self._due() - time.monotonic()))
            for _ in range(_AT_ONCE):
                self._took(item)
                item = self._inbox.get_nowait()
            self._took(item)
        except queue.Empty:
            return

    def _took(self, item: Any) -> None:
        match item:
            case Output(line=line, size=size):
                self._step(seam.LineSkipped(line.length, line.head) if isinstance(line, TooLong) else seam.LineCame(line))
                self._agent.valve.leave(size)
            case Came(line=line, size=size):
                self._step(line)
                self._hub.valve.leave(size)
            case OutputEnded():
                self._output_ended = True
            case Died():
                self._died_at = time.monotonic()
            case Crashed(error=error):
                raise error
            case Gone(reason=reason):
                self._log.note("stopping", reason=reason)
                self._step(HubGone())

    def _due(self) -> float:
        """Return when something has to be done, at the latest."""
        deadline = conversation.next_deadline(self._state)
        died = None if self._died_at is None else self._died_at + (0.0 if self._output_ended else LAST_LINES)
        return min(due for due in (self._beat_at, deadline, died) if due is not None)

    def _watch(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        deadline = conversation.next_deadline(self._state)
        if deadline is not None and now >= deadline:
            self._step(Tick())
        if now >= self._beat_at and self._state.phase != "over":
            self._beat_at = now + BEAT_SECONDS
            if self._hub.idle:  # a pipe that is full holds beats enough
                self._told.append(Beat(queued=self._state.queued))
            reap(self._agent.pid)
            self._look_at_pipes()
        if self._state.phase == "over":
            return
        if self._died_at is not None and now >= self._died_at + (0.0 if self._output_ended else LAST_LINES):
            self._end()

    def _look_at_pipes(self) -> None:
        if self._hub.broken:
            self._step(HubGone())
        seconds, pending = self._agent.stdin.stuck(), self._agent.stdin.pending
        if self._died_at is None and (seconds > self._state.terms.stuck or pending > MAX_UNREAD):
            self._step(Stuck(seconds))

    # ------------------------------------------------------------------------------------------------ out

    def _step(self, input_: Input) -> None:
        moment = Moment(steady=time.monotonic(), wall=time.time())
        try:
            self._state, outputs = conversation.step(self._adapter, self._state, moment, input_)
        except Exception as error:
            if self._broken:
                raise
            self._broken = True
            self._log.note("crashed", "critical", exception="".join(traceback.format_exception(error)))
            self._step(Broken(type(error).__name__, getattr(input_, "ask", None)))
            return
        ending = False
        for output in outputs:
            match output:
                case Tell(line=line):
                    self._told.append(line)
                case seam.Write(line=line):
                    self._agent.stdin.put(line)
                case seam.Note(text=text):
                    self._log.note(text)
                case End():
                    ending = True
        if ending:
            self._end()

    def _end(self) -> None:
        """End the agent and all that it started; the hub learns meanwhile what it is to learn."""
        if self._ending:
            return
        self._ending = True
        self._flush()
        survivors = self._agent.end()
        self._answer_the_rest()
        if survivors:
            self._log.note("processes of the session could not be ended", "error", count=survivors)
        self._step(Exited(code=self._agent.code, survivors=survivors, words=self._last_words()))

    def _answer_the_rest(self) -> None:
        """Take what the hub has asked meanwhile: every ask is answered."""
        with contextlib.suppress(queue.Empty):
            while True:
                if isinstance(item := self._inbox.get_nowait(), Came):
                    self._took(item)

    def _last_words(self) -> str:
        return redact(self._agent.last_words()).strip()[-_WORDS:]

    def _flush(self) -> None:
        """Say what was gathered; texts that came together leave together. A hub that is slow to read holds back the agent."""
        told, self._told = self._told, []
        for line in told:
            if isinstance(line, Over):
                self._log.note("over", code=line.code, reason=line.reason, exit_code=line.exit_code)
        self._hub.say(told)
        self._agent.valve.hold(held=self._hub.slow)
