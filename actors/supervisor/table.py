"""Which children there are, in which order, and what each finds in its environment: pure.

The one place that names the actors. Must not know processes or files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from actors.supervisor.owner import OWNER_VARIABLE
from actors.supervisor.terms import ChildSpec
from schemas.config import ECHO, Config

BROKER: Final = "broker"
GATEWAY: Final = "gateway"
_KEY_FROM_ENVIRONMENT: Final = "env:"


def children(config: Config, *, demo: bool = False, intensity: int = 5, allow_remote: bool = False) -> tuple[ChildSpec, ...]:
    """Return the specs in order of start.

    All wait for the broker. Nobody waits for the registry, whose catch-up may be long, nor for the gateway: what they
    give is asked for later than at a start, and the gateway's callers shall not wait for either.
    """
    echo = demo or config.default_provider == ECHO
    settings = ({"allow_remote": True} if allow_remote else {}) | ({} if echo else {"echo": False})
    specs = [
        ChildSpec(actor=BROKER, intensity=intensity),
        ChildSpec(actor="registry", needs=BROKER, intensity=intensity, order_deadline=0),
        ChildSpec(actor="rollout", needs=BROKER, intensity=intensity, order_deadline=0),
        ChildSpec(actor="discovery", needs=BROKER, intensity=intensity, order_deadline=0),
        ChildSpec(actor=GATEWAY, intensity=intensity, order_deadline=0, settings=settings),
        ChildSpec(actor="bridges", needs=BROKER, intensity=intensity, order_deadline=0),
    ]
    if echo:
        specs.append(ChildSpec(actor=ECHO, intensity=intensity))
    return tuple(specs)


def command(actor: str) -> list[str]:
    """Return how an actor is started. -I: neither the working directory nor PYTHON* variables decide what code runs."""
    return [sys.executable, "-I", "-m", f"actors.{actor}"]


def environment(actor: str, config: Config, inherited: Mapping[str, str], owner: str) -> dict[str, str]:
    """Return the environment of a child: the inherited one, but a provider's key is for the gateway alone."""
    kept = dict(inherited)
    if actor != GATEWAY:
        for provider in config.providers.values():
            if provider.key.startswith(_KEY_FROM_ENVIRONMENT):
                kept.pop(provider.key.removeprefix(_KEY_FROM_ENVIRONMENT), None)
    kept[OWNER_VARIABLE] = owner
    return kept
