"""How tests of the bus wait for what nobody tells, and read a whole journal."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from bus.client import Client
from schemas.envelope import Recorded

DEADLINE = 60.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells: the kernel's view of another process, a counter."""
    with anyio.fail_after(DEADLINE):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.005)


async def journal(client: Client, after: int = 0) -> list[Recorded]:
    """Read everything; assert that it is dense."""
    held: list[Recorded] = []
    more = True
    while more:
        page = await client.read(after)
        held.extend(page.events())
        after, more = page.through, page.more
    assert [one.position for one in held] == list(range(1, len(held) + 1))
    return held
