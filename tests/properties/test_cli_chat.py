"""Whatever is lost on the way, and whenever a client asks, it shows every text once and in order; no bytes break the line."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from actors.cli import chat_view
from actors.cli.chat_join import Join, came, marked, told
from actors.cli.chat_line import Key, Line, press, read_keys, row
from actors.cli.chat_pieces import View, tell
from actors.cli.chat_text import Span, visible
from schemas.bridge_rows import BridgeRow, Pending, Turn
from schemas.content import Frame, Piece, TextAdded, TextEnded, TurnEnded, TurnStarted
from schemas.identity import LaunchId, SessionId

WHEN = "2026-11-21T12:00:00Z"
LAUNCH, SESSION = LaunchId("launch-1"), SessionId("codex-1")


@dataclass
class Hub:
    """The hub's side of one session: numbers what is said, keeps the running turn joined and the ended ones whole."""

    run: str = "run-0"
    sequence: int = 0
    turns: int = 0
    turn: str = ""
    pieces: list[Piece] = field(default_factory=list)
    past: list[Turn] = field(default_factory=list)

    def say(self, piece: Piece) -> Frame:
        self.sequence += 1
        if isinstance(piece, TurnStarted):
            self.turn, self.pieces, self.turns = piece.turn, [], self.turns + 1
        self.pieces.append(piece)
        if isinstance(piece, TurnEnded):
            self.past.append(Turn(turn=self.turn, started=WHEN, pieces=tuple(self.pieces)))
            self.turn, self.pieces = "", []
        return Frame(stream=LAUNCH, run=self.run, sequence=self.sequence, session=SESSION, time=WHEN, piece=piece)

    def restart(self, number: int) -> None:
        """Forget numbers and nothing else, as a hub that took its sessions up again."""
        self.run, self.sequence = f"run-{number}", 0

    def pending(self) -> Pending:
        joined: list[Piece] = []
        for piece in self.pieces:
            last = joined[-1] if joined else None
            if isinstance(piece, TextAdded) and isinstance(last, TextAdded) and last.item == piece.item:
                joined[-1] = TextAdded(turn=piece.turn, item=piece.item, channel="reply", text=last.text + piece.text)
            else:
                joined.append(piece)
        bridge = BridgeRow(
            launch=LAUNCH,
            session=SESSION,
            agent="codex",
            cwd="/",
            status="idle",
            status_since=WHEN,
            created=WHEN,
            last_used=WHEN,
            turns=self.turns,
        )
        return Pending(bridge=bridge, run=self.run, sequence=self.sequence, turn=self.turn, pieces=tuple(joined))


@dataclass
class Client:
    """A client as the shell is one: asks where the join says so, and shows what the view makes of it."""

    hub: Hub
    join: Join = field(default_factory=Join)
    view: View = field(default_factory=View)
    out: str = ""

    def show(self, written: tuple[View, tuple[Span, ...]]) -> None:
        self.view, spans = written
        self.out += "".join(span.text for span in spans)

    def catch_up(self, because: str = "") -> None:
        pending = self.hub.pending()
        if count := chat_view.missed(self.view, pending):
            self.show(chat_view.made_good(self.view, self.hub.past[-count:]))
        self.join, verdict = told(self.join, pending, because)
        if verdict == "take":
            self.show(chat_view.whole(self.view, pending))

    def hear(self, frame: Frame) -> None:
        self.join, verdict = came(self.join, frame)
        if verdict == "take":
            self.show(tell(self.view, frame.piece))
        elif verdict == "ask":
            self.catch_up(frame.run)

    def mark(self) -> None:
        if marked(self.join, self.hub.sequence) == "ask":
            self.catch_up()


