"""Plays a script on one aiohttp request: pauses, writes, and the ways a connection can end. Decides nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import anyio
from aiohttp import web

from actors.echo.plan import Chunk, End, Script

HANG_SECONDS = 3600.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing sends RST

Sent = Callable[[Chunk], None]


async def play(request: web.Request, script: Script, sent: Sent) -> web.StreamResponse:
    """Play a script; ``sent`` hears of every chunk that was handed to the connection."""
    await anyio.sleep(script.wait)
    response = web.StreamResponse(status=script.status)
    for name, value in script.headers:
        response.headers.add(name, value)
    if script.head:
        response.content_length = script.length
        await response.prepare(request)
    for chunk in script.chunks:
        if chunk.after:
            await anyio.sleep(chunk.after)
        if script.head:
            await response.write(chunk.content)
        elif request.transport is not None:
            request.transport.write(chunk.content)
        sent(chunk)
    await _finish(request, response, script.end)
    return response


async def _finish(request: web.Request, response: web.StreamResponse, end: End) -> None:
    if end is End.CLEAN:
        await response.write_eof()
        return
    if end is End.HANG:
        await anyio.sleep(HANG_SECONDS)
    transport = request.transport
    if transport is None:
        return
    if end is End.RESET:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()
