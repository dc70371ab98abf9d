"""``tabwire chat``: starts a driven session or finds one, then lets a person or a program talk with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from actors.cli import bus
from actors.cli.chat_session import SLOW_SECONDS, ask
from actors.cli.failures import USAGE, CommandFailedError, explain_failure
from actors.cli.output import say
from actors.cli.variables import own_variables
from bus.client import Client
from bus.errors import BusError
from schemas.bridge_rows import BridgeRow
from schemas.commands.bridges import AttachSession, CloseSession, StartSession

DEFAULT_AGENT: Final = "codex"
MAX_PROMPT: Final = 4 << 20


class Start(NamedTuple):
    """What a new session is to be; None is left to the agent, to Tabwire, or to this folder."""

    agent: str | None = None
    provider: str | None = None
    model: str | None = None
    mode: str | None = None
    cwd: str | None = None
    resume: str | None = None
    program: str | None = None
    variables: Sequence[str] = ()
    arguments: Sequence[str] = ()

    @property
    def wanted(self) -> bool:
        """Whether anything is said of a new session at all."""
        return any(one for one in self)


def chat(words: Sequence[str], start: Start, *, json: bool, keep: bool) -> int:
    """Talk with a new session, or with that which the first word names; return the exit code."""
    session, prompt = read_words(words, start)
    person = not json and sys.stdin.isatty() and sys.stdout.isatty()
    if person:
        _refuse_terminal(os.environ)
    elif not prompt and not (json and session and sys.stdin.isatty()):
        prompt = _read_prompt()
        if not prompt and not (json and session):
            raise CommandFailedError("no prompt: give one as an argument or on stdin", USAGE)
    row = _find(session) if session else _begin(start)
    if person:
        return _converse(row, prompt)
    from actors.cli.chat_once import answer, follow  # noqa: PLC0415 - a person at a terminal needs the other one

    if not prompt:
        return follow(row)
    try:
        return answer(row, prompt, json=json)
    finally:
        if not session and not keep:
            _close(row)


def read_words(words: Sequence[str], start: Start) -> tuple[str, str]:
    """Tell which session is meant (empty: a new one) and what is asked.

    Raises:
        CommandFailedError: there are more words than that.

    """
    most = 1 if start.wanted else 2
    if len(words) > most:
        said = "a prompt, since a new session is wanted" if start.wanted else "a session and a prompt"
        raise CommandFailedError(f"chat: {len(words)} words, expected {said}; quote a prompt of several words", USAGE)
    if start.wanted:
        return "", words[0] if words else ""
    return words[0] if words else "", words[1] if len(words) > 1 else ""


def _begin(start: Start) -> BridgeRow:
    cwd = Path(start.cwd or ".").expanduser()
    if not cwd.is_dir():
        raise CommandFailedError(f"--cwd {cwd}: there is no such folder", USAGE)
    agent = start.agent or DEFAULT_AGENT
    command = StartSession(
        agent=agent,
        cwd=os.path.realpath(cwd),
        provider=start.provider or "",
        model=start.model or "",
        mode=start.mode or "",
        resume=start.resume or "",
        program="" if start.program is None else os.path.abspath(Path(start.program).expanduser()),  # noqa: PTH100 - links stay
        arguments=tuple(start.arguments),
        environ=own_variables(os.environ, start.variables),
    )
    return bus.with_client(lambda client: _asked(client, command))


async def _asked(client: Client, command: StartSession | CloseSession) -> BridgeRow:
    row: BridgeRow = await ask(client, command, SLOW_SECONDS)
    return row


def _find(session: str) -> BridgeRow:
    """Find a session that is driven; one whose agent runs in a terminal of the user's is joined there."""

    async def look(client: Client) -> BridgeRow:
        row: BridgeRow = await ask(client, AttachSession(session=session), SLOW_SECONDS)
        return row

    return bus.with_client(look)


def _close(row: BridgeRow) -> None:
    try:
        bus.with_client(lambda client: _asked(client, CloseSession(session=row.launch)))
    except (BusError, CommandFailedError) as error:
        say(f"{row.launch} was not ended: {explain_failure(error)[0]}")


def _converse(row: BridgeRow, prompt: str) -> int:
    from actors.cli.chat_tty import converse  # noqa: PLC0415 - needs a terminal

    if not converse(row, prompt):
        ends = "ends it" if row.attached is None else "leaves it to its own terminal"
        say(f"the session goes on: tabwire chat {row.launch} comes back to it, tabwire bridges close {row.launch} {ends}")
    return 0


def _refuse_terminal(environ: Mapping[str, str]) -> None:
    """Refuse what cannot be talked at, before anything is started."""
    if sys.platform == "win32" or environ.get("TERM", "dumb") == "dumb":
        raise CommandFailedError(
            "a conversation needs a POSIX terminal that can move its cursor; here only a prompt through a pipe works: "
            "echo 'say hi' | tabwire chat --agent codex",
        )


def _read_prompt() -> str:
    raw = sys.stdin.buffer.read(MAX_PROMPT + 1)
    if len(raw) > MAX_PROMPT:
        raise CommandFailedError(f"the prompt on stdin is longer than {MAX_PROMPT >> 20} MiB", USAGE)
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise CommandFailedError(f"the prompt on stdin is not UTF-8: byte {error.start}", USAGE) from error
