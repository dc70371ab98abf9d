"""aider, through its terminal: it has nothing else that a message could be given to while it runs.

Facts, tried with aider 0.86.2:

- Its prompt is a row that ends with ``>`` and nothing behind it (``>``, ``ask>``, ``architect>``); none while it works.
- Multi-line messages are pasted; it is ready again when the prompt is, whatever it did meanwhile (edits, lints, retries).
- Each question ends with ``(Y)es/(N)o … [Yes]:``. A second Ctrl-C at its prompt would end it; one stops a reply.
- It reaches OpenAI's models by ``OPENAI_API_BASE`` and Anthropic's by ``ANTHROPIC_API_BASE``. Its requests name no
  conversation.
"""

from __future__ import annotations

from typing import Final

from actors.bridge.terminal.declared import declared
from schemas.terminals import Question, Terminal

TERMINAL: Final = Terminal(
    program="aider",
    arguments=(
        "--no-pretty",
        "--no-check-update",
        "--no-gitignore",
        "--no-show-release-notes",
        "--no-show-model-warnings",
        "--no-analytics",
    ),
    environ={"OPENAI_API_BASE": "{openai}", "ANTHROPIC_API_BASE": "{anthropic}", "OPENAI_API_KEY": "{key}"},
    model=("--model", "{model}"),
    ready=r"^[a-z ]*>$",
    leave_out=(r"^Tokens: ", r"^─+$"),
    questions=(Question(pattern=r"\(Y\)es/\(N\)o.*\]:$", yes="y Enter", no="n Enter", tool="aider"),),
    clear="/clear",
    quit="C-d",
    greeting_seconds=180,
)
_ADAPTER: Final = declared(
    "aider",
    TERMINAL,
    tested="0.86.2",
    install="python -m pip install aider-install && aider-install",
    version_arguments=("--version",),
)
FACTS: Final = _ADAPTER.FACTS
plan, begin, step = _ADAPTER.plan, _ADAPTER.begin, _ADAPTER.step
