"""The shell around ``spending``: hears the gateway's facts, remembers over restarts, and answers before each request.

Theory of operation
-------------------
What the gateway tells is counted at once, so a verdict never waits for the bus. What it told before it was started stands in
a checkpoint, read at construction, and, after the checkpoint's position, in the journal, read when the bus is there. From then
on the journal is read again now and then, only to know what it holds: that shortens ``ahead`` and moves the position. Until it
was read to its end once, verdicts say that what was spent before may be missing.

The checkpoint is more than a cache here: it remembers what the journal has long forgotten, and it counts what was spent even if
the fact of it never reached the journal. So another journal is read from its start, and nothing that was counted is dropped.

Nothing is computed, read or written without a budget. Must not know how a request is routed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from actors.gateway.spending import GO_ON, Rules, Spender, Spending, Verdict, heard, regrouped, rules_of, verdict
from actors.runtime.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from actors.runtime.paths import Paths
from bus.client import BusError, Client, Page, RefusedError, connect
from bus.connection import Connection, ConnectionFileError
from schemas.codec import InvalidMessageError
from schemas.config import Config
from schemas.envelope import subject
from schemas.events import BudgetReached
from schemas.identity import SessionId
from schemas.ids import derived

NAME: Final = "gateway-spending"
VERSION: Final = 1
READ_SECONDS: Final = 15.0
PAGE: Final = 250  # so that no page keeps the loop for long
_BACK_OFF: Final = (0.1, 5.0)
_OURS: Final = b'"/actor/gateway/'
_TOLD: Final = tuple(f".request.{name}.".encode() for name in ("attributed", "completed", "failed", "cancelled"))
_PREFIXES: Final = (b"session.", b"request.")
_UNREAD: Final = "what was spent before this start of the gateway is not known in full yet"


class SpendingBook:
    """What was spent, at this moment. ``active``: there are budgets; without any, nobody need call anything here.

    ``tell`` publishes a fact under a subject and an id; ``clock`` tells Unix time in nanoseconds.
    """

    def __init__(
        self,
        config: Config,
        paths: Paths,
        connect_to: Callable[[], Connection],
        *,
        tell: Callable[[str, Any, str | None], None],
        clock: Callable[[], int],
        log: Any,
    ) -> None:
        self._paths = paths
        self._connect_to = connect_to
        self._tell = tell
        self._clock = clock
        self._log = log
        self._rules = Rules()
        self._spending = Spending()
        self._loaded = self._unsaved = False
        self._epoch, self._position = "", 0
        self._date: tuple[int, int, int] = (0, 0, 0)
        self._day = ""
        self._changed = anyio.Event()
        self.caught_up = False
        self.active = False
        self.configured(config)

    def configured(self, config: Config) -> None:
        """Take over the budgets and prices of a configuration."""
        prices = {name: provider.prices for name, provider in config.providers.items() if provider.prices}
        self._rules = rules_of(config.budgets, prices)
        self.active, before = bool(config.budgets), self.active
        if self.active and not self._loaded:
            self._load()
        if self.active:
            regrouped(self._spending, self._rules)
        if self.active and not before:
            self.caught_up = False  # what was told meanwhile stands in the journal alone
        self._change()

    def verdict(self, session: SessionId | None, cwd: str | None) -> Verdict:
        """Say what the budgets say of a request of this session, in this folder; asked before it is routed."""
        if not self.active:
            return GO_ON
        told = verdict(self._spending, self._rules, Spender(session or "", cwd or "", self._today()))
        if self.caught_up:
            return told
        return msgspec.structs.replace(told, reason="; ".join(filter(None, (told.reason, _UNREAD))))

    def told(self, event: Any) -> None:
        """Count what a fact tells that goes to the bus now: ``request.attributed`` or an outcome; any other is ignored."""
        if self.active:
            self._announce(heard(self._spending, self._rules, event, self._today(), live=True))
            self._unsaved = True

    async def run(self) -> None:
        """Read the journal and save what was spent, for ever; what is not saved yet is saved at the end."""
        pause, trouble = _BACK_OFF[0], ""
        try:
            while True:
                while not self.active:
                    await self._change_seen()
                try:
                    async with connect(self._connect_to(), role="spending of the gateway") as client:
                        pause, trouble = _BACK_OFF[0], ""
                        await self._follow(client)
                except (BusError, ConnectionFileError) as error:
                    if trouble != str(error):
                        trouble = str(error)
                        self._log.info("what was spent cannot be read from the journal now", reason=trouble)
                await anyio.sleep(pause)
                pause = min(pause * 2, _BACK_OFF[1])
        finally:
            if self._unsaved:
                self._write(self._encoded())

    # ------------------------------------------------------------------------------------------------ the journal

    async def _follow(self, client: Client) -> None:
        """Read the journal to its end, and again whenever something was told, as long as there are budgets."""
        while self.active:
            if self._unsaved or not self.caught_up:
                await self._read(client)
                self.caught_up = True
                await self._save()
            with anyio.move_on_after(READ_SECONDS):
                await self._change_seen()

    async def _read(self, client: Client) -> None:
        if client.epoch != self._epoch:
            self._epoch, self._position = client.epoch, 0
        more = True
        while more:
            try:
                page = await client.read(self._position, limit=PAGE, prefixes=_PREFIXES)
            except RefusedError as error:
                if error.code != "ahead":
                    raise
                self._log.warning("the journal lost its end; what it held was counted", position=self._position)
                self._position = client.head
                return
            self._take(page)
            self._position, more = page.through, page.more
            self._unsaved = self._unsaved or bool(page.rows)
            await anyio.lowlevel.checkpoint()

    def _take(self, page: Page) -> None:
        for row in page.rows:
            if not row.topic.endswith(_TOLD) or _OURS not in row.envelope:
                continue
            try:
                envelope = row.recorded().envelope
            except InvalidMessageError as error:
                self._log.warning("a fact of our own cannot be read", position=row.position, reason=str(error))
                continue
            if envelope.source.startswith("/actor/gateway/"):
                self._announce(heard(self._spending, self._rules, envelope.data, _local_day(envelope.time), live=False))

    def _announce(self, facts: tuple[BudgetReached, ...]) -> None:
        """Tell what was reached, under an id that is the same whoever tells it again."""
        for fact in facts:
            if fact.period not in ("total", self._today()):
                continue  # read back of a day that is over
            about = subject("session", fact.target) if fact.scope == "session" else "config/budget"
            level = (fact.action, fact.unit, f"{fact.limit:g}", str(fact.spent >= fact.limit))
            self._tell(about, fact, derived(fact.TYPE, fact.budget, fact.scope, fact.target, fact.period, *level))

    # ------------------------------------------------------------------------------------------------ the file

    def _load(self) -> None:
        self._loaded = True
        kept = load_checkpoint(self._paths, NAME, Spending, version=VERSION, log=self._log)
        if kept is not None:
            self._epoch, self._position, self._spending = kept.epoch, kept.position, kept.body

    async def _save(self) -> None:
        if self._unsaved:
            self._unsaved = False
            await anyio.to_thread.run_sync(self._write, self._encoded())

    def _encoded(self) -> Checkpoint[msgspec.Raw]:
        """Write down what stands here now: the tables go on changing while a thread writes the file."""
        return Checkpoint(epoch=self._epoch, position=self._position, body=msgspec.Raw(msgspec.json.encode(self._spending)))

    def _write(self, checkpoint: Checkpoint[msgspec.Raw]) -> None:
        try:
            save_checkpoint(self._paths, NAME, checkpoint, version=VERSION)
        except OSError as error:
            self._log.warning("what was spent cannot be saved; the next start reads the journal", reason=str(error))

    # ------------------------------------------------------------------------------------------------ time

    def _today(self) -> str:
        now = time.localtime(self._clock() // 1_000_000_000)
        date = (now.tm_year, now.tm_mon, now.tm_mday)
        if date != self._date:
            self._date, self._day = date, f"{now.tm_year:04d}-{now.tm_mon:02d}-{now.tm_mday:02d}"
        return self._day

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _change_seen(self) -> None:
        await self._changed.wait()


def _local_day(time_: str) -> str:
    """Return the day of this computer's clock on which something was told; nothing for what is no time."""
    try:
        return datetime.fromisoformat(time_).astimezone().date().isoformat()
    except (ValueError, OverflowError):
        return ""
