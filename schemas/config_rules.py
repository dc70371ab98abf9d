"""What must hold of one table of the configuration beyond the types of its values. Pure.

Each function returns the first rule that is broken, with its key relative to the table, or None. Must not know text or lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import PurePath
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from schemas.config import ECHO, Breaker, Budget, Gateway, Pin, Provider, Rollout
from schemas.config_lines import Place

_PROVIDER_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_KEY_REFERENCE: Final = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|keyring:[^/]+/.+|file:.+)")
_SESSION: Final = re.compile(r"[a-z][a-z0-9_]{0,31}-[A-Za-z0-9][A-Za-z0-9_.~-]{0,160}")
_TERMINAL: Final = re.compile(r"[a-z][a-z0-9_]{0,15}:.{1,256}")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME: Final = re.compile(r"[^\s\x00-\x1f*][^\x00-\x1f]{0,63}")
_MODEL_MOST: Final = 200
_EVERY: Final = "*"
_REFERENCES: Final = '"env:NAME", "keyring:SERVICE/USER" or "file:/path"'
_WHOLE_PATH: Final = "the gateway has no working directory of yours"


class Broken(Struct, frozen=True):
    """A rule that is not kept: by which key of the table, what is wrong and what to do."""

    place: Place
    problem: str
    advice: str


def is_loopback(host: str) -> bool:
    """Tell whether only this computer can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def base_url_problem(url: str) -> str:
    """Say what keeps a text from being a provider's base URL; empty when nothing does."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"not a base URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "not a base URL: expected http:// or https:// and a host"
    if parts.query or parts.fragment:
        return "not a base URL: has a query or a fragment"
    if not url.isprintable() or " " in url:
        return "not a base URL: has blanks or characters that are not printable"
    return ""


def key_reference_problem(reference: str) -> str:
    """Say what keeps a text from being a key reference; empty when nothing does. Never repeats it: it may be a key."""
    return "" if _KEY_REFERENCE.fullmatch(reference) and reference.isprintable() else "not a reference"


def provider_id(name: str) -> Broken | None:
    """Check what a provider is called."""
    if not _PROVIDER_ID.fullmatch(name):
        return Broken((), "not a provider id", "use 1 to 32 of a-z 0-9 _ -")
    if name == ECHO:
        return Broken((), "is built in", "choose another id; [echo] sets its port")
    return None


def provider(given: Provider) -> Broken | None:
    """Check a provider: its addresses, its key, its header fields, its models."""
    return _addresses(given) or _key(given) or _fields(given.headers) or _models(given)


def _addresses(given: Provider) -> Broken | None:
    if problem := base_url_problem(given.base_url):
        return Broken(("base_url",), problem, 'such as "https://api.openai.com/v1"')
    if not given.dialects:
        return Broken(("dialects",), "names no dialect", 'such as ["openai.responses"]')
    for dialect, url in given.base_urls.items():
        if problem := base_url_problem(url):
            return Broken(("base_urls", dialect), problem, 'such as "https://api.openai.com/v1"')
        if dialect not in given.dialects:
            return Broken(("base_urls", dialect), "is the address of a dialect that is not served", "add it to dialects")
    return None


def _key(given: Provider) -> Broken | None:
    if given.auth == "key" and not given.key:
        return Broken(("key",), "missing", f'set key = {_REFERENCES}, or auth = "none" or "passthrough"')
    if given.key and key_reference_problem(given.key):
        return Broken(("key",), "not a reference", f"use {_REFERENCES}, never the key itself")
    if given.key.startswith("file:") and not PurePath(given.key[5:]).is_absolute():
        return Broken(("key",), "not an absolute path", _WHOLE_PATH)
    return None


def _fields(headers: Mapping[str, str]) -> Broken | None:
    for name, value in headers.items():
        if not _FIELD_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            return Broken(("headers", name), "cannot be a header field", "use printable characters")
    return None


def _models(given: Provider) -> Broken | None:
    for model in given.models:
        if not model or len(model) > _MODEL_MOST or not model.isprintable():
            return Broken(("models",), f"not a model: {model!r}", "give its name as the provider knows it")
    for asked, sent in given.aliases.items():
        if not asked or not sent or not f"{asked}{sent}".isprintable() or len(sent) > _MODEL_MOST:
            return Broken(("aliases", asked), "not a model", "give its name as the provider knows it")
        if circle := _circle(asked, given.aliases):
            return Broken(("aliases", asked), f"leads back to itself: {circle}", "let it lead to a model of the provider")
        if given.models and sent not in given.models:
            return Broken(("aliases", asked), f"leads to {sent!r}, which is not one of its models", "add it to models")
    for model in given.prices:
        if given.models and model not in given.models:
            return Broken(("prices", model), "is the price of what is not one of its models", "add it to models")
    return None


def _circle(asked: str, aliases: Mapping[str, str]) -> str:
    way = [asked]
    while (following := aliases.get(way[-1])) is not None:
        if following == asked:
            return " to ".join([*way, asked])
        if following in way:
            return ""  # the circle of another alias, which is named there
        way.append(following)
    return ""


def gateway(given: Gateway) -> Broken | None:
    """Check where agents connect: what others can reach needs tokens."""
    if not _HOST_NAME.fullmatch(given.host):
        return Broken(("gateway", "host"), f"not an address: {given.host!r}", 'such as "127.0.0.1", or "0.0.0.0" for all')
    for host in given.hosts:
        if not _HOST_NAME.fullmatch(host):
            return Broken(("gateway", "hosts"), f"not a host name: {host!r}", 'such as "build.example.org", without a port')
    if given.tokens and not (given.tokens.startswith("file:") and given.tokens.isprintable()):
        return Broken(("gateway", "tokens"), "not a reference", 'use "file:/path", one token a line, never a token itself')
    if given.tokens and not PurePath(given.tokens[5:]).is_absolute():
        return Broken(("gateway", "tokens"), "not an absolute path", _WHOLE_PATH)
    if not is_loopback(given.host) and not given.tokens:
        problem = f"missing, though {given.host} can be reached from other computers"
        return Broken(("gateway", "tokens"), problem, 'set tokens = "file:/path", or host = "127.0.0.1"')
    return None


def breaker(given: Breaker) -> Broken | None:
    """Check the times of circuit breakers."""
    if given.longest_seconds < given.open_seconds:
        return Broken(("breaker", "longest_seconds"), "is less than open_seconds", "make it as long or longer")
    return None


def rollout(given: Rollout) -> Broken | None:
    """Check the homes of agents."""
    for key, homes in (("codex_homes", given.codex_homes), ("claude_homes", given.claude_homes)):
        for home in homes:
            if not PurePath(home).is_absolute():
                return Broken(("rollout", key), f"not an absolute path: {home!r}", "give the whole path")
    return None


def pin(given: Pin) -> Broken | None:
    """Check a pin: exactly one target, a whole key, and a time that can be compared."""
    targets = {name: getattr(given, name) for name in ("session", "terminal", "project")}
    set_ = [name for name, value in targets.items() if value]
    if len(set_) != 1:
        what = f"has {' and '.join(set_)}" if set_ else "pins nothing"
        return Broken((), what, "give exactly one of session, terminal and project")
    problem = _target(set_[0], targets[set_[0]])
    if problem is not None:
        return problem
    if not _PROVIDER_ID.fullmatch(given.provider):
        return Broken(("provider",), f"not a provider id: {given.provider!r}", "use 1 to 32 of a-z 0-9 _ -")
    if len(given.model) > _MODEL_MOST or not given.model.isprintable():
        return Broken(("model",), "not a model", "give its name as the provider knows it")
    if given.expires is not None and given.expires.tzinfo is None:
        return Broken(("expires",), "has no offset", f"write {given.expires.isoformat()}Z, or +01:00 instead of Z")
    return None


def _target(kind: str, target: str) -> Broken | None:
    if kind == "session" and not _SESSION.fullmatch(target):
        return Broken((kind,), f"not a whole session id: {target!r}", "such as codex-01a1fb07-…; tabwire sessions lists them")
    if kind == "terminal" and not (_TERMINAL.fullmatch(target) and target.isprintable()):
        return Broken((kind,), f"not a terminal key: {target!r}", "such as tmux:… or wt:…; tabwire sessions lists them")
    return _folder(kind, target) if kind == "project" else None


def _folder(key: str, folder: str) -> Broken | None:
    path = PurePath(folder)
    if not path.is_absolute():
        return Broken((key,), f"not an absolute path: {folder!r}", _WHOLE_PATH)
    if str(path) != folder or ".." in path.parts or not folder.isprintable():
        plain = "without .. and links" if ".." in path.parts else repr(str(path))
        return Broken((key,), f"not a plain path: {folder!r}", f"write it as {plain}")
    return None


def budget(given: Budget) -> Broken | None:
    """Check a budget: one bound, at most one scope, and where to switch."""
    if not _NAME.fullmatch(given.name):
        return Broken(("name",), f"not a name: {given.name!r}", "use 1 to 64 printable characters")
    if (given.usd is None) == (given.tokens is None):
        what = "has no bound" if given.usd is None else "has two bounds"
        return Broken((), what, "give exactly one of usd and tokens")
    scopes = [name for name in ("session", "project", "provider") if getattr(given, name)]
    if len(scopes) > 1:
        return Broken((), f"has {' and '.join(scopes)}", "give at most one of session, project and provider")
    return _scope(given) or _switch(given)


def _scope(given: Budget) -> Broken | None:
    if given.session not in ("", _EVERY):
        return _target("session", given.session)
    return _folder("project", given.project) if given.project not in ("", _EVERY) else None


def _switch(given: Budget) -> Broken | None:
    if given.on_reached == "switch" and not given.switch_to:
        return Broken(("switch_to",), "missing", 'with on_reached = "switch" name the provider to switch to')
    if given.switch_to and given.on_reached != "switch":
        return Broken(("switch_to",), "does nothing", 'set on_reached = "switch", or take it out')
    if given.switch_to and given.switch_to == given.provider:
        return Broken(("switch_to",), "is the provider that the budget is of", "name another one")
    return None
