"""The adapter of the tests' own agent (``scripted_agent``), as small as an adapter can be. Pure.

Its protocol is ours: JSON, one message a line, ``{"say": …}`` up and ``{"do": …}`` down. What an agent says names an output of
the seam, so that a test can make the adapter give whatever it wants.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.bridge.adapter import (
    AgentFacts,
    Ask,
    Beginning,
    Change,
    Changed,
    Clear,
    Command,
    Decide,
    Fail,
    Greeted,
    Input,
    Interrupt,
    LineCame,
    LineSkipped,
    Note,
    Output,
    Passed,
    Prompt,
    Say,
    Spawned,
    Wait,
    Withdrawn,
    Woke,
    Write,
)
from schemas.content import Identified, Option, TextAdded, TextEnded, ToolEnded, ToolStarted, TurnEnded
from schemas.identity import SessionId

AGENT_FILE = Path(__file__).with_name("scripted_agent.py")
OPTIONS = (
    Option(id="yes", label="Yes", kind="allow_once"),
    Option(id="no", label="No", kind="deny_once"),
)
FACTS = AgentFacts(
    agent="scripted",
    protocol="scripted",
    programs=("python3",),
    tested="1",
    can=frozenset({"interrupt", "approve", "set_model", "set_mode", "clear", "resume"}),
    modes=("careful", "bold"),
    install="nothing to install",
    greeting_seconds=20.0,
)


@dataclass(frozen=True, slots=True)
class State:
    """The running turn."""

    turn: str = ""


def plan(beginning: Beginning) -> Command:
    """Start the agent; its arguments are the test's."""
    environ = {"SCRIPTED_DOOR": beginning.door.root, "SCRIPTED_AWAY": None}
    return Command(argv=(beginning.program, "-I", str(AGENT_FILE), *beginning.arguments), environ=environ)


def begin(beginning: Beginning) -> State:  # noqa: ARG001 - the seam's
    """Begin without a turn."""
    return State()


def step(state: State, input_: Input) -> tuple[State, tuple[Output, ...]]:  # noqa: PLR0911 - one a case
    """Take one input."""
    match input_:
        case Spawned():
            return state, (_write(do="greet"),)
        case Prompt(turn=turn, text=text):
            return State(turn), (_write(do="prompt", text=text),)
        case Interrupt():
            return state, (_write(do="interrupt"),)
        case Decide(approval=approval, option=option):
            return state, (_write(do="decide", approval=approval, option=option),)
        case Change(model=model, mode=mode):
            return state, (_write(do="change", model=model, mode=mode),)
        case Clear():
            return state, (_write(do="clear"),)
        case Passed(name=name):
            return state, (_write(do="passed", name=name),)
        case LineSkipped(length=length):
            return state, (_text(state, f"skipped {length}", "skipped"),)
        case LineCame(line=line):
            return _read(state, line)


def _read(state: State, line: bytes) -> tuple[State, tuple[Output, ...]]:
    try:
        said: dict[str, Any] = json.loads(line)
        what = said.pop("say")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return state, (Note(f"a line of {len(line)} bytes that is none of ours"),)
    match what:
        case "ended":
            ended = TurnEnded(turn=state.turn, outcome=said["outcome"], reason=said.get("reason", ""))
            return replace(state, turn=""), (Say(ended),)
        case "woke":
            return State(said["turn"]), (Woke(turn=said["turn"]),)
        case _:
            return state, _outputs(state, what, said)


def _outputs(state: State, what: str, said: dict[str, Any]) -> tuple[Output, ...]:  # noqa: C901, PLR0911, PLR0912 - one a case
    match what:
        case "greeted":
            return (Greeted(version="1.0", modes=FACTS.modes, models=("m1", "m2"), model="m1", mode="careful"),)
        case "text":
            return (_text(state, said["text"], said.get("item", "reply")),)
        case "text_ended":
            return (Say(TextEnded(turn=state.turn, item=said.get("item", "reply"), channel="reply", length=0)),)
        case "tool":
            return (Say(ToolStarted(turn=state.turn, item=said["item"], name="shell", arguments=said.get("text", ""))),)
        case "tool_ended":
            return (Say(ToolEnded(turn=state.turn, item=said["item"], ok=True, output=said.get("text", ""))),)
        case "ask":
            return (Ask(approval=said["approval"], tool="shell", title="run it", options=OPTIONS),)
        case "withdrawn":
            return (Withdrawn(approval=said["approval"], reason="not needed"),)
        case "changed":
            return (Changed(refused=said.get("refused", "")),)
        case "identified":
            name = said["id"]
            return (
                Say(Identified(session=SessionId(f"scripted-{name}"), conversation=name, cleared=said.get("cleared", False))),
            )
        case "wait":
            return (Wait(name=said["name"], seconds=said["seconds"]),)
        case "boom":
            raise KeyError("what the adapter did not foresee")
        case "fail":
            return (Fail(code=said["code"], message=said["message"], resumable=said.get("resumable", True)),)
        case _:
            return (Note("something unknown"),)


def _text(state: State, text: str, item: str) -> Say:
    return Say(TextAdded(turn=state.turn, item=item, channel="reply", text=text))


def _write(**message: Any) -> Write:
    return Write(json.dumps(message).encode() + b"\n")
