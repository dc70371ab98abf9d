"""The kernel's formats, from bytes: stat lines, environments, netlink answers."""

from __future__ import annotations

import struct
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's formats are Linux's")
if sys.platform != "linux":
    pytest.skip("the kernel's formats are Linux's", allow_module_level=True)

from actors.probe.contract import Peer, ProbeError  # noqa: E402
from actors.probe.linux.inet_diag import Question  # noqa: E402
from actors.probe.linux.procfs import parse_arguments, parse_stat, parse_variables, tty_name  # noqa: E402

CLIENT, GATEWAY = ("127.0.0.1", 48458), ("127.0.0.1", 8129)
TAIL = b"S 7 8 9 34816 9 4194304 102 0 0 0 0 0 0 0 20 0 1 0 145458 " + b"0 " * 27 + b"140720 140790 0\n"


@pytest.mark.parametrize("name", [b"codex", b"a) S 1 1 (b", b"two words", b"line\nbreak", b")"])
def test_a_stat_line_is_read_whatever_the_programs_name_is(name: bytes) -> None:
    stat = parse_stat(b"4242 (" + name + b") " + TAIL)
    assert (stat.state, stat.parent, stat.session, stat.tty, stat.started, stat.image) == ("S", 7, 9, 34816, 145458, 140720)
    assert not stat.exited


def test_a_zombie_has_exited() -> None:
    assert parse_stat(b"1 (x) Z" + TAIL[1:]).exited


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (0, None),
        (34816, "pts/0"),
        (34816 + 255, "pts/255"),
        (34816 + (1 << 20), "pts/256"),
        (1025, "tty1"),
        (1088, "ttyS0"),
        (1281, "char/5:1"),
    ],
)
def test_terminals_are_named_as_ps_names_them(device: int, name: str | None) -> None:
    assert tty_name(device) == name


@pytest.mark.parametrize(
    ("raw", "argv"),
    [
        (b"", ()),
        (b"codex\0exec\0", ("codex", "exec")),
        (b"codex\0\0", ("codex",)),
        (b"my title\0\0\0\0", ("my title",)),
        (b"a\0\0b\0", ("a", "", "b")),
    ],
)
def test_arguments(raw: bytes, argv: tuple[str, ...]) -> None:
    assert parse_arguments(raw) == argv


def test_of_an_environment_only_terminal_variables_are_kept() -> None:
    raw = b"WT_SESSION=a\0OPENAI_API_KEY=sk-canary\0XTMUX=1\0TMUX_PANE=%1\0TMUX=/t,1,2\0WT_SESSION=second\0NOTE=x\nSTY=5\0"
    assert parse_variables(raw) == {"WT_SESSION": "a", "TMUX_PANE": "%1", "TMUX": "/t,1,2"}


def test_an_environment_that_is_not_text_is_still_text_to_us() -> None:
    assert parse_variables(b"TMUX=\xff\xfe\0") == {"TMUX": "\\xff\\xfe"}


def answer(question: Question, *, state: int = 1, inode: int = 5, uid: int = 1000, ends: bytes | None = None) -> bytes:
    body = (
        bytes((question.family, state, 0, 0))
        + (ends or question.ends)
        + b"\0" * 12
        + struct.pack("=IIIII", 0, 0, 0, uid, inode)
    )
    return struct.pack("=IHHII", 16 + len(body), 20, 0, 1, 0) + body


def error(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -code) + b"\0" * 16


def test_an_answer_names_inode_and_user() -> None:
    question = Question.about(CLIENT, GATEWAY)
    assert question.decode(answer(question)) == Peer(5, 1000)


@pytest.mark.parametrize("change", [{"state": 10}, {"inode": 0}, {"ends": Question.about(GATEWAY, CLIENT).ends}])
def test_a_listener_a_closed_socket_and_another_tuple_are_no_peer(change: dict[str, object]) -> None:
    question = Question.about(CLIENT, GATEWAY)
    assert question.decode(answer(question, **change)) is None  # type: ignore[arg-type]


def test_a_socket_that_is_not_there_is_no_peer_and_a_refusal_is_an_error() -> None:
    question = Question.about(CLIENT, GATEWAY)
    assert question.decode(error(2)) is None
    with pytest.raises(ProbeError, match="not permitted"):
        question.decode(error(1))


def test_mapped_addresses_are_the_ipv4_question_and_the_answer_may_be_in_either_form() -> None:
    plain, mapped = Question.about(CLIENT, GATEWAY), Question.about(("::ffff:127.0.0.1", 48458), ("::ffff:127.0.0.1", 8129))
    assert plain == mapped
    prefix = b"\0" * 10 + b"\xff\xff"
    ends = plain.ends[:4] + prefix + plain.ends[4:8] + prefix + plain.ends[20:24]
    assert plain.decode(answer(plain, ends=ends)) == Peer(5, 1000)


@pytest.mark.parametrize("pair", [(("127.0.0.1", 1), ("::1", 2)), (("", 1), ("", 2)), (("localhost", 1), ("127.0.0.1", 2))])
def test_what_is_no_pair_of_addresses_is_refused(pair: tuple[tuple[str, int], tuple[str, int]]) -> None:
    with pytest.raises(ProbeError):
        Question.about(*pair)
