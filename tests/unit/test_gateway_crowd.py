"""Who may stay, as a playbook of connections that come, are named and leave."""

from __future__ import annotations

from actors.gateway.crowd import Caps, Crowd


def crowd(most: int = 4, each: int = 2) -> Crowd:
    return Crowd(Caps(most, each))


def test_all_together_are_bounded_and_one_that_leaves_makes_room() -> None:
    subject = crowd()
    assert [subject.enter(remote=False) for _ in range(4)] == [""] * 4
    assert "gateway.connections " in subject.enter(remote=False)
    assert (subject.open, subject.refused) == (4, 1)
    assert subject.note() == "connections are turned away: all 4 are open"
    subject.leave(None, remote=False)
    assert subject.note() == ""
    assert subject.enter(remote=False) == ""


def test_each_process_is_bounded_once_it_is_known() -> None:
    subject = crowd()
    for _ in range(3):
        subject.enter(remote=False)
    assert [subject.name("one"), subject.name("one"), subject.name("other")] == [""] * 3
    assert "gateway.connections_per_process" in subject.name("one")
    assert subject.note() == "connections of 1 processes are turned away: each may have 2"
    assert subject.figures() == {
        "open": 3,
        "named": 3,
        "most": 4,
        "most_each": 2,
        "turned_away": 0,
        "turned_away_each": 1,
        "without_token": 0,
    }
    subject.leave("one", remote=False)
    assert subject.name("one") == ""


def test_callers_from_elsewhere_leave_half_to_those_who_are_here() -> None:
    subject = crowd(5, 5)
    assert [subject.enter(remote=True) for _ in range(3)] == [""] * 3
    assert subject.enter(remote=True)
    assert [subject.enter(remote=False) for _ in range(2)] == [""] * 2
    subject.leave("10.0.0.1", remote=True) if not subject.name("10.0.0.1", "address") else None
    assert subject.enter(remote=True) == ""


def test_nothing_is_kept_of_who_has_left() -> None:
    subject = crowd()
    for _ in range(1000):
        subject.enter(remote=False)
        subject.name(object())
        subject.leave(next(iter(subject._of)), remote=False)
    assert (subject.open, subject._of) == (0, {})
