"""The lists of this server's models, in each API's shape. Pure."""

from __future__ import annotations

from typing import Any, Final

MODELS: Final = ("echo", "gpt-5.1-codex")
_LIMIT: Final = 1_000_000


def openai_models() -> dict[str, Any]:
    """List as OpenAI does."""
    return {"object": "list", "data": [openai_model(name) for name in MODELS]}


def openai_model(name: str) -> dict[str, Any]:
    """Describe one."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "tabwire"}


def codex_models() -> dict[str, Any]:
    """Add nothing to Codex's own catalogue: an entry without instructions would take its own away."""
    return {"models": []}


def anthropic_models() -> dict[str, Any]:
    """List as Anthropic does, all on one page."""
    return {
        "data": [anthropic_model(name) for name in MODELS],
        "has_more": False,
        "first_id": MODELS[0],
        "last_id": MODELS[-1],
    }


def anthropic_model(name: str) -> dict[str, Any]:
    """Describe one."""
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def gemini_models() -> dict[str, Any]:
    """List as Gemini does."""
    return {"models": [gemini_model(name) for name in MODELS]}


def gemini_model(name: str) -> dict[str, Any]:
    """Describe one."""
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {
        "name": f"models/{name}",
        "displayName": name,
        "inputTokenLimit": _LIMIT,
        "outputTokenLimit": _LIMIT,
        "supportedGenerationMethods": methods,
    }


def auggie_models() -> dict[str, Any]:
    """List as Auggie's own API does; without any feature switched on."""
    models = [
        {"name": name, "internal_name": name, "suggested_prefix_char_count": 0, "suggested_suffix_char_count": 0}
        for name in MODELS
    ]
    return {"default_model": MODELS[0], "models": models, "languages": [], "feature_flags": {}}
