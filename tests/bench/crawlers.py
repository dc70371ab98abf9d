"""Callers that take their time. ``python -m tests.bench.crawlers PORT COUNT`` holds so many connections until its stdin ends.

A third sends its head a byte a second, a third a body of few bytes a second, a third asks for a stream and reads none of it.
Who is refused or cut for it connects again, so that there are always as many.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Final

PACE: Final = 1.0
_HEAD: Final = b"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"


async def _drip(writer: asyncio.StreamWriter, what: bytes) -> None:
    for byte in what:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(PACE)


async def crawl(port: int, kind: int, moment: float) -> None:
    """Be one slow caller, again and again, from a moment on: they are not in step."""
    await asyncio.sleep(moment)
    head = _HEAD % port
    while True:
        with contextlib.suppress(OSError):
            # What is not read stays small here: the gateway holds it, not this process.
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            gone = asyncio.ensure_future(reader.read(1)) if kind != 2 else None
            try:
                if kind == 0:
                    sending = _drip(writer, head + b"x: " + b"a" * 1000)
                elif kind == 1:
                    writer.write(head + b"content-length: 100000\r\n\r\n")
                    sending = _drip(writer, b"a" * 1000)
                else:
                    body = b'{"stream":true}'
                    writer.write(head + b"x-bench: sse\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                    sending = asyncio.sleep(30, None)
                task = asyncio.ensure_future(sending)
                await asyncio.wait([one for one in (task, gone) if one is not None], return_when=asyncio.FIRST_COMPLETED)
                task.cancel()
            finally:
                if gone is not None:
                    gone.cancel()
                writer.close()
        await asyncio.sleep(PACE)


async def main(port: int, count: int) -> None:
    """Hold the connections until stdin ends."""
    tasks = [asyncio.ensure_future(crawl(port, number % 3, PACE * number / count)) for number in range(count)]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
