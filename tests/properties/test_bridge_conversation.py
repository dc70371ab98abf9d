"""Whatever a hub asks, an agent says and the clock does, in whatever order: the rules of a driven session hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bridge import adapter as seam
from actors.bridge import contract, conversation
from actors.bridge.pieces import MAX_STEPS, clean, fitted, merged
from actors.bridge.state import Broken, End, Exited, HubGone, Input, Moment, Started, Stuck, Tell, Terms, Tick
from actors.launch.plan import Door
from schemas import content
from schemas.bridge_rows import Ability
from schemas.events import Usage
from schemas.identity import SessionId

# Long texts are what is tried here; of a counter-example their beginning is enough.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

TERMS = Terms(patience=5.0, greeting=7.0, interrupt=3.0, operation=4.0, quiet=6.0)
CAN: frozenset[Ability] = frozenset({"interrupt", "approve", "set_model", "set_mode", "clear"})
BEGINNING = seam.Beginning(cwd=Path("/"), door=Door("http://127.0.0.1:1", "token"), program="agent", provider="p")
SOME = ("a", "b", "c")
OPTIONS = (
    content.Option(id="yes", label="Yes", kind="allow_once"),
    content.Option(id="no", label="No", kind="deny_always"),
)
ANY_TEXT = st.one_of(st.text(), st.text(st.characters()), st.sampled_from(["", "x" * 20_000, "\x00" * 9_000, "\ud800" * 8_200]))
NAMES = st.one_of(st.sampled_from(SOME), st.text(min_size=190, max_size=230))


FACTS = seam.AgentFacts(agent="agent", protocol="none", programs=("agent",), tested="1", can=CAN)


@dataclass(frozen=True, slots=True)
class Inner:
    """What the tests' adapter remembers: the turn that it was given, what it asked, what it was asked."""

    turn: str = ""
    asked: frozenset[str] = frozenset()
    operating: bool = False
    interrupted: bool = False


@dataclass
class Agent:
    """An adapter that says what it is told to say, and refuses to be used against the rules of the seam."""

    next: list[Any] = field(default_factory=list)
    can: frozenset[Any] = CAN
    FACTS: seam.AgentFacts = FACTS

    def plan(self, _: seam.Beginning) -> seam.Command:
        raise AssertionError("a conversation starts no agent")

    def begin(self, _: seam.Beginning) -> Inner:
        return Inner()

    def step(self, state: Inner, input_: seam.Input) -> tuple[Inner, tuple[seam.Output, ...]]:
        match input_:
            case seam.Prompt(turn=turn):
                assert not state.turn, "a message while a turn runs"
                assert not state.operating, "a message while a change is done"
                return replace(state, turn=turn, interrupted=False), ()
            case seam.Interrupt():
                assert state.turn, "an interrupt while no turn runs"
                assert not state.interrupted, "interrupted twice"
                assert "interrupt" in self.can
                return replace(state, interrupted=True), ()
            case seam.Decide(approval=approval, option=option):
                assert approval in state.asked, "an answer to what is not open"
                assert option in (None, "yes", "no")
                return replace(state, asked=state.asked - {approval}), ()
            case seam.Change() | seam.Clear():
                assert not state.turn, "a change while a turn runs"
                assert not state.operating, "two changes at once"
                assert "clear" in self.can if isinstance(input_, seam.Clear) else "set_model" in self.can
                return replace(state, operating=True), ()
            case seam.LineCame():
                told: tuple[seam.Output, ...] = ()
                for output in self.next:
                    state, more = self.say(state, output)
                    told += more
                return state, told
        return state, ()

    def say(self, state: Inner, output: Any) -> tuple[Inner, tuple[seam.Output, ...]]:  # noqa: PLR0911 - one a case
        """Keep to the seam where the rules are the adapter's: no second question with one id, no end without a turn."""
        match output:
            case seam.Ask(approval=approval):
                return replace(state, asked=state.asked | {approval}), (output,)
            case seam.Withdrawn(approval=approval):
                return replace(state, asked=state.asked - {approval}), (output,)
            case seam.Changed():
                return replace(state, operating=False), (output,)
            case seam.Greeted(can=can) if can is not None:
                self.can = can
                return state, (output,)
            case seam.Woke(turn=turn):
                return (replace(state, turn=turn, interrupted=False), (output,)) if not state.turn else (state, ())
            case seam.Say(piece=content.TurnEnded() as ended):
                piece = content.TurnEnded(turn=state.turn, outcome=ended.outcome, reason=ended.reason)
                return replace(state, turn=""), ((seam.Say(piece),) if state.turn else ())
            case seam.Say(piece=piece) if getattr(piece, "turn", None) == "now":
                return state, (seam.Say(_with_turn(piece, state.turn)),)
        return state, (output,)


