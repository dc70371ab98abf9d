"""Sessions with the real agents that speak ACP, as they were recorded, and the adapters played against them.

What the client wrote then says what our adapter is told; what it writes must be the same. Long texts of the recordings were
cut, and paths made plain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from actors.bridge.acp.state import State
from actors.bridge.adapter import (
    Ask,
    Beginning,
    Change,
    Clear,
    Decide,
    Input,
    Interrupt,
    LineCame,
    Output,
    Prompt,
    Say,
    Spawned,
    Write,
)
from actors.bridge.adapters import auggie, gemini, opencode, qwen
from actors.launch.plan import Door
from schemas.content import Piece, TextAdded, TurnEnded

TAPES: Final = Path(__file__).with_name("tapes")
ADAPTERS: Final[dict[str, Any]] = {"auggie": auggie, "gemini": gemini, "opencode": opencode, "qwen": qwen}
TOKEN: Final = "token-of-a-launch-0123456789abcdef"
OPTIONS: Final = [
    {"optionId": "y", "name": "Yes", "kind": "allow_once"},
    {"optionId": "n", "name": "No", "kind": "reject_once"},
]


def beginning(cwd: str = "/home/dev/project", **wishes: Any) -> Beginning:
    return Beginning(cwd=Path(cwd), door=Door("http://127.0.0.1:1", TOKEN), program="/opt/agent", **wishes)


class Played:
    """One adapter, what it was told and what it gave."""

    def __init__(self, agent: str, **wishes: Any) -> None:
        self.adapter = ADAPTERS[agent]
        self.state: State = self.adapter.begin(beginning(**wishes))
        self.outputs: list[Output] = []
        self.written: list[dict[str, Any]] = []

    def take(self, input_: Input) -> tuple[Output, ...]:
        outputs: tuple[Output, ...]
        self.state, outputs = self.adapter.step(self.state, input_)
        self.outputs.extend(outputs)
        self.written.extend(json.loads(output.line) for output in outputs if isinstance(output, Write))
        return outputs

    def hear(self, **message: Any) -> tuple[Output, ...]:
        return self.take(LineCame(json.dumps({"jsonrpc": "2.0", **message}).encode()))

    def answer(self, result: Any = None, *, error: Any = None) -> tuple[Output, ...]:
        """Answer what the adapter asked last."""
        number = next(one["id"] for one in reversed(self.written) if "method" in one and "id" in one)
        return self.hear(id=number, result=result) if error is None else self.hear(id=number, error=error)

    def update(self, kind: str, /, **fields: Any) -> tuple[Output, ...]:
        update = {"sessionUpdate": kind, **fields}
        return self.hear(method="session/update", params={"sessionId": self.state.session, "update": update})

    @property
    def pieces(self) -> list[Piece]:
        return [output.piece for output in self.outputs if isinstance(output, Say)]

    @property
    def asks(self) -> list[Ask]:
        return [output for output in self.outputs if isinstance(output, Ask)]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return what was given of a kind, outputs or pieces."""
        return [one for one in (*self.outputs, *self.pieces) if isinstance(one, kind)]


def tape(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TAPES / f"acp_{name}.jsonl").read_text().splitlines()]


def play(agent: str, name: str, **wishes: Any) -> tuple[Played, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Play a recording; return the adapter and, in pairs, what was written then and what the adapter writes."""
    played = Played(agent, **wishes)
    played.take(Spawned())
    then: list[dict[str, Any]] = []
    turns = iter(range(1, 1000))
    for line in tape(name):
        if "in" in line:
            played.take(LineCame(json.dumps(line["in"]).encode()))
            continue
        then.append(line["out"])
        if len(played.written) < len(then):
            for input_ in _told(played, line["out"], turns):
                played.take(input_)
    return played, list(zip(then, played.written, strict=True))


def _told(played: Played, wrote: dict[str, Any], turns: Iterator[int]) -> Iterator[Input]:
    """Say what made the client write this."""
    match wrote:
        case {"method": "session/prompt", "params": {"prompt": [{"text": text}]}}:
            yield Prompt(turn=f"t{next(turns)}", text=text)
        case {"method": "session/cancel"}:
            yield Interrupt()
        case {"method": "session/new"}:
            yield Clear()
        case {"method": "session/set_mode", "params": {"modeId": mode}}:
            yield Change(mode=mode)
        case {"method": "session/set_model", "params": {"modelId": model}}:
            yield Change(model=model)
        case {"result": {"outcome": {"optionId": option}}}:
            yield Decide(approval=played.asks[-1].approval, option=option)


def turns_of(played: Played) -> list[tuple[str, str]]:
    """Return what was replied in each turn, and how it ended."""
    replies = played.of(TextAdded)
    return [
        ("".join(one.text for one in replies if one.turn == over.turn and one.channel == "reply"), over.outcome)
        for over in played.of(TurnEnded)
    ]


def ready(agent: str = "gemini", **wishes: Any) -> Played:
    """Return a session that has come to life."""
    played = Played(agent, **wishes)
    played.take(Spawned())
    sessions = {"sessionCapabilities": {"fork": {}, "resume": {}, "close": {}}, "loadSession": True}
    played.answer({"protocolVersion": 1, "agentCapabilities": sessions, "agentInfo": {"version": "9"}})
    opened(played, "s1")
    return played


def opened(played: Played, name: str) -> None:
    """Answer the opening of a conversation."""
    modes = {"currentModeId": "default", "availableModes": [{"id": "default"}, {"id": "plan"}]}
    models = {"currentModelId": "one", "availableModels": [{"modelId": "one"}, {"modelId": "two"}]}
    played.answer({"sessionId": name, "modes": modes, "models": models})


def in_turn(agent: str = "gemini", **wishes: Any) -> Played:
    """Play a session into its first turn."""
    played = ready(agent, **wishes)
    played.take(Prompt(turn="t", text="hi"))
    return played


def ask(played: Played, number: Any = 7, call: str = "c") -> Ask:
    """Let the agent ask whether it may use a tool; return what the hub is asked."""
    call_ = {"toolCallId": call, "title": "rm", "kind": "execute"}
    played.hear(
        id=number,
        method="session/request_permission",
        params={"sessionId": played.state.session, "toolCall": call_, "options": OPTIONS},
    )
    return played.asks[-1]


def outcome(played: Played) -> Any:
    """Return what the agent was answered last."""
    return played.written[-1]["result"]["outcome"]
