"""What the hub has the gateway do: another provider, or a model, for one session from its next request on.

A session's pin is its own: it follows the session when its conversation is identified or begun anew. The gateway may be away
for a moment; what nobody in particular asked of it is tried again, and said when it was in vain. Must not know sessions.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import anyio

from bus.client import Client
from bus.errors import BusError, RefusedError
from schemas.commands import ExplainRoute, ListPins, RemovePin, SetPin
from schemas.identity import is_provisional
from schemas.provider_rows import PinRow

_SECONDS: Final = 5.0
_TRIES: Final = 5
_PAUSE: Final = 0.5
_GATEWAY: Final = "gateway"
OnFailure = Literal["fallback", "fail", "ask"]


class Pins:
    """The pins of driven sessions."""

    def __init__(self, client: Client, log: Any) -> None:
        self._client = client
        self._log = log

    async def set(self, session: str, provider: str, model: str) -> None:
        """Pin a session to a provider, and to a model if there is one.

        Raises:
            RefusedError: by the gateway, which says why; or there is none now.

        """
        before = await self._of(session)
        await self._put(session, provider, model, "fallback" if before is None else before.on_failure)

    async def remove(self, session: str) -> None:
        """Let the gateway decide alone; a session without a pin is fine.

        Raises:
            RefusedError: by the gateway, which says why; or there is none now.

        """
        if await self._of(session) is not None:
            await self._client.request(_GATEWAY, RemovePin(kind="session", target=session), deadline=_SECONDS)

    async def provider_of(self, session: str, cwd: str, launch: str) -> str:
        """Return where a request of a session would go now; empty when nowhere.

        Raises:
            RefusedError: there is no gateway now.

        """
        plan = await self._client.request(_GATEWAY, ExplainRoute(session=session, cwd=cwd, launch=launch), deadline=_SECONDS)
        return plan.provider or ""

    async def move(self, before: str, after: str) -> None:
        """Let a pin of one session hold for another, as it is; the one of a launch is of no more use then."""
        reason = ""
        for attempt in range(_TRIES):
            if attempt:
                await anyio.sleep(_PAUSE)
            try:
                pin = await self._of(before)
                if pin is not None and await self._of(after) is None:
                    await self._put(after, pin.provider, pin.model, pin.on_failure, pin.expires)
                if pin is not None and is_provisional(before):
                    await self.remove(before)
            except RefusedError as error:
                reason = str(error)
            except BusError as error:
                reason = str(error)
                break
            else:
                return
        self._log.warning("a pin could not follow its session", session=after, reason=reason)

    async def forget(self, session: str) -> None:
        """Remove the pin of a session that is over and will have no other name."""
        try:
            await self.remove(session)
        except BusError as error:
            self._log.info("a pin of a session that is over stays", session=session, reason=str(error))

    async def _put(self, session: str, provider: str, model: str, on_failure: OnFailure, expires: str = "") -> None:
        command = SetPin(kind="session", target=session, provider=provider, model=model, on_failure=on_failure, expires=expires)
        await self._client.request(_GATEWAY, command, deadline=_SECONDS)

    async def _of(self, session: str) -> PinRow | None:
        table = await self._client.request(_GATEWAY, ListPins(), deadline=_SECONDS)
        return next((one for one in table.pins if one.kind == "session" and one.target == session), None)