def _with_turn(piece: Any, turn: str) -> Any:
    from msgspec.structs import replace as changed  # noqa: PLC0415

    return changed(piece, turn=turn)


TURNS = st.sampled_from(["now", "now", "now", "stale", ""])
CHANNELS = st.sampled_from(["reply", "thought", "notice"])
PIECES = st.one_of(
    st.builds(content.TextAdded, turn=TURNS, item=NAMES, channel=CHANNELS, text=ANY_TEXT),
    st.builds(content.TextEnded, turn=TURNS, item=NAMES, channel=CHANNELS, length=st.integers()),
    st.builds(content.ToolStarted, turn=TURNS, item=NAMES, name=ANY_TEXT, title=ANY_TEXT, arguments=ANY_TEXT),
    st.builds(content.ToolEnded, turn=TURNS, item=NAMES, ok=st.booleans(), output=ANY_TEXT),
    st.builds(
        content.PlanUpdated,
        turn=TURNS,
        steps=st.lists(
            st.builds(content.PlanStep, text=ANY_TEXT, state=st.sampled_from(["pending", "completed"])), max_size=4
        ).map(tuple),
    ),
    st.builds(content.UsageTold, turn=TURNS, usage=st.builds(Usage, input=st.integers(), output=st.integers())),
    st.builds(content.FailureTold, code=ANY_TEXT, message=ANY_TEXT, turn=TURNS),
    st.builds(content.SettingsTold, model=ANY_TEXT, mode=ANY_TEXT, reason=ANY_TEXT),
    st.builds(content.Identified, session=NAMES.map(SessionId), conversation=NAMES, cleared=st.booleans()),
    st.builds(
        content.TurnEnded, turn=st.just("now"), outcome=st.sampled_from(["completed", "interrupted", "failed"]), reason=ANY_TEXT
    ),
)
SAYINGS = st.one_of(
    PIECES.map(seam.Say),
    st.builds(
        seam.Greeted,
        version=ANY_TEXT,
        can=st.sampled_from([None, None, frozenset({"clear", "interrupt", "set_mode", "set_model"}), frozenset()]),
        models=st.lists(ANY_TEXT, max_size=3).map(tuple),
        model=st.sampled_from(["", "m"]),
    ),
    st.builds(seam.Ask, approval=NAMES, tool=ANY_TEXT, title=ANY_TEXT, detail=ANY_TEXT, options=st.just(OPTIONS)),
    st.builds(seam.Withdrawn, approval=NAMES, reason=ANY_TEXT),
    st.builds(seam.Changed, refused=st.sampled_from(["", "no"])),
    st.builds(seam.Wait, name=st.sampled_from(SOME), seconds=st.sampled_from([None, 0.0, 1.0, 9.0])),
    st.builds(seam.Woke, turn=st.sampled_from(["w1", "w2"])),
    st.builds(seam.Note, text=st.just("a note")),
    st.builds(seam.Write, line=st.just(b"x\n")),
)
FAILS = st.builds(seam.Fail, code=st.just("broke"), message=ANY_TEXT, resumable=st.booleans())
ASKS = st.one_of(
    st.builds(contract.Send, ask=st.just(0), turn=st.sampled_from(["t1", "t2", "t3", "t4"]), text=ANY_TEXT),
    st.builds(contract.Interrupt, ask=st.just(0), queued=st.booleans()),
    st.builds(contract.Answer, ask=st.just(0), approval=NAMES, option=st.sampled_from(["yes", "no", "?"]), by=NAMES),
    st.builds(contract.Change, ask=st.just(0), model=st.sampled_from(["m1", "m2"])),
    st.builds(contract.Clear, ask=st.just(0)),
)
SPOKEN = st.lists(st.one_of(SAYINGS, PIECES.map(seam.Say)), min_size=1, max_size=3)
MOVES = st.one_of(
    SPOKEN, SPOKEN, ASKS, st.floats(0.0, 3.0), st.just(seam.LineSkipped(10, b"")), st.just("deadline"), st.just("deadline")
)
ENDS = st.one_of(FAILS, st.just(HubGone()), st.just(Stuck(31.0)), st.just(Broken("KeyError")), st.just("close"), st.none())


