"""Codex joined where it runs: what a second client of somebody else's app-server does otherwise than one of its own. Pure.

Theory of operation
-------------------
The server is the user's, with the user's TUI beside us (``actors.attach`` stands between). Facts, all tried with Codex 0.169.0:

* ``thread/resume`` of a thread that the server has loaded changes nothing for others and subscribes us: all of every turn comes
  live, whoever began it. We ask for what is loaded first, so that we load nothing that nobody else uses.
* A turn of ours shows in the TUI like one typed there. A ``turn/start`` while a turn runs is added to that turn (the answer
  names it), so messages wait for its end as always, and one that crosses with the user's becomes part of the user's turn.
* Who joins in the middle of a turn gets what follows; ``thread/turns/list`` has the items that were complete. Pieces of a text
  whose beginning was missed are left out: the whole comes when it is complete.
* A question goes to every client, also to one that comes later; the first answer holds, ``serverRequest/resolved`` tells the
  others, a late one does nothing. So what nobody *here* answers is left to the TUI, never denied in its stead.
* The server writes the name of the client that came last into the user agent of all its later model requests, save the name of
  Codex's own check of its daemon. We introduce ourselves by that name, so that joining leaves no trace.
* When the last client leaves, the thread goes on: a detached turn runs to its end.

Must not know pipes, sockets, the other client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from actors.bridge.adapter import Beginning, Command, Fail, Note, Output, Say, Woke
from actors.bridge.codex.items import TEXTS, prompt_of, text_completed, tool_ended, tool_started
from actors.bridge.codex.state import Errand, Session, Step, Turn, asking
from actors.bridge.codex.wire import rows, table, text
from actors.launch.plan import LaunchRefusedError
from schemas.bridge_rows import Ability

LEFT: Final = "tabwire/left"
CAN: Final[frozenset[Ability]] = frozenset(("interrupt", "approve", "set_model", "set_mode", "review", "history"))
CLIENT: Final = {"name": "codex_app_server_daemon", "title": None, "version": "0.169.0"}
_MOST_LOADED: Final = 10_000


def plan(beginning: Beginning) -> Command:
    """Return what stands in the agent's place.

    Raises:
        LaunchRefusedError: Codex is not joined in this way.

    """
    attach = beginning.attach
    if attach is None or attach.channel != "app-server":
        raise LaunchRefusedError("Codex is joined over the control socket of its app-server")
    argv = (beginning.program, "-I", "-m", "actors.attach", attach.channel, attach.socket, str(attach.process.pid))
    return Command(argv=argv)


def ask_for_loaded(state: Session) -> Step:
    """Ask which threads the server has."""
    state, write = asking(state, Errand(purpose="loaded"), "thread/loaded/list", {"limit": _MOST_LOADED})
    return state, (write,)


def join(state: Session, loaded: Mapping[str, Any]) -> Step:
    """Join the thread, if the server has it."""
    thread = state.beginning.resume
    if thread not in rows(loaded, "data"):
        said = f"Codex's server does not have the conversation {thread} any more; open it in Codex again, or resume it"
        return state, (Fail(code="not_there", message=said, resumable=False),)
    params = {"threadId": thread, "excludeTurns": True}
    state, write = asking(state, Errand(purpose="open"), "thread/resume", params)
    return state, (write,)


def look_under_way(state: Session) -> Step:
    """Ask what the running turn has shown so far."""
    params = {"threadId": state.thread, "limit": 1, "itemsView": "full"}
    state, write = asking(state, Errand(purpose="under_way"), "thread/turns/list", params)
    return state, (write,)


def under_way(state: Session, listed: Mapping[str, Any]) -> Step:
    """Take the running turn as far as it has come; there is none if it has ended meanwhile."""
    newest = next((row for row in rows(listed, "data") if isinstance(row, dict)), {})
    name = text(newest, "id")
    if not name or text(newest, "status") != "inProgress" or (state.turn is not None and state.turn.id != name):
        return state, ()
    state, outputs = wake(state, name)
    turn = state.turn
    for item in rows(newest, "items"):
        if turn is not None and isinstance(item, dict) and text(item, "id") not in turn.done:
            turn, told = _shown(turn, item)
            outputs = (*outputs, *told)
    return replace(state, turn=turn), outputs


def wake(state: Session, name: str) -> Step:
    """Know that a turn runs which began before we came."""
    if state.turn is not None:
        return state, ()
    return replace(state, turn=Turn(name=name, id=name, before=state.total, joined=True)), (Woke(turn=name),)


def _shown(turn: Turn, item: Mapping[str, Any]) -> tuple[Turn, tuple[Output, ...]]:
    """Show an item that was complete before we came."""
    kind, name = text(item, "type"), text(item, "id")
    if kind == "userMessage":
        pieces = tuple(prompt_of(turn.name, item))
    elif kind in TEXTS:
        pieces = tuple(text_completed(turn.name, item, 0))
    else:
        found = (tool_started(turn.name, item), tool_ended(turn.name, item))
        pieces = tuple(piece for piece in found if piece is not None)
    return replace(turn, done=turn.done | {name}), tuple(Say(piece) for piece in pieces)


def left(state: Session, params: Mapping[str, Any]) -> Step:
    """End with the server: nobody is there any more to be joined."""
    reason = text(params, "reason") or "it gave no reason"
    message = f"Codex's server is gone, or cannot be reached: {reason}"
    return state, (Fail(code="agent_gone", message=message, resumable=False),)


def left_to_the_user(state: Session, what: str) -> Step:
    """Leave a question to the client that can answer it."""
    return state, (Note(f"{what} is left to the user's own terminal"),)


def interrupted(state: Session) -> bool:
    """Tell whether we asked for the end of the running turn."""
    turn = state.turn
    return turn is not None and any(one.purpose == "interrupt" and one.turn == turn.name for one in state.errands.values())


def is_active(thread: Mapping[str, Any]) -> bool:
    """Tell whether a turn runs in a thread."""
    return text(table(thread, "status"), "type") == "active"
