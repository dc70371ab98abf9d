"""Who may call: decided from the head and from what the kernel says of the connection, before anything is read or sent.

Pure. A web page is kept out by Host, Origin and Sec-Fetch; another user of this machine by the socket's owner; another machine
by a token, where it can reach us at all. Must not know attribution: being let in says nothing about which session a request
counts for.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from msgspec import Struct

from actors.gateway import limits
from actors.gateway.dialect import policy_status
from actors.gateway.head import Head
from actors.runtime.http import bounds

TOKEN: Final = "x-tabwire-token"  # noqa: S105 - a header's name; what begins so is never passed on
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Browsers send these and no agent does; ``sec-fetch-mode`` alone is Node's fetch, which agents are built on.
_BROWSER: Final = ("sec-fetch-site", "sec-fetch-dest", "sec-fetch-user")


class Refusal(Struct, frozen=True):
    """Why a request goes no further. ``close``: the connection cannot be used for another one."""

    status: int
    code: str
    message: str
    close: bool = False


class Door(Struct, frozen=True):
    """The rules of one gateway address: which Hosts name it beside the usual, and the digests of a wider door's tokens."""

    port: int
    names: frozenset[str] = frozenset()
    tokens: tuple[bytes, ...] = ()


class Kernel(Struct, frozen=True):
    """What the kernel says of the other end of a connection; ``same_user`` is None when it says nothing.

    ``remote``: the other end is beyond this computer, and was let in for its token.
    """

    same_user: bool | None
    missing: str = ""
    remote: bool = False


@lru_cache(maxsize=4)
def _usual(port: int) -> frozenset[str]:
    return frozenset((f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"))


def check_passage(door: Door, head: Head, passage: str) -> Refusal | None:
    """Refuse a caller from beyond this computer without a token, before anything else of the request is looked at."""
    given = passage or head.fields.get(TOKEN)
    digest = sha256(given.encode("utf-8", "surrogateescape")).digest()
    known = False
    for each in door.tokens:  # all of them, so that the time it takes says nothing
        known |= compare_digest(each, digest)
    if known and given:
        return None
    text = f"a caller from another computer needs a token, in {TOKEN} or as http://<host>:{door.port}/t/<token>/v1"
    status = _UNAUTHORIZED if head.dialect == "unknown" else policy_status(head.dialect)
    return Refusal(status, "token_refused", text, close=True)


def check_method(head: Head) -> Refusal | None:
    """Refuse methods that mean something else to a proxy, or nothing to an API."""
    if head.method in _METHODS:
        return None
    return Refusal(405, "method_refused", f"{head.method[:20]} is not passed on", close=True)


def check_host(door: Door, head: Head) -> Refusal | None:
    """Refuse what a web page could send."""
    fields = head.fields
    host = fields.get("host", "")
    if (lower := host.lower()) not in _usual(door.port) and lower not in door.names:
        return Refusal(_FORBIDDEN, "host_refused", f"this gateway is not {host[:100]!r}; use http://127.0.0.1:{door.port}/v1")
    if "origin" in fields:
        return Refusal(_FORBIDDEN, "origin_refused", "requests of web pages are refused (an Origin header was sent)")
    for name in _BROWSER:
        if name in fields:
            return Refusal(_FORBIDDEN, "browser_refused", f"requests of web browsers are refused ({name} was sent)")
    return None


def check_head(door: Door, head: Head, kernel: Kernel) -> Refusal | None:
    """Decide whether a request may go on to attribution."""
    if (refusal := check_host(door, head)) is not None:
        return refusal
    if head.target.trick:
        return Refusal(400, "path_refused", "the path has empty, dot or encoded segments; send the provider's plain path")
    if kernel.same_user is False:
        return Refusal(
            policy_status(head.dialect), "other_user", "this gateway serves only the user who started it, and you are another"
        )
    if kernel.same_user is None and head.target.token is None and not kernel.remote:
        return Refusal(
            policy_status(head.dialect),
            "caller_unproven",
            f"the kernel could not name the caller ({kernel.missing}); start the agent with `tabwire run`",
        )
    if head.length is not None and head.length > limits.BODY:
        return Refusal(413, "body_too_large", f"the body may have {limits.BODY} bytes, this one has {head.length}", close=True)
    return check_fields(head)


def check_fields(head: Head) -> Refusal | None:
    """Refuse header fields that are too large together or that could not be passed on."""
    total = 0
    for name, value in head.fields.items():
        total += len(name) + len(value)
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            return Refusal(400, "header_refused", f"header {name[:60]!r} is not UTF-8", close=True)
    if total > bounds.HEADER_BLOCK:
        return Refusal(431, "headers_too_large", f"headers may have {bounds.HEADER_BLOCK} bytes together", close=True)
    expect = head.fields.get("expect", "")
    if expect and expect.lower() != "100-continue":
        return Refusal(417, "expectation_failed", "only `Expect: 100-continue` is understood")
    return None
