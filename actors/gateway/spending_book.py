"""The shell around ``spending``: hears the gateway's facts, remembers over restarts, and answers before each request.

Nothing is computed without a budget. Must not know how a request is routed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.gateway.spending import GO_ON, Verdict
from actors.runtime.paths import Paths
from bus.connection import Connection
from schemas.config import Config
from schemas.identity import SessionId


class SpendingBook:
    """What was spent, at this moment. ``active``: there are budgets; without any, nobody need call anything here.

    ``verdict`` is asked once per request, before it is routed; ``told`` hears ``request.attributed`` and the three outcomes (any
    other fact is ignored) when they are told to the bus; ``configured`` takes over changed budgets and prices; ``run`` catches up
    with the journal and saves, for ever, and returns at once's notice when there is no budget.
    """

    def __init__(
        self,
        config: Config,
        paths: Paths,
        connect_to: Callable[[], Connection],
        tell: Callable[[str, Any, str | None], None],
        log: Any,
    ) -> None:
        self.active = False
        self.configured(config)

    def configured(self, config: Config) -> None:
        """Take over the budgets and prices of a configuration."""

    def verdict(self, session: SessionId | None, cwd: str | None) -> Verdict:
        """Say what the budgets say of a request of this session, in this folder."""
        return GO_ON

    def told(self, event: Any) -> None:
        """Count what a fact of a request tells."""

    async def run(self) -> None:
        """Catch up with the journal and save what was spent, for ever."""
