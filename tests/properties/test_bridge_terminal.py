"""Terminals and what is read from them under whatever may come: nothing raises, a screen is told whole, turns end once."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bridge import adapter as seam
from actors.bridge import contract, conversation
from actors.bridge.state import Exited, Moment, Started, Tell, Terms, Tick
from actors.bridge.terminal.declared import declared
from actors.bridge.terminal.page import Page, turned
from actors.terminal.contract import Drawn, Opened, encode_line
from actors.terminal.contract import Exited as ProgramExited
from actors.terminal.screen import Screen
from actors.terminal.sieve import Sieve
from schemas import content
from schemas.keys import keys_problem
from schemas.terminals import Opening, Question, Terminal
from tests.bridge.terminal_play import beginning

TERMINAL = Terminal(
    program="p",
    ready="^>$",
    busy="busy",
    reply="^[*] ",
    questions=(Question(pattern="sure", yes="y", always="a", no="n"),),
    openings=(Opening(pattern="welcome", keys="Enter"),),
    clear="/clear",
)
BARE = Terminal(program="p", ready="^>$", marker=True)
sequences = st.sampled_from(
    [
        b"\x1b[",
        b"\x1b]0;",
        b"\x1bP",
        b"\x1b_",
        b"\x07",
        b"\x1b\\",
        b"\x1b[?1049h",
        b"\x1b[?1049l",
        b"\x1b[2J",
        b"\x1b[H",
        b"\r\n",
    ]
    + [b"\x1b[%d%c" % (number, final) for number in (0, 3, 99_999) for final in b"ABCDEFGHJKLMPSTXabdefghlnrsu@`"]
    + [
        b"\x1b[3;2r",
        b"\x1b[2;9r",
        b"\x1b[r",
        b"\x1b7",
        b"\x1b8",
        b"\x1bM",
        b"\x1bc",
        b"\x1b[?3h",
        b"\x1b[?5h",
        b"\x1b[4h",
        b"\x1b[?6h",
    ]
)
written = st.lists(
    st.binary(max_size=30) | sequences | st.text(max_size=12).map(lambda text: text.encode(errors="replace")), max_size=40
)
rows = st.sampled_from(["", ">", "* said", "more", "busy", "sure?", "welcome", "> typed"]) | st.text(max_size=8)
screens = st.builds(
    Drawn,
    changed=st.lists(st.tuples(st.integers(-2, 12), rows), max_size=8).map(tuple),
    cursor=st.tuples(st.integers(-3, 99), st.integers(-3, 99)),
    size=st.sampled_from([(8, 40), (3, 10), (0, 0), (-1, 5)]),
    left=st.lists(rows, max_size=4).map(tuple),
    lost=st.integers(-1, 3),
    paste=st.booleans(),
    alternate=st.booleans(),
)
moves = st.one_of(
    st.tuples(st.just("screen"), screens),
    st.tuples(st.just("line"), st.binary(min_size=1, max_size=30)),
    st.tuples(st.just("wait"), st.floats(0.05, 20)),
    st.tuples(st.just("prompt"), st.text(max_size=12)),
    st.sampled_from([("interrupt", None), ("yes", None), ("clear", None), ("quiet", None)]),
)


@given(written)
def test_a_screen_that_is_told_in_parts_is_the_screen(parts: list[bytes]) -> None:
    screen, page = Screen(20, 6), turned(Page(), Drawn(size=(6, 20)))
    for part in parts:
        screen.feed(part)
        page = turned(page, screen.drawn())
    at_once = Screen(20, 6)
    at_once.feed(b"".join(parts))
    if not (screen.broken or at_once.broken):
        assert page.rows == turned(Page(), at_once.drawn()).rows


@given(written, st.lists(st.tuples(st.integers(-5, 50), st.integers(-5, 50)), max_size=8))
def test_whatever_is_written_and_however_it_is_resized_there_are_as_many_rows_as_it_is_high(
    parts: list[bytes], sizes: list[tuple[int, int]]
) -> None:
    screen, page = Screen(20, 6), Page()
    for number, part in enumerate([*parts, b""]):
        screen.feed(part)
        if number < len(sizes):
            screen.resize(*sizes[number])
        page = turned(page, screen.drawn())
        assert (len(page.rows), page.cursor < len(page.rows)) == (screen.size[0], True)
        assert not any("\x1b" in row for row in page.rows)


@given(st.binary(max_size=80) | written.map(b"".join), st.integers(0, 80))
def test_where_output_is_cut_makes_no_difference(raw: bytes, place: int) -> None:
    once, twice = Sieve(), Sieve()
    assert once.feed(raw) == twice.feed(raw[:place]) + twice.feed(raw[place:])
    assert once.title == twice.title


@given(st.text(max_size=20))
def test_keys_are_said_to_be_some_or_not(keys: str) -> None:
    assert isinstance(keys_problem(keys), str)


@settings(max_examples=150)
@given(st.sampled_from([TERMINAL, BARE]), st.lists(moves, max_size=40))
def test_every_message_ends_once_whatever_the_screen_shows(  # noqa: C901 - the table of what may come
    terminal: Terminal, steps: list[tuple[str, Any]]
) -> None:
    adapter = cast("seam.Adapter", declared("agent", terminal))
    state = conversation.begin(adapter, Terms(), beginning())
    told: list[Any] = []
    now = 0.0
    sent: list[str] = []

    def take(input_: Any) -> None:
        nonlocal state
        state, outputs = conversation.step(adapter, state, Moment(steady=now, wall=now), input_)
        told.extend(output.line for output in outputs if isinstance(output, Tell))

    take(Started(pid=7, argv0="p"))
    take(seam.LineCame(encode_line(Opened(pid=7, attach="tmux attach")).rstrip()))
    for kind, value in steps:
        now += 0.01
        match kind:
            case "screen":
                take(seam.LineCame(encode_line(value).rstrip()))
            case "line":
                take(seam.LineCame(value))
            case "wait" | "quiet":
                now += value or 0.7
                take(Tick())
            case "prompt":
                sent.append(f"t{len(sent)}")
                take(contract.Send(ask=len(sent), turn=sent[-1], text=value))
            case "interrupt":
                take(contract.Interrupt(ask=1_000))
            case "clear":
                take(contract.Clear(ask=1_001))
            case _:
                for approval in state.approvals.open:
                    take(contract.Answer(ask=1_002, approval=approval.id, option="yes", by="somebody"))
    if state.phase != "over":
        take(seam.LineCame(encode_line(ProgramExited(code=0)).rstrip()))
        take(Exited(code=0))
    pieces = [line.piece for line in told if isinstance(line, contract.Said)]
    ends = [piece.turn for piece in pieces if isinstance(piece, content.TurnEnded) and piece.turn in sent]
    replies = {line.ask: line.code for line in told if isinstance(line, contract.Replied)}
    assert sorted(ends) == sorted(turn for ask, turn in enumerate(sent, 1) if replies[ask] == "")
    shown = "".join(piece.text for piece in pieces if isinstance(piece, content.TextAdded) and piece.channel == "reply")
    assert "[tw:" not in shown
    asked = [piece.approval for piece in pieces if isinstance(piece, content.ApprovalRequested)]
    assert sorted(asked) == sorted(piece.approval for piece in pieces if isinstance(piece, content.ApprovalResolved))
