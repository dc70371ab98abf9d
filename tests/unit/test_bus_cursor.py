"""A subscriber's place: playbooks of what is heard and what is told."""

from __future__ import annotations

from bus.cursor import CaughtUp, Cursor, Fetched, Gap, Live, Output, step
from bus.protocol import Beat, Page
from tests.bus.values import arrived, row, rows


def page(
    after: int, last: int, head: int, *, epoch: str = "e1", first: int = 1, damaged: tuple[tuple[int, int], ...] = ()
) -> Fetched:
    bad = {position for low, high in damaged for position in range(low, high + 1)}
    held = tuple(one for one in rows(max(after + 1, first), last, epoch) if one.position not in bad)
    return Fetched(after, Page(epoch=epoch, first=first, head=head, through=last, more=last < head, damaged=damaged, rows=held))


def play(cursor: Cursor, *heard: Live | Beat | Fetched) -> tuple[Cursor, list[Output | int]]:
    """Play what is heard; positions stand for events in what is told."""
    told: list[Output | int] = []
    for one in heard:
        cursor, outputs = step(cursor, one)
        told.extend(output if isinstance(output, Gap | CaughtUp) else output.position for output in outputs)
    return cursor, told


def test_pages_first_then_live() -> None:
    cursor, told = play(Cursor("e1"), page(0, 2, 4), page(2, 4, 4), Live("e1", arrived(*rows(5, 6))))
    assert told == [1, 2, 3, 4, CaughtUp("e1", 4), 5, 6]
    assert not cursor.wants_page


def test_an_empty_journal_is_caught_up_at_once() -> None:
    assert play(Cursor("e1"), page(0, 0, 0))[1] == [CaughtUp("e1", 0)]


def test_live_events_during_reading_are_read_not_taken() -> None:
    cursor, told = play(Cursor("e1"), Live("e1", arrived(*rows(5, 6))), page(0, 4, 4))
    assert told == [1, 2, 3, 4]
    assert cursor.wants_page
    assert play(cursor, page(4, 6, 6))[1] == [5, 6, CaughtUp("e1", 6)]


def test_a_hole_is_read() -> None:
    cursor, told = play(Cursor("e1"), page(0, 2, 2), Live("e1", arrived(row(3), row(6))))
    assert told == [1, 2, CaughtUp("e1", 2), 3]
    assert cursor.wants_page
    assert play(cursor, page(3, 6, 6), Live("e1", arrived(row(6), row(7))))[1] == [4, 5, 6, 7]


def test_a_lost_last_event_shows_in_the_next_beat() -> None:
    cursor, _ = play(Cursor("e1"), page(0, 2, 2), Beat("e1", 2))
    assert not cursor.wants_page
    cursor, _ = play(cursor, Beat("e1", 3))
    assert cursor.wants_page
    assert play(cursor, page(2, 3, 3))[1] == [3]


def test_repeated_and_old_events_are_dropped() -> None:
    cursor, _ = play(Cursor("e1", 5), page(5, 5, 5))
    assert play(cursor, Live("e1", arrived(row(4), row(6), row(6), row(5), row(7))), Beat("e1", 3))[1] == [6, 7]


def test_a_filtered_cursor_takes_pages_only() -> None:
    cursor, _ = play(Cursor("e1", filtered=True), page(0, 3, 3))
    cursor, told = play(cursor, Live("e1", arrived(row(4))))
    assert told == []
    assert cursor.wants_page
    sparse = Page(epoch="e1", first=1, head=9, through=9, more=False, rows=(row(4), row(8)))
    cursor, told = play(cursor, Fetched(3, sparse))
    assert told == [4, 8]
    assert (cursor.after, cursor.wants_page) == (9, False)


def test_trimmed_events_are_a_gap() -> None:
    assert play(Cursor("e1", 2), page(2, 9, 9, first=8))[1] == [Gap(3, 7, "trimmed", "e1"), 8, 9, CaughtUp("e1", 9)]


def test_everything_trimmed_within_a_page() -> None:
    nothing = Page(epoch="e1", first=10, head=9, through=9, more=False)
    assert play(Cursor("e1", 2), Fetched(2, nothing))[1] == [Gap(3, 9, "trimmed", "e1"), CaughtUp("e1", 9)]


def test_damaged_ranges_are_gaps_in_their_place() -> None:
    told = play(Cursor("e1"), page(0, 6, 6, damaged=((3, 4), (6, 6))))[1]
    assert told == [1, 2, Gap(3, 4, "damaged", "e1"), 5, Gap(6, 6, "damaged", "e1"), CaughtUp("e1", 6)]


def test_a_damaged_range_that_begins_before_our_place_is_told_from_there() -> None:
    assert play(Cursor("e1", 3), page(3, 6, 6, damaged=((2, 5),)))[1] == [Gap(4, 5, "damaged", "e1"), 6, CaughtUp("e1", 6)]


def test_a_new_epoch_voids_everything() -> None:
    cursor, _ = play(Cursor("e1"), page(0, 5, 5))
    cursor, told = play(cursor, Beat("e2", 2))
    assert isinstance(told[0], Gap)
    assert [told[0].reason, told[0].last, told[0].epoch] == ["new_epoch", 5, "e2"]
    assert (cursor.after, cursor.wants_page) == (0, True)
    assert play(cursor, page(0, 2, 2, epoch="e2"), Live("e2", arrived(*rows(3, 3, "e2"))))[1] == [1, 2, CaughtUp("e2", 2), 3]


def test_a_page_of_a_new_epoch_is_asked_for_again_from_its_beginning() -> None:
    cursor, told = play(Cursor("e1", 5), page(5, 7, 7, epoch="e2"))
    assert [output.reason for output in told if isinstance(output, Gap)] == ["new_epoch"]
    assert (cursor.epoch, cursor.after, cursor.wants_page) == ("e2", 0, True)


def test_stragglers_of_a_voided_epoch_are_dropped() -> None:
    cursor, _ = play(Cursor("e1"), page(0, 5, 5), Beat("e2", 1), page(0, 1, 1, epoch="e2"))
    assert play(cursor, Live("e1", arrived(*rows(6, 7))), Beat("e1", 7), Live("e2", arrived(*rows(2, 2, "e2"))))[1] == [2]


def test_only_a_page_brings_an_epoch_back() -> None:
    cursor, _ = play(Cursor("e1"), page(0, 5, 5), Beat("e2", 1))
    cursor, _ = play(cursor, page(0, 5, 5))
    assert cursor.epoch == "e1"
    assert play(cursor, page(0, 5, 5))[1] == [1, 2, 3, 4, 5, CaughtUp("e1", 5)]


def test_a_page_from_another_place_is_asked_for_again() -> None:
    cursor, told = play(Cursor("e1", 2), page(5, 7, 7))
    assert told == []
    assert (cursor.after, cursor.wants_page) == (2, True)


def test_what_was_heard_of_while_a_page_was_on_its_way_is_read_next() -> None:
    cursor, told = play(Cursor("e1"), Live("e1", arrived(*rows(3, 4))), page(0, 2, 2))
    assert told == [1, 2]
    assert cursor.wants_page
