"""Keeps how the providers do, and who owns which session's content: in memory, told as facts, and in a file for the next start.

A shell around ``health`` and ``quota``: it brings the clock, the facts and the file. The file is written when something
changed, off the loop; one that cannot be read is logged and begun anew, since all that it costs is a few failed attempts.
Must not know what an outcome means.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from actors.gateway import health
from actors.gateway.health import Fact, Health, Outcome
from actors.gateway.quota import NOTHING_TOLD, Quotas, read_quotas, told_quotas
from actors.runtime.atomic import write_atomic
from actors.runtime.http.fields import Fields
from schemas.config import Breaker
from schemas.envelope import subject
from schemas.identity import SessionId

OWNERS: Final = 4096
_VERSION: Final = 1
_LARGEST: Final = 16 * 1024 * 1024
_GATHER: Final = 0.25  # changes within this time are one writing

Tell = Callable[[str, Any, str | None], None]


class _File(Struct, frozen=True):
    version: int
    health: Health
    owners: list[tuple[str, str]]


class HealthBook:
    """The health of all providers; ``now`` is what is known at this moment, ``rules`` may be replaced at any."""

    def __init__(self, folder: Path, rules: Breaker, tell: Tell, log: Any) -> None:
        self.rules = rules
        self._file = folder / "health.json"
        self._tell = tell
        self._log = log
        self._changed = anyio.Event()
        self._quotas: dict[str, Quotas] = {}
        saved = self._load()
        self.now = health.revived(saved.health)
        self._owners = OrderedDict(saved.owners[-OWNERS:])

    def chosen(self, provider: str, model: str) -> None:
        """Note that a request goes to a provider now."""
        at, before = time.time(), self.now
        after = health.chosen(before, provider, model, at)
        if after is not before:
            self._take(after, health.transitions(before, after, provider, model))

    def observed(self, outcome: Outcome) -> None:
        """Take what came of it."""
        before = self.now
        after, facts = health.observed(before, self.rules, outcome, time.time())
        if after is not before:
            self._take(after, facts)

    def answered(self, provider: str, fields: Fields, session: SessionId | None) -> None:
        """Read what an answer's header tells of the provider's quotas; only what is new is told."""
        windows = read_quotas(fields, time.time())
        if windows:
            known = self._quotas.get(provider, NOTHING_TOLD)
            self._quotas[provider], facts = told_quotas(known, provider, windows, session)
            self._say(facts)

    def owner(self, session: str) -> str:
        """Return the account whose content this session holds, "" when that is not known."""
        return self._owners.get(session, "")

    def owned(self, session: str, account: str) -> None:
        """Note whose content a session holds from now on."""
        known = self._owners.get(session)
        self._owners[session] = account
        self._owners.move_to_end(session)
        if known != account:
            if len(self._owners) > OWNERS:
                self._owners.popitem(last=False)
            self._changed.set()

    async def run(self) -> None:
        """Save what changes, until cancelled; then a last time."""
        try:
            while True:
                await self._changed.wait()
                await anyio.sleep(_GATHER)
                await self._save()
        finally:
            if self._changed.is_set():
                with anyio.CancelScope(shield=True):
                    await self._save()

    # ------------------------------------------------------------------------------------------------ parts

    def _take(self, after: Health, facts: tuple[Fact, ...]) -> None:
        self.now = after
        self._changed.set()
        self._say(facts)

    def _say(self, facts: tuple[Any, ...]) -> None:
        for fact in facts:
            self._tell(subject("provider", fact.provider), fact, None)

    async def _save(self) -> None:
        self._changed = anyio.Event()
        content = msgspec.json.encode(_File(_VERSION, self.now, list(self._owners.items())))
        try:
            await anyio.to_thread.run_sync(self._write, content)
        except OSError as error:
            self._log.warning("the providers' health is not saved", file=str(self._file), reason=str(error))

    def _write(self, content: bytes) -> None:
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self._file, content, durable=False)

    def _load(self) -> _File:
        try:
            with self._file.open("rb") as file:
                saved = msgspec.json.decode(file.read(_LARGEST), type=_File)
            if saved.version == _VERSION:
                return saved
            reason = f"version {saved.version}, known is {_VERSION}"
        except FileNotFoundError:
            return _File(_VERSION, Health(), [])
        except (OSError, ValueError, RecursionError) as error:
            reason = str(error)
        self._log.warning("the providers' saved health is not used; it begins anew", file=str(self._file), reason=reason)
        return _File(_VERSION, Health(), [])
