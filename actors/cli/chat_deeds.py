"""What is asked of the hub when somebody at a chat, or a command, wants something done; and what to say of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from actors.cli.chat_desk import Action, Answer, Change, Do, Send
from actors.cli.chat_session import QUICK_SECONDS, SLOW_SECONDS, ask, ask_patiently, new_message, own_name, send
from actors.cli.chat_text import unbroken
from bus.client import Client
from schemas.bridge_rows import BridgeRow, History
from schemas.commands.bridges import (
    AnswerApproval,
    ChangeSettings,
    ClearConversation,
    CloseSession,
    ForkSession,
    InterruptTurn,
    ShowHistory,
)

_COMMANDS: Final[Mapping[str, Callable[..., Any]]] = {
    "interrupt": InterruptTurn,
    "clear": ClearConversation,
    "fork": ForkSession,
    "close": CloseSession,
}


async def carry_out(client: Client, session: str, action: Action) -> str:
    """Do what was asked for; return what to say of it, where the stream does not tell."""
    if isinstance(action, Send):
        await send(client, session, action.text, new_message())
        return ""
    command, deadline = _command(session, action)
    if command is None:
        return ""
    twice = isinstance(command, AnswerApproval | ChangeSettings | InterruptTurn)
    row: BridgeRow = await (ask_patiently if twice else ask)(client, command, deadline)
    return f"forked; talk to it with: tabwire chat {row.launch}" if isinstance(command, ForkSession) else ""


async def turns(client: Client, session: str, count: int) -> History:
    """Ask for the last completed turns."""
    history: History = await ask(client, ShowHistory(session=session, limit=count), SLOW_SECONDS)
    return history


def footer(history: History) -> str:
    """Say where a history is from, and whether there is more of it."""
    if not history.turns:
        return f"no past turns{f': {unbroken(history.note)}' if history.note else ''}"
    source = {"transcript": "the agent's own transcript", "bridge": "what was seen since it was started", "none": "nowhere"}
    more = "; there are earlier ones (/history N)" if history.before else ""
    return f"from {source[history.source]}{more}{f'; {unbroken(history.note)}' if history.note else ''}"


def heading(row: BridgeRow) -> str:
    """Say which session this is."""
    about = [row.agent, row.provider and f"provider {row.provider}", row.model and f"model {row.model}", row.mode]
    return f"{row.session}: {', '.join(unbroken(one) for one in about if one)}, in {unbroken(row.cwd)} (/help, /quit)"


def _command(session: str, action: Action) -> tuple[Any, float]:
    match action:
        case Answer(approval=approval, option=option):
            return AnswerApproval(session=session, approval=approval, option=option, by=own_name()), QUICK_SECONDS
        case Change(provider=provider, model=model, mode=mode):
            return ChangeSettings(session=session, provider=provider, model=model, mode=mode), SLOW_SECONDS
        case Do(what=what) if what in _COMMANDS:
            return _COMMANDS[what](session=session), SLOW_SECONDS
    return None, QUICK_SECONDS
