"""A registry as it lives: folded from what was told, fed by a bus, killed and begun again."""

from __future__ import annotations

from typing import Any

from actors.registry.fold import Effect, State, fold, pending
from actors.registry.rows import as_of, table
from schemas.envelope import Envelope, Recorded, Stamp
from schemas.identity import SessionId
from schemas.rows import SessionRow
from tests.registry.facts import NOW
from tests.registry.worlds import Said
from tests.story import EPOCH, GATEWAY, REGISTRY


def recorded(
    data: Any, position: int, *, source: str = GATEWAY, id_: str = "", epoch: str = EPOCH, time: str = NOW, told: str = ""
) -> Recorded:
    type_ = data.get("type", "weather.changed") if isinstance(data, dict) else data.TYPE
    envelope = Envelope(id=id_ or f"e{position}", source=source, type=type_, subject="bus/x", time=told or time, data=data)
    return Recorded(Stamp(epoch, position, time), envelope)


def folded(told: list[Said]) -> State:
    state = State()
    for position, (source, data, time) in enumerate(told, 1):
        fold(state, recorded(data, position, source=source, told=time))
    return state


def rows_of(state: State) -> dict[SessionId, SessionRow]:
    return {row.session: row for row in table(state, NOW, as_of(state, NOW)).sessions}


class Bus:
    """A journal that records an id once, as the broker does."""

    def __init__(self) -> None:
        self.journal: list[Recorded] = []
        self.ids: set[str] = set()

    def publish(self, source: str, data: Any, id_: str = "", told: str = "") -> None:
        if id_ not in self.ids:
            self.ids.add(id_)
            self.journal.append(recorded(data, len(self.journal) + 1, source=source, id_=id_, told=told))


class Live:
    """A registry as its actor runs it: folds at its own pace, announces when it has caught up, can die at any point."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.state = State()
        self.waiting: dict[str, Effect] = {}
        self.caught_up = False

    def advance(self) -> None:
        """Fold the next event, or catch up at the end of the journal."""
        if self.state.position < len(self.bus.journal):
            effects = fold(self.state, self.bus.journal[self.state.position])
            if self.caught_up:
                self.waiting.update({effect.id: effect for effect in effects})
        elif not self.caught_up:
            self.caught_up = True
            self.waiting.update({effect.id: effect for effect in pending(self.state)})

    def announce(self) -> None:
        """Publish the next effect."""
        if self.waiting:
            effect = self.waiting.pop(next(iter(self.waiting)))
            self.bus.publish(REGISTRY, effect.data, effect.id)

    def drain(self) -> None:
        while not self.caught_up or self.waiting or self.state.position < len(self.bus.journal):
            self.advance()
            self.announce()
