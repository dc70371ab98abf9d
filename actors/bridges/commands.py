"""What the hub answers on the bus: each command checked, put to its session, and answered with the row.

Must not know what becomes of a session (``session``), nor how its bridge runs (``shell``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread

from actors.bridges import joining, pasts, relations
from actors.bridges.beginning import begin, check_variables, folder
from actors.bridges.parts import Parts
from actors.bridges.rows import AmbiguousBridgeError, UnknownBridgeError, pending_of, resolve, row_of, table_of
from actors.bridges.shell import Hub, Refused
from actors.bridges.terms import (
    LIVING,
    Answered,
    Changed,
    Cleared,
    Closed,
    Input,
    Interrupted,
    Sent,
    Session,
    Settled,
    Wish,
)
from bus.client import RefusedError, Serve
from schemas.bridge_rows import AgentTable, BridgeRow, BridgeTable, History, Pending
from schemas.commands import (
    AnswerApproval,
    AttachSession,
    ChangeSettings,
    ClearConversation,
    CloseSession,
    ForkSession,
    InterruptTurn,
    ListAgents,
    ListBridges,
    ResetWorkspace,
    ReviewSession,
    SendBack,
    SendMessage,
    ShowHistory,
    ShowPending,
    StartSession,
)

_MOST_ID: Final = 128
_ASKED: Final = "asked to"
_Answer = Callable[[Hub, Any], Awaitable[Any]]


class Commands:
    """The answers of one hub, from the moment that it knows its sessions."""

    def __init__(self) -> None:
        self._hub: Hub | None = None
        self._serving = anyio.Event()
        self._parts = Parts()

    def serve(self, hub: Hub) -> None:
        """Answer for this hub from now on."""
        self._hub = hub
        self._serving.set()

    def answers(self) -> Serve:
        """Return what is answered, and by what."""
        table: dict[type[Any], _Answer] = {
            StartSession: self._start,
            AttachSession: self._attach,
            SendMessage: self._send,
            InterruptTurn: self._interrupt,
            AnswerApproval: self._approve,
            ChangeSettings: self._change,
            ClearConversation: self._clear,
            CloseSession: self._close,
            ResetWorkspace: self._reset,
            ForkSession: self._fork,
            ReviewSession: self._review,
            SendBack: self._send_back,
            ListBridges: self._list,
            ListAgents: self._agents,
            ShowPending: self._pending,
            ShowHistory: self._history,
        }
        return {command: partial(self._answer, answer) for command, answer in table.items()}

    async def _answer(self, answer: _Answer, command: Any) -> Any:
        await self._serving.wait()
        assert self._hub is not None  # noqa: S101 - as ``serve`` made sure
        try:
            return await answer(self._hub, command)
        except Refused as error:
            raise RefusedError(error.code, error.message) from error

    # ------------------------------------------------------------------------------------------------ beginning

    async def _start(self, hub: Hub, command: StartSession) -> BridgeRow:
        wish = Wish(
            agent=command.agent,
            cwd=command.cwd,
            provider=command.provider,
            model=command.model,
            mode=command.mode,
            resume=command.resume.removeprefix(f"{command.agent}:").removeprefix(f"{command.agent}-"),
            program=command.program,
            arguments=command.arguments,
            environ=command.environ,
        )
        with hub.lull.asking():
            return row_of(await begin(hub, wish))

    async def _attach(self, hub: Hub, command: AttachSession) -> BridgeRow:
        return row_of(await joining.attach(hub, command.session))

    # ------------------------------------------------------------------------------------------------ talking

    async def _send(self, hub: Hub, command: SendMessage) -> BridgeRow:
        session = find(hub, command.session)
        if not (command.message.isprintable() and 0 < len(command.message) <= _MOST_ID):
            raise RefusedError("invalid", f"message: expected 1 to {_MOST_ID} printable characters that name it")
        text = self._parts.take(session.launch, command, hub.now().steady)
        if text is None:
            return row_of(session)
        given = partial(Sent, message=command.message, text=text, by=command.by)
        return row_of(await hub.ask(session.launch, lambda ask: given(ask=ask)))

    async def _interrupt(self, hub: Hub, command: InterruptTurn) -> BridgeRow:
        return await _put(hub, command.session, lambda ask: Interrupted(ask=ask, queued=command.queued))

    async def _approve(self, hub: Hub, command: AnswerApproval) -> BridgeRow:
        given = partial(Answered, approval=command.approval, option=command.option, by=command.by)
        return await _put(hub, command.session, lambda ask: given(ask=ask))

    async def _clear(self, hub: Hub, command: ClearConversation) -> BridgeRow:
        _check_can(find(hub, command.session), "clear")
        return await _put(hub, command.session, Cleared)

    async def _change(self, hub: Hub, command: ChangeSettings) -> BridgeRow:
        """Have the gateway change the provider, and the agent its model and mode; a model that it cannot change is pinned."""
        session = find(hub, command.session)
        by_agent = command.model if "set_model" in session.can else None
        if command.mode is not None:
            _check_can(session, "set_mode")
        if command.provider is not None or (command.model is not None and by_agent is None):
            session = await _settle(hub, session, command.provider, None if by_agent is not None else command.model)
        if by_agent is not None or command.mode is not None:
            changed = partial(Changed, model=by_agent, mode=command.mode)
            session = await hub.ask(session.launch, lambda ask: changed(ask=ask))
        return row_of(session)

    # ------------------------------------------------------------------------------------------------ ending

    async def _close(self, hub: Hub, command: CloseSession) -> BridgeRow:
        return row_of(await _end(hub, find(hub, command.session), _ASKED))

    async def _reset(self, hub: Hub, command: ResetWorkspace) -> BridgeTable:
        cwd = await anyio.to_thread.run_sync(folder, command.cwd)
        chosen = [
            one
            for one in hub.sessions.values()
            if one.phase in LIVING and one.wish.cwd == cwd and command.agent in ("", one.wish.agent)
        ]
        busy = [one.session for one in chosen if one.running is not None or one.messages]
        if busy and not command.force:
            works = "one session works" if len(busy) == 1 else f"{len(busy)} sessions work"
            raise RefusedError("in_use", f"{works} in {cwd}: {', '.join(busy)}; wait, or use --force, which stops them")
        async with anyio.create_task_group() as tasks:
            for one in chosen:
                tasks.start_soon(_end, hub, one, "its workspace was reset")
        return table_of(hub.sessions[one.launch] for one in chosen)

    # ------------------------------------------------------------------------------------------------ relations

    async def _fork(self, hub: Hub, command: ForkSession) -> BridgeRow:
        return row_of(await relations.fork(hub, find(hub, command.session)))

    async def _review(self, hub: Hub, command: ReviewSession) -> BridgeRow:
        return row_of(await relations.start_review(hub, command))

    async def _send_back(self, hub: Hub, command: SendBack) -> BridgeRow:
        return row_of(await relations.send_back(hub, find(hub, command.session)))

    # ------------------------------------------------------------------------------------------------ looking

    async def _list(self, hub: Hub, _: ListBridges) -> BridgeTable:
        return table_of(one for one in hub.sessions.values() if one.phase in LIVING)

    async def _agents(self, hub: Hub, command: ListAgents) -> AgentTable:
        check_variables(command.environ)
        return await hub.agents.table(hub.config.terminals, command.environ)

    async def _pending(self, hub: Hub, command: ShowPending) -> Pending:
        return pending_of(find(hub, command.session))

    async def _history(self, hub: Hub, command: ShowHistory) -> History:
        one = await pasts.known(hub, command.session)
        return await pasts.show(one, limit=command.limit, before=command.before)


def find(hub: Hub, prefix: str) -> Session:
    """Find the session that a prefix names.

    Raises:
        RefusedError: none, or several.

    """
    try:
        return resolve(hub.sessions.values(), prefix)
    except UnknownBridgeError as error:
        raise RefusedError("not_found", str(error)) from error
    except AmbiguousBridgeError as error:
        raise RefusedError("ambiguous", str(error)) from error


async def _put(hub: Hub, prefix: str, build: Callable[[int], Input]) -> BridgeRow:
    return row_of(await hub.ask(find(hub, prefix).launch, build))


async def _end(hub: Hub, session: Session, reason: str) -> Session:
    """End a session, and forget it before anybody is told: a hub that dies now must not take it up again."""
    over = await hub.ask(session.launch, lambda ask: Closed(ask=ask, reason=reason))
    await hub.keeping.saved(session.launch)
    return over


async def _settle(hub: Hub, session: Session, provider: str | None, model: str | None) -> Session:
    """Have the gateway route a session otherwise; say so on its stream."""
    reason = ""
    try:
        await hub.launches.follow(session.launch, free=provider == "")
    except OSError as error:
        raise RefusedError("not_writable", f"its launch cannot be written down: {error}") from error
    session = hub.sessions[session.launch]
    if provider == "" and not model:
        await hub.pins.remove(session.session)
    else:
        wanted = provider or session.provider
        if not wanted:
            wanted = await hub.pins.provider_of(session.session, session.wish.cwd, hub.launches.of(session.launch))
        if not wanted:
            raise RefusedError("no_provider", "no provider serves this session now; name one")
        kept = model if model is not None else ("" if "set_model" in session.can else session.model)
        await hub.pins.set(session.session, wanted, kept)
        provider = wanted if provider is not None else None
        if model is not None:
            reason = f"{session.wish.agent} cannot change its model while it runs: the gateway does"
    hub.take(session.launch, Settled(provider=provider, model=model, reason=reason))
    return hub.sessions[session.launch]


def _check_can(session: Session, ability: str) -> None:
    if ability not in session.can:
        what = ", ".join(session.can) or "nothing of the kind"
        raise RefusedError("unsupported", f"{session.wish.agent} cannot {ability.replace('_', ' ')}; it can: {what}")
