"""Performs all exchanges of one gateway: chooses who performs a request, and keeps what performances share.

Must not know how an exchange goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from actors.gateway import moves
from actors.gateway.admission import Door, check_passage
from actors.gateway.advisers import HealthAdviser, NoBudgets, NoHealth, NoThrottle, SpendingAdviser, ThrottleAdviser
from actors.gateway.aside import PLACES, Aside, Health
from actors.gateway.catalogue import Catalogue, ListOfModels, passes_on
from actors.gateway.course import Course
from actors.gateway.head import part_passage, read_head
from actors.gateway.hooks import Hooks
from actors.gateway.identity import Identity
from actors.gateway.models import wanted
from actors.gateway.performance import Performance
from actors.gateway.providers import Providers
from actors.gateway.server import CallerConnection, Performer
from actors.gateway.upstream import UpstreamPool
from actors.runtime.http.intake import Request


class Conductor:
    """Performs every exchange of one gateway."""

    def __init__(
        self,
        door: Door,
        identity: Identity,
        pool: UpstreamPool,
        providers: Providers,
        *,
        hooks: Hooks,
        log: Any,
        tell: Callable[[str, Any, str, str | None], str],
        new_id: Callable[[int], str],
    ) -> None:
        self.door = door
        self.identity = identity
        self.pool = pool
        self.providers = providers
        self.hooks = hooks
        self.catalogue = Catalogue(pool, log)
        self.tell = tell
        self.new_id = new_id
        self.loop = asyncio.get_running_loop()  # asked once: each asking is a system call
        self.health: Health = lambda _: (200, b"{}")
        self.health_book: HealthAdviser = NoHealth()
        self.spending: SpendingAdviser = NoBudgets()
        self.throttle: ThrottleAdviser = NoThrottle()
        self.performances: set[Course] = set()
        self.bodies_held = 0
        self._facts: list[tuple[Course, moves.Publish]] = []

    def tell_soon(self, performance: Course, fact: moves.Publish) -> None:
        """Tell a fact as soon as there is nothing better to do, together with those of other requests."""
        if not self._facts:
            self.loop.call_soon(self._tell)
        self._facts.append((performance, fact))

    def _tell(self) -> None:
        facts, self._facts = self._facts, []
        for performance, fact in facts:
            performance.tell(fact)

    def perform(self, line: CallerConnection, request: Request) -> Performer:
        """Choose who performs a request."""
        fields = request.fields
        length = _length(fields.get("content-length"))
        passage, target = part_passage(request.target)
        head = read_head(request.method, target, fields, upgrade=request.upgrade, length=length)
        refusal = check_passage(self.door, head, passage) if line.remote else None
        if refusal is not None or head.target.place in PLACES:
            if refusal is not None:
                line.count_stranger()
            return Aside(line, request, head, door=self.door, health=self.health, hooks=self.hooks, refusal=refusal)
        if request.method == "GET" and (asked := wanted(head)) is not None and not passes_on(self.providers, asked):
            return ListOfModels(
                line,
                request,
                head,
                asked,
                catalogue=self.catalogue,
                providers=self.providers,
                door=self.door,
                identity=self.identity,
            )
        return Performance(self, line, request, head)

    def sweep(self, now: float) -> None:
        """End what has been silent for too long."""
        for performance in list(self.performances):
            performance.expire(now)


def _length(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
