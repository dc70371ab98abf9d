"""The pipes of a bridge: threads that wait for one end each, with bounds between them and the loop.

Theory of operation
-------------------
Threads rather than an event loop, as in the supervisor: they are the same on every operating system, an idle one costs a few
KiB, and asyncio alone would cost a bridge a third of its memory. None of them decides anything.

* A ``Valve`` bounds what one source has in the loop: a reader waits before it when that is full, or while the hub is slow to
  read; then the pipe fills, and whoever writes into it is the one that holds back. Nothing is dropped.
* ``Lines`` makes lines of chunks; one that is too long is counted and its beginning kept.
* An ``Outlet`` writes to a pipe whose reader may be slow. ``stuck`` tells for how long it has been waiting for that reader.

Must not know what the lines say.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

CHUNK: Final = 65_536
HEAD: Final = 1_024


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that was not kept: its length and its beginning."""

    length: int
    head: bytes = field(repr=False)


class Valve:
    """Bounds how many bytes of one source are under way; a single item may be larger than the bound, alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._held = False
        self._open = False
        self._changed = threading.Condition()

    def enter(self, size: int) -> bool:
        """Wait until there is room; False when what comes is not wanted any more."""
        with self._changed:
            while not self._open and (self._held or (self._inside and self._inside + size > self._limit)):
                self._changed.wait()
            self._inside += size
            return not self._open

    def leave(self, size: int) -> None:
        """Give the room back."""
        with self._changed:
            self._inside -= size
            self._changed.notify_all()

    def hold(self, *, held: bool) -> None:
        """Let nothing in, or something again."""
        with self._changed:
            self._held = held
            self._changed.notify_all()

    def open(self) -> None:
        """Let everybody through, for ever: what they bring is not wanted any more."""
        with self._changed:
            self._open = True
            self._changed.notify_all()


class Lines:
    """Makes lines of chunks. Without their newlines; empty ones are left out."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._skipped = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """Take a chunk and yield every line that it completes."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._keep(chunk[start:end])
            yield from self.close()
            start = end + 1
        self._keep(chunk[start:] if start else chunk)

    def close(self) -> Iterator[bytes | TooLong]:
        """Yield what there is as a line: the last one may lack its newline."""
        if self._skipped:
            yield TooLong(self._skipped, bytes(self._pending))
        elif line := bytes(self._pending).removesuffix(b"\r"):
            yield line
        self._pending = bytearray()
        self._skipped = 0

    def _keep(self, part: bytes) -> None:
        if self._skipped:
            self._skipped += len(part)
        elif len(self._pending) + len(part) > self._limit:
            self._skipped = len(self._pending) + len(part)
            self._pending += part[:HEAD]
            self._pending = self._pending[:HEAD]
        else:
            self._pending += part


def read_chunks(descriptor: int) -> Iterator[bytes]:
    """Yield what comes until the pipe ends; one that cannot be read is one that has ended."""
    while True:
        try:
            chunk = os.read(descriptor, CHUNK)
        except OSError:
            return
        if not chunk:
            return
        yield chunk


class Outlet:
    """Writes to a pipe in a thread of its own, in order; ``drained`` is called there each time everything has left."""

    def __init__(self, descriptor: int, name: str, drained: Callable[[], None] = lambda: None) -> None:
        self._descriptor = descriptor
        self._drained = drained
        self._waiting: deque[bytes] = deque()
        self._pending = 0
        self._closing = False
        self._since: float | None = None
        self._changed = threading.Condition()
        self.broken = False
        self._thread = threading.Thread(target=self._write, name=name, daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def pending(self) -> int:
        """Return how many bytes have not left yet."""
        return self._pending

    def put(self, raw: bytes) -> None:
        """Write this when its turn comes; nothing when the other end is gone."""
        with self._changed:
            if self.broken or self._closing:
                return
            self._waiting.append(raw)
            self._pending += len(raw)
            self._changed.notify()

    def stuck(self) -> float:
        """Return for how many seconds nothing has left although there is something."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def close(self, *, hurry: bool = False) -> None:
        """Close the pipe when everything has left; in a ``hurry`` what waits is forgotten."""
        with self._changed:
            self._closing = True
            if hurry:
                self._waiting.clear()
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait for the end of writing."""
        self._thread.join(seconds)

    def _write(self) -> None:
        try:
            while (raw := self._next()) is not None:
                view = memoryview(raw)
                while view:
                    self._since = time.monotonic()
                    written = os.write(self._descriptor, view[:CHUNK])
                    self._since = None
                    view = view[written:]
                    with self._changed:
                        self._pending -= written
                if not self._pending:
                    self._drained()
        except OSError:  # nobody reads any more: what happens now is decided by the end of that process
            with self._changed:
                self.broken = True
                self._waiting.clear()
                self._pending = 0
            self._since = None
            self._drained()
        finally:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            return self._waiting.popleft()
