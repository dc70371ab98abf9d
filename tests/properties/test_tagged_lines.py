"""Tagged lines: what is written is read, anything else is the contract's own error, and nothing is written past its limit."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.attach import contract as attach
from actors.bridge import contract as bridge
from actors.runtime.tagged_lines import Grammar, Message
from actors.terminal import contract as terminal


class WrongLineError(ValueError):
    """The error of the lines below."""


class Said(Message, tag="said", frozen=True, kw_only=True, gc=False):
    text: str
    times: int = 1


class Passed(Message, tag="passed", frozen=True, kw_only=True, gc=False):
    left: tuple[str, ...] = ()


LIMIT = 60
SAYINGS = Grammar[Said | Passed](Said | Passed, "a saying", WrongLineError, LIMIT)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
MESSAGES = st.builds(Said, text=TEXT, times=st.integers(-(2**63), 2**63 - 1)) | st.builds(Passed, left=st.tuples(TEXT))
READERS = (
    *((one, bridge.BridgeContractError) for one in (bridge.decode_down, bridge.decode_up)),
    *((one, terminal.TerminalContractError) for one in (terminal.decode_down, terminal.decode_up)),
    *((one, attach.FollowerContractError) for one in (attach.decode_down, attach.decode_up)),
)
NO_TEXT = b'{"line":"said","text":"\xff"}'
DEEP = b'{"line":"said","text":"","more":' + b"[" * 100_000


@given(MESSAGES)
def test_a_message_is_one_line_that_is_read_as_it_was_written_or_is_too_long(message: Said | Passed) -> None:
    whole = len(msgspec.json.encode(message)) + 1
    if whole > LIMIT:
        with pytest.raises(WrongLineError, match=f"a {type(message).__name__} of {whole} bytes: a line holds {LIMIT}"):
            SAYINGS.write(message)
        return
    raw = SAYINGS.write(message)
    assert (raw.count(b"\n"), raw[-1:]) == (1, b"\n")
    assert SAYINGS.read(raw) == SAYINGS.read(raw.rstrip()) == SAYINGS.read(raw.decode()) == message


@given(st.binary(max_size=200) | MESSAGES.map(msgspec.json.encode).flatmap(lambda raw: st.permutations(raw).map(bytes)))
def test_any_bytes_are_a_message_or_the_contracts_own_error(raw: bytes) -> None:
    with contextlib.suppress(WrongLineError):
        assert isinstance(SAYINGS.read(raw), Said | Passed)


@pytest.mark.parametrize(("read", "error"), READERS)
@pytest.mark.parametrize("raw", [b"", b"nonsense", b"{}", b'{"line":"\xff"}', b'{"line":"nobody"}', DEEP])
def test_each_contract_has_its_own_error_for_what_it_does_not_know(read: object, error: type[ValueError], raw: bytes) -> None:
    assert callable(read)
    with pytest.raises(error, match=r"^not "):
        read(raw)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"line":"said","text":1}', r"^not a saying: Expected `str`, got `int` - at `\$\.text`$"),
        (b'{"line":"said"}', r"^not a saying: Object missing required field `text`$"),
        (NO_TEXT, "^not a saying: 'utf-8' codec"),
        (DEEP, "^not a saying: maximum recursion depth"),
    ],
)
def test_an_error_says_what_is_wrong_and_where(raw: bytes, said: str) -> None:
    with pytest.raises(WrongLineError, match=said):
        SAYINGS.read(raw)


def test_what_is_no_text_is_refused_where_it_is_said() -> None:
    with pytest.raises(WrongLineError, match=r"^a Said that cannot be written: 'utf-8' codec"):
        SAYINGS.write(Said(text="\ud800"))
