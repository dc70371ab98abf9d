"""The launches that a token may name: read from their folder, living as long as the launched process.

Reads the folder again only when its modification time has changed, or was too fresh to tell. Must not know requests, nor
what a launch is worth as evidence.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import anyio.to_thread

from actors.gateway import limits
from actors.gateway.attribution import NO_LAUNCH, Standing
from actors.runtime.launches import read_launches, remove_launch
from actors.runtime.paths import Paths
from schemas.identity import LaunchId
from schemas.launch import TOKEN_FORM, LaunchRecord, token_digest

_TICK: Final = 1_000_000_000  # a folder changed this recently may change again within its clock's tick (nanoseconds)
_UNKNOWN: Final = Standing("unknown")


class LaunchBook:
    """What is known of launches.

    ``began`` is told of each new record and answers whether its process lives (None: that cannot be told now).
    """

    def __init__(self, paths: Paths, log: Any, began: Callable[[LaunchRecord], bool | None]) -> None:
        self._paths = paths
        self._log = log
        self._began = began
        self._living: dict[str, LaunchRecord] = {}
        self._ended: OrderedDict[str, LaunchRecord] = OrderedDict()
        self._seen: int | None = None
        self._complained: set[str] = set()
        self._reading = anyio.Lock()

    def known(self, token: str | None) -> Standing | None:
        """Tell what a token is worth if no folder must be read for it."""
        if token is None:
            return NO_LAUNCH
        record = self._living.get(token_digest(token)) if TOKEN_FORM.fullmatch(token) else None
        return None if record is None else Standing("living", record)

    async def find(self, token: str | None) -> Standing:
        """Tell what a token is worth; how its launch stands to the caller is for the caller's owner to say."""
        if (standing := self.known(token)) is not None:
            return standing
        if token is None or not TOKEN_FORM.fullmatch(token):
            return _UNKNOWN
        await self.refresh()
        if (standing := self.known(token)) is not None:
            return standing
        record = self._ended.get(token_digest(token))
        return _UNKNOWN if record is None else Standing("ended", record)

    async def refresh(self) -> None:
        """Read the folder again if it may have changed."""
        if not self._changed():
            return
        async with self._reading:
            if not self._changed():
                return
            try:
                changed = self._paths.launches.stat().st_mtime_ns
            except OSError:
                self._seen = None
                return
            fresh = time.time_ns() - changed < _TICK
            found = await anyio.to_thread.run_sync(read_launches, self._paths)
            self._seen = None if fresh else changed
            self._take(found.records)
            for bad in found.bad:
                if bad.path.name not in self._complained:
                    self._complained.add(bad.path.name)
                    self._log.warning("launch record ignored", file=bad.path.name, reason=bad.reason)

    def end(self, launch: LaunchId) -> LaunchRecord | None:
        """Mark a launch as ended, so that its token is worth nothing from here on; None when it was not living."""
        for digest, record in self._living.items():
            if record.launch == launch:
                del self._living[digest]
                self._bury(digest, record)
                return record
        return None

    def named(self, launch: str) -> LaunchRecord | None:
        """Return a living launch by its id."""
        return next((record for record in self._living.values() if record.launch == launch), None)

    def records(self) -> Iterable[LaunchRecord]:
        """Return the living launches."""
        return self._living.values()

    def _changed(self) -> bool:
        try:
            return self._paths.launches.stat().st_mtime_ns != self._seen
        except OSError:
            return self._seen is not None

    def _take(self, records: Iterable[LaunchRecord]) -> None:
        present = {record.token_sha256: record for record in records}
        for digest in self._living.keys() - present.keys():
            self._bury(digest, self._living.pop(digest))
        for digest, record in present.items():
            if (known := self._living.get(digest)) is not None:
                self._living[digest] = replace(known, session=record.session, provider=record.provider)
                continue
            if digest in self._ended:
                continue
            lives = self._began(record)
            if lives:
                self._living[digest] = record
            elif lives is None:
                self._seen = None  # asked again at the next look
            else:
                self._bury(digest, record)

    def _bury(self, digest: str, record: LaunchRecord) -> None:
        self._ended[digest] = record
        while len(self._ended) > limits.ENDED_LAUNCHES:
            self._ended.popitem(last=False)
        try:
            remove_launch(self._paths, record.launch)
        except OSError as error:
            self._log.warning("launch record not removed", launch=record.launch, reason=str(error))
