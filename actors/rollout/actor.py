"""The shell around the tracker: hints and listings in, looks in a thread, announcements out, each acknowledged before the next.

Theory of operation
-------------------
One task does everything in turn, so the tracker has one owner: list when it is time, take what hints named, look at a batch
of files (in a thread, for about 10 ms), take what was seen, publish what follows, wait for the acknowledgement. While the
broker takes nothing, nothing is read: that is the backpressure. A file with much to read comes back to the end of the queue
after each slice, behind everything that just changed, so it delays nobody.

The truth is the file system. Hints only say where to look sooner: every ``SWEEP_SECONDS`` the files that are followed are
compared with what is known of them, every ``LISTING_SECONDS`` everything is. A change that a sweep finds and no hint had
named shows that hints are missing; that is said, and sweeps come more often until watching anew has helped. A first line is
read at once; while lines keep coming, there is a short breath between two turns.

A checkpoint is saved only between two turns, when all that was read is acknowledged. A restart folds the watcher's own facts
since then, reads again from where the checkpoint stood, and says what it says under the same ids: lost is nothing, and the
journal keeps each fact once.

Must not know what lines say, nor what makes two files one (``tracking``).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from actors.rollout.announcing import Announcement
from actors.rollout.hints import Hints
from actors.rollout.homes import own_homes, resolved_roots
from actors.rollout.looking import Job
from actors.rollout.memory import FOLDED, VERSION, Body, Memory, body_of
from actors.rollout.reading import Reader, changed, survey
from actors.rollout.tracking import Input, Listing, Look, Tracker, Wanted, step
from actors.rollout.waiting import Queue
from actors.runtime.actor import Actor
from actors.runtime.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from actors.transcripts.files import named
from actors.transcripts.tree import Found, Mark, Root
from bus.client import CaughtUp, Client, Gap, RefusedError, connect
from schemas.envelope import Recorded
from schemas.events import ProcessConversationFound

READY_SECONDS: Final = 0.3
SWEEP_SECONDS: Final = 2.0
LISTING_SECONDS: Final = 60.0
POLLING_SWEEP_SECONDS: Final = 0.5
POLLING_LISTING_SECONDS: Final = 5.0
SOON_SECONDS: Final = 0.2
BREATH_SECONDS: Final = 0.003
CHECKPOINT_SECONDS: Final = 2.0
CHECKPOINT_EVENTS: Final = 5_000
CHECKPOINT_SHARE: Final = 100  # of the time, saving takes one part in so many at most
RETRY_SECONDS: Final = 1.0
LAST_TURN_SECONDS: Final = 2.0
MAX_JOBS: Final = 256
MAX_HINTS: Final = 65_536
MAX_FOLDERS: Final = 2_000  # that are compared at each sweep though hints seem to come
_HINT_GRACE_NS: Final = 1_000_000_000
_NAME: Final = "rollout"


class Watcher:
    """One watcher on one connection to the bus."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._log = actor.log
        self._own = own_homes(actor.config.rollout, os.environ)
        self._hours = actor.config.rollout.recent_hours
        self._memory = Memory(Body())
        self._tracker = Tracker()
        self._roots: tuple[Root, ...] = ()
        self._folders: dict[str, int] = {}
        self._unread: tuple[str, ...] = ()
        self._queue = Queue()
        self._hinted: deque[tuple[str, bool]] = deque(maxlen=MAX_HINTS)
        self._held: list[str] = []
        self._bell = anyio.Event()
        self._ringing = True
        self._loop = anyio.lowlevel.current_token()
        self._hints = Hints(self._hint)
        self._reader = Reader()
        self._position = self._saved = 0
        self._epoch = ""
        self._void = False
        self._missing_hints = self._hinting = False
        self._refusal = ""
        self._note: str | None = None
        self._list_at = self._sweep_at = self._save_at = 0.0
        self._unsaved = self._told_last = False
        self.caught_up = anyio.Event()

    # ------------------------------------------------------------------------------------------------ the bus

    async def follow(self, client: Client) -> None:
        """Fold the journal, for ever: our own facts up to its end, then whatever names another file."""
        saved = load_checkpoint(self._actor.paths, _NAME, Body, version=VERSION, log=self._log)
        if saved is not None and saved.epoch == client.epoch and saved.position <= client.head:
            self._memory, self._position = Memory(saved.body), saved.position
        self._epoch = client.epoch
        async with client.feed(self._position, types=FOLDED) as feed:
            async for told in feed:
                if isinstance(told, Recorded):
                    self._heard(told)
                    self._position = told.position
                elif isinstance(told, CaughtUp):
                    self._epoch, self._position = told.epoch, told.position
                    self._tracker = Tracker(self._memory.files.values(), self._memory.wanted)
                    self._void = False
                    self._list_at = 0.0
                    self.caught_up.set()
                    self._ring()
                else:
                    self._missed(told)

    def _heard(self, told: Recorded) -> None:
        fact = told.envelope.data
        if not self.caught_up.is_set() or self._void:
            self._memory.fold(told)
        elif isinstance(fact, ProcessConversationFound) and (path := self._memory.hold(fact)) is not None:
            self._held.append(path)
            self._ring()

    def _missed(self, gap: Gap) -> None:
        """Begin again when the journal is another one; what cannot be read of it can only cost a repetition."""
        if gap.reason == "new_epoch":
            self._log.warning("the journal is another one; everything is told again", epoch=gap.epoch)
            self._memory, self._position, self._void = Memory(Body()), 0, True
        elif gap.reason != "trimmed":
            self._log.warning("events could not be read", first=gap.first, last=gap.last, reason=gap.reason)

    async def begin(self, client: Client) -> None:
        """Say READY, and until the journal is folded that it is not yet."""
        with anyio.move_on_after(READY_SECONDS):
            await self.caught_up.wait()
        self._actor.ready(homes=len(self._own), position=self._position)
        if not self.caught_up.is_set():
            self._actor.status("degraded", f"catching up: position {self._position} of {client.head}")
            await self.caught_up.wait()
            self._actor.status("ready")

    async def _publish(self, client: Client, announcements: list[Announcement]) -> None:
        """Record announcements; while the broker takes none, wait and repeat."""
        source = self._actor.source
        envelopes = [source.envelope(one.subject, one.data, id=one.id) for one in announcements]
        while envelopes:
            try:
                await client.publish(envelopes)
            except RefusedError as error:
                never = {one.index for one in error.refused if one.code in {"invalid", "too_large"}}
                for one in error.refused:
                    if one.index in never:
                        self._log.error("a fact was refused for good", type=envelopes[one.index].type, reason=one.message)
                if error.refused:
                    envelopes = [envelopes[one.index] for one in error.refused if one.index not in never]
                if envelopes:
                    self._refusal = f"facts wait: {error}"
                    self._tell_state()
                    await anyio.sleep(RETRY_SECONDS)
            else:
                break
        self._refusal = ""

    # ------------------------------------------------------------------------------------------------ one turn

    async def run(self, client: Client) -> None:
        """Take turns until told to stop."""
        await self.caught_up.wait()
        while not self._actor.stopping.is_set():
            await self._turn(client)
            self._tell_state()
            await self._save()
            if not len(self._queue):
                await self._rest()
        await self._save(last=True)

    async def _rest(self) -> None:
        """Wait until there is something to do. Nobody rings before: what comes during a turn is found here."""
        if self._told_last:  # lines come in bursts; two turns for them cost half of four
            await anyio.sleep(BREATH_SECONDS)
        self._bell = anyio.Event()
        self._ringing = False
        if not (self._hinted or self._held or self._actor.stopping.is_set()):
            with anyio.move_on_after(max(0.0, min(self._list_at, self._sweep_at) - time.monotonic())):
                await self._bell.wait()
        self._ringing = True

    async def _turn(self, client: Client) -> None:
        heard: list[Input] = [Wanted(path) for path in self._held]
        self._held.clear()
        if heard:
            self._list_at = 0.0  # it may lie in a home that was not known
        self._take_hints()
        now = time.monotonic()
        if now >= self._list_at:
            heard.append(await self._list())
        elif now >= self._sweep_at:
            await self._sweep()
        heard += await self._look()
        announcements = self._take(heard)
        self._told_last = bool(announcements)
        if announcements:
            await self._publish(client, announcements)
            self._unsaved = True

    def _take(self, heard: Iterable[Input]) -> list[Announcement]:
        recent = self._recent()
        announcements = []
        for one in heard:
            late = time.time_ns() - _HINT_GRACE_NS if isinstance(one, Listing) and self._hinting else 0
            for output in step(self._tracker, one, recent):
                if not isinstance(output, Look):
                    announcements.append(output)
                    continue
                if output.newest:
                    self._suspect(output.path, output.newest, late)
                self._queue.add(output)
        if self._tracker.lost:
            self._list_soon()
        return announcements

    async def _look(self) -> list[Input]:
        jobs = [job for path in self._queue.take(MAX_JOBS) if (job := self._job(path)) is not None]
        if not jobs:
            return []
        seen, left = await anyio.to_thread.run_sync(self._reader.look, jobs)
        for job in left:
            self._queue.add(Look(job.found.path))
        return list(seen)

    def _job(self, path: str) -> Job | None:
        root = next((root for root in self._roots if path.startswith(root.folder + os.sep)), None)
        name = named(root, path) if root is not None else None
        return self._tracker.job(Found(root, path, name, Mark())) if root is not None and name is not None else None

    # ------------------------------------------------------------------------------------------------ where to look

    def _hint(self, path: str, is_folder: bool) -> None:  # noqa: FBT001 - called by watchdog's thread
        """Take a hint, in a thread that is not the loop's; ring only for the first one that comes while the loop rests."""
        self._hinted.append((path, is_folder))
        if not self._ringing:
            self._ringing = True
            try:
                anyio.from_thread.run_sync(self._ring, token=self._loop)
            except RuntimeError:  # the loop has ended
                return

    def _ring(self) -> None:
        self._ringing = True
        self._bell.set()

    def _take_hints(self) -> None:
        if len(self._hinted) == MAX_HINTS:  # the oldest may have fallen out
            self._list_at = 0.0
        while self._hinted:
            path, is_folder = self._hinted.popleft()
            if is_folder:
                self._list_soon()
            else:
                self._queue.add(Look(path))

    def _list_soon(self) -> None:
        self._list_at = min(self._list_at, time.monotonic() + SOON_SECONDS)

    async def _list(self) -> Input:
        """List everything, and watch what there is to be watched."""
        self._roots = resolved_roots([*self._own, *self._memory.homes])
        folders = [root.folder for root in self._roots]
        anew = self._missing_hints or bool(self._hints.trouble)
        begun = await anyio.to_thread.run_sync(lambda: self._hints.watch(folders, anew=anew))
        self._hinting, self._missing_hints = not begun, False  # nothing was hinted at before it was watched
        surveyed = await anyio.to_thread.run_sync(survey, self._roots)
        self._folders, self._unread = surveyed.folders, surveyed.troubles
        now = time.monotonic()
        self._list_at = now + (POLLING_LISTING_SECONDS if self._polling else LISTING_SECONDS)
        self._sweep_at = now + self._sweep_seconds
        return surveyed.listing

    async def _sweep(self) -> None:
        """Compare what is followed with what is known of it."""
        recent, wanted = self._recent(), self._tracker.wanted
        marks = [
            (one.path, one.mark)
            for one in self._tracker.files.values()
            if one.path is not None and (one.mark.modified >= recent or one.path in wanted)  # a listing finds the others
        ]
        folders = self._folders if self._polling or len(self._folders) <= MAX_FOLDERS else {}
        differing, folders_changed = await anyio.to_thread.run_sync(changed, marks, folders)
        late = time.time_ns() - _HINT_GRACE_NS
        for path, modified in differing.items():
            self._suspect(path, modified, late)
            self._queue.add(Look(path))
        if folders_changed:
            self._list_at = 0.0
        self._sweep_at = time.monotonic() + self._sweep_seconds

    def _suspect(self, path: str, modified: int, late: int) -> None:
        """Take that hints are missing if a file changed long enough ago and there is no reason yet to look at it."""
        if modified < late and not (self._polling or path in self._queue or path in self._tracker.troubled):
            self._missing_hints = True
            self._list_at = min(self._list_at, time.monotonic() + POLLING_LISTING_SECONDS)

    def _recent(self) -> int:
        return time.time_ns() - self._hours * 3600 * 10**9

    @property
    def _polling(self) -> bool:
        return self._missing_hints or bool(self._hints.trouble)

    @property
    def _sweep_seconds(self) -> float:
        return POLLING_SWEEP_SECONDS if self._polling else SWEEP_SECONDS

    # ------------------------------------------------------------------------------------------------ state

    async def _save(self, *, last: bool = False) -> None:
        """Save where everything stands; called between two turns only."""
        now = time.monotonic()
        much = self._position - self._saved > CHECKPOINT_EVENTS  # of others; a restart would have to read them again
        if not (self._unsaved or much) or (now < self._save_at and not last):
            return
        body = body_of(self._tracker, tuple(self._memory.homes), time.time_ns())
        checkpoint = Checkpoint(epoch=self._epoch, position=self._position, body=body)
        try:
            await anyio.to_thread.run_sync(lambda: save_checkpoint(self._actor.paths, _NAME, checkpoint, version=VERSION))
        except OSError as error:
            self._log.warning("the checkpoint could not be saved; a restart will read more", reason=str(error))
        self._unsaved, self._saved = False, checkpoint.position
        took = time.monotonic() - now
        self._save_at = now + max(CHECKPOINT_SECONDS, took * CHECKPOINT_SHARE)

    def _tell_state(self) -> None:
        """Say how the watcher does, when that changed."""
        notes = [self._refusal] if self._refusal else []
        if self._hints.trouble:
            notes.append(f"files are polled, for the system gives no hints: {self._hints.trouble}")
        elif self._missing_hints:
            notes.append("files are polled, for hints are missing (is the limit of inotify watches reached?)")
        if troubles := [*self._unread, *self._tracker.troubled.values()]:
            notes.append(f"{len(troubles)} files or folders cannot be read; the first: {troubles[0]}")
        note = "; ".join(notes)
        if note != self._note and (note or self._note is not None):
            self._note = note
            self._actor.status("degraded" if note else "ready", note)

    def close(self) -> None:
        """Stop watching and reading."""
        self._hints.close()
        self._reader.close()


async def serve(actor: Actor) -> None:
    """Be the rollout watcher until told to stop."""
    watcher = Watcher(actor)

    async def stop_soon(scope: anyio.CancelScope) -> None:
        await actor.stopping.wait()
        watcher._ring()  # noqa: SLF001 - this module's
        await anyio.sleep(LAST_TURN_SECONDS)
        scope.cancel()

    try:
        async with connect(actor.connection()) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(stop_soon, tasks.cancel_scope)
            tasks.start_soon(watcher.follow, client)
            tasks.start_soon(watcher.begin, client)
            await watcher.run(client)
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):  # in a thread, for watchdog's own may wait for this loop
            await anyio.to_thread.run_sync(watcher.close)
