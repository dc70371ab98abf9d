"""One connection's other end: who it is, as soon as that is known, and what its requests have in common.

Must not know how anybody is recognised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from actors.gateway import limits
from actors.gateway.admission import Kernel
from actors.gateway.attribution import Attribution, Caller, Standing, attribute, unknown_caller
from actors.gateway.claims import Claims
from actors.probe import Peer
from schemas.identity import LaunchId

_SLOW: Final = f"the search for the caller's process took longer than {limits.IDENTITY_WAIT * 1000:.0f} ms"


class Acquaintance:
    """Who is at the other end. ``caller`` is None as long as it is being looked for; ``on_settled`` learns who it is."""

    __slots__ = ("_attributed", "_found", "caller", "kernel", "on_settled", "peer", "relations")

    def __init__(self, peer: Peer | None, kernel: Kernel) -> None:
        self.peer = peer
        self.kernel = kernel
        self.caller: Caller | None = None
        self.relations: dict[LaunchId, bool] = {}
        self.on_settled: Callable[[Caller], None] | None = None
        self._found: anyio.Event | None = None
        self._attributed: tuple[Caller, Standing, Claims, Attribution] | None = None

    def attribute(self, caller: Caller, standing: Standing, claims: Claims) -> Attribution:
        """Join the three accounts of a request; most requests of a connection have those of the one before."""
        if (last := self._attributed) is not None and last[0] is caller and last[1] == standing and last[2] == claims:
            return last[3]
        who = attribute(caller, standing, claims)
        self._attributed = (caller, standing, claims, who)
        return who

    def settle(self, caller: Caller) -> None:
        """Say who it is; the first word stands."""
        if self.caller is None:
            self.caller = caller
            if self.on_settled is not None:
                self.on_settled(caller)
                self.on_settled = None
        if self._found is not None:
            self._found.set()

    async def wait(self) -> Caller:
        """Wait for the answer, but not longer than a request may be held up."""
        if self.caller is None:
            self._found = self._found or anyio.Event()
            with anyio.move_on_after(limits.IDENTITY_WAIT):
                await self._found.wait()
        return self.caller or unknown_caller(_SLOW)
