"""Who may record what, and which positions it gets."""

from __future__ import annotations

import pytest

from bus.errors import Refusal
from bus.sequencer import Draft, Submission, admit, step
from bus.source import Source
from schemas.codec import encode, parse
from tests.bus.values import GATEWAY, TIME, raw


def changed(**attributes: object) -> bytes:
    return encode({**parse(raw(1)), **attributes})


def test_an_envelope_of_the_keys_own_is_admitted() -> None:
    draft = admit(0, raw(1, id_="one"), "gateway")
    assert isinstance(draft, Draft)
    assert (draft.id, draft.topic, draft.envelope[:1]) == ("one", b"session.codex-1.session.returned.", b"{")


@pytest.mark.parametrize(
    ("envelope", "code", "field"),
    [
        (b"", "invalid", ""),
        (b"[]", "invalid", ""),
        (b"{" * 2000, "invalid", ""),
        (changed(id=""), "invalid", "id"),
        (changed(id="a b"), "invalid", "id"),
        (changed(id="x" * 129), "invalid", "id"),
        (changed(specversion="0.3"), "invalid", "specversion"),
        (changed(subject="nowhere/1"), "invalid", "subject"),
        (changed(subject="session"), "invalid", "subject"),
        (changed(subject="session/a.b"), "invalid", "subject"),
        (changed(subject="session/a/"), "invalid", "subject"),
        (changed(subject="session/" + "x" * 2000), "invalid", "subject"),
        (changed(type="returned"), "invalid", "type"),
        (changed(type="Session.Returned"), "invalid", "type"),
        (changed(time="x" * 41), "invalid", "time"),
        (changed(source=1), "invalid", "source"),
        (changed(source="/actor/gateway"), "forged_source", "source"),
        (changed(source="/actor/registry/1"), "forged_source", "source"),
        (changed(source="/client/x/1"), "forged_source", "source"),
        (changed(data="x" * 70_000), "too_large", "bytes"),
    ],
)
def test_what_may_not_be_recorded_is_refused_by_name(envelope: bytes, code: str, field: str) -> None:
    refusal = admit(3, envelope, "gateway")
    assert isinstance(refusal, Refusal)
    assert (refusal.index, refusal.code) == (3, code)
    assert field in refusal.message


def test_the_client_key_speaks_for_clients_only() -> None:
    assert isinstance(admit(0, raw(1, Source("/client/cli/77")), "client"), Draft)
    assert isinstance(admit(0, raw(1, Source("/actor/client/1")), "client"), Refusal)
    assert isinstance(admit(0, raw(1, GATEWAY), ""), Refusal)


def draft(id_: str) -> Draft:
    return Draft(id_, b"t.", b"{}")


def test_positions_are_dense_and_refusals_have_none() -> None:
    numbered = step("e1", 4, TIME, [Submission((draft("a"), Refusal(1, "invalid", ""), draft("b"))), Submission((draft("c"),))])
    assert numbered.positions == ((5, None, 6), (7,))
    assert [row.position for row in numbered.rows] == [5, 6, 7]
    assert numbered.ids == ("a", "b", "c")
    assert numbered.head == 7


def test_a_repetition_keeps_its_position() -> None:
    batch = [Submission((draft("a"), draft("b"), draft("a"))), Submission((draft("b"),))]
    assert step("e1", 0, TIME, batch).positions == ((1, 2, 1), (2,))
    again = step("e1", 9, TIME, batch, {"a": 3})
    assert again.positions == ((3, 10, 3), (10,))
    assert again.ids == ("b",)


def test_nothing_new_moves_nothing() -> None:
    numbered = step("e1", 9, TIME, [Submission((draft("a"),))], {"a": 3})
    assert (numbered.head, numbered.rows) == (9, ())
