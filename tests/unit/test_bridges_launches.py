"""Whose the requests of a new bridge are, before its agent has said anything."""

from __future__ import annotations

import pytest

from actors.bridges.launches import driven
from actors.bridges.terms import Wish
from schemas.identity import SessionId


@pytest.mark.parametrize(
    ("session", "resume", "fork", "expected"),
    [
        ("launch-1", "", False, "launch-1"),
        ("launch-1", "c", False, "gemini-c"),
        ("launch-1", "c", True, "launch-1"),
        ("launch-1", "no id of a conversation", False, "launch-1"),
        ("gemini-a", "a", False, "gemini-a"),
        ("gemini-b", "a", False, "gemini-b"),
    ],
)
def test_a_bridge_drives_its_session_or_the_conversation_that_it_takes_up(
    session: str, resume: str, expected: str, *, fork: bool
) -> None:
    assert driven(SessionId(session), Wish(agent="gemini", cwd="/w", resume=resume, fork=fork)) == expected
