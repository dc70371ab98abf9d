"""The broker on the actor contract: ``bus.broker`` with this process's folders, keys and configuration.

Its bootstrap's settings name the keys to let in: ``{"allow": {public key in Z85: actor}}``. Must not know the bus's inside.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

from actors.runtime.actor import Actor, run_actor
from bus.broker import BrokerSettings, serve_broker
from schemas.codec import convert

NAME = "broker"
# The writer's thread waits for the interpreter lock after each statement: at the default of 5 ms, most of a commit's time.
SWITCH_SECONDS = 0.0001


class _Report:
    """What a broker says of itself, in the words of the contract."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def ready(self, **facts: Any) -> None:
        self._actor.ready(**facts)

    def status(self, state: Literal["ready", "degraded"], note: str = "") -> None:
        self._actor.status(state, note)

    def warn(self, event: str, **fields: Any) -> None:
        self._actor.log.warning(event, **fields)


def settings_of(actor: Actor) -> BrokerSettings:
    """Compute a broker's settings.

    Raises:
        InvalidMessageError: the bootstrap's ``allow`` is not a table of names by key.

    """
    allow = convert(actor.bootstrap.settings.get("allow", {}), dict[str, str], "settings.allow")
    return BrokerSettings(
        journal=actor.paths.journal,
        keys=actor.paths.keys,
        connection_file=actor.paths.connection_file,
        incarnation=actor.bootstrap.incarnation,
        allow=allow,
        max_age_days=actor.config.journal.max_age_days,
        max_size_mib=actor.config.journal.max_size_mib,
        clock=actor.clock,
    )


async def main(actor: Actor) -> None:
    """Serve until asked to stop."""
    sys.setswitchinterval(SWITCH_SECONDS)
    await serve_broker(settings_of(actor), actor.stopping, _Report(actor))


if __name__ == "__main__":
    run_actor(NAME, main)
