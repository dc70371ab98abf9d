"""The Agent Client Protocol, version 1, as a client speaks it: what all agents that speak it have in common. Pure.

Theory of operation
-------------------
One line is one JSON-RPC message. What we ask is numbered from 1 and remembered by what its answer is for; what the agent asks
is answered with its own id. A session comes to life in steps, each waiting for the answer of the one before (``opening``):

    Spawned → initialize → session/new | load | resume | fork → session/set_mode → session/set_model → Greeted, Identified

``Clear`` goes through it again from session/new on, and the conversation is set as the one before it was; ``Change`` makes the
last two steps alone. In a turn (``turns``):

* A *turn* is one ``session/prompt``: it ends with its answer, and what the agent says outside of it is of no turn. So what an
  agent says again of a conversation that it loads is left out (history is asked for elsewhere).
* A *text* is a run of chunks of one kind and one message; anything else between them ends it.
* A *tool* is told once it works, or a question is about it: agents name tools that are ``pending`` before they know with what.
* We offer neither files nor terminals: agents then use their own, under their own questions. Whatever they ask beside a
  permission is refused as unknown.
* Questions that are open when the turn is cancelled are answered ``cancelled``, as the protocol wants it.

What agents do their own way stands in their ``Dialect``. Must not know any agent, processes, clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from actors.bridge.acp import reading
from actors.bridge.acp.opening import HELD, QUIET, Opening
from actors.bridge.acp.reading import Settings, table
from actors.bridge.acp.state import EMPTY, MAX_NAME, NO_USAGE, Dialect, Purpose, State
from actors.bridge.acp.turns import Turns
from actors.bridge.adapter import (
    Beginning,
    Change,
    Clear,
    Decide,
    Input,
    Interrupt,
    LineCame,
    LineSkipped,
    Note,
    Output,
    Passed,
    Prompt,
    Spawned,
)

PROTOCOL: Final = "acp"
_UNKNOWN_METHOD: Final = -32_601


def begin(dialect: Dialect, beginning: Beginning, *, model: str = "", hold: float = 0.0) -> State:
    """Return the state before the agent runs.

    ``model`` is to be set once there is a session, for an agent whose start names none; a conversation that is taken up is
    not loaded before ``hold`` seconds have passed.
    """
    ours = beginning.mode in dialect.modes
    return State(
        dialect=dialect,
        cwd=str(beginning.cwd),
        resume=beginning.resume,
        fork=beginning.fork,
        hold=hold if beginning.resume else 0.0,
        token=beginning.door.token,
        wanted=Settings(mode="" if ours else beginning.mode, model=model),
        settings=Settings(mode=beginning.mode if ours else ""),
    )


def step(state: State, input_: Input) -> tuple[State, tuple[Output, ...]]:
    """Take one input."""
    taken = _Step(state)
    match input_:
        case LineCame(line=line):
            taken.line(line)
        case LineSkipped(length=length):
            taken.skipped(length)
        case Spawned():
            taken.greet()
        case Passed(name=name):
            if name == HELD:
                taken.released()
            elif name == QUIET:
                taken.heard()
        case _:
            taken.told(input_)
    return taken.state, tuple(taken.outputs)


class _Step(Opening, Turns):
    """One step: what we are told, and what the agent writes."""

    def told(self, input_: Prompt | Interrupt | Decide | Change | Clear) -> None:
        """Do what the session is told to."""
        match input_:
            case Prompt(turn=turn, text=text):
                self.set(turn=turn, interrupted=False, usage=NO_USAGE, texts=0, tools=EMPTY)
                self.ask("prompt", "session/prompt", self.own(prompt=[{"type": "text", "text": text}]))
            case Interrupt():
                self.interrupt()
            case Decide(approval=approval, option=option):
                self.decide(approval, option)
            case Change(model=model, mode=mode):
                self.change(model, mode)
            case Clear():
                self.set(doing="clear")
                self.ask("open", "session/new", self.place())

    def line(self, line: bytes) -> None:
        """Take one line of the agent's."""
        message = reading.read_line(line)
        if message is None:
            self.give(Note(f"a line of {len(line)} bytes that is no JSON object was left out"))
        elif isinstance(message.get("method"), str):
            self._called(message["method"], message)
        elif "result" in message or "error" in message:
            self._answered(message)
        else:
            self.give(Note("a message that neither asks nor answers was left out"))

    def _called(self, method: str, message: Mapping[str, Any]) -> None:
        params, request = table(message, "params"), message.get("id")
        if "id" not in message:
            if method == "session/update":
                self._updated(params)
        elif not isinstance(request, int | float | str | None):
            self.give(Note("a request without an id that could be answered was left out"))
        elif method == "session/request_permission":
            self.question(request, params)
        else:
            self.write(id=request, error={"code": _UNKNOWN_METHOD, "message": f"Method not found: {method[:MAX_NAME]}"})

    def _updated(self, params: Mapping[str, Any]) -> None:
        update = table(params, "update")
        if not self.state.session or params.get("sessionId") != self.state.session:
            return  # of a conversation that is being loaded, or is not ours any more
        if self.state.hearing:
            self.listen()
        match update.get("sessionUpdate"):
            case "current_mode_update":
                self.told_settings(Settings(mode=reading.word(update, "currentModeId", "modeId")))
            case "config_option_update":
                self.told_settings(reading.settings_of(update))
            case kind if self.state.turn and isinstance(kind, str):
                self.update(kind, update)

    def _answered(self, message: Mapping[str, Any]) -> None:
        number = message.get("id")
        purpose = self.state.awaited.get(number) if isinstance(number, int) else None
        if purpose is None:
            self.give(Note("an answer to what was not asked was left out"))
            return
        self.set(awaited=MappingProxyType({one: what for one, what in self.state.awaited.items() if one != number}))
        error = message.get("error")
        if error is not None:
            self._failed(purpose, error if isinstance(error, dict) else {"message": str(error)[: reading.MAX_SHOWN]})
            return
        result = message.get("result")
        match purpose:
            case "initialize":
                self.greeted(result)
            case "open":
                self.opened(result)
            case "mode" | "model":
                self.confirmed(purpose)
            case "prompt":
                self.ended(result)

    def _failed(self, purpose: Purpose, error: Mapping[str, Any]) -> None:
        match purpose:
            case "initialize":
                self.not_greeted(error)
            case "open":
                self.not_opened(error)
            case "mode" | "model":
                self.refused(purpose, error)
            case "prompt":
                self.broken(error)
            case "close":
                self.give(Note("the agent did not close the conversation before"))
