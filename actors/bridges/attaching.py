"""Over which channel an agent that runs in the user's own terminal can be joined, or why over none: evidence in, answer out.

Theory of operation
-------------------
Only exact keys lead to a channel: the conversation's own id, the process that the kernel proved to have it, and what that
process was started with. "The only Codex that runs" is nobody. A refusal says what is missing and what to do.

* Codex' **shared daemon**, or an app-server that listens on a socket: who connects there is a client like the TUI, and sees the
  same conversation live (``app-server``). The daemon's socket lies in its home, ``CODEX_HOME`` or ``~/.codex``, which is the
  same for every TUI that it serves; ``--listen unix://PATH`` names another one.

Pure. Must not know how the evidence was found, nor what is done over a channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from actors.bridge.contract import Attachment
from actors.probe.codex_words import read_command
from schemas.rows import SessionRow

CONTROL_SOCKET: Final = "app-server-control/app-server-control.sock"
_RESUME: Final = "when it has ended, take it up with: tabwire chat --agent {agent} --resume {conversation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a session: its row, and its process as it is now. ``unseen`` says why that cannot be looked at."""

    row: SessionRow
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
    advice = _RESUME.format(agent=row.agent, conversation=conversation)
    raise NoChannelError("no_channel", f"{row.session}: nobody can join {row.agent} where it runs; {advice}")


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
    home = known.variables.get("CODEX_HOME") or _below(known.variables.get("HOME", ""), ".codex")
    if not home.startswith("/"):
        raise NoChannelError("no_socket", f"{row.session}: where its home folder is cannot be told, so its socket is not known")
    return _below(home, CONTROL_SOCKET)


def _below(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else ""
