"""The adapter of Claude Code under whatever may come: it never breaks, and never breaks the rules of the seam."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bridge import adapter as seam
from actors.bridge import contract, conversation
from actors.bridge.adapters import claude
from actors.bridge.claude.state import State
from actors.bridge.state import Moment, Started, Tell, Terms
from actors.transcripts.claude_messages import message_uuid
from schemas import content
from tests.bridge.claude_scenes import SCENES, beginning
from tests.bridge.driven import load

ADAPTER = cast("seam.Adapter", claude)
RECORDED = sorted({entry["read"] for name in SCENES for entry in load(f"claude_{name}") if "read" in entry})
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """Draw a recorded line in which something is missing, or something else than it was."""
    line = json.loads(draw(st.sampled_from(RECORDED)))
    for _ in range(draw(st.integers(0, 3))):
        place = line
        while names := [name for name, value in place.items() if isinstance(value, dict)]:
            if draw(st.booleans()):
                break
            place = place[draw(st.sampled_from(names))]
        if place:
            name = draw(st.sampled_from(sorted(place)))
            if draw(st.booleans()):
                del place[name]
            else:
                place[name] = draw(json_values)
    return json.dumps(line).encode()


lines = st.one_of(
    bent(),
    st.sampled_from(RECORDED).map(str.encode),
    st.binary(min_size=1, max_size=60),
    st.builds(lambda value: json.dumps(value).encode(), json_values),
)
moves = st.one_of(
    st.tuples(st.just("line"), lines),
    st.tuples(st.just("prompt"), st.text(max_size=20)),
    st.tuples(st.just("result"), st.sampled_from(["success", "error_during_execution"])),
    st.tuples(st.just("ask"), st.sampled_from(["Bash", "AskUserQuestion"])),
    st.sampled_from([("interrupt", None), ("decide", "allow"), ("decide", "deny"), ("decide", None), ("decide", "answer:0")]),
    st.sampled_from([("change", None), ("clear", None), ("skip", None), ("passed", None)]),
)
Move = tuple[str, Any]


class Rules:
    """The conversation's side of the seam, which keeps its rules and sees to it that the adapter keeps its own."""

    def __init__(self) -> None:
        self.state: State = claude.begin(beginning(""))
        self.turn = ""
        self.open: list[seam.Ask] = []
        self.waiting = False
        self.turns = 0
        self.asked = 0
        self.ended: set[str] = set()
        self.take(seam.Spawned())
        self.greet()

    def greet(self) -> None:
        response = {"subtype": "success", "request_id": "greeting", "response": {"claude_code_version": "2.1.329"}}
        self.line({"type": "control_response", "response": response})

    def line(self, line: dict[str, Any]) -> None:
        self.take(seam.LineCame(json.dumps(line).encode()))

    def take(self, input_: seam.Input) -> None:
        before = self.state
        self.state, outputs = claude.step(before, input_)
        assert claude.step(before, input_) == (self.state, outputs)
        for output in outputs:
            self.check(output)

    def check(self, output: seam.Output) -> None:
        match output:
            case seam.Write(line=line):
                assert line.endswith(b"\n")
                assert line.count(b"\n") == 1
                assert isinstance(json.loads(line), dict)
            case seam.Woke(turn=turn):
                assert not self.turn
                self.turn = turn
            case seam.Ask():
                assert output.options
                assert len({option.id for option in output.options}) == len(output.options)
                assert output.approval not in {ask.approval for ask in self.open}
                self.open.append(output)
            case seam.Withdrawn(approval=approval):
                assert approval in {ask.approval for ask in self.open}
                self.open = [ask for ask in self.open if ask.approval != approval]
            case seam.Changed():
                assert self.waiting
                self.waiting = False
            case seam.Say(piece=content.TurnEnded(turn=turn)):
                assert turn == self.turn
                assert not self.open
                self.turn = ""
            case seam.Say(piece=piece):
                assert not isinstance(piece, content.TurnStarted | content.ApprovalRequested | content.StatusTold)
                assert getattr(piece, "turn", "") in ("", self.turn)

    def move(self, move: Move) -> None:  # noqa: C901 - the table of moves
        match move:
            case "line", bytes(raw):
                self.take(seam.LineCame(raw))
            case "prompt", str(text) if not self.turn and not self.waiting:
                self.turns += 1
                self.turn = f"turn-{self.turns}"
                self.take(seam.Prompt(turn=self.turn, text=text))
            case "result", str(subtype):
                self.line({"type": "result", "subtype": subtype, "user_message_uuid": message_uuid(self.turn)})
            case "ask", str(tool):
                self.asked += 1
                questions = [{"question": f"{n}?", "options": [{"label": "A"}]} for n in range(2)]
                request = {"subtype": "can_use_tool", "tool_name": tool, "input": {"questions": questions}}
                self.line({"type": "control_request", "request_id": f"ask-{self.asked}", "request": request})
            case "interrupt", _ if self.turn:
                self.take(seam.Interrupt())
            case "decide", option if self.open:
                ask = self.open.pop(0)
                known = option in {one.id for one in ask.options}
                self.take(seam.Decide(approval=ask.approval, option=option if known else None))
            case "change", _ if not self.turn and not self.waiting:
                self.waiting = True
                self.take(seam.Change(model="m", mode="plan"))
            case "clear", _ if not self.turn and not self.waiting:
                self.waiting = True
                self.take(seam.Clear())
            case "skip", _:
                self.take(seam.LineSkipped(20_000_000, b'{"type":"control_request","request_id":"x"'))
            case "passed", _:
                self.take(seam.Passed(name="any"))


