"""The course of one exchange: inputs go into its state machine, outputs are performed, facts are told, waits have their task.

Outputs are performed in order; the last of them may yield the next input. What one callback has to say to the caller leaves in
one write, behind which its facts are told. Whatever breaks here ends this one request.

A shell without sides: ``Performance`` says how each output is performed. Must not know what any of them means.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

from actors.gateway import moves
from actors.gateway.exchange import step
from actors.gateway.server import CallerConnection
from actors.gateway.state import Exchange
from actors.runtime.http.delivery import Delivery
from actors.runtime.http.intake import Request

if TYPE_CHECKING:
    from actors.gateway.conductor import Conductor


class Course(ABC):
    """One exchange under way; ``DO`` says how each kind of output is performed."""

    __slots__ = ("_cause", "_conductor", "_delivery", "_holding", "_line", "_state", "_task")

    DO: ClassVar[dict[type[Any], Callable[[Any, Any], moves.Input | None]]]

    def __init__(self, conductor: Conductor, line: CallerConnection, request: Request) -> None:
        self._conductor = conductor
        self._line = line
        self._delivery = Delivery(line, request)
        self._state: Exchange | None = None
        self._cause: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._holding = False  # more of the same read follows

    @abstractmethod
    def drop_upstream(self) -> None:
        """Close the provider's connection, if there is one."""

    @abstractmethod
    def release(self) -> None:
        """Let everything go that a request holds."""

    @abstractmethod
    def expire(self, now: float) -> None:
        """End what has been waited for for too long."""

    def go_on(self, happened: moves.Input | None) -> None:
        """Tell the machine what happened and do what it says."""
        if happened is not None:
            self.perform(self.step(happened))

    def perform(self, outputs: tuple[moves.Output, ...]) -> None:
        """Perform outputs and what follows from them, as far as nothing has to be waited for."""
        try:
            while outputs:
                happened: moves.Input | None = None
                for output in outputs:
                    happened = self.DO[type(output)](self, output)
                outputs = () if happened is None else self.step(happened)
        except Exception as error:  # noqa: BLE001 - one request breaks, not the gateway; the log says why
            self._break_down(error)
        self.settle()

    def step(self, happened: moves.Input) -> tuple[moves.Output, ...]:
        """Tell the machine what happened and return what it says."""
        if self._state is None:
            return ()
        self._state, outputs = step(self._state, happened)
        return outputs

    def settle(self) -> None:
        """Write what there is to say; after the outcome let everything go."""
        over = self._state is not None and self._state.over
        if over or not self._holding:
            self._delivery.flush()
        if over and self in self._conductor.performances:
            self.drop_task()
            self.drop_upstream()
            self.release()
            self._line.done(keep_alive=self._delivery.keep_alive)

    def wait(self, awaited: Coroutine[Any, Any, moves.Input | None]) -> None:
        """Wait for something in a task of its own; what comes of it goes to the machine."""
        self._task = self._conductor.loop.create_task(self._then(awaited))

    def drop_task(self) -> None:
        """Wait no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def publish(self, output: moves.Publish) -> None:
        """Tell a fact, after the bytes that are on their way."""
        self._conductor.tell_soon(self, output)

    def tell(self, fact: moves.Publish) -> None:
        """Tell it now, as caused by the one before."""
        conductor = self._conductor
        if self._state is not None:
            self._cause = conductor.tell(fact.subject, fact.event, self._state.request, self._cause)
        if conductor.spending.active:
            conductor.spending.told(fact.event)

    def observe(self, output: moves.Observe) -> None:
        """Note what came of an attempt."""
        self._conductor.health_book.observed(output.outcome)

    def own(self, output: moves.Own) -> None:
        """Note who answered a conversation."""
        self._conductor.health_book.owned(output.conversation, output.account)

    def _break_down(self, error: Exception) -> None:
        self._line.log_exception(error)
        for output in self.step(moves.Broke(time.monotonic(), self._delivery.sent)):
            self.DO[type(output)](self, output)

    async def _then(self, awaited: Coroutine[Any, Any, moves.Input | None]) -> None:
        try:
            happened = await awaited
        except Exception as error:  # noqa: BLE001 - as in perform
            self._line.log_exception(error)
            happened = moves.Broke(time.monotonic(), self._delivery.sent)
        self._task = None
        self.go_on(happened)
