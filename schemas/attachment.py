"""How a bridge joins an agent that runs already, in place of starting one. Must not know how the channel was chosen."""

from __future__ import annotations

from msgspec import Struct

from schemas.bridge_rows import Channel
from schemas.identity import ProcessKey


class Attachment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Over which channel, and who is there.

    ``process`` has the conversation, as the kernel said when the channel was chosen; whoever joins looks again. ``socket`` is
    where it is reached: a control socket, or that of a tmux server (the process ``server``) with its ``pane``. ``home`` is the
    agent's own folder, ``transcript`` the conversation's file if that is known; ``program`` is the agent's file.
    """

    channel: Channel
    process: ProcessKey
    socket: str = ""
    server: int = 0
    pane: str = ""
    home: str = ""
    transcript: str = ""
    program: str = ""