def said(number: int, texts: list[str]) -> list[Piece]:
    """Return a turn with one item for each text, which comes letter by letter."""
    turn = f"m{number}"
    pieces: list[Piece] = [TurnStarted(turn=turn)]
    for place, text in enumerate(texts):
        item = f"i{place}"
        pieces += [TextAdded(turn=turn, item=item, channel="reply", text=letter) for letter in text]
        pieces.append(TextEnded(turn=turn, item=item, channel="reply", length=len(text)))
    return [*pieces, TurnEnded(turn=turn, outcome="completed")]


texts = st.lists(st.lists(st.text(alphabet="abc\n\r\t", min_size=1, max_size=5), max_size=3), min_size=1, max_size=4)


FATES = ("heard", "heard", "heard", "lost", "late", "mark", "restart")


def suffered(hub: Hub, client: Client, pieces: list[Piece], fates: list[str]) -> None:
    """Say pieces to a client; frames are lost, come late and together, and the hub starts again."""
    late: list[Frame] = []
    for place, (piece, fate) in enumerate(zip(pieces, fates, strict=True), 1):
        frame = hub.say(piece)
        late += [frame] if fate != "lost" else []
        while fate != "late" and late:
            client.hear(late.pop(0))
        if fate == "mark":
            client.mark()
        if fate == "restart":
            hub.restart(place)
    for frame in late:
        client.hear(frame)
    client.catch_up()


@given(texts, st.data())
def test_a_client_shows_every_text_once_whatever_is_lost(turns: list[list[str]], data: st.DataObject) -> None:
    pieces = [piece for number, turn in enumerate(turns) for piece in said(number, turn)]
    begins = data.draw(st.integers(0, len(pieces)))
    fates = data.draw(st.lists(st.sampled_from(FATES), min_size=len(pieces) - begins, max_size=len(pieces) - begins))
    hub, other = Hub(), Hub()
    client, lossless = Client(hub), Client(other)
    lossless.catch_up()
    for piece in pieces:
        lossless.hear(other.say(piece))
    for piece in pieces[:begins]:
        hub.say(piece)
    client.catch_up()
    suffered(hub, client, pieces[begins:], fates)
    assert client.out == lossless.out


@given(texts)
def test_how_a_text_is_parted_changes_nothing(turns: list[list[str]]) -> None:
    one, other = View(), View()
    first, second = "", ""
    for place, text in enumerate(turns[0]):
        view, spans = tell(one, TextAdded(turn="", item=f"i{place}", channel="reply", text=text))
        one, first = view, first + "".join(span.text for span in spans)
        for letter in text:
            other, spans = tell(other, TextAdded(turn="", item=f"i{place}", channel="reply", text=letter))
            second += "".join(span.text for span in spans)
    assert first == second


@given(st.text())
def test_nothing_but_line_feeds_controls_the_terminal(text: str) -> None:
    for char in visible(text):
        assert char.isprintable() or char in "\n\u200c\u200d" or (char.isspace() and ord(char) > 0x9F)


@given(st.lists(st.binary(max_size=12), max_size=12), st.integers(8, 90))
def test_no_bytes_break_the_line(parts: list[bytes], width: int) -> None:
    line, rest = Line(), b""
    for part in parts:
        keys, rest = read_keys(rest, part)
        for key in keys:
            line, _ = press(line, key)
            assert 0 <= line.at <= len(line.text)
            shown, cursor = row(line, "codex> ", width)
            assert shown.isprintable()
            assert cursor <= max(width, 12)


@given(
    st.lists(st.sampled_from([b"a", "é".encode(), b"\x1b[D", b"\x1b[A", b"\x7f", b"\x1b[200~x\ny\x1b[201~", b"\r"])), st.data()
)
def test_keys_are_the_same_however_their_bytes_are_parted(sequences: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(sequences)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=4)))
    keys: list[Key] = []
    rest = b""
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        some, rest = read_keys(rest, raw[start:end])
        keys += some
    assert typed(keys) == typed(list(read_keys(b"", raw)[0]))


def typed(keys: list[Key]) -> Line:
    line = Line()
    for key in keys:
        line, _ = press(line, key)
    return line
