"""Positions are dense, an id has one position for ever, and the order of arrival is the order of positions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.errors import Refusal
from bus.sequencer import Draft, Submission, step
from tests.bus.values import TIME

entries = st.one_of(
    st.sampled_from([Draft(f"id-{number}", b"t.", b"{}") for number in range(12)]),
    st.just(Refusal(0, "invalid", "")),
)
batches = st.lists(st.lists(st.lists(entries, max_size=6).map(lambda some: Submission(tuple(some))), max_size=4), max_size=8)


@given(batches)
def test_whatever_is_resent_positions_stay_dense_and_ids_unique(story: list[list[Submission]]) -> None:
    head = 0
    journal: dict[str, int] = {}
    for batch in story:
        asked = {entry.id for submission in batch for entry in submission.entries if isinstance(entry, Draft)}
        known = {id_: journal[id_] for id_ in asked if id_ in journal}
        numbered = step("e1", head, TIME, batch, known)
        assert [row.position for row in numbered.rows] == list(range(head + 1, numbered.head + 1))
        assert not set(numbered.ids) & set(journal)
        journal.update(zip(numbered.ids, (row.position for row in numbered.rows), strict=True))
        for submission, positions in zip(batch, numbered.positions, strict=True):
            for entry, position in zip(submission.entries, positions, strict=True):
                assert position == (journal[entry.id] if isinstance(entry, Draft) else None)
        head = numbered.head
    assert sorted(journal.values()) == list(range(1, head + 1))