FIRST = contract.Send(ask=0, turn="t1", text="a message")


class World:
    """The loop and the hub, as far as they count; looks at every line that is told."""

    def __init__(self) -> None:
        self.agent = Agent()
        self.now = 100.0
        self.state = conversation.begin(self.agent, TERMS, BEGINNING)
        self.asked: list[int] = []
        self.accepted: set[str] = set()
        self.sends: dict[int, str] = {}
        self.replied: set[int] = set()
        self.told: list[content.Piece] = []
        self.turn = ""
        self.started: set[str] = set()
        self.waiting: set[str] = set()
        self.texts: dict[tuple[str, str], int] = {}
        self.tools: set[str] = set()
        self.approvals: dict[str, float] = {}
        self.status = content.StatusTold(status="gone")
        self.ended = False
        self.over = False

    def give(self, input_: Input) -> None:
        moment = Moment(self.now, 1_700_000_000.0 + self.now)
        self.state, outputs = conversation.step(self.agent, self.state, moment, input_)
        for output in outputs:
            assert not self.over, "something behind the last line"
            assert not (self.ended and isinstance(output, seam.Write)), "told to an agent that is being ended"
            if isinstance(output, Tell):
                raw = contract.encode_line(output.line)
                self.hear(contract.decode_up(raw))
            elif isinstance(output, End):
                assert not self.ended, "ended twice"
                self.ended = True
        assert (self.state.ending is not None) == (self.ended or self.over)

    def ask(self, line: Any) -> None:
        from msgspec.structs import replace as changed  # noqa: PLC0415

        line = changed(line, ask=len(self.asked) + 1)
        self.asked.append(line.ask)
        if isinstance(line, contract.Send):
            self.sends[line.ask] = line.turn
        self.give(line)

    def hear(self, line: contract.Up) -> None:
        match line:
            case contract.Replied(ask=ask, code=code):
                assert ask in self.asked
                assert ask not in self.replied, "answered twice"
                self.replied.add(ask)
                if ask in self.sends and not code:
                    assert self.sends[ask] not in self.waiting
                    self.waiting.add(self.sends[ask])
            case contract.Over():
                self.over = True
            case contract.Said(piece=piece):
                self.told.append(piece)
                self.look(piece)

    def look(self, piece: content.Piece) -> None:  # noqa: C901, PLR0912 - one rule a case
        match piece:
            case content.TurnStarted(turn=turn):
                assert not self.turn, "two turns at once"
                assert turn in self.waiting or turn.startswith("w"), "nobody sent it"
                self.waiting.discard(turn)
                self.turn = turn
            case content.TurnEnded(turn=turn):
                assert turn
                assert turn == self.turn or turn in self.waiting, "the end of what did not run"
                if turn == self.turn:
                    assert (self.texts, self.tools, self.approvals) == ({}, set(), {}), "something of the turn is open"
                    self.turn = ""
                else:
                    assert piece.reason.startswith("not sent")
                    self.waiting.discard(turn)
            case content.TextAdded(turn=turn, item=item, channel=channel, text=text):
                assert 0 < len(text) <= content.MAX_TEXT
                assert turn in ("", self.turn)
                if turn:
                    self.texts[item, channel] = self.texts.get((item, channel), 0) + len(text)
            case content.TextEnded(turn=turn, item=item, channel=channel, length=length):
                if turn:
                    assert turn == self.turn
                    assert self.texts.pop((item, channel), 0 if channel == "prompt" else None) == length
            case content.ToolStarted(turn=turn, item=item) if turn:
                assert turn == self.turn
                self.tools.add(item)
            case content.ToolEnded(turn=turn, item=item) if turn:
                assert turn == self.turn
                self.tools.discard(item)
            case content.ApprovalRequested(approval=approval):
                assert approval not in self.approvals
                self.approvals[approval] = self.now + TERMS.patience
            case content.ApprovalResolved(approval=approval, option=option, allowed=allowed):
                assert self.approvals.pop(approval, None) is not None, "resolved twice, or never asked"
                assert allowed == (option == "yes")
            case content.StatusTold():
                assert piece != self.status, "told twice"
                self.status = piece

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on, as the loop does: never past a deadline without a tick."""
        end = self.now + seconds
        for _ in range(1_000):
            deadline = conversation.next_deadline(self.state)
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            self.give(Tick())
            later = conversation.next_deadline(self.state)
            assert later is None or later > self.now, "a deadline that a tick does not take away: the loop would spin"
        self.now = end

    def finish(self, code: int | None) -> None:
        self.give(Exited(code=code, words="last words"))
        assert self.over
        assert self.replied == set(self.asked), "somebody was not answered"
        assert not self.turn
        assert not self.waiting
        assert not self.approvals
        assert conversation.next_deadline(self.state) is None


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([[[seam.Greeted()], FIRST], [[seam.Greeted()]], [FIRST], []]),
    st.lists(MOVES, max_size=40),
    ENDS,
    st.lists(ASKS, max_size=3),
    st.sampled_from([0, 1, -9, None]),
)
def test_the_rules_of_a_session_hold(first: list[Any], moves: list[Any], end: Any, late: list[Any], code: int | None) -> None:
    world = World()
    world.give(Started(1, "agent"))
    for move in [*first, *moves]:
        if isinstance(move, contract.Ask):
            world.ask(move)
        elif isinstance(move, float):
            world.pass_time(move)
        elif move == "deadline":
            deadline = conversation.next_deadline(world.state)
            world.pass_time(0.0 if deadline is None else max(0.0, deadline - world.now))
        elif isinstance(move, seam.LineSkipped):
            world.give(move)
        else:
            world.agent.next = move
            world.give(seam.LineCame(b"line"))
    if isinstance(end, seam.Fail):
        world.agent.next = [end, seam.Say(content.FailureTold(code="late", message="said behind the end")), seam.Write(b"x")]
        world.give(seam.LineCame(b"line"))
    elif end == "close":
        world.ask(contract.Close(ask=0))
    elif end is not None:
        world.give(end)
    for move in late:
        world.ask(move)
    world.finish(code)


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_whatever_is_said_fits_or_is_left_out(piece: content.Piece) -> None:
    for part in fitted(piece):
        raw = contract.encode_line(contract.Said(piece=part))
        assert contract.decode_up(raw) == contract.Said(piece=part)
    if isinstance(piece, content.TextAdded):
        parts = [part for part in fitted(piece) if isinstance(part, content.TextAdded)]
        assert "".join(part.text for part in parts) == clean(piece.text)


@settings(deadline=None)
@given(st.integers(0, 3 * MAX_STEPS), st.sampled_from(["x", "\0", "\ud800", "€"]), st.integers(0, 20_000))
def test_a_plan_of_any_size_fits(count: int, character: str, length: int) -> None:
    steps = tuple(content.PlanStep(text=character * length, state="pending") for _ in range(count))
    (piece,) = fitted(content.PlanUpdated(turn="t", steps=steps))
    assert isinstance(piece, content.PlanUpdated)
    assert len(piece.steps) == min(count, MAX_STEPS + 1)


LINES = st.one_of(
    st.builds(
        lambda item, text: contract.Said(piece=content.TextAdded(turn="t", item=item, channel="reply", text=text)),
        st.sampled_from(SOME),
        st.text(min_size=1, max_size=5_000),
    ),
    st.just(contract.Beat()),
)


@given(st.lists(LINES, max_size=12))
def test_what_is_told_together_says_the_same(lines: list[contract.Up]) -> None:
    def whole(told: list[contract.Up]) -> list[Any]:
        said: list[Any] = []
        for line in told:
            piece = line.piece if isinstance(line, contract.Said) else None
            if isinstance(piece, content.TextAdded):
                assert len(piece.text) <= content.MAX_TEXT
                if said and isinstance(said[-1], list) and said[-1][0] == piece.item:
                    said[-1][1] += piece.text
                else:
                    said.append([piece.item, piece.text])
            else:
                said.append(line)
        return said

    assert whole(list(merged(lines))) == whole(lines)
