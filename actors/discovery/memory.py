"""What this actor told before: read from its checkpoint and, after that, from the journal; kept for the next start.

Must not know what the account is made of, beyond that it folds.
"""

from __future__ import annotations

import time
from typing import Any, Final

import anyio.to_thread

from actors.discovery.account import Recalled, State, step
from actors.runtime.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from actors.runtime.paths import Paths
from bus.client import Client, Page, RefusedError
from schemas.codec import InvalidMessageError

ACTOR: Final = "discovery"
VERSION: Final = 1
SAVE_SECONDS: Final = 5.0
_SOURCE: Final = f"/actor/{ACTOR}/"
_MARK: Final = f'"{_SOURCE}'.encode()
_START: Final = 0


class Memory:
    """The account's place in one journal, and the file that saves reading it."""

    def __init__(self, paths: Paths, log: Any) -> None:
        self._paths = paths
        self._log = log
        self._epoch = ""
        self._saved = 0.0
        self._unsaved = False
        self.position = 0

    async def recall(self, client: Client) -> State:
        """Return the account as of the journal's end."""
        self._epoch = client.epoch
        kept = await anyio.to_thread.run_sync(self._load)
        state = State()
        if kept is not None and kept.epoch == client.epoch:
            state, self.position = kept.body, kept.position
        while True:
            try:
                page = await client.read(self.position)
            except RefusedError as error:
                if error.code != "ahead" or self.position == _START:
                    raise
                state, self.position = State(), _START  # the journal lost its end, and with it what the file says
                continue
            state = self._folded(state, page)
            self.position = page.through
            if not page.more:
                return state

    def acknowledged(self, positions: list[int]) -> None:
        """Note how far the journal holds what the account says."""
        self.position = max((self.position, *positions))
        self._unsaved = True

    async def save(self, state: State, *, now: bool = False) -> None:
        """Keep the account, now and then. Everything in it must be acknowledged."""
        if not self._unsaved or not (now or time.monotonic() - self._saved >= SAVE_SECONDS):
            return
        self._unsaved, self._saved = False, time.monotonic()
        checkpoint = Checkpoint(epoch=self._epoch, position=self.position, body=state)
        try:
            await anyio.to_thread.run_sync(self._save, checkpoint)
        except OSError as error:
            self._log.warning("the checkpoint cannot be saved; the next start reads the journal", reason=str(error))

    def _folded(self, state: State, page: Page) -> State:
        for row in page.rows:
            if _MARK not in row.envelope:
                continue
            try:
                recorded = row.recorded()
            except InvalidMessageError as error:
                self._log.warning("a fact of our own cannot be read", position=row.position, reason=str(error))
                continue
            if recorded.envelope.source.startswith(_SOURCE):
                state, _ = step(state, Recalled(recorded.envelope.data))
        return state

    def _load(self) -> Checkpoint[State] | None:
        return load_checkpoint(self._paths, ACTOR, State, version=VERSION, log=self._log)

    def _save(self, checkpoint: Checkpoint[State]) -> None:
        save_checkpoint(self._paths, ACTOR, checkpoint, version=VERSION)
