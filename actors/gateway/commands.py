"""The gateway's answers on the bus: what is configured, where a request would go, and edits of both.

Theory of operation
-------------------
A connection of its own comes and goes with the broker and is made again with back-off; nobody on the way of a request waits
for it, and the gateway goes on without it. An edit is made in the file first, then taken over as any change of the file is, and
answered when it is in force: what a caller was told holds for the next request.

Must not know how a file is edited or read, nor how a request is routed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread

from actors.gateway.advisers import HealthAdviser, SpendingAdviser
from actors.gateway.health import Health, shown_time
from actors.gateway.peek import Seen
from actors.gateway.reload import Reload
from actors.gateway.route_terms import Asker, Wanted
from actors.gateway.routing import route
from actors.runtime import config_edit
from actors.runtime.config_edit import EditRefusedError
from actors.runtime.config_rows import pin_table, provider_table
from actors.runtime.paths import Paths
from bus.client import Serve, connect
from bus.connection import Connection, ConnectionFileError
from bus.errors import BusError, RefusedError
from schemas.commands import ExplainRoute, ListPins, ListProviders, PrunePins, RemovePin, SetPin, SetProvider
from schemas.config import Config, ConfigError, Pin
from schemas.identity import SessionId
from schemas.launch import LaunchRecord
from schemas.provider_rows import BreakerRow, PinTable, ProviderTable, RoutePlan

_FIRST_BACK_OFF: Final = 0.1
_LAST_BACK_OFF: Final = 2.0


class Advisers(Protocol):
    """Who else has a say in where a request goes."""

    health_book: HealthAdviser
    spending: SpendingAdviser


class Launches(Protocol):
    """The launches that live."""

    def named(self, launch: str) -> LaunchRecord | None:
        """Return one by its id."""

    async def refresh(self) -> None:
        """Take over what is known of them by now."""


class Commands:
    """What the gateway answers."""

    def __init__(
        self,
        paths: Paths,
        reload: Reload,
        *,
        advisers: Advisers,
        launches: Launches,
        log: Any,
    ) -> None:
        self._paths = paths
        self._reload = reload
        self._advisers = advisers
        self._launches = launches
        self._log = log

    async def serve(self, connect_to: Callable[[], Connection]) -> None:
        """Answer for ever, whenever there is a broker."""
        answers: Serve = {
            ListProviders: self.list_providers,
            SetProvider: self.set_provider,
            ListPins: self.list_pins,
            SetPin: self.set_pin,
            RemovePin: self.remove_pin,
            PrunePins: self.prune_pins,
            ExplainRoute: self.explain_route,
        }
        back_off = _FIRST_BACK_OFF
        while True:
            try:
                async with connect(connect_to(), serve=answers, role="commands of gateway"):
                    back_off = _FIRST_BACK_OFF
                    await anyio.sleep_forever()
            except (BusError, ConnectionFileError) as error:
                self._log.debug("no commands for now", reason=str(error))
            await anyio.sleep(back_off)
            back_off = min(back_off * 2, _LAST_BACK_OFF)

    async def list_providers(self, _: ListProviders) -> ProviderTable:
        """Answer with the providers in force."""
        return self._providers()

    async def set_provider(self, command: SetProvider) -> ProviderTable:
        """Enable or disable one.

        Raises:
            RefusedError: there is none of this name, or the file cannot be edited.

        """
        await self._edit(partial(config_edit.set_enabled, self._paths, command.provider, enabled=command.enabled))
        return self._providers()

    async def list_pins(self, _: ListPins) -> PinTable:
        """Answer with the pins in force; what a bridge drives as a session is known by then."""
        await self._launches.refresh()
        return self._pins()

    async def set_pin(self, command: SetPin) -> PinTable:
        """Pin something, whether or not it has been seen yet; what a bridge drives as a session is known by then.

        Raises:
            RefusedError: the pin breaks a rule, its provider is not configured, or the file cannot be edited.

        """
        try:
            expires = datetime.fromisoformat(command.expires) if command.expires else None
        except ValueError:
            raise RefusedError("invalid", f"expires: not a time: {command.expires!r} (such as 2026-11-21T10:00:00Z)") from None
        if self._reload.loaded.config.provider(command.provider) is None:
            known = ", ".join(self._reload.loaded.providers.upstreams)
            raise RefusedError("not_found", f"no provider {command.provider!r} is configured; known here: {known}")
        await self._launches.refresh()
        target: dict[str, Any] = {command.kind: command.target}
        pin = Pin(provider=command.provider, model=command.model, on_failure=command.on_failure, expires=expires, **target)
        await self._edit(partial(config_edit.set_pin, self._paths, pin))
        return self._pins()

    async def remove_pin(self, command: RemovePin) -> PinTable:
        """Take a pin back.

        Raises:
            RefusedError: there is no such pin, or the file cannot be edited.

        """
        await self._edit(partial(config_edit.remove_pin, self._paths, command.kind, command.target))
        return self._pins()

    async def prune_pins(self, _: PrunePins) -> PinTable:
        """Remove pins that can do nothing any more.

        Raises:
            RefusedError: the file cannot be edited.

        """
        await self._edit(partial(config_edit.prune_pins, self._paths, self._reload.time), reason="pruned")
        return self._pins()

    async def explain_route(self, command: ExplainRoute) -> RoutePlan:
        """Answer where a request would go that came now with these keys."""
        await self._launches.refresh()
        session = SessionId(command.session) if command.session else None
        verdict = self._advisers.spending.verdict(session, command.cwd or None)
        asker = Asker(
            session=session,
            terminal=command.terminal or None,
            cwd=command.cwd or None,
            launch=self._launches.named(command.launch) if command.launch else None,
            also=tuple(SessionId(name) for name in command.aliases),
        )
        wanted = Wanted(command.dialect, Seen(model=command.model or None))
        table, health = self._reload.loaded.providers.table, self._advisers.health_book.now
        decision = route(asker, wanted, table, health, verdict, self._reload.time.timestamp())
        first = decision.choices[0] if decision.choices else None
        return RoutePlan(
            provider=None if first is None else first.provider,
            reason=decision.refusal or decision.reason,
            model=None if first is None else first.model or command.model or None,
            pin=decision.pin,
            candidates=decision.candidates,
            budgets=tuple(filter(None, (verdict.stop, verdict.reason))),
        )

    # ------------------------------------------------------------------------------------------------ inside

    async def _edit(self, edit: Callable[[], Config], reason: str = "unpinned") -> None:
        """Edit the file, take it over, and say what went wrong with either."""
        try:
            await anyio.to_thread.run_sync(edit)
        except EditRefusedError as error:
            raise RefusedError(error.code, error.message) from error
        except ConfigError as error:
            raise RefusedError("bad_config", f"{error}; mend the file first") from error
        except OSError as error:
            raise RefusedError("not_writable", f"{error.filename}: {error.strerror}") from error
        if problem := await self._reload.refresh(reason):
            raise RefusedError("bad_config", problem)

    def _providers(self) -> ProviderTable:
        loaded = self._reload.loaded
        health, at = self._advisers.health_book.now, self._reload.time.timestamp()
        breakers = {name: breaker_rows(health, name, at) for name in loaded.providers.upstreams}
        return provider_table(
            loaded.config, str(self._paths.config_file), live=True, problems=self._problems(), breakers=breakers
        )

    def _pins(self) -> PinTable:
        loaded = self._reload.loaded
        return pin_table(loaded.config, str(self._paths.config_file), self._reload.time, live=True, problems=self._problems())

    def _problems(self) -> Mapping[str, str]:
        return {name: one.problem for name, one in self._reload.loaded.providers.table.listings.items()}


def breaker_rows(health: Health, provider: str, at: float) -> tuple[BreakerRow, ...]:
    """Return what keeps a provider, or models of it, from being asked now: open circuits, used-up quotas, pauses."""
    found = []
    for key, circuit in health.circuits.items():
        name, _, model = key.partition("/")
        if name == provider and circuit.until:
            trying = bool(circuit.probe) or circuit.until <= at
            found.append(
                BreakerRow(
                    state="half_open" if trying else "open",
                    model=model,
                    failures=circuit.failures,
                    until=shown_time(circuit.until),
                    reason=circuit.reason,
                )
            )
    for key, block in health.blocks.items():
        name, _, model = key.partition("/")
        if name == provider and block.until > at:
            what = "its quota is used up" if block.kind == "quota" else "it asked for a pause"
            reason = f"{what} ({block.reason})" if block.reason else what
            found.append(BreakerRow(state="open", model=model, until=shown_time(block.until), reason=reason))
    return tuple(found)
