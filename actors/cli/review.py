"""``tabwire review``: another agent looks at the work of a session, its findings go back, the review ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.cli import bus
from actors.cli.chat_session import SLOW_SECONDS, ask
from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.output import say, show, show_json
from schemas.bridge_rows import BridgeRow
from schemas.commands.bridges import CloseSession, ReviewSession, SendBack, ShowPending

if TYPE_CHECKING:
    from bus.client import Client
    from schemas.bridge_rows import Pending


def start(command: ReviewSession, *, json: bool) -> int:
    """Start a review and print it as it comes; return the exit code that its outcome asks for."""
    row: BridgeRow = _ask(command)
    say(f"{row.launch} reviews {row.parent or command.session}; Ctrl-C leaves it to itself")
    from actors.cli.chat_once import watch  # noqa: PLC0415 - only here

    code = watch(row, json=json)
    say(f"tabwire review send-back {row.launch} gives it to the session, tabwire chat {row.launch} talks about it,")
    say(f"tabwire review delete {row.launch} ends it")
    return code


def send_back(review: str, *, json: bool) -> None:
    """Give the findings of a review to the session that it reviews."""
    row: BridgeRow = _ask(SendBack(session=review))
    if json:
        show_json(row)
    else:
        show(f"{row.session} was given the findings; watch it with: tabwire chat {row.launch}")


def delete(review: str, *, json: bool) -> None:
    """End a review, and nothing that is none.

    Raises:
        CommandFailedError: it is another kind of session.

    """
    pending: Pending = _ask(ShowPending(session=review))
    row = pending.bridge
    if row.relation != "reviews":
        raise CommandFailedError(f"{row.session} is no review; tabwire bridges close {row.launch} ends it all the same", USAGE)
    ended: BridgeRow = _ask(CloseSession(session=row.launch))
    if json:
        show_json(ended)
    else:
        show(f"{ended.session} has ended")


def _ask(command: Any) -> Any:
    async def exchange(client: Client) -> Any:
        return await ask(client, command, SLOW_SECONDS)

    return bus.with_client(exchange)
