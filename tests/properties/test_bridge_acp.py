"""The adapters that speak ACP, whatever agents write: no bytes raise, each turn ends once, each question is answered once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bridge.adapter import (
    Ask,
    Change,
    Clear,
    Decide,
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
    Write,
)
from schemas.content import Piece, TurnEnded
from tests.bridge.acp_tape import ADAPTERS, Played, tape

_PIECES: msgspec.json.Decoder[Piece] = msgspec.json.Decoder(Piece)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
SAID = [line["in"] for name in ("auggie", "gemini", "opencode", "qwen") for line in tape(name) if "in" in line]


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """Draw a message that an agent once wrote, with something in it that it never wrote."""
    message = json.loads(json.dumps(draw(st.sampled_from(SAID))))
    place: Any = message
    while isinstance(place, dict) and place:
        name = draw(st.sampled_from(sorted(place)))
        if draw(st.booleans()) or not isinstance(place[name], dict | list) or not place[name]:
            place[name] = draw(JSON)
            break
        place = place[name] if isinstance(place[name], dict) else place[name][0]
    if draw(st.booleans()):
        message["id"] = draw(st.integers(1, 6))
    return json.dumps(message).encode()


LINES = st.one_of(bent(), st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode()))


@pytest.mark.parametrize("agent", sorted(ADAPTERS))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_line_raises_and_every_turn_and_question_ends_once(agent: str, data: st.DataObject) -> None:
    played = Played(agent)
    world = _World()
    world.see(played.take(Spawned()))
    for _ in range(data.draw(st.integers(1, 25))):
        world.see(played.take(data.draw(_inputs(world))))
    assert world.ended <= world.begun


class _World:
    """What the conversation would know: it only asks what may be asked."""

    def __init__(self) -> None:
        self.ready = False
        self.turn = ""
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self.open: dict[str, Ask] = {}

    def see(self, outputs: tuple[Output, ...]) -> None:
        for output in outputs:
            match output:
                case Greeted():
                    self.ready = True
                case Ask(approval=name, options=options):
                    assert self.turn
                    assert name not in self.open
                    assert options
                    self.open[name] = output
                case Say(piece=piece):
                    _PIECES.decode(msgspec.json.encode(piece))
                    if isinstance(piece, TurnEnded):
                        assert piece.turn == self.turn
                        assert piece.turn not in self.ended
                        self.ended.add(piece.turn)
                        self.turn = ""
                        self.open.clear()
                case Write(line=line):
                    assert line.endswith(b"\n")
                    assert b"\n" not in line[:-1]
                    assert json.loads(line)["jsonrpc"] == "2.0"
                case Note(text=text):
                    assert len(text) < 500
                case _:
                    pass


def _inputs(world: _World) -> st.SearchStrategy[Input]:
    """Return what may come now."""
    can: list[st.SearchStrategy[Input]] = [
        st.builds(LineCame, LINES.filter(bool)),
        st.builds(LineCame, st.sampled_from(SAID).map(lambda said: json.dumps(said).encode())),
        st.just(LineSkipped(20_000_000, b"{")),
        st.sampled_from((Passed(name="held"), Passed(name="quiet"))),
    ]
    if world.turn:
        can.append(st.just(Interrupt()))
        if world.open:
            name = next(iter(world.open))
            chosen = st.sampled_from((None, *(option.id for option in world.open[name].options)))
            can.append(chosen.map(lambda option: _decided(world, name, option)))
    elif world.ready:
        can.append(st.just("").map(lambda _: _prompt(world)))
        can.append(st.builds(Change, model=st.sampled_from((None, "m")), mode=st.sampled_from((None, "plan", "approve"))))
        can.append(st.just(Clear()))
    return st.one_of(can)


def _prompt(world: _World) -> Prompt:
    world.turn = f"t{len(world.begun)}"
    world.begun.add(world.turn)
    return Prompt(turn=world.turn, text="hi")


def _decided(world: _World, name: str, option: str | None) -> Decide:
    del world.open[name]
    return Decide(approval=name, option=option)
