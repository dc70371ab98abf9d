"""Who may call: decided from the head and from what the kernel says of the connection, before anything is read or sent.

Pure. A web page is kept out by Host, Origin and Sec-Fetch; another user of this machine by the socket's owner. Must not
know attribution: being let in says nothing about which session a request counts for.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.gateway import limits
from actors.gateway.dialect import policy_status
from actors.gateway.head import Head

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
    """The rules of one gateway address."""

    port: int

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return every Host that names this gateway."""
        return (f"127.0.0.1:{self.port}", f"localhost:{self.port}", f"[::1]:{self.port}")


class Kernel(Struct, frozen=True):
    """What the kernel says of the other end of a connection; ``same_user`` is None when it says nothing."""

    same_user: bool | None
    missing: str = ""


def check_method(head: Head) -> Refusal | None:
    """Refuse methods that mean something else to a proxy, or nothing to an API."""
    if head.method in _METHODS:
        return None
    return Refusal(405, "method_refused", f"{head.method[:20]} is not passed on", close=True)


def check_host(door: Door, head: Head) -> Refusal | None:
    """Refuse what a web page could send."""
    fields = head.fields
    host = fields.get("host", "")
    if host.lower() not in door.hosts:
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
    if kernel.same_user is None and head.target.token is None:
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
    if total > limits.HEADER_BLOCK:
        return Refusal(431, "headers_too_large", f"headers may have {limits.HEADER_BLOCK} bytes together", close=True)
    expect = head.fields.get("expect", "")
    if expect and expect.lower() != "100-continue":
        return Refusal(417, "expectation_failed", "only `Expect: 100-continue` is understood")
    return None
