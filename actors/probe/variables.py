"""Which variables of a foreign process are looked at, and no others: those that name a terminal, those that lead an agent.

The latter say where an agent keeps its files and sends its requests. None of them is made to hold a key, but an address can
(``https://user:key@host``), so values never leave the process that read them. Must not know how any is read or judged.
"""

from __future__ import annotations

from typing import Final

from actors.probe import terminal

CONFIGURATION: Final = frozenset(
    (
        "HOME",
        "USERPROFILE",
        "CODEX_HOME",
        "CLAUDE_CONFIG_DIR",
        "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX",
        "ANTHROPIC_BASE_URL",
        "OPENAI_BASE_URL",
        "GOOGLE_GEMINI_BASE_URL",
        "AUGMENT_API_URL",
    )
)
VARIABLES: Final = terminal.VARIABLES | CONFIGURATION
