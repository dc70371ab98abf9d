"""The hub of the bridges, whatever comes in whichever order; and the past, whatever stands in a transcript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.bridge.contract import Beat, Initialised, Over, Replied, Said
from actors.bridges.session import step
from actors.bridges.terms import (
    MAX_MESSAGES,
    MAX_PAST_TURNS,
    MAX_PIECES,
    Answered,
    Begun,
    Came,
    Changed,
    Cleared,
    Closed,
    Forget,
    Gone,
    Interrupted,
    Keep,
    Moment,
    NotSpawned,
    Sent,
    Session,
    Settle,
    Settled,
    Spawned,
    Start,
    Tell,
    Tick,
    Unwritten,
    Wish,
)
from actors.transcripts import claude_turns, codex_turns
from actors.transcripts.gathering import MAX_TURN, Gathering
from actors.transcripts.history import page
from actors.transcripts.pieces import size_of
from actors.transcripts.tree import Found, Mark, Name, Root
from schemas.bridge_rows import History
from schemas.codec import decode, encode
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Ended,
    FailureTold,
    Identified,
    SettingsTold,
    StatusTold,
    TextAdded,
    TextEnded,
    ToolStarted,
    TurnEnded,
    TurnStarted,
)
from schemas.identity import LaunchId, ProcessKey, SessionId

LAUNCH = LaunchId("launch-1")
PROCESS = ProcessKey("host", "boot", 7, 1)
SAMPLES = sorted((Path(__file__).parents[1] / "transcripts/samples").glob("*.jsonl"))

names = st.sampled_from(["a", "b", "c"])
texts = st.text(max_size=20)
pieces = st.one_of(
    st.builds(TurnStarted, turn=names),
    st.builds(TextAdded, turn=names, item=names, channel=st.sampled_from(["prompt", "reply"]), text=texts),
    st.builds(TextEnded, turn=names, item=names, channel=st.just("reply"), length=st.integers(0, 9)),
    st.builds(ToolStarted, turn=names, item=names, name=names),
    st.builds(ApprovalRequested, turn=names, approval=names, tool=texts, title=texts, options=st.just(()), expires=names),
    st.builds(ApprovalResolved, turn=names, approval=names, option=names, allowed=st.booleans(), by=names),
    st.builds(StatusTold, status=st.sampled_from(["idle", "working", "waiting_input"])),
    st.builds(SettingsTold, model=names),
    st.builds(Identified, session=names.map(lambda one: SessionId(f"codex-{one}")), conversation=names, cleared=st.booleans()),
    st.builds(FailureTold, code=names, message=texts, turn=names),
    st.builds(TurnEnded, turn=names, outcome=st.sampled_from(["completed", "failed"]), reason=texts),
    st.just(Ended(reason="x")),
)
# Numbers of questions are filled in as they come: a new one where somebody asks, an old one where it is answered.
moves = st.one_of(
    st.just(Begun()),
    st.just(Spawned(process=PROCESS, launch=LAUNCH)),
    st.just(NotSpawned("no")),
    st.builds(Gone, st.sampled_from([None, 0, 1, -9])),
    st.just(Came(Initialised(version="1", can=("resume",)))),
    st.just(Came(Beat())),
    st.builds(lambda resumable: Came(Over(code="x", reason="y", resumable=resumable)), st.booleans()),
    pieces.map(lambda piece: Came(Said(piece=piece))),
    st.builds(Sent, ask=st.just(0), message=names, text=texts, by=names),
    st.builds(Interrupted, ask=st.just(0), queued=st.booleans()),
    st.builds(Answered, ask=st.just(0), approval=names, option=names, by=names),
    st.builds(Changed, ask=st.just(0), model=names),
    st.just(Cleared(ask=0)),
    st.builds(Closed, ask=st.just(0), reason=names, keep=st.booleans()),
    st.builds(Settled, provider=names),
    st.builds(Tick, st.just(30.0), st.sampled_from([0.0, 20.0])),
    st.tuples(st.sampled_from(["answer", "refuse", "unwritten"]), st.integers(0, 9)),
)
ASKING = (Sent, Interrupted, Answered, Changed, Cleared, Closed)


def _fill(move: Any, session: Session, ask: int) -> Any:
    """Give a question its number, or an answer that of one that waits."""
    if isinstance(move, tuple):
        kind, index = move
        asked = session.asked[index % len(session.asked)] if session.asked else 12_345
        if kind == "unwritten":
            return Unwritten(ask=asked, code="busy", message="m")
        return Came(Replied(ask=asked, code="" if kind == "answer" else "no", message="m"))
    if isinstance(move, ASKING):
        fields = {name: getattr(move, name) for name in move.__struct_fields__}
        return type(move)(**(fields | {"ask": ask}))
    return move


@given(st.lists(st.tuples(moves, st.sampled_from([0.0, 0.1, 5.0, 40.0])), max_size=60))
def test_every_question_is_answered_once_frames_are_dense_and_the_end_is_the_end(
    play: list[tuple[Any, float]],
) -> None:
    session = Session(
        launch=LAUNCH,
        wish=Wish(agent="codex", cwd="/w"),
        run="r",
        created="t",
        last_used="t",
        used=0.0,
        session=SessionId(LAUNCH),
    )
    at, ask, sequence, started = 0.0, 0, 0, 0
    asked: set[int] = set()
    settled: set[int] = set()
    for move, seconds in [*play, (Closed(reason="last"), 0.0), (Gone(0), 0.0)]:
        at += seconds
        ask += 1
        filled = _fill(move, session, ask)
        if isinstance(filled, ASKING):
            asked.add(ask)
        if isinstance(filled, Spawned) and session.phase not in ("starting", "closing"):
            continue  # the shell spawns what it was asked for
        if isinstance(filled, NotSpawned | Gone) and session.phase in ("resting", "ended"):
            continue
        was = session.phase
        session, orders = step(session, filled, Moment(at, "t"))
        for order in orders:
            if isinstance(order, Settle):
                assert order.ask not in settled
                assert order.ask in asked
                settled.add(order.ask)
            elif isinstance(order, Tell):
                sequence += 1
                assert order.frame.sequence == sequence
                assert was != "ended"
            elif isinstance(order, Start):
                started += 1
        assert len(session.messages) <= MAX_MESSAGES
        assert len(session.past) <= MAX_PAST_TURNS
        assert session.running is None or len(session.running.pieces) <= MAX_PIECES
        assert (session.running is None and not session.messages) or session.phase != "ended"
        kept = [type(order) for order in orders if isinstance(order, Keep | Forget)]
        assert session.phase != "ended" or was == "ended" or kept[-1] is (Keep if session.keep else Forget)
    assert session.phase == "ended"
    assert asked == settled


@given(
    st.sampled_from(["codex", "claude"]),
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(SAMPLES)
            .flatmap(lambda file: st.sampled_from(file.read_bytes().splitlines()))
            .flatmap(lambda line: st.integers(0, len(line)).map(lambda end: line[:end] if end % 3 == 0 else line)),
        ),
        max_size=30,
    ),
)
def test_no_line_of_a_transcript_breaks_its_reading(agent: str, lines: list[bytes]) -> None:
    gathering = Gathering()
    for line in lines:
        (codex_turns if agent == "codex" else claude_turns).read(gathering, line)
    gathering.close()
    assert len(gathering.turns) == len(gathering.starts) == len(gathering.messages)
    for turn in gathering.turns:
        assert isinstance(turn.pieces[0], TurnStarted)
        assert isinstance(turn.pieces[-1], TurnEnded)
        assert size_of(turn.pieces) <= MAX_TURN + 10_000
    told = History(session=SessionId("codex-a"), source="transcript", turns=tuple(gathering.turns))
    assert decode(encode(told), History) == told


@given(st.sampled_from(SAMPLES), st.integers(1, 4))
def test_pages_of_the_past_are_all_of_it_once_in_order(file: Path, limit: int) -> None:
    agent: Any = "claude" if file.name.startswith("claude") else "codex"
    found = Found(Root(agent, str(file.parent)), str(file), Name(agent, "x", ""), Mark())
    whole = page(found, limit=1_000)
    assert whole.before == -1
    turns: list[Any] = []
    before = -1
    while True:
        part = page(found, limit=limit, before=before)
        turns = [*part.turns, *turns]
        before = part.before
        if before < 0:
            break
    assert tuple(turns) == whole.turns
