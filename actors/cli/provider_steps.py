"""What a provider is asked when it is tried, and what its answers mean: pure.

For each dialect a list of its models, which costs nothing, then the smallest request that there is. Must not know sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.config import ServedDialect
from schemas.rows import Check

_SHOWN: Final = 200
_OK: Final = range(200, 300)
_PROMPT: Final = "Say ok."
_KEY: Final = ("refuses the key", "check what the key's reference holds, and its permissions")
_LATER: Final = ("knows the key and takes no request now", "quota, credit or rate: see its console")
_ELSEWHERE: Final = ("does not speak this at this address", "check base_url, base_urls and dialects")
_BROKEN: Final = ("is out of order", "try again later; its status page may say more")
_REFUSED: Final = ("refuses the request", "its answer says why")
_MEANINGS: Final = {401: _KEY, 403: _KEY, 402: _LATER, 429: _LATER, 404: _ELSEWHERE, 405: _ELSEWHERE, 501: _ELSEWHERE}


@dataclass(frozen=True, slots=True)
class Question:
    """One request: the rest of its address, and its body (None: GET)."""

    path: str
    body: dict[str, Any] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a status and what is in the body, or else how it failed."""

    status: int = 0
    body: Any = None
    failure: str = ""
    location: str = ""


def models_question(dialect: ServedDialect) -> Question | None:
    """Return the request for the list of models, if the dialect has one."""
    return None if dialect == "auggie" else Question("/models", fields=_fields(dialect))


def smallest_question(dialect: ServedDialect, model: str, limit: str = "max_tokens") -> Question | None:
    """Return the smallest request that makes a model answer."""
    said = [{"role": "user", "content": _PROMPT}]
    fields = _fields(dialect)
    if dialect == "openai.responses":  # which takes no fewer than 16
        return Question("/responses", {"model": model, "input": _PROMPT, "max_output_tokens": 16, "store": False}, fields)
    if dialect == "openai.chat":
        return Question("/chat/completions", {"model": model, "messages": said, limit: 1}, fields)
    if dialect == "anthropic.messages":
        return Question("/messages", {"model": model, "messages": said, "max_tokens": 1}, fields)
    if dialect == "gemini.generate":
        body = {"contents": [{"role": "user", "parts": [{"text": _PROMPT}]}], "generationConfig": {"maxOutputTokens": 1}}
        return Question(f"/models/{model.removeprefix('models/')}:generateContent", body, fields)
    return None


def credentials(dialect: ServedDialect, key: str) -> dict[str, str]:
    """Return the field that carries a key, as the gateway sends it."""
    if dialect == "anthropic.messages":
        return {"x-api-key": key}
    return {"x-goog-api-key": key} if dialect == "gemini.generate" else {"authorization": f"Bearer {key}"}


def models_in(body: Any) -> list[str]:
    """Read the ids in a list of models, in the form of any dialect."""
    listed = (body.get("data") or body.get("models") or []) if isinstance(body, dict) else []
    found = [one.get("id") or one.get("name") or one.get("slug") for one in listed if isinstance(one, dict)]
    return [name.removeprefix("models/") for name in found if isinstance(name, str)]


def judge_models(subject: str, reply: Reply, model: str) -> Check:
    """Say what the answer to the list of models means; a provider need not have one."""
    if reply.status in _OK:
        known = models_in(reply.body)
        if known and model and model not in known:
            some = ", ".join(known[:5])
            return _problem(
                subject, f"does not list the model {model}", f"it lists {len(known)}: {some}, …; see models, aliases"
            )
        return Check(subject=subject, state="ok", finding=f"lists {len(known)} models" if known else "answers")
    if reply.status in (404, 405, 501):
        return Check(subject=subject, state="note", finding=f"has no list of models ({reply.status})")
    return judge(subject, reply, model)


def judge(subject: str, reply: Reply, model: str) -> Check:
    """Say what an answer means, and what to do about it."""
    if reply.failure:
        finding, _, advice = reply.failure.partition("|")
        return _problem(subject, finding, advice)
    said = _said(reply.body)
    told = f"{reply.status}{f': {said}' if said else ''}"
    if reply.status in _OK:
        if not isinstance(reply.body, dict):
            return _problem(subject, "answers with what is no JSON", "base_url leads elsewhere, to a web page perhaps")
        return Check(subject=subject, state="ok", finding=f"answers as {model}" if model else "answers")
    if reply.location:
        return _problem(subject, f"sends elsewhere ({told})", f"a key never follows; set base_url for {reply.location}")
    finding, advice = _meaning(reply.status, of_model="model" in said.lower())
    return _problem(subject, f"{finding.format(model=model)} ({told})", advice)


def _meaning(status: int, *, of_model: bool) -> tuple[str, str]:
    """Say what a status means, and what to do about it."""
    if of_model and status in (400, 404):
        return "does not know the model {model}", "set models or aliases, or try --model"
    found = _MEANINGS.get(status)
    if found is None:
        found = _BROKEN if status >= 500 else _REFUSED  # noqa: PLR2004 - server errors
    return found


def _fields(dialect: ServedDialect) -> dict[str, str]:
    return {"anthropic-version": "2023-06-01"} if dialect == "anthropic.messages" else {}


def _said(body: Any) -> str:
    """Read the message of an error, in the form of any dialect."""
    error = body.get("error", body.get("detail", "")) if isinstance(body, dict) else ""
    if isinstance(error, dict):
        error = error.get("message", "")
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _problem(subject: str, finding: str, advice: str) -> Check:
    return Check(subject=subject, state="problem", finding=finding, advice=advice)
