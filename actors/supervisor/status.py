"""What ``tabwire status`` shows, from the state of supervision: pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

from actors.runtime.contract import ELSEWHERE
from actors.supervisor.terms import Child, State
from schemas.rows import ActorRow, SystemStatus


@cache
def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - 15 ms that no child has to wait for

    return version("tabwire")


def system_status(state: State, pid: int, started: str, written: Callable[[float], str]) -> SystemStatus:
    """Return the rows; ``written`` turns a moment of supervision's clock into RFC 3339."""
    return SystemStatus(
        pid=pid,
        started=started,
        version=_version(),
        actors=tuple(_row(child, state, written) for child in state.children),
        endpoints=_endpoints(state),
    )


def _row(child: Child, state: State, written: Callable[[float], str]) -> ActorRow:
    note = child.note
    shown: Literal["starting", "ready", "degraded", "stopping", "stopped", "backoff", "failed"]
    if child.phase == "waiting":
        shown = "starting"
        place = [each.spec.actor for each in state.children].index(child.spec.actor)
        note = f"waits for {state.children[place - 1].spec.actor}" if place else ""
    else:
        shown = child.phase
    return ActorRow(
        actor=child.spec.actor,
        state=shown,
        pid=child.pid,
        since=written(child.since),
        restarts=child.restarts,
        last_exit=child.last_exit,
        note=note,
        capabilities=_capabilities(child),
    )


def _capabilities(child: Child) -> tuple[str, ...]:
    """Return what an actor that runs said in its READY about the questions that its probe can answer."""
    said = child.facts.get("capabilities") if child.phase in ("ready", "degraded") else None
    return tuple(one for one in said if isinstance(one, str)) if isinstance(said, list) else ()


def _endpoints(state: State) -> dict[str, str]:
    """Collect every address that a running actor named in its READY: ``url``, or its ``port`` on loopback; ``remote``."""
    found: dict[str, str] = {}
    for child in state.children:
        if child.phase in ("ready", "degraded"):
            url, port = child.facts.get("url"), child.facts.get("port")
            if isinstance(url, str):
                found[child.spec.actor] = url
            elif isinstance(port, int):
                found[child.spec.actor] = f"http://127.0.0.1:{port}"
            if isinstance(remote := child.facts.get("remote"), str):
                found[f"{child.spec.actor}{ELSEWHERE}"] = remote
    return found
