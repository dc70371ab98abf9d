"""A driven session as its playbooks tell it: input by input, with what each brings about."""

from __future__ import annotations

from typing import Any

from actors.bridge.contract import Initialised, Replied, Said
from actors.bridges.session import step
from actors.bridges.terms import Begun, Came, Input, Moment, Output, Publish, Sent, Session, Spawned, Tell, Wish
from schemas.content import Identified, StatusTold, TextAdded, TextEnded, TurnEnded, TurnStarted
from schemas.identity import LaunchId, ProcessKey, SessionId

LAUNCH = LaunchId("launch-1")
PROCESS = ProcessKey("host", "boot", 7, 1)
TIME = "2026-11-21T10:00:00Z"


class Play:
    """A session, fed input by input; what each brings about is kept and returned."""

    def __init__(self, **changes: Any) -> None:
        given: dict[str, Any] = {"can": ("resume", "interrupt"), **changes}
        wish = given.pop("wish", Wish(agent="codex", cwd="/w"))
        self.session = Session(
            launch=LAUNCH, wish=wish, run="r", created=TIME, last_used=TIME, used=0.0, session=SessionId(LAUNCH), **given
        )
        self.at = 0.0
        self.frames: list[Any] = []

    def __call__(self, given: Input, at: float | None = None) -> list[Output]:
        self.at = self.at if at is None else at
        self.session, orders = step(self.session, given, Moment(self.at, TIME))
        self.frames += [order.frame.piece for order in orders if isinstance(order, Tell)]
        return list(orders)

    def hear(self, *pieces: Any) -> list[Output]:
        return [order for piece in pieces for order in self(Came(Said(piece=piece)))]

    def begin(self) -> Play:
        """Come to where the agent has greeted and named its conversation."""
        self(Begun())
        self(Spawned(process=PROCESS, launch=LAUNCH))
        self(Came(Initialised(version="1", can=self.session.can)))
        self.hear(Identified(session=SessionId("codex-c"), conversation="c"), StatusTold(status="idle"))
        return self

    def turn(self, name: str, *, end: bool = True) -> None:
        """Give a message, have it taken, and let its turn begin."""
        self(Sent(ask=100, message=name, text="hello", by="me"))
        self(Came(Replied(ask=100)))
        self.hear(TurnStarted(turn=name), TextAdded(turn=name, item="r", channel="reply", text="hi"))
        if end:
            self.hear(TextEnded(turn=name, item="r", channel="reply", length=2), TurnEnded(turn=name, outcome="completed"))


def of(orders: list[Output], kind: type[Any]) -> list[Any]:
    return [order for order in orders if isinstance(order, kind)]


def facts(orders: list[Output]) -> list[str]:
    return [order.fact.TYPE for order in of(orders, Publish)]
