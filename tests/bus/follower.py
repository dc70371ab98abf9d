"""A subscriber in a process of its own: prints ``<position> <id>`` of every event through a last position, then ``done``.

``python -m tests.bus.follower <connection file> <last position>``. It connects again when the broker was away too long.
"""

from __future__ import annotations

import sys

import anyio

from bus.client import BusUnavailableError, CaughtUp, Gap, connect
from bus.connection import read_connection


async def main(file: str, last: int) -> None:
    after = 0
    epoch: str | None = None
    while after < last:
        try:
            async with (
                connect(read_connection(file), deadline=10) as client,
                client.feed(after, until=last, epoch=epoch) as feed,
            ):
                epoch = client.epoch
                async for told in feed:
                    if isinstance(told, CaughtUp):
                        print("caught up", flush=True)
                    elif isinstance(told, Gap):
                        print("gap", told, flush=True)
                    else:
                        after = told.position
                        print(after, told.envelope.id, flush=True)
        except BusUnavailableError as error:
            print("again", error, flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]))
