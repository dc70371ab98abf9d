"""Over which channel an agent that runs in the user's own terminal can be joined, or why over none: evidence in, answer out.

Theory of operation
-------------------
Only exact keys lead to a channel: the conversation's own id, the process that the kernel proved to have it, and what that
process was started with. "The only Codex that runs" is nobody. A refusal says what is missing and what to do.

* Codex' **shared daemon**, or an app-server that listens on a socket: who connects there is a client like the TUI, and sees the
  same conversation live (``app-server``). The daemon's socket lies in its home, ``CODEX_HOME`` or ``~/.codex``, which is the
  same for every TUI that it serves; ``--listen unix://PATH`` names another one.

* A **Codex TUI without the daemon**: Codex's own queue (``queue``) takes a message for a conversation by its id.
* **Claude Code in tmux**: typed into its pane (``tmux``). The terminal that the registry names is a pane of a tmux server, the
  conversation is verified, and the kernel says now that the pane's process is Claude Code, or above it.

Pure. Must not know how the evidence was found, nor what is done over a channel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from actors.probe.codex_words import read_command
from schemas.attachment import Attachment
from schemas.identity import ProcessKey
from schemas.rows import SessionRow

CONTROL_SOCKET: Final = "app-server-control/app-server-control.sock"
_PANE: Final = re.compile(r"tmux:(/[^,]*),(\d{1,10}):(%\d{1,10})")
_RESUME: Final = "when it has ended, take it up with: tabwire chat --agent {agent} --resume {conversation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a session: its row, and its process as it is now. ``unseen`` says why that cannot be looked at.

    ``exe`` is the file of its program; ``not_there`` says why its pane of tmux is not the process's, empty where it is.
    """

    row: SessionRow
    exe: str = ""
    not_there: str = ""
    argv: tuple[str, ...] = field(default=(), repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    unseen: str = ""


class NoChannelError(Exception):
    """There is no exact way to the agent: a code of ours, and a sentence with what is missing and what to do."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def choose(known: Evidence) -> Attachment:
    """Choose the channel.

    Raises:
        NoChannelError: there is none.

    """
    row = known.row
    if row.conversation is None:
        raise NoChannelError(
            "not_identified", f"{row.session}: its conversation is not known yet; give it a first prompt there"
        )
    conversation = row.conversation.partition(":")[2]
    if row.activity == "gone" or row.process is None:
        advice = f"take it up with: tabwire chat --agent {row.agent} --resume {conversation}"
        raise NoChannelError("gone", f"{row.session}: no process has it now; {advice}")
    if row.declared:
        said = "which process has it is only what that process says of itself; one request through the gateway proves it"
        raise NoChannelError("unproven", f"{row.session}: {said}")
    if known.unseen:
        raise NoChannelError("unseen", f"{row.session}: its process cannot be looked at: {known.unseen}")
    if row.agent == "codex" and row.process_kind in ("daemon", "app_server"):
        return Attachment(channel="app-server", process=row.process, socket=_socket(known))
    if row.agent == "codex" and row.process_kind == "tui":
        return _queue(known, row.process)
    if row.agent == "claude" and row.process_kind == "tui":
        return _pane(known, row.process)
    advice = _RESUME.format(agent=row.agent, conversation=conversation)
    raise NoChannelError("no_channel", f"{row.session}: nobody can join {row.agent} where it runs; {advice}")


def _queue(known: Evidence, process: ProcessKey) -> Attachment:
    home, transcript = _home(known, "CODEX_HOME", ".codex"), known.row.transcript or ""
    if not transcript:
        raise NoChannelError("too_early", f"{known.row.session}: nothing of it is on disk yet; give it a first prompt there")
    if not known.exe:
        raise NoChannelError("unseen", f"{known.row.session}: which Codex it is cannot be told, so its queue is not known")
    return Attachment(channel="queue", process=process, home=home, transcript=transcript, program=known.exe)


def _pane(known: Evidence, process: ProcessKey) -> Attachment:
    row, pane = known.row, pane_of(known.row.terminal)
    if pane is None:
        where = f"it runs in {row.terminal}" if row.terminal else f"its terminal is not known ({row.terminal_missing})"
        advice = "run it in tmux to be typed to from here, or end it and resume it with: tabwire chat --agent claude --resume"
        raise NoChannelError("no_pane", f"{row.session}: {where}; {advice} {(row.conversation or '').partition(':')[2]}")
    if row.verdict != "verified":
        missing = row.missing[0] if row.missing else "no request through the gateway yet"
        raise NoChannelError("unproven", f"{row.session}: whose conversation it is, is not proven: {missing}")
    if known.not_there:
        raise NoChannelError("no_pane", f"{row.session}: {known.not_there}")
    socket, server, name = pane
    home = _home(known, "CLAUDE_CONFIG_DIR", ".claude")
    return Attachment(
        channel="tmux", process=process, socket=socket, server=server, pane=name, home=home, transcript=row.transcript or ""
    )


def pane_of(terminal: str | None) -> tuple[str, int, str] | None:
    """Read a terminal that is a pane of tmux: the server's socket, its process, the pane."""
    found = _PANE.fullmatch(terminal or "")
    return None if found is None else (found[1], int(found[2]), found[3])


def _home(known: Evidence, variable: str, usual: str) -> str:
    home = known.variables.get(variable) or _below(known.variables.get("HOME", ""), usual)
    if not home.startswith("/"):
        raise NoChannelError("no_home", f"{known.row.session}: where its home folder is cannot be told")
    return home


def _socket(known: Evidence) -> str:
    """Name the socket that an app-server listens on."""
    row, listen = known.row, read_command(known.argv[1:]).last("--listen") or "stdio://"
    if not listen.startswith("unix://"):
        how = "over the pipe of whoever started it" if listen.startswith("stdio") else f"at {listen}, which is no local socket"
        raise NoChannelError("no_socket", f"{row.session}: its app-server is reached only {how}")
    if path := listen.removeprefix("unix://"):
        if not path.startswith("/"):
            raise NoChannelError("no_socket", f"{row.session}: its socket {path!r} is not named by its whole path")
        return path
    return _below(_home(known, "CODEX_HOME", ".codex"), CONTROL_SOCKET)


def _below(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else ""
