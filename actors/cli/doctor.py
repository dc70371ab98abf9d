"""``tabwire doctor``: what is wrong or cannot be known here, and what to do about each.

``diagnose`` is pure: what was found out in, checks out. What asks (the configuration, the supervisor's status, the gateway's
health, the probe, the registry) stands below it and never fails: what cannot be asked is a finding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import typer

from actors.cli.failures import FAILURE
from actors.cli.output import show, show_json
from actors.cli.system import running_status
from actors.probe import Capability, ProbeError, choose_probe
from actors.runtime.config_file import load_config
from actors.runtime.paths import Paths
from schemas.config import Config, ConfigError
from schemas.rows import ActorRow, Check, Diagnosis, SessionRow, SessionTable, SystemStatus

_HEALTH_SECONDS: Final = 2.0
_WITHOUT: Final[dict[Capability, str]] = {
    "peer": "requests cannot be told apart by who sent them",
    "owner": "requests cannot be told apart by who sent them",
    "process": "programs, folders and terminals of agents cannot be read",
    "exit_watch": "exits are noticed late",
    "ancestry": "a launch is believed only of its first process",
    "unrepeatable_key": "a process is known by pid and start time alone",
    "survey": "agents are not listed before their first request",
    "change_hint": "new agents are found by looking at every process",
    "start_events": "new agents are found by looking again and again",
    "open_files": "which session file a process holds cannot be told",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was found out; a text says why something could not be."""

    config: Config | str
    status: SystemStatus | None
    health: str
    capabilities: tuple[Capability, ...] | str
    limits: tuple[str, ...] = ()
    table: SessionTable | str = ""


def diagnose(found: Findings) -> Diagnosis:
    """Turn what was found out into checks, problems first."""
    checks = [*_configuration(found), *_system(found), *_probe(found), *_sessions(found)]
    order = {"problem": 0, "note": 1, "ok": 2}
    return Diagnosis(checks=tuple(sorted(checks, key=lambda check: order[check.state])))


def _configuration(found: Findings) -> Iterator[Check]:
    if isinstance(found.config, str):
        yield Check(subject="configuration", state="problem", finding=found.config, advice="mend it, then: tabwire up")
    else:
        yield Check(subject="configuration", state="ok", finding=f"requests go to {found.config.default_provider}")


def _system(found: Findings) -> Iterator[Check]:
    if found.status is None:
        yield Check(subject="system", state="problem", finding="Tabwire is not running", advice="tabwire up")
        return
    for row in found.status.actors:
        yield _actor(row)
    if found.health:
        advice = "another program may have its port; see: tabwire status"
        yield Check(subject="gateway's door", state="problem", finding=found.health, advice=advice)
    else:
        yield Check(subject="gateway's door", state="ok", finding="answers, and its provider can take requests")


def _actor(row: ActorRow) -> Check:
    if row.state == "ready":
        return Check(subject=row.actor, state="ok", finding=row.note or "ready")
    finding = ": ".join(part for part in (row.state, row.note or row.last_exit) if part)
    advice = "tabwire up tries it again; its log says more" if row.state in ("failed", "backoff") else ""
    return Check(subject=row.actor, state="problem", finding=finding, advice=advice)


def _probe(found: Findings) -> Iterator[Check]:
    if isinstance(found.capabilities, str):
        yield Check(subject="this computer", state="problem", finding=found.capabilities)
        return
    for name, consequence in _WITHOUT.items():
        if name not in found.capabilities:
            yield Check(subject="this computer", state="note", finding=f"no {name}: {consequence}")
    for limit in found.limits:
        yield Check(subject="this computer", state="note", finding=limit)


def _sessions(found: Findings) -> Iterator[Check]:
    if isinstance(found.table, str):
        if found.table:
            yield Check(subject="sessions", state="problem", finding=found.table, advice="tabwire status shows the registry")
        return
    for row in found.table.sessions:
        if row.activity != "gone":
            yield from _session(row)


def _session(row: SessionRow) -> Iterator[Check]:
    if row.verdict == "unverified":
        elsewhere = row.endpoint is not None and row.endpoint.verdict == "other"
        finding = "; ".join(row.missing) or "unverified"
        advice = f"tabwire explain {row.session}"
        yield Check(subject=row.session, state="problem" if elsewhere else "note", finding=finding, advice=advice)
    if row.conflicts:
        finding = f"{row.conflicts} contradictory statements about it"
        yield Check(subject=row.session, state="problem", finding=finding, advice=f"tabwire explain {row.session}")


def doctor(*, json: bool) -> None:
    """Print the diagnosis; the exit code is 1 when there is a problem."""
    diagnosis = diagnose(_examine())
    if json:
        show_json(diagnosis)
    else:
        for check in diagnosis.checks:
            advice = f" ({check.advice})" if check.advice else ""
            show(f"{check.state:<8} {check.subject}: {check.finding}{advice}")
    if any(check.state == "problem" for check in diagnosis.checks):
        raise typer.Exit(FAILURE)


def _examine() -> Findings:
    paths = Paths.default(os.environ)
    try:
        config: Config | str = load_config(paths)
    except ConfigError as error:
        config = str(error)
    status = running_status(paths, complain=False)
    capabilities, limits = _ask_probe()
    return Findings(
        config=config,
        status=status,
        health="" if status is None else _ask_gateway(status),
        capabilities=capabilities,
        limits=limits,
        table="" if status is None else _ask_registry(),
    )


def _ask_probe() -> tuple[tuple[Capability, ...] | str, tuple[str, ...]]:
    try:
        probe = choose_probe()
        return probe.capabilities, probe.limits()
    except ProbeError as error:
        return str(error), ()


def _ask_gateway(status: SystemStatus) -> str:
    """Ask the gateway how it does; return what is wrong."""
    import httpx  # noqa: PLC0415 - slow to load

    url = status.endpoints.get("gateway", "").removesuffix("/v1")
    if not url:
        return "the gateway has said no address"
    try:
        answer = httpx.get(f"{url}/health/ready", timeout=_HEALTH_SECONDS, trust_env=False)
        said = answer.json()
        return "" if said["status"] == "ready" else str(said.get("reason", "not ready"))
    except httpx.HTTPError as error:
        return f"{url} does not answer: {error}"
    except (ValueError, TypeError, KeyError):
        return f"{url} answers, but not as this gateway does"


def _ask_registry() -> SessionTable | str:
    from actors.cli import bus  # noqa: PLC0415 - the bus is not loaded unless something runs
    from bus.connection import ConnectionFileError  # noqa: PLC0415
    from bus.errors import BusError  # noqa: PLC0415
    from schemas.commands import ListSessions  # noqa: PLC0415

    try:
        table: SessionTable = bus.ask(ListSessions())
    except (BusError, ConnectionFileError) as error:
        return f"the registry cannot be asked: {error}"
    return table