@settings(max_examples=200, deadline=None)
@given(st.lists(moves, max_size=30))
def test_whatever_comes_the_rules_are_kept(moves: list[Move]) -> None:
    rules = Rules()
    for move in moves:
        rules.move(move)


@settings(max_examples=100, deadline=None)
@given(st.lists(moves, max_size=20))
def test_every_turn_can_end(moves: list[Move]) -> None:
    rules = Rules()
    for move in moves:
        rules.move(move)
    turn = rules.turn
    while rules.open:
        rules.move(("decide", None))
    if rules.turn:
        rules.move(("result", "success"))
    assert not rules.turn
    assert not turn or rules.state.turn is None


asks: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just(contract.Send), st.fixed_dictionaries({"turn": st.sampled_from("abc"), "text": st.text(max_size=9)})),
    st.tuples(st.just(contract.Interrupt), st.fixed_dictionaries({"queued": st.booleans()})),
    st.tuples(st.just(contract.Change), st.just({"model": "m"})),
    st.tuples(st.just(contract.Clear), st.just({})),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(lines, asks), max_size=40))
def test_the_conversation_can_tell_all_that_it_says(inputs: list[bytes | tuple[type[contract.Ask], dict[str, Any]]]) -> None:
    now = Moment(1.0, 1_795_000_000.0)
    state = conversation.begin(ADAPTER, Terms(), beginning(""))
    state, _ = conversation.step(ADAPTER, state, now, Started(pid=1, argv0="claude"))
    greeting = {"subtype": "success", "request_id": "greeting", "response": {"claude_code_version": "2.1.329"}}
    given_: list[Any] = [seam.LineCame(json.dumps({"type": "control_response", "response": greeting}).encode())]
    for number, input_ in enumerate(inputs):
        given_.append(seam.LineCame(input_) if isinstance(input_, bytes) else input_[0](ask=number, **input_[1]))
    running: list[str] = []
    for one in given_:
        state, outputs = conversation.step(ADAPTER, state, now, one)
        for line in (output.line for output in outputs if isinstance(output, Tell)):
            assert contract.decode_up(contract.encode_line(line)) == line
            match line:
                case contract.Said(piece=content.TurnStarted(turn=turn)):
                    assert running == []
                    running = [turn]
                case contract.Said(piece=content.TurnEnded(turn=turn, reason=reason)) if not reason.startswith("not sent"):
                    assert running == [turn]
                    running = []


@given(st.lists(lines, max_size=30))
def test_before_the_greeting_nothing_is_said_of_turns(came: list[bytes]) -> None:
    state = claude.begin(beginning(""))
    for raw in came:
        state, outputs = claude.step(state, seam.LineCame(raw))
        assert not [output for output in outputs if isinstance(output, seam.Woke)] or state.greeted
