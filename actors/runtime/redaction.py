"""Takes secrets out of a text: by value (every secret that was registered here) and by form.

The forms are bearer tokens, keys as providers write them, launch tokens in paths. It works on finished text, so that it does
not matter how a secret came into it. Must not know where the text goes.
"""

from __future__ import annotations

import re

import orjson

_MIN_SECRET = 8
_FORMS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 …"),
    (re.compile(r"\b(sk|pk|rk|sess|key)-[A-Za-z0-9_-]{8,}"), r"\1-…"),
    (re.compile(r"/s/[A-Za-z0-9_-]{16,}"), "/s/…"),
    (re.compile(r"(?i)(\"(?:x-)?(?:api[_-]?key|authorization|token|secret[_-]?key|password)\"\s*:\s*\")[^\"]+"), r"\1…"),
)
_secrets: set[str] = set()


def register_secret(value: str) -> None:
    """Never let ``value`` reach a log; values shorter than 8 characters would blot out ordinary words and are refused.

    Raises:
        ValueError: the value is too short to be a secret.

    """
    if len(value) < _MIN_SECRET:
        raise ValueError(f"a secret of {len(value)} characters cannot be kept out of logs: it needs at least {_MIN_SECRET}")
    _secrets.add(value)
    _secrets.add(orjson.dumps(value).decode()[1:-1])


def redact(text: str) -> str:
    """Return ``text`` without anything that is, or looks like, a secret."""
    for secret in _secrets:
        text = text.replace(secret, "…")
    for form, replacement in _FORMS:
        text = form.sub(replacement, text)
    return text
