"""A subscriber written from the docstring of ``bus/protocol.py`` alone, in plain pyzmq and orjson.

``python plain_subscriber.py <connection file> <last position> [topic prefix …]`` prints ``<position> <event id>`` of every
event through the last position, in order, and ends. It imports nothing of Tabwire, on purpose.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import zmq

SILENCE_MS = 3000


class Subscriber:
    """Sections 1, 2, 3 and 5 of the specification."""

    def __init__(self, file: str, prefixes: list[str]) -> None:
        self.prefixes = prefixes or [""]
        place = orjson.loads(Path(file).read_bytes())
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self.ask = self._connect(context.socket(zmq.DEALER), place, place["ingress"])
        self.feed = context.socket(zmq.SUB)
        self.feed.setsockopt(zmq.RCVHWM, 10_000)
        for prefix in [*(prefixes or ["batch."]), "bus.beat."]:
            self.feed.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        self._connect(self.feed, place, place["feed"])
        self.number = 0
        welcome = self._answer(b"HELLO", {"protocol": 1, "role": "plain subscriber", "serves": []}, b"WELCOME")[0]
        self.epoch = welcome["epoch"]
        self.after = 0

    def events(self, last: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give every event through ``last``, each once and in order."""
        self._frame()
        yield from self._pages()
        while self.after < last:
            topic, stamp, *envelopes = self._frame()
            position = stamp["position"]
            if stamp["epoch"] != self.epoch:
                self.epoch, self.after = stamp["epoch"], 0
                yield from self._pages()
            elif topic == b"batch." and position <= self.after + 1:
                for at, envelope in enumerate(envelopes, position):
                    if at == self.after + 1:
                        self.after = at
                        yield at, orjson.loads(envelope)
            elif position > self.after:
                yield from self._pages()

    def _pages(self) -> Iterator[tuple[int, dict[str, Any]]]:
        more = True
        while more:
            asked = {"after": self.after, "limit": 1000, "prefixes": self.prefixes}
            head, *parts = self._answer(b"READ", asked, b"PAGE")
            if head["epoch"] != self.epoch:
                self.epoch, self.after = head["epoch"], 0
                continue
            for at in range(0, len(parts), 3):
                position = orjson.loads(parts[at + 1])["position"]
                if position > self.after:
                    yield position, orjson.loads(parts[at + 2])
            self.after, more = max(self.after, head["through"]), head["more"]

    def _frame(self) -> tuple[Any, ...]:
        if not self.feed.poll(SILENCE_MS):
            sys.exit("the broker is lost")
        topic, stamp, *envelopes = self.feed.recv_multipart()
        return topic, orjson.loads(stamp), *envelopes

    def _answer(self, verb: bytes, body: dict[str, Any], expected: bytes) -> list[Any]:
        self.number += 1
        request_id = str(self.number).encode()
        deadline = time.monotonic() + 5
        while True:
            try:
                self.ask.send_multipart([verb, request_id, orjson.dumps(body)], zmq.NOBLOCK)
                break
            except zmq.Again:
                if time.monotonic() > deadline:
                    sys.exit("no broker lets me in")
                time.sleep(0.01)
        while self.ask.poll(5000):
            answer, repeated, head, *parts = self.ask.recv_multipart()
            if repeated == request_id:
                if answer != expected:
                    sys.exit(f"{answer!r}: {head!r}")
                return [orjson.loads(head), *parts]
        sys.exit("no answer")

    @staticmethod
    def _connect(socket: zmq.Socket[bytes], place: dict[str, Any], endpoint: str) -> zmq.Socket[bytes]:
        socket.setsockopt(zmq.CURVE_SERVERKEY, place["server_key"].encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, place["public_key"].encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, place["secret_key"].encode())
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.connect(endpoint)
        return socket


def main() -> None:
    """Print what comes."""
    file, last, *prefixes = sys.argv[1:]
    subscriber = Subscriber(file, prefixes)
    print("joined", flush=True)
    for position, event in subscriber.events(int(last)):
        print(position, event["id"], flush=True)


if __name__ == "__main__":
    main()
