"""The hooks' endpoint: an agent's own report of what it does, as evidence and as the news of its status.

A route beside the data path: it shares the door and the callers' identity with requests, and nothing else. A report is
answered as soon as it is told, with an empty JSON object, which every agent takes for "nothing to say". Must not know what
a report may hold (``hook_report``) or what becomes of it (the registry).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import anyio

from actors.gateway import dialect, limits
from actors.gateway.acquaintance import Acquaintance
from actors.gateway.admission import Door, Refusal, check_head
from actors.gateway.head import Head
from actors.gateway.hook_report import Report, check_hook, fact, read_report
from actors.gateway.identity import Identity

Answer = tuple[int, bytes]
Tell = Callable[[str, Any, str | None], None]
_TAKEN: Final = (200, b"{}")
_LATE: Final = Refusal(503, "too_slow", f"the report could not be taken within {limits.HOOK_DEADLINE:g} s", close=True)


class BrokenBodyError(Exception):
    """A body that is not what its header says."""


class Body(Protocol):
    """A request's body as it arrives."""

    async def readany(self) -> bytes: ...  # noqa: D102


class Hooks:
    """Takes the reports of one gateway's callers; those beyond ``limits.HOOKS`` wait unread, and not for long."""

    def __init__(self, door: Door, identity: Identity, tell: Tell) -> None:
        self._door = door
        self._identity = identity
        self._tell = tell
        self._places = anyio.CapacityLimiter(limits.HOOKS)

    async def take(self, head: Head, acquaintance: Acquaintance, body: Body) -> Answer:
        """Take one report and say how that went."""
        if (refusal := check_head(self._door, head, acquaintance.kernel) or check_hook(head)) is not None:
            return _refused(refusal)
        try:
            with anyio.fail_after(limits.HOOK_DEADLINE):
                async with self._places:
                    read = await _read(body)
                    report = read if isinstance(read, Refusal) else read_report(head.target.rest, read)
                    return _refused(report) if isinstance(report, Refusal) else await self._told(report, acquaintance)
        except TimeoutError:
            return _refused(_LATE)

    async def _told(self, report: Report, acquaintance: Acquaintance) -> Answer:
        caller, standing = await self._identity.reporter(acquaintance, report.agent)
        if caller.process is None:
            return _refused(Refusal(403, "caller_unproven", f"whose hook this is could not be found out: {caller.missing}"))
        self._tell(*fact(report, caller, standing), None)
        return _TAKEN


async def _read(body: Body) -> bytes | Refusal:
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await body.readany():
            size += len(chunk)
            if size > limits.HOOK_BODY:
                return Refusal(413, "body_too_large", f"a hook's report may have {limits.HOOK_BODY} bytes", close=True)
            chunks.append(chunk)
    except BrokenBodyError:
        return Refusal(400, "malformed", "the body is not what its header says", close=True)
    return b"".join(chunks)


def _refused(refusal: Refusal) -> Answer:
    return refusal.status, dialect.error_body("unknown", refusal.status, refusal.code, refusal.message)
