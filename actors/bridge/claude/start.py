"""How Claude Code is started to be driven through stream-json, and what is known of it before. Pure.

The login and the settings of the user stay in force as with ``tabwire run`` (``actors.launch.claude``, which tells why
CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST is not set: it hides every login but those in the environment). What another Claude Code
told its children in their environment is taken away: this one is nobody's child.
"""

from __future__ import annotations

import re
from typing import Final

from actors.bridge import adapter as seam
from actors.launch.claude import AGENT, plan_claude
from actors.launch.environment import without_proxy
from actors.launch.plan import LaunchRefusedError, Wish

FACTS: Final = seam.AgentFacts(
    agent=AGENT,
    protocol="stream-json",
    programs=("claude",),
    tested="2.1.329",
    can=frozenset(("interrupt", "approve", "set_model", "set_mode", "clear", "fork", "resume", "history")),
    modes=("default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"),
    install="npm install -g @anthropic-ai/claude-code",
    notes=(
        "a message that begins with one of Claude Code's commands, such as /compact, is that command",
        "bypassPermissions can only be chosen at the start, and not by root",
    ),
)
_WORDS: Final = (
    "-p",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool",
    "stdio",
)
_OURS: Final = frozenset(
    """-p --print --input-format --output-format --permission-prompt-tool --permission-prompts --permission-mode -r --resume -c
    --continue --fork-session --session-id --from-pr --teleport --replay-user-messages --no-session-persistence --bg
    --background --cloud --desktop --tmux --remote-control --""".split()  # noqa: SIM905 - a list to read
)
_INHERITED: Final = (
    "CLAUDECODE",
    "CLAUDE_PID",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def plan(beginning: seam.Beginning) -> seam.Command:
    """Return how Claude Code is started. ``Beginning.environ`` is the whole environment that it will have.

    Raises:
        LaunchRefusedError: it cannot be pointed at the gateway, or cannot do what is asked.

    """
    for word in beginning.arguments:
        if word.partition("=")[0] in _OURS:
            raise LaunchRefusedError(f"{word}: how Claude Code is driven is not for its arguments to say", "leave it out")
    words = list(_WORDS)
    if beginning.resume:
        if not _UUID.fullmatch(beginning.resume):
            raise LaunchRefusedError(f"{beginning.resume!r} is not the id of a conversation of Claude Code's, a UUID")
        words += ["--resume", beginning.resume, *(["--fork-session"] if beginning.fork else [])]
    elif beginning.fork:
        raise LaunchRefusedError("there is no conversation to fork yet", "give it a message first")
    if beginning.mode:
        if beginning.mode not in FACTS.modes:
            raise LaunchRefusedError(f"Claude Code has no mode {beginning.mode!r}", f"use one of {', '.join(FACTS.modes)}")
        words += ["--permission-mode", beginning.mode]
    wish = Wish(
        argv=(beginning.program, *words, *beginning.arguments),
        door=beginning.door,
        environ=beginning.environ,
        cwd=beginning.cwd,
        read=beginning.read,
        model=beginning.model or None,
    )
    planned = plan_claude(wish)
    if not planned.launched:
        raise LaunchRefusedError(
            f"{' '.join(beginning.arguments)} makes Claude Code something else than an agent", "leave it out"
        )
    variables, note = without_proxy(beginning.environ)
    taken: dict[str, str | None] = dict.fromkeys(name for name in _INHERITED if name in beginning.environ)
    return seam.Command(
        argv=planned.argv,
        environ={**taken, **planned.environ, **variables},
        notes=(*planned.notes, *((note,) if note else ())),
    )
