"""The lines between supervisor and actor: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.contract import (
    MAX_LINE,
    Beat,
    Bootstrap,
    ContractError,
    Line,
    Ready,
    Status,
    Stopping,
    decode_bootstrap,
    decode_line,
    encode_bootstrap,
    encode_line,
)

WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
FACTS = st.dictionaries(WORDS, st.one_of(WORDS, st.integers(-(2**53), 2**53), st.booleans(), st.none()), max_size=5)
NOTES = st.text(st.characters(codec="utf-8"), max_size=5000)
LINES: st.SearchStrategy[Line] = st.one_of(st.just(Beat()), st.just(Stopping()), FACTS.map(Ready))


@given(LINES)
def test_a_line_is_read_as_it_was_written(line: Line) -> None:
    raw = encode_line(line)
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    assert decode_line(raw) == line


@given(st.sampled_from(["ready", "degraded", "failed"]), NOTES)
def test_a_note_of_any_length_fits_one_line(state: Literal["ready", "degraded"], note: str) -> None:
    raw = encode_line(Status(state, note))
    read = decode_line(raw)
    assert len(raw) <= MAX_LINE
    assert isinstance(read, Status)
    assert read.state == state
    flat = " ".join(note.split())
    assert read.note == flat or (read.note.endswith("…") and flat.startswith(read.note[:-1]))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_a_contract_error(raw: bytes) -> None:
    with contextlib.suppress(ContractError):
        assert encode_line(decode_line(raw))


@given(st.dictionaries(WORDS, FACTS, max_size=3), WORDS, WORDS)
def test_a_bootstrap_is_one_line_and_shows_no_secret(settings: dict[str, object], key: str, secret: str) -> None:
    given_ = Bootstrap(
        actor="gateway",
        incarnation="1",
        config_file="/c",
        state="/s",
        public_key=key,
        secret_key="secret:" + secret,
        settings=settings,
    )
    raw = encode_bootstrap(given_)
    assert raw.count(b"\n") == 1
    assert decode_bootstrap(raw) == given_
    assert "secret:" not in repr(given_)


def test_facts_that_are_too_long_are_refused_where_they_are_said() -> None:
    with pytest.raises(ContractError, match="READY with"):
        encode_line(Ready({"x": "y" * MAX_LINE}))
