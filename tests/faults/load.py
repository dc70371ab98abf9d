"""Load on a whole system while its processes are killed: requests through the gateway, and facts.

Keeps every acknowledgement, so that it can be proven afterwards that nothing acknowledged was lost.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from bus.client import BusError, connect
from bus.connection import ConnectionFileError, read_connection
from bus.source import Source
from schemas.envelope import Envelope, Recorded, subject
from schemas.events import LaunchEnded
from schemas.identity import LaunchId

BATCH = 5
_PAUSE = 0.005


@dataclass
class Load:
    """Two threads that keep a system busy; ``answered`` requests, ``failed`` ones, and what the bus has acknowledged."""

    connection_file: Path
    gateway_port: int
    pause: float = 0.005
    answered: int = 0
    failed: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def on(self) -> Iterator[Load]:
        """Load the system for the length of a block."""
        threads = [
            threading.Thread(target=self._request, name="requests"),
            threading.Thread(target=anyio.run, args=(self._publish,), name="facts"),
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join(30)

    def _request(self) -> None:
        body = json.dumps({"model": "echo", "input": "hello", "stream": True})
        while not self._over.wait(self.pause):
            connection = http.client.HTTPConnection("127.0.0.1", self.gateway_port, timeout=5)
            try:
                connection.request("POST", "/v1/responses", body, {"content-type": "application/json"})
                if b"response.completed" in connection.getresponse().read():
                    self.answered += 1
                else:
                    self.failed += 1
            except (OSError, http.client.HTTPException):  # the gateway or the echo provider is being replaced
                self.failed += 1
            finally:
                connection.close()

    async def _publish(self) -> None:
        source = Source("/client/load/1")
        pending: list[Envelope] = []
        number = 0
        while not self._over.is_set():
            try:
                async with connect(read_connection(self.connection_file)) as client:
                    while not self._over.is_set():
                        if not pending:
                            pending = [_fact(source, number + more) for more in range(BATCH)]
                            number += BATCH
                        positions = await client.publish(pending)
                        self.acknowledged.update(zip((envelope.id for envelope in pending), positions, strict=True))
                        pending = []
                        await anyio.sleep(self.pause)
            except (BusError, ConnectionFileError, ExceptionGroup):  # the broker is being replaced: again, with the same ids
                await anyio.sleep(_PAUSE)

    def lost(self) -> list[str]:
        """Compare the journal with what was acknowledged; return what is wrong, in words."""
        return anyio.run(self._lost)

    async def _lost(self) -> list[str]:
        recorded: list[Recorded] = []
        async with connect(read_connection(self.connection_file)) as client:
            head = client.head
            async with client.feed(0, until=head) as feed:
                recorded = [item async for item in feed if isinstance(item, Recorded)]
        places = {item.envelope.id: item.position for item in recorded}
        wrong = []
        if [item.position for item in recorded] != list(range(1, head + 1)):
            wrong.append("positions are not dense")
        if len(places) != len(recorded):
            wrong.append(f"{len(recorded) - len(places)} events are recorded twice")
        missing = [id_ for id_, position in self.acknowledged.items() if places.get(id_) != position]
        if missing:
            wrong.append(f"{len(missing)} of {len(self.acknowledged)} acknowledged events are not where they were said to be")
        order = [item.envelope.data.launch for item in recorded if item.envelope.source == "/client/load/1"]
        if order != sorted(order):
            wrong.append("the order of the publisher is not kept")
        return wrong


def _fact(source: Source, number: int) -> Envelope:
    launch = LaunchId(f"launch-{number:012x}")
    return source.envelope(subject("launch", launch), LaunchEnded(launch=launch))
