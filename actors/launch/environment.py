"""What a launched command needs in its environment so that a proxy of the user's does not stand in the way (pure)."""

from __future__ import annotations

from collections.abc import Mapping

_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_EXCEPTIONS = ("NO_PROXY", "no_proxy")
_COVERS = frozenset(("*", "127.0.0.1", "127.0.0.0/8", "127.0.0.1/32", "127.0.0.1/8"))
LOOPBACK = ("127.0.0.1", "localhost")


def without_proxy(environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the variables to set so that 127.0.0.1 is reached directly, and what to say of it (nothing when all is well).

    Codex sends even loopback requests to HTTP_PROXY. Programs differ in which spelling of NO_PROXY they read, so both are
    set, to the union of what was there.
    """
    proxies = [name for name in _PROXIES if environ.get(name)]
    if not proxies:
        return {}, ""
    listed = [part.strip() for name in _EXCEPTIONS for part in environ.get(name, "").split(",") if part.strip()]
    each = [{part.strip() for part in environ.get(name, "").split(",")} for name in _EXCEPTIONS if environ.get(name)]
    if each and all(parts & _COVERS for parts in each):
        return {}, ""
    value = ",".join(dict.fromkeys((*listed, *LOOPBACK)))
    note = f"{proxies[0]} is set and NO_PROXY does not except 127.0.0.1: NO_PROXY={value} is set for this command"
    return dict.fromkeys(_EXCEPTIONS, value), note
