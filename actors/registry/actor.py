"""The shell around the fold: the feed in, effects out, commands answered.

Theory of operation
-------------------
The registry keeps nothing on disk: every start folds the journal from its first event. While it catches up it announces
nothing; what the fold owes at the end of the journal (``pending``) is exactly what was not announced before, whatever
instant the former incarnation died at. From then on each event's effects are published as they fall due. An effect keeps
its id, so one that is published twice is recorded once.

READY is said when the journal is folded, or after ``READY_SECONDS`` of catching up, together with a status that says so.
An answer waits up to ``ANSWER_SECONDS`` for the end of catching up; ``as_of`` always names the position that it reflects.
Folding gives way to the event loop after ``BATCH`` events, so that beats and answers are never late by more than that.

Must not know the rules of the fold or the wire of the bus.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import anyio
import anyio.lowlevel

from actors.registry.fold import Effect, State, fold, pending, take
from actors.registry.ledger_rows import Question, usage_table
from actors.registry.prices import PriceList
from actors.registry.quotas import quota_rows
from actors.registry.rows import AmbiguousSessionError, UnknownSessionError, as_of, explain, resolve, table
from actors.runtime.actor import Actor
from bus.client import CaughtUp, Client, Gap, RefusedError, connect
from bus.protocol import MAX_ANSWER
from bus.source import Source, rfc3339
from schemas.codec import encode
from schemas.commands import ExplainSession, ListQuotas, ListSessions, ListUsage
from schemas.envelope import Recorded
from schemas.provider_rows import QuotaTable, UsageTable
from schemas.rows import Explanation, SessionTable

READY_SECONDS: Final = 0.3
ANSWER_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
BATCH: Final = 500
LINGER_SECONDS: Final = 0.1  # announcements of this time are published together
MAX_ROWS: Final = 2_000  # the most recently seen; the others are counted in the answer
MAX_WAITING: Final = 10_000  # effects not yet published; folding waits when there are more
_PUBLISHED_AT_ONCE: Final = 256
_REMEMBERED: Final = 4_096


class Announcements:
    """Effects on their way to the journal: each once, in order, as long as this process lives."""

    def __init__(self) -> None:
        self._waiting: dict[str, Effect] = {}
        self._sent: dict[str, None] = {}
        self._changed = anyio.Event()
        self._shorter = anyio.Event()

    def add(self, effects: Iterable[Effect]) -> None:
        """Put effects in line, except those that are in it or were published."""
        for effect in effects:
            if effect.id not in self._sent:
                self._waiting[effect.id] = effect  # of two statuses that follow the same one, the newer
                self._changed.set()

    def forget(self) -> None:
        """Drop everything: the journal is another one."""
        self._waiting.clear()
        self._sent.clear()
        self._shorter.set()

    async def some(self) -> list[Effect]:
        """Wait for effects, and a moment for more that come together with them; return the first ones."""
        while not self._waiting:
            self._changed = anyio.Event()
            await self._changed.wait()
            await anyio.sleep(LINGER_SECONDS)
        return list(self._waiting.values())[:_PUBLISHED_AT_ONCE]

    def done(self, effects: Iterable[Effect]) -> None:
        """Take published effects out of the line."""
        for effect in effects:
            if self._waiting.pop(effect.id, None) is not None:
                self._sent[effect.id] = None
        while len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        self._shorter.set()

    async def room(self) -> None:
        """Wait while the line is too long."""
        while len(self._waiting) >= MAX_WAITING:
            self._shorter = anyio.Event()
            await self._shorter.wait()


class Registry:
    """One registry on one connection to the bus."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._source: Source = actor.source
        self._log = actor.log
        self._announcements = Announcements()
        self._publishing = True
        self._unread = 0
        self._prices = PriceList(actor.paths, actor.config)
        self.state = State()
        self.caught_up = anyio.Event()

    async def begin(self, client: Client) -> None:
        """Say READY, and until the journal is folded that it is not yet."""
        with anyio.move_on_after(READY_SECONDS):
            await self.caught_up.wait()
        late = not self.caught_up.is_set()
        self._actor.ready(position=self.state.position, head=client.head)
        if late:
            self._actor.status("degraded", f"catching up: position {self.state.position} of {client.head}")
            await self.caught_up.wait()
            self._actor.status("ready", self._note())

    async def follow(self, client: Client) -> None:
        """Fold the feed, for ever."""
        folded = 0
        async with client.feed(0) as feed:
            async for told in feed:
                if isinstance(told, Recorded):
                    if self.caught_up.is_set():
                        self._announcements.add(fold(self.state, told))
                    else:
                        take(self.state, told)
                elif isinstance(told, CaughtUp):
                    self._announcements.add(pending(self.state))
                    self.caught_up.set()
                else:
                    self._miss(told)
                folded += 1
                if folded % BATCH == 0:
                    await anyio.lowlevel.checkpoint()
                await self._announcements.room()

    async def announce(self, client: Client) -> None:
        """Publish what the fold owes, for ever; wait and repeat while the broker takes no events."""
        while True:
            effects = await self._announcements.some()
            envelopes = [
                self._source.envelope(effect.subject, effect.data, id=effect.id, causationid=effect.cause) for effect in effects
            ]
            try:
                await client.publish(envelopes)
            except RefusedError as error:
                self._refused(effects, error)
                await anyio.sleep(RETRY_SECONDS)
            else:
                self._announcements.done(effects)
                if not self._publishing:
                    self._publishing = True
                    self._actor.status("ready", self._note())

    async def list_sessions(self, command: ListSessions) -> SessionTable:
        """Answer with the table, the most recently seen first, as many as fit."""
        del command
        await self._wait_for_catching_up()
        limit = MAX_ROWS
        while True:
            now = rfc3339(self._actor.clock())
            told = table(self.state, now, as_of(self.state, now), limit)
            if len(encode(told)) <= MAX_ANSWER or limit == 1:
                return told
            limit = max(1, limit // 2)
            await anyio.lowlevel.checkpoint()

    async def explain_session(self, command: ExplainSession) -> Explanation:
        """Answer with the evidence behind one session.

        Raises:
            RefusedError: no session (``not_found``) or several (``ambiguous``) have this prefix.

        """
        await self._wait_for_catching_up()
        now = rfc3339(self._actor.clock())
        try:
            return explain(self.state, command.session, now)
        except UnknownSessionError as error:
            raise RefusedError("not_found", str(error)) from error
        except AmbiguousSessionError as error:
            raise RefusedError("ambiguous", str(error)) from error

    async def list_usage(self, command: ListUsage) -> UsageTable:
        """Answer with the ledger at the prices that are configured now, as many rows as fit.

        Raises:
            RefusedError: the session that it is asked of is none (``not_found``) or several (``ambiguous``).

        """
        prices = await self._prices.now()
        await self._wait_for_catching_up()
        try:
            session = command.session if command.session in self.state.sessions else ""
            if command.session and not session:
                session = resolve(self.state, command.session)
        except UnknownSessionError as error:
            raise RefusedError("not_found", str(error)) from error
        except AmbiguousSessionError as error:
            raise RefusedError("ambiguous", str(error)) from error
        limit, audit = MAX_ROWS, command.audit
        while True:
            question = Question(command.by, command.since, session, audit)
            at = as_of(self.state, rfc3339(self._actor.clock()))
            told = usage_table(self.state, question, prices.tables, at, limit)
            told = replace(told, prices=prices.problem)
            if len(encode(told)) <= MAX_ANSWER or limit == 1:
                return told
            limit, audit = max(1, limit // 2), audit // 2
            await anyio.lowlevel.checkpoint()

    async def list_quotas(self, command: ListQuotas) -> QuotaTable:
        """Answer with every quota window as it is now."""
        del command
        await self._wait_for_catching_up()
        now = rfc3339(self._actor.clock())
        return QuotaTable(as_of=as_of(self.state, now), quotas=quota_rows(self.state.quotas, now))

    async def _wait_for_catching_up(self) -> None:
        with anyio.move_on_after(ANSWER_SECONDS):
            await self.caught_up.wait()

    def _miss(self, gap: Gap) -> None:
        """Say what of the journal could not be folded. What retention removed is no loss; its conclusions are kept."""
        if gap.reason == "new_epoch":
            self._log.warning("the journal is another one; beginning again", epoch=gap.epoch)
            self._announcements.forget()
            self.state = State()
            self.caught_up = anyio.Event()
        elif gap.reason != "trimmed":
            self._unread += gap.last - gap.first + 1
            self._log.warning("events could not be read", first=gap.first, last=gap.last, reason=gap.reason, detail=gap.detail)
            self._actor.status("ready", self._note())

    def _refused(self, effects: list[Effect], error: RefusedError) -> None:
        """Keep what the broker may take later; drop, loudly, what it never will."""
        never = {one.index: one for one in error.refused if one.code in {"invalid", "too_large"}}
        for index, one in never.items():
            self._log.error("an announcement was refused for good", type=effects[index].data.TYPE, reason=one.message)
        refused = {one.index for one in error.refused}
        taken = range(len(effects)) if error.refused else ()
        self._announcements.done(effects[index] for index in taken if index not in refused or index in never)
        self._publishing = False
        self._actor.status("degraded", f"announcements wait: {error}")

    def _note(self) -> str:
        return f"{self._unread} events of the journal could not be read" if self._unread else ""


async def serve(actor: Actor) -> None:
    """Be the registry until told to stop."""
    registry = Registry(actor)
    answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
        ListSessions: registry.list_sessions,
        ExplainSession: registry.explain_session,
        ListUsage: registry.list_usage,
        ListQuotas: registry.list_quotas,
    }
    async with connect(actor.connection(), serve=answers) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(registry.follow, client)
        tasks.start_soon(registry.announce, client)
        tasks.start_soon(registry.begin, client)
        await actor.stopping.wait()
        tasks.cancel_scope.cancel()
