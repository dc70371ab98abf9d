"""The Codex adapter as its playbooks use it: what is told to it, and what it said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actors.bridge.adapter import (
    Beginning,
    Change,
    Clear,
    Decide,
    Input,
    Interrupt,
    LineCame,
    Output,
    Passed,
    Prompt,
    Say,
    Spawned,
    Write,
)
from actors.bridge.adapters import codex
from actors.bridge.codex.state import Session
from actors.launch.plan import Door
from schemas.content import (
    Piece,
)

DOOR = Door("http://127.0.0.1:8129", "token-0123456789")
THREAD = "01a1fde3-24c3-7d50-8745-5d960f49347d"
TURN = "01a1fde3-24e4-7ca0-ae79-3acbf9e679ad"
RECORDED = Path(__file__).parent.parent / "unit" / "recorded"
PLAIN: dict[str, type[Spawned | Interrupt | Clear]] = {"Spawned": Spawned, "Interrupt": Interrupt, "Clear": Clear}


def beginning(**wishes: Any) -> Beginning:
    return Beginning(**{"cwd": Path("/home/ada/shop"), "door": DOOR, "program": "/opt/codex", "launch": "launch-1", **wishes})


class Play:
    """An adapter and what it said to each input."""

    def __init__(self, **wishes: Any) -> None:
        self.state: Session = codex.begin(beginning(**wishes))
        self.said: list[Output] = []

    def give(self, input_: Input) -> list[Output]:
        self.state, outputs = codex.step(self.state, input_)
        self.said.extend(outputs)
        return list(outputs)

    def line(self, **frame: Any) -> list[Output]:
        return self.give(LineCame(json.dumps(frame).encode()))

    def tell(self, method: str, **params: Any) -> list[Output]:
        return self.line(method=method, params={"threadId": THREAD, "turnId": TURN, **params})

    def asked_for(self, method: str) -> dict[str, Any]:
        """Return the last request of ours with this method."""
        return next(frame for frame in reversed(written(self.said)) if frame.get("method") == method)

    def answer(self, method: str, result: dict[str, Any]) -> list[Output]:
        return self.line(id=self.asked_for(method)["id"], result=result)

    def refuse(self, method: str, message: str) -> list[Output]:
        return self.line(id=self.asked_for(method)["id"], error={"code": -32600, "message": message})

    @classmethod
    def ready(cls, **wishes: Any) -> Play:
        play = cls(**wishes)
        play.give(Spawned())
        play.answer("initialize", {"userAgent": "tabwire/0.169.0 (Debian 12.0.0; x86_64) unknown (tabwire; 1)"})
        play.answer("model/list", {"data": [{"model": "gpt-5.5"}]})
        play.answer("thread/start", thread())
        return play

    @classmethod
    def working(cls) -> Play:
        play = cls.ready()
        play.give(Prompt(turn="turn-1", text="hello"))
        play.answer("turn/start", {"turn": {"id": TURN}})
        play.tell("turn/started", turn={"id": TURN})
        return play


def replay(name: str, **wishes: Any) -> Play:
    play = Play(**wishes)
    for row in map(json.loads, (RECORDED / name).read_text().splitlines()):
        match row:
            case {"line": frame}:
                play.line(**frame)
            case {"prompt": turn, "text": text}:
                play.give(Prompt(turn=turn, text=text))
            case {"decide": approval, "option": option}:
                play.give(Decide(approval=approval, option=option))
            case {"model": model, "mode": mode}:
                play.give(Change(model=model, mode=mode))
            case {"passed": passed}:
                play.give(Passed(name=passed))
            case {"do": what}:
                play.give(PLAIN[what]())
    return play


def command(**more: Any) -> dict[str, Any]:
    return {
        "threadId": THREAD,
        "turnId": TURN,
        "itemId": "call",
        "command": "touch x",
        "cwd": "/home/ada/shop",
        "reason": "please",
        "availableDecisions": ["accept", {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}}, "cancel"],
        **more,
    }


def thread(name: str = THREAD, **more: Any) -> dict[str, Any]:
    return {
        "thread": {"id": name, "path": f"/home/ada/.codex/{name}.jsonl"},
        "model": "gpt-5.1-codex",
        "approvalPolicy": "on-request",
        "sandbox": {"type": "readOnly", "networkAccess": False},
        **more,
    }


def written(outputs: list[Output]) -> list[dict[str, Any]]:
    return [json.loads(output.line) for output in outputs if isinstance(output, Write)]


def pieces(outputs: list[Output]) -> list[Piece]:
    return [output.piece for output in outputs if isinstance(output, Say)]


def only(outputs: list[Output], kind: type[Any]) -> Any:
    (found,) = [one for one in (*outputs, *pieces(outputs)) if isinstance(one, kind)]
    return found
