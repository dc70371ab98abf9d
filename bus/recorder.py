"""From submissions to rows on disk: batches, one at a time.

Theory of operation
-------------------
While a batch is on its way to the disk, the next one gathers; so batches grow with the load and a lone event waits for
nobody. The writer's thread publishes what it has committed at once, without a detour over the event loop; then the next
batch is handed over, and only then are the publishers of the last one answered: disk and ingress work at the same time.

To wake that thread and be woken by it takes as long as a commit does, so what is alone is committed where it is: a few
events, nothing more at the door, the writer idle, and the last commit ``QUICK_SECONDS`` at most. The loop stands still for
one such commit; on a disk that is slow everything but the first goes to the thread.

The order of batches is the order of positions and of the feed, since only one is ever under way.

A batch that meets ids which the journal already holds is numbered again with those known; a batch that finds no room on
the disk is refused as a whole and the head stays. Any other failure of the journal ends the process: after a failed fsync
nothing that a disk says can be believed. Must not know sockets or requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Generic, TypeVar

from msgspec import Struct

from bus.journal import Journal, JournalFullError, KnownIdsError
from bus.protocol import Row
from bus.sequencer import Numbered, Submission, step
from bus.worker import Worker

MAX_BATCH_EVENTS = 2048
MAX_GATHERED_EVENTS = 16_384
MAX_GATHERED_BYTES = 32 * 1024 * 1024
MAX_HERE_EVENTS = 16
MAX_HERE_BYTES = 64 * 1024
QUICK_SECONDS = 0.002
_Origin = TypeVar("_Origin")


class Batch(Struct, Generic[_Origin], frozen=True):
    """Submissions that go to disk together, each with where it came from."""

    entries: tuple[tuple[_Origin, Submission], ...]

    @property
    def origins(self) -> list[_Origin]:
        """Return where the submissions came from, in order."""
        return [origin for origin, _ in self.entries]


class Recorder(Generic[_Origin]):
    """Gathers submissions and records them; ``head`` is the last position that is on disk."""

    def __init__(
        self,
        *,
        journal: Journal,
        writer: Worker,
        now: Callable[[], str],
        publish: Callable[[Sequence[Row]], None],
        recorded: Callable[[Batch[_Origin], Numbered], None],
        refused: Callable[[Batch[_Origin], JournalFullError], None],
    ) -> None:
        self._journal = journal
        self._writer = writer
        self._now = now
        self._publish = publish
        self._recorded = recorded
        self._refused = refused
        self._gathered: deque[tuple[_Origin, Submission, int, int]] = deque()
        self._events = 0
        self._bytes = 0
        self._quick = False
        self._under_way: tuple[Batch[_Origin], Numbered] | None = None
        self.head = journal.head

    @property
    def full(self) -> bool:
        """Tell whether nothing more should be gathered for now."""
        return self._events >= MAX_GATHERED_EVENTS or self._bytes >= MAX_GATHERED_BYTES

    @property
    def idle(self) -> bool:
        """Tell whether everything submitted was recorded or refused."""
        return self._under_way is None and not self._gathered

    def submit(self, origin: _Origin, submission: Submission, size: int) -> None:
        """Gather a submission of ``size`` bytes; ``start`` sends it on its way."""
        count = len(submission.entries)
        self._gathered.append((origin, submission, count, size))
        self._events += count
        self._bytes += size

    def start(self) -> None:
        """Hand the next batch to the writer, unless one is under way or nothing has gathered."""
        self._write_gathered(here=False)

    def settle(self) -> None:
        """Nothing more is at the door: what has gathered goes on its way, and a little does not wait for another thread."""
        self._write_gathered(here=self._quick and self._events <= MAX_HERE_EVENTS and self._bytes <= MAX_HERE_BYTES)

    def _next_batch(self) -> Batch[_Origin]:
        entries: list[tuple[_Origin, Submission]] = []
        total = 0
        while self._gathered and (not entries or total + self._gathered[0][2] <= MAX_BATCH_EVENTS):
            origin, submission, count, size = self._gathered.popleft()
            entries.append((origin, submission))
            total += count
            self._events -= count
            self._bytes -= size
        return Batch(tuple(entries))

    def _write_gathered(self, *, here: bool) -> None:
        if self._under_way is None and self._gathered:
            self._write(self._next_batch(), {}, here=here)

    def _write(self, batch: Batch[_Origin], known: dict[str, int], *, here: bool) -> None:
        time = self._now()
        numbered = step(self._journal.epoch, self.head, time, [submission for _, submission in batch.entries], known)
        self._under_way = (batch, numbered)
        if not numbered.rows:
            self._written(None)
            return

        def job() -> None:
            begun = perf_counter()
            self._journal.append(numbered.rows, numbered.ids, time)
            self._quick = perf_counter() - begun < QUICK_SECONDS
            self._publish(numbered.rows)

        (self._writer.at_once if here else self._writer.submit)(job, self._written)

    def _written(self, outcome: Exception | None) -> None:
        if self._under_way is None:
            raise RuntimeError("the writer answered for a batch that nobody gave it")
        batch, numbered = self._under_way
        if isinstance(outcome, KnownIdsError):
            self._write(batch, outcome.positions, here=False)
            return
        self._under_way = None
        if isinstance(outcome, JournalFullError):
            self._refused(batch, outcome)
            self.start()
            return
        if outcome is not None:
            raise outcome
        self.head = numbered.head
        self.start()
        self._recorded(batch, numbered)
