"""Identity keys: how a process, a terminal, a conversation and a session are named, the same by every actor.

Theory of operation
-------------------
Three kinds of key exist and no actor knows all three. A *process* is named by what its kernel cannot repeat, never by a
pid alone (pid and start time alone repeated in 286 of 300 forced recycles, hence the pidfd inode where the OS has one).
A *terminal* is ``scheme:value``; it names ancestry, not ownership. A *conversation* is ``agent:id``, the agent's own id.

A *session* is one conversation and its id is a pure function of the conversation (``codex-01a1fb07-…``), so that every
actor that knows the conversation computes the same id without asking. Before the conversation is known a session is
provisional: ``launch-…`` from the moment something is launched, ``proc-…`` for an agent process seen without one.

Must not know: how any of these is observed (``actors.probe``), or what is believed (``actors.registry``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2s
from typing import TYPE_CHECKING, Annotated, NewType

from msgspec import Meta, Struct

if TYPE_CHECKING:
    SessionId = NewType("SessionId", str)
    LaunchId = NewType("LaunchId", str)
    RequestId = NewType("RequestId", str)
    TerminalKey = NewType("TerminalKey", str)
    ConversationKey = NewType("ConversationKey", str)
else:  # the same, with the bounds that msgspec checks and JSON Schema shows
    SessionId = NewType("SessionId", Annotated[str, Meta(max_length=200)])
    LaunchId = NewType("LaunchId", Annotated[str, Meta(max_length=64)])
    RequestId = NewType("RequestId", Annotated[str, Meta(max_length=64)])
    TerminalKey = NewType("TerminalKey", Annotated[str, Meta(max_length=300)])
    ConversationKey = NewType("ConversationKey", Annotated[str, Meta(max_length=200)])
Host = Annotated[str, Meta(max_length=128)]

_AGENT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]{0,127}")
_SCHEME = re.compile(r"[a-z][a-z0-9_]{0,15}")
_RESERVED_AGENTS = frozenset({"launch", "proc", "other"})
_MAX_TERMINAL = 256


class IdentityError(ValueError):
    """A value that cannot be a key; the message names the value and the rule it breaks."""


class ProcessKey(Struct, frozen=True, order=True, gc=False):
    """One process on one boot of one host.

    ``started`` is in the operating system's native unit: clock ticks since boot on Linux (field 22 of
    ``/proc/<pid>/stat``), FILETIME on Windows, microseconds since the epoch on macOS. ``pidfd`` is the inode of the
    process's pidfd on kernels where it is unique (Linux 6.9 and later), otherwise None.
    """

    host: Host
    boot: Host
    pid: int
    started: int
    pidfd: int | None = None


@lru_cache(maxsize=1024)  # each request counts for a process
def process_id(key: ProcessKey) -> str:
    """Name a process: ``41233-3fa2c1d09b7e``, the pid for people and a digest of the whole key for exactness."""
    canonical = f"{key.host}\0{key.boot}\0{key.pid}\0{key.started}\0{key.pidfd or ''}"
    return f"{key.pid}-{blake2s(canonical.encode(), digest_size=6).hexdigest()}"


def process_session(key: ProcessKey) -> SessionId:
    """Name the provisional session of a process whose conversation is not known: ``proc-41233-3fa2c1d09b7e``."""
    return SessionId(f"proc-{process_id(key)}")


def terminal_key(scheme: str, value: str) -> TerminalKey:
    """Build ``scheme:value``.

    Raises:
        IdentityError: the scheme is not a short lower-case word, or the value is empty, too long or not printable.

    """
    if not _SCHEME.fullmatch(scheme):
        raise IdentityError(f"terminal scheme {scheme!r}: expected a short lower-case word")
    if not value or len(value) > _MAX_TERMINAL or not value.isprintable():
        raise IdentityError(f"terminal value of scheme {scheme!r}: expected 1 to {_MAX_TERMINAL} printable characters")
    return TerminalKey(f"{scheme}:{value}")


def conversation_key(agent: str, conversation: str) -> ConversationKey:
    """Build ``agent:id`` from an agent's name and the agent's own session id.

    Raises:
        IdentityError: the agent is not a known form of name, or the id could not be a file name and a topic segment.

    """
    if not _AGENT.fullmatch(agent) or agent in _RESERVED_AGENTS:
        raise IdentityError(f"agent {agent!r}: expected a lower-case word that is not one of {sorted(_RESERVED_AGENTS)}")
    if not _CONVERSATION_ID.fullmatch(conversation):
        raise IdentityError(f"{agent} conversation id: expected 1 to 128 characters of A-Z a-z 0-9 _ . ~ -")
    return ConversationKey(f"{agent}:{conversation}")


def session_of(conversation: ConversationKey) -> SessionId:
    """Name the session of a conversation: ``codex:01a1…`` is ``codex-01a1…``."""
    agent, _, own = conversation.partition(":")
    return SessionId(f"{agent}-{own}")


def is_provisional(session: str) -> bool:
    """Tell whether a session id names a launch or a process rather than a conversation."""
    return session.startswith(("launch-", "proc-"))
