"""Plays a script as the answer to one call: pauses, writes, and the ways a connection can end. Decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import anyio

from actors.echo.call import Call
from actors.echo.plan import Chunk, End, Script

HANG_SECONDS: Final = 3600.0
_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}

Sent = Callable[[Chunk], None]


async def play(call: Call, script: Script, sent: Sent) -> None:
    """Play a script; ``sent`` hears of every chunk that was handed to the connection."""
    if script.wait:
        await anyio.sleep(script.wait)
    if script.head:
        date = time.strftime(_DATE, time.gmtime())
        call.begin(script.status, _REASONS.get(script.status, "Unassigned"), (*script.headers, ("date", date)), script.length)
    for chunk in script.chunks:
        if chunk.after:
            call.flush()
            await anyio.sleep(chunk.after)
        if script.head:
            await call.write(chunk.content)
        else:
            call.write_raw(chunk.content)
        sent(chunk)
    await _finish(call, script.end)


async def _finish(call: Call, end: End) -> None:
    if end is End.CLEAN:
        call.finish()
        return
    if end is End.HANG:
        call.flush()
        await anyio.sleep(HANG_SECONDS)
    if end is End.RESET:
        call.reset()
    else:
        call.cut()
