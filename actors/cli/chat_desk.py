"""What a person at a chat means: a line is a message, a slash command, or the answer to what the agent asks. Pure.

While the agent asks, a line is an answer or nothing: a message typed by mistake must not wait behind the question, and no
word but the ones that are shown answers it. ``//`` in front sends a line that begins with a slash (agents have slash commands
of their own). Must not know sessions, terminals or the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from actors.cli.chat_pieces import View, answer_of, choices
from schemas.content import ApprovalRequested

TWICE_SECONDS: Final = 2.0
SHOWN_TURNS: Final = 10
MAX_TURNS: Final = 200

HELP: Final = """\
/help             this
/model [NAME]     the model from the next turn on; alone: provider, model and mode as they are
/provider [NAME]  where requests go from the next turn on; - gives up the session's own
/mode [NAME]      how much the agent may do unasked
/approve [ANSWER] answer what the agent asks; alone: show it again
/interrupt        stop the running turn (Ctrl-C does, too)
/history [N]      the last N turns
/clear            begin a new conversation
/fork             start another session that begins with this conversation
/close            end the agent and leave
/quit             leave; the session goes on (Ctrl-D does, too)
//…               a message that begins with a slash"""


@dataclass(frozen=True, slots=True)
class Send:
    """Give the agent a message."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer what it asks."""

    approval: str
    option: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Change provider, model or mode; None leaves one."""

    provider: str | None = None
    model: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class ShowTurns:
    """Show the last turns once more."""

    count: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Say this: what was typed cannot be done, or it only asked."""

    text: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class Do:
    """What needs no more words."""

    what: Literal["clear", "fork", "interrupt", "close", "leave", "settings", "questions", "nothing", "rub_out"]


Action = Send | Answer | Change | ShowTurns | Tell | Do


def read_line(text: str, asked: Sequence[ApprovalRequested]) -> Action:
    """Understand a line."""
    if not text.strip():
        return Do("nothing")
    if text.startswith("//"):
        return Send(text[1:]) if not asked else _answer(text, asked)
    if not text.startswith("/"):
        return Send(text) if not asked else _answer(text, asked)
    name, _, rest = text[1:].strip().partition(" ")
    command = _COMMANDS.get(name)
    if command is None:
        return Tell(f"/{name} is no command here: /help lists them, //{name} … sends it to the agent", error=True)
    return command(rest.strip(), asked)


def interrupted(last: float | None, now: float, *, running: bool, typed: bool) -> tuple[Action, float | None]:
    """Understand Ctrl-C: rub out what is typed, or else stop the turn; once more within two seconds leaves.

    ``last`` is the time of the one before; the second value is that for the next.
    """
    if typed:
        return Do("rub_out"), None
    if last is not None and now - last <= TWICE_SECONDS:
        return Do("leave"), None
    if running:
        return Do("interrupt"), now
    return Tell("nothing runs; Ctrl-C once more leaves, the session goes on"), now


def lead(view: View) -> str:
    """Return what stands in front of the line that is typed: who listens, and what they are at."""
    if view.approvals:
        return f"{'/'.join(key for key, _ in choices(view.approvals[0]))}> "
    if view.status == "idle":
        return f"{view.agent}> "
    return f"{view.agent} ({view.status.replace('_', ' ')})> "


def _answer(text: str, asked: Sequence[ApprovalRequested]) -> Action:
    option = answer_of(asked[0], text)
    if option is not None:
        return Answer(asked[0].approval, option.id)
    keys = ", ".join(key for key, _ in choices(asked[0]))
    return Tell(f"the agent waits for an answer: {keys} (/approve shows what it asks)", error=True)


def _approve(rest: str, asked: Sequence[ApprovalRequested]) -> Action:
    if not asked:
        return Tell("the agent asks nothing", error=True)
    return _answer(rest, asked) if rest else Do("questions")


def _history(rest: str, _: Sequence[ApprovalRequested]) -> Action:
    if not rest:
        return ShowTurns(SHOWN_TURNS)
    if rest.isascii() and rest.isdecimal() and 0 < len(rest) < len(str(MAX_TURNS)) + 1 and 0 < int(rest) <= MAX_TURNS:
        return ShowTurns(int(rest))
    return Tell(f"/history {rest}: expected a number from 1 to {MAX_TURNS}", error=True)


def _setting(name: str) -> Callable[[str, Sequence[ApprovalRequested]], Action]:
    def change(rest: str, _: Sequence[ApprovalRequested]) -> Action:
        if not rest:
            return Do("settings")
        if " " in rest:
            return Tell(f"/{name} {rest}: expected one word", error=True)
        if rest == "-" and name != "provider":
            return Tell(f"/{name} -: only a provider can be given up", error=True)
        return Change(**{name: "" if rest == "-" else rest})

    return change


def _plain(action: Action, name: str) -> Callable[[str, Sequence[ApprovalRequested]], Action]:
    def act(rest: str, _: Sequence[ApprovalRequested]) -> Action:
        return action if not rest else Tell(f"/{name} stands alone", error=True)

    return act


_COMMANDS: Final[Mapping[str, Callable[[str, Sequence[ApprovalRequested]], Action]]] = {
    "help": lambda _, __: Tell(HELP),
    "approve": _approve,
    "history": _history,
    **{name: _setting(name) for name in ("model", "provider", "mode")},
    **{name: _plain(Do(name), name) for name in ("clear", "fork", "interrupt", "close")},
    "quit": _plain(Do("leave"), "quit"),
    "exit": _plain(Do("leave"), "exit"),
}
