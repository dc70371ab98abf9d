"""The Claude Code adapter as its playbooks use it: recorded scenes played again, single lines said to it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from actors.bridge import adapter as seam
from actors.bridge.adapters import claude
from actors.bridge.claude.state import State
from schemas import content
from tests.bridge.claude_scenes import beginning
from tests.bridge.driven import load, play


def told(output: seam.Output) -> str:  # noqa: C901, PLR0911, PLR0912 - one line for each kind
    """Say an output in a few words; nothing for those that every scene has."""
    match output:
        case seam.Say(piece=content.TextEnded(channel=channel, length=length)):
            return f"{channel} of {length}"
        case seam.Say(piece=content.TurnEnded(turn=turn, outcome=outcome, reason=reason)):
            return f"{_turn(turn)} {outcome}" + (f": {reason}" if reason else "")
        case seam.Say(piece=content.ToolStarted(name=name, title=title)):
            return f"{name} {title}"
        case seam.Say(piece=content.ToolEnded(ok=ok, output=text)):
            return f"{'ok' if ok else 'not ok'}: {text.partition('.')[0]}"
        case seam.Say(piece=content.Identified(cleared=cleared)):
            return "cleared" if cleared else "identified"
        case seam.Say(piece=content.SettingsTold(model=model, mode=mode)):
            return f"settings {model or '-'} {mode or '-'}"
        case seam.Say(piece=content.FailureTold(code=code, message=message)):
            return f"{code}: {message.partition('.')[0]}"
        case seam.Say(piece=content.PlanUpdated(steps=steps)):
            return "plan " + ", ".join(f"{step.text} {step.state}" for step in steps)
        case seam.Ask(title=title, options=options):
            return f"ask {title} [{', '.join(f'{option.id}: {option.kind}' for option in options)}]"
        case seam.Woke():
            return "woke"
        case seam.Changed(refused=refused):
            return "changed" if not refused else f"refused: {refused[:30]}"
        case seam.Greeted(version=version, model=model, mode=mode):
            return f"greeted {version} {model or '-'} {mode}"
        case seam.Fail(code=code, resumable=resumable):
            return f"fail {code} {resumable}"
        case seam.Say():
            return ""
        case _:
            return str(output)


def _turn(turn: str) -> str:
    return "own turn" if turn.startswith("own-") else turn


def scene(name: str) -> tuple[State, list[seam.Output]]:
    """Play a scene; return the state at its end and all that was said."""
    state, outputs = claude.begin(beginning(name)), []
    for after, output in play(claude, state, load(f"claude_{name}")):
        state = after
        outputs.append(output)
    return state, outputs


def story(name: str) -> list[str]:
    return [line for line in map(told, scene(name)[1]) if line]


def text(outputs: Iterable[seam.Output], turn: str, channel: str = "reply") -> str:
    pieces = (output.piece for output in outputs if isinstance(output, seam.Say))
    added = (piece for piece in pieces if isinstance(piece, content.TextAdded))
    return "".join(piece.text for piece in added if piece.turn == turn and piece.channel == channel)


def begun(*lines: dict[str, Any], turn: str = "") -> tuple[State, list[seam.Output]]:
    """Play lines of the test's own behind a greeting, in a turn where one is named."""
    state = claude.begin(beginning(""))
    greeting = {"claude_code_version": "2.1.329", "current_permission_mode": "default"}
    state, _ = say(state, {"type": "control_response", "response": success("greeting", greeting)})
    if turn:
        state, _ = claude.step(state, seam.Prompt(turn=turn, text="hello"))
    outputs: list[seam.Output] = []
    for line in lines:
        state, more = say(state, line)
        outputs += more
    return state, outputs


def say(state: State, line: dict[str, Any]) -> tuple[State, tuple[seam.Output, ...]]:
    return claude.step(state, seam.LineCame(json.dumps(line).encode()))


def success(name: str, response: dict[str, Any]) -> dict[str, Any]:
    """Write the line that answers a control request."""
    return {"subtype": "success", "request_id": name, "response": response}
