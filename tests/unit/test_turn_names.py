"""Turns of a transcript get the names that they have on the stream by the ids of their messages, whatever these say."""

from __future__ import annotations

from actors.transcripts.claude_messages import message_uuid
from actors.transcripts.pieces import named
from schemas.bridge_rows import Turn
from schemas.content import TextAdded, TextEnded, TurnEnded, TurnStarted


def turn(name: str, item: str) -> Turn:
    said = TextAdded(turn=name, item=item, channel="prompt", text="again")
    ended = (TextEnded(turn=name, item=item, channel="prompt", length=5), TurnEnded(turn=name, outcome="completed"))
    return Turn(turn=name, started="", pieces=(TurnStarted(turn=name), said, *ended))


def test_names_follow_the_messages_ids_not_their_words() -> None:
    mine, uuid = message_uuid("mine"), "0ddb80b7-fb16-4493-a4da-e260d82660ad"
    turns = (turn("p1", "typed-by-a-person"), turn("p2", mine), turn("p3", uuid), Turn(turn="p4", started="", pieces=()))
    names = {message_uuid(name): name for name in ("mine", uuid, "not written down yet")}
    found = named(turns, ("typed-by-a-person", mine, uuid, ""), names)
    assert [one.turn for one in found] == ["p1", "mine", uuid, "p4"]
    assert found[1] == turn("mine", mine)
    assert found[0] is turns[0]
