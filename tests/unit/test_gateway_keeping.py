"""Playbooks of what is kept of an answer: until when, and what the machine is told then."""

from __future__ import annotations

import pytest

from actors.gateway import limits, moves
from actors.gateway.answers import Answer
from actors.gateway.keeping import Keeping
from actors.runtime.http.fields import Fields

FIELDS = Fields.of({"retry-after": "3"})
CREATED = b'data: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
DELTA = b'data: {"type":"response.output_text.delta","delta":"hi"}\n\n'
FAILED = b'data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n'


def refusal() -> Keeping:
    return Keeping("refusal", "openai.responses", Answer(503, "", FIELDS), 100.0)


def beginning() -> Keeping:
    return Keeping("beginning", "openai.responses", Answer(200, "", FIELDS), 100.0)


def test_a_refusal_is_told_when_it_is_whole() -> None:
    keeping = refusal()
    assert keeping.take(b"{", 101.0, ended=False) is None
    assert keeping.take(b"}", 102.0, ended=True) == moves.Collected(102.0, FIELDS, b"{}")
    assert keeping.last == "ended"


def test_a_refusal_is_told_at_its_bounds() -> None:
    large = b"x" * limits.REFUSAL_KEPT
    assert refusal().take(large, 101.0, ended=False) == moves.Collected(101.0, FIELDS, large, whole=False)
    assert refusal().expired(100.0 + limits.REFUSAL_SECONDS) is None
    late = 100.1 + limits.REFUSAL_SECONDS
    assert refusal().expired(late) == moves.Collected(late, FIELDS, b"", whole=False)


def test_what_breaks_off_says_so() -> None:
    assert refusal().cut("cut", "at x", 101.0) == moves.Collected(101.0, FIELDS, b"", whole=False, cut=True)
    assert beginning().cut("cut", "at x", 101.0) == moves.UpstreamFailed(101.0, "cut", "at x")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_beginning_is_let_go_with_its_first_output_wherever_it_was_cut(size: int) -> None:
    keeping, told = beginning(), None
    said = CREATED + CREATED + DELTA
    for at in range(0, len(said), size):
        assert told is None
        told = keeping.take(said[at : at + size], 101.0, ended=False)
    assert told == moves.Released(101.0)
    assert keeping.body == said


def test_an_error_before_any_output_is_told_with_what_came() -> None:
    keeping = beginning()
    assert keeping.take(CREATED, 101.0, ended=False) is None
    assert keeping.take(FAILED, 102.0, ended=True) == moves.Collected(102.0, FIELDS, CREATED + FAILED, error=True)


def test_a_beginning_is_let_go_at_its_bounds() -> None:
    large = b"data: " + b"x" * limits.BEGINNING_KEPT
    assert beginning().take(large, 101.0, ended=False) == moves.Released(101.0)
    late = 100.1 + limits.BEGINNING_SECONDS
    assert beginning().expired(late) == moves.Released(late)
    assert beginning().expired(101.0) is None


def test_an_end_without_output_is_no_error_yet() -> None:
    assert beginning().take(CREATED, 101.0, ended=True) == moves.Collected(101.0, FIELDS, CREATED)
