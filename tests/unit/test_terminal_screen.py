"""What a terminal shows of what a program writes: text, sequences, lines that leave, the other screen; and keys by name."""

from __future__ import annotations

import pytest

from actors.terminal.contract import MAX_LEFT, Open, Press, TerminalContractError, decode_down, decode_up, encode_line
from actors.terminal.screen import Screen
from actors.terminal.sieve import MAX_HELD, Sieve
from schemas.keys import keys_problem, typed


def rows(screen: Screen) -> dict[int, str]:
    return dict(screen.drawn().changed)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[38:2::1:2:3mcolons\x1b[4:3m", "colons"),
        ("\x1b[>4;2m\x1b[<u\x1b[=1u\x1b[?uasked", "asked"),
        ("\x1b[!p\x1b[0 qreset", "reset"),
        ("\x1b_Gpicture\x1b\\\x1bPdevice\x1b\\behind", "behind"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("a\x1b[3Cb\x1b[2Dc", "a  cb"),
        ("a\tb", "a       b"),
        ("12345\r\x1b[2Pno", "no5"),
        ("\N{HEAVY CHECK MARK}\N{VARIATION SELECTOR-16} done", "\N{HEAVY CHECK MARK} done"),
        ("\N{CJK UNIFIED IDEOGRAPH-65E5}x", "\N{CJK UNIFIED IDEOGRAPH-65E5}x"),
        ("e\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("\x0e\x9b\x7f\x00x", "x"),
        ("x\x1b[5b", "xxxxxx"),
        ("one\x1b[s two\x1b[u!", "one!two"),
    ],
)
def test_only_what_is_text_is_shown(written: str, shown: str) -> None:
    screen = Screen(40, 5)
    screen.feed(written.encode())
    assert rows(screen)[0] == shown
    assert screen.broken == 0


def test_a_sequence_that_is_cut_into_pieces_is_one() -> None:
    screen = Screen(40, 5)
    for byte in "a\x1b]0;a title\x07\x1b[31mb\N{EURO SIGN}\x1b[Hc".encode():
        screen.feed(bytes((byte,)))
    drawn = screen.drawn()
    assert (drawn.changed, drawn.title) == (((0, "cb\N{EURO SIGN}"),), "a title")


def test_a_string_that_never_ends_is_not_held() -> None:
    sieve = Sieve()
    assert sieve.feed(b"\x1bP" + b"x" * MAX_HELD) == ""
    assert sieve.feed(b"y" * 10) == ""
    assert sieve.feed(b"z\x1b") == ""
    assert sieve.feed(b"\\behind") == "behind"


def test_lines_leave_at_the_top_and_the_newest_are_kept() -> None:
    screen = Screen(10, 3)
    screen.feed(b"\r\n".join(b"%d" % number for number in range(5)))
    assert screen.drawn().left == ("0", "1")
    screen.feed(b"\r\n" * (MAX_LEFT + 10))
    drawn = screen.drawn()
    assert (len(drawn.left), drawn.lost) == (MAX_LEFT, 10)


def test_lines_that_are_put_in_above_leave_too() -> None:
    screen = Screen(10, 5)
    screen.feed(b"a\r\nb\r\nc\r\nd\r\ne\x1b[1;3r\x1b[3;1H\r\nnew\x1b[r")
    drawn = screen.drawn()
    assert drawn.left == ("a",)
    assert [text for _, text in drawn.changed] == ["b", "c", "new", "d", "e"]


def test_a_row_that_was_full_goes_on_in_the_next_one() -> None:
    screen = Screen(4, 5)
    screen.feed(b"abcdefghij\r\nfull\r\nx")
    assert rows(screen) == {0: "abcd\n", 1: "efgh\n", 2: "ij", 3: "full", 4: "x"}


def test_the_other_screen_keeps_the_usual_one() -> None:
    screen = Screen(10, 3)
    screen.feed(b"usual\r\n>")
    screen.drawn()
    screen.feed(b"\x1b[?1049h\x1b[H1\r\n2\r\n3\r\n4")
    drawn = screen.drawn()
    assert (drawn.alternate, drawn.left, drawn.changed) == (True, (), ((0, "2"), (1, "3"), (2, "4")))
    screen.feed(b"\x1b[?1049l")
    drawn = screen.drawn()
    assert (drawn.alternate, drawn.changed, drawn.cursor) == (False, ((0, "usual"), (1, ">"), (2, "")), (1, 1))


def test_only_what_changed_is_told() -> None:
    screen = Screen(10, 3)
    screen.feed(b"a\r\nb")
    assert screen.drawn().changed == ((0, "a"), (1, "b"))
    screen.feed(b"\x1b[Ha\x1b[2;1Hc\x07\x1b[?2004h")
    drawn = screen.drawn()
    assert (drawn.changed, drawn.bell, drawn.paste) == (((1, "c"),), True, True)
    assert screen.drawn() == screen.drawn()


def test_a_terminal_answers_where_its_cursor_is() -> None:
    screen = Screen(10, 3)
    assert screen.feed(b"\r\n  \x1b[6n") == "\x1b[2;3R"


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("Enter", "\r"),
        ("C-c", "\x03"),
        ("C-[", "\x1b"),
        ("M-Enter", "\x1b\r"),
        ("Up", "\x1b[A"),
        ("y", "y"),
        ("\N{EURO SIGN}", "\N{EURO SIGN}"),
    ],
)
def test_keys_have_names(key: str, read: str) -> None:
    assert typed(key) == read
    assert keys_problem(key) == ""


@pytest.mark.parametrize("keys", ["", " ", "Entr", "C-", "C-C", "M-M-x", "yes", "\x1b", " ".join("y" * 33)])
def test_what_is_no_key_is_said(keys: str) -> None:
    assert keys_problem(keys)


def test_the_contract_is_kept() -> None:
    assert decode_down(encode_line(Open(argv=("a", "b")))) == Open(argv=("a", "b"))
    assert decode_down(b'{"line":"press","keys":"Enter","more":1}') == Press(keys="Enter")
    for read in (decode_down, decode_up):
        with pytest.raises(TerminalContractError):
            read(b'{"line":"other"}')
