"""What the registry shows as preferred, and where the next request would go, from what the gateway told of pins."""

from __future__ import annotations

import pytest

from schemas import events as e
from schemas.config import PinKind
from schemas.identity import LaunchId, SessionId
from tests.story import CLIENT, TAB, Story, clock, process, provisional

P = process(41)
C, D = SessionId("codex-01a1"), SessionId("codex-01b2")
L = LaunchId("launch-0123456789ab")


def shown(story: Story, session: str = C) -> tuple[str | None, str | None, str | None]:
    row = story.row(session)
    return row.preferred_provider, row.preferred_model, row.routing_provider


def placed(kind: PinKind, target: str, provider: str, model: str = "", expires: str = "") -> e.PinPlaced:
    return e.PinPlaced(kind=kind, target=target, provider=provider, model=model, expires=expires)


def test_the_most_specific_pin_is_shown_and_the_next_request_goes_there() -> None:
    story = Story()
    story.tell(e.ConfigChanged(digest="d", default_provider="usual"))
    story.request(C, P, terminal=TAB, cwd="/w/shop/api")
    assert shown(story) == (None, None, "echo")
    story.tell(placed("project", "/w", "wide"))
    story.tell(placed("project", "/w/shop", "deep"))
    story.tell(placed("project", "/w/sho", "not a segment"))
    assert shown(story) == ("deep", None, "deep")
    story.tell(placed("terminal", TAB, "tab", "m"))
    assert shown(story) == ("tab", "m", "tab")
    story.tell(placed("session", C, "own"))
    assert shown(story) == ("own", None, "own")
    pins: tuple[tuple[PinKind, str], ...] = (("session", C), ("terminal", TAB), ("project", "/w/shop"), ("project", "/w"))
    for kind, target in pins:
        story.tell(e.PinRemoved(kind=kind, target=target))
    assert shown(story) == (None, None, "usual")


def test_what_was_chosen_since_the_last_change_is_what_is_used() -> None:
    story = Story()
    story.tell(placed("session", C, "own"))
    story.request(C, P)
    assert shown(story) == ("own", None, "echo")


def test_a_launch_comes_before_its_terminal_and_after_its_session() -> None:
    story = Story()
    story.launched(L, P, terminal=TAB, cwd="/w", provider="local", model="big")
    story.tell(placed("terminal", TAB, "tab"))
    assert shown(story, L)[:2] == ("local", "big")
    story.tell(placed("session", L, "own"))
    assert shown(story, L)[:2] == ("own", None)
    story.request(C, P, launch=L, terminal=TAB)
    assert shown(story)[:2] == ("own", None)


def test_a_pin_of_an_id_that_is_an_alias_now_still_holds() -> None:
    story = Story()
    story.tell(placed("session", provisional(P), "own"))
    story.request(C, P)
    assert shown(story)[:2] == ("own", None)


@pytest.mark.parametrize(("seconds", "preferred"), [(0, None), (60, "own")])
def test_a_pin_whose_time_is_over_means_nothing(seconds: int, preferred: str | None) -> None:
    story = Story()
    story.request(C, P)
    story.tell(placed("session", C, "own", expires=clock(story.seconds + seconds)))
    assert shown(story)[0] == preferred


def test_only_actors_tell_of_pins_and_another_session_is_not_meant() -> None:
    story = Story()
    story.request(C, P)
    story.request(D, process(42))
    story.tell(placed("session", C, "own"))
    story.tell(placed("session", D, "other"), source=CLIENT)
    assert shown(story)[0] == "own"
    assert shown(story, D)[0] is None
