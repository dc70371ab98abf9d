"""The Codex adapter against any app-server: whatever it writes, turns and questions are ended once and nothing raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bridge.adapter import (
    Ask,
    Beginning,
    Change,
    Changed,
    Clear,
    Decide,
    Fail,
    Greeted,
    Input,
    Interrupt,
    LineCame,
    LineSkipped,
    Passed,
    Prompt,
    Say,
    Spawned,
    Withdrawn,
    Woke,
    Write,
)
from actors.bridge.adapters import codex
from actors.bridge.codex.told import _OF_ANY, _OF_THREAD, _OF_TURN, UNWANTED
from actors.bridge.pieces import fitted
from actors.launch.plan import Door
from schemas.content import TurnEnded

THREADS = ("thread-1", "thread-2")
TURNS = ("native-1", "native-2")
ASKED = (
    "item/commandExecution/requestApproval",
    "item/fileChange/requestApproval",
    "item/permissions/requestApproval",
    "mcpServer/elicitation/request",
    "item/tool/requestUserInput",
    "item/tool/call",
)
NAMES = (
    "availableDecisions",
    "codexErrorInfo",
    "command",
    "delta",
    "error",
    "id",
    "item",
    "itemId",
    "message",
    "model",
    "networkApprovalContext",
    "permissions",
    "plan",
    "requestId",
    "status",
    "summary",
    "text",
    "thread",
    "threadSettings",
    "tokenUsage",
    "total",
    "turn",
    "turnId",
    "type",
    "willRetry",
)
WORDS = ("agentMessage", "reasoning", "commandExecution", "fileChange", "completed", "failed", "accept", "cancel", "native-1")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
PARAMS = st.builds(
    lambda params, thread, turn: (
        {**params, "threadId": thread, "turnId": turn, "turn": {"id": turn, "status": "completed"}}
        | ({"turn": params["turn"]} if isinstance(params.get("turn"), dict) else {})
    ),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
    st.sampled_from(THREADS),
    st.sampled_from(TURNS),
)
TELLING = st.builds(
    lambda method, params: {"method": method, "params": params},
    st.sampled_from(sorted({*_OF_ANY, *_OF_THREAD, *_OF_TURN, UNWANTED[0]})),
    PARAMS,
)
ASKING = st.builds(
    lambda method, name, params: {"method": method, "id": name, "params": params},
    st.sampled_from(ASKED),
    st.integers(0, 3) | st.text(max_size=3),
    PARAMS,
)
GOOD = st.fixed_dictionaries(
    {
        "thread": st.fixed_dictionaries({"id": st.sampled_from(THREADS)}),
        "turn": st.fixed_dictionaries({"id": st.sampled_from(TURNS)}),
    }
)
ANSWERING = st.builds(lambda name, result: {"id": name, "result": result}, st.integers(1, 12), GOOD | VALUES) | st.builds(
    lambda name, error: {"id": name, "error": {"message": error}},
    st.integers(1, 12),
    st.sampled_from(("already has an active writer", "no rollout found", "no")),
)
LINES = st.one_of(TELLING, ASKING, ANSWERING).map(lambda frame: LineCame(json.dumps(frame).encode()))
ODD = st.binary(max_size=40).map(LineCame) | st.one_of(TELLING, ASKING, ANSWERING).map(
    lambda frame: LineSkipped(20_000_000, json.dumps(frame, separators=(",", ":")).encode()[:200])
)
WISHES = st.sampled_from(("prompt", "interrupt", "decide", "refuse", "change", "clear", "answer"))


class Rules:
    """Gives an adapter only what the seam allows, and watches what it says."""

    def __init__(self) -> None:
        door = Door("http://127.0.0.1:1", "t" * 43)
        self.state = codex.begin(Beginning(cwd=Path("/w"), door=door, program="codex", launch="launch-1"))
        self.greeted = self.failed = False
        self.turn = ""
        self.turns = 0
        self.open: dict[str, Ask] = {}
        self.changing = False
        self.asked: list[int] = []
        self.give(Spawned())

    def give(self, input_: Input) -> None:
        self.state, outputs = codex.step(self.state, input_)
        for output in outputs:
            self.see(output)

    def see(self, output: Any) -> None:
        match output:
            case Write(line=line):
                self.see_line(line)
            case Greeted():
                assert not self.greeted
                self.greeted = True
            case Ask():
                self.see_question(output)
            case Withdrawn(approval=approval):
                del self.open[approval]
            case Changed():
                assert self.changing
                self.changing = False
            case Fail():
                self.failed = True
            case _:
                self.see_content(output)

    def see_line(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        frame = json.loads(line)
        if "method" in frame and "id" in frame:
            self.asked.append(frame["id"])
            assert self.asked == sorted(set(self.asked))

    def see_question(self, asked: Ask) -> None:
        assert self.turn
        assert asked.options
        assert len({option.id for option in asked.options}) == len(asked.options)
        assert asked.approval not in self.open
        self.open[asked.approval] = asked

    def see_content(self, output: Any) -> None:
        match output:
            case Woke(turn=turn):
                assert not self.turn
                self.turn = turn
            case Say(piece=TurnEnded() as ended):
                assert ended.turn == self.turn
                self.turn = ""
                for approval in list(self.open):
                    del self.open[approval]
                    self.give(Decide(approval=approval, option=None))
            case Say(piece=piece):
                fitted(piece)

    def wish(self, what: str) -> None:
        if what == "answer" and self.asked:
            self.give(LineCame(json.dumps({"id": self.asked[-1], "result": {"thread": {"id": "thread-1"}}}).encode()))
        elif not self.greeted or self.changing:
            return
        elif what == "prompt" and not self.turn:
            self.turns += 1
            self.turn = f"turn-{self.turns}"
            self.give(Prompt(turn=self.turn, text="hello"))
        elif what == "interrupt" and self.turn:
            self.give(Interrupt())
        elif what in ("decide", "refuse") and self.open:
            name, ask = self.open.popitem()
            self.give(Decide(approval=name, option=ask.options[0].id if what == "decide" else None))
        elif what in ("change", "clear") and not self.turn:
            self.changing = True
            self.give(Change(model="m", mode="ask") if what == "change" else Clear())


PASSED = st.sampled_from((Passed(name="models"), Passed(name="writer")))


@settings(max_examples=300)
@given(st.lists(LINES | ODD | PASSED | WISHES, max_size=40))
def test_whatever_codex_writes_turns_and_questions_end_once(events: list[Any]) -> None:
    rules = Rules()
    for event in events:
        if rules.failed:
            return
        if isinstance(event, str):
            rules.wish(event)
        elif not isinstance(event, Passed) or (event.name == "models" and not rules.greeted):
            rules.give(event)
    if rules.failed or not rules.turn or not rules.state.thread:
        return
    native = rules.state.turn.id if rules.state.turn is not None else ""
    end = {"threadId": rules.state.thread, "turn": {"id": native or "native-1", "status": "interrupted"}}
    rules.give(LineCame(json.dumps({"method": "turn/completed", "params": end}).encode()))
    assert rules.turn == ""


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=80), max_size=20), st.binary(max_size=300))
def test_any_bytes_are_taken(lines: list[bytes], head: bytes) -> None:
    rules = Rules()
    for line in lines:
        rules.give(LineCame(line))
    rules.give(LineSkipped(20_000_000, head))
