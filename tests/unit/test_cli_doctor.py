"""What ``tabwire doctor`` concludes from what was found out."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from actors.cli.doctor import Findings, diagnose
from actors.probe import Capability
from schemas.config import Config
from schemas.events import Endpoint
from schemas.identity import SessionId
from schemas.rows import ActorRow, AsOf, Check, SessionRow, SessionTable, SystemStatus

NOW = "2026-11-21T00:00:00.000000Z"
EVERYTHING: tuple[Capability, ...] = get_args(Capability)


def actor(**more: Any) -> ActorRow:
    return ActorRow(**{"actor": "broker", "state": "ready", "pid": 7, "since": NOW, "restarts": 0, **more})


def row(**more: Any) -> SessionRow:
    plain = {"agent": "codex", "provisional": True, "verdict": "verified", "activity": "active"}
    return SessionRow(**{"session": SessionId("proc-1-a"), **plain, "first_seen": NOW, "last_seen": NOW, **more})


def findings(*rows: SessionRow, **more: Any) -> Findings:
    status = SystemStatus(pid=1, started=NOW, version="0", actors=(actor(),), endpoints={})
    table = SessionTable(as_of=AsOf(epoch="e", position=1, time=NOW), sessions=rows)
    return Findings(**{"config": Config(), "status": status, "health": "", "capabilities": EVERYTHING, "table": table, **more})


def conspicuous(found: Findings) -> list[Check]:
    return [check for check in diagnose(found).checks if check.state != "ok"]


def test_where_all_is_well_nothing_is_conspicuous() -> None:
    assert conspicuous(findings(row())) == []


@pytest.mark.parametrize(
    ("found", "finding", "advice"),
    [
        (findings(config="config.toml:3: x: unknown key"), "config.toml:3", "tabwire up"),
        (findings(status=None, table=""), "not running", "tabwire up"),
        (findings(health="http://127.0.0.1:8129 does not answer"), "does not answer", "another program"),
        (findings(capabilities="no probe for this system"), "no probe", ""),
        (findings(table="the registry cannot be asked"), "cannot be asked", "tabwire status"),
        (findings(row(conflicts=2)), "2 contradictory", "tabwire explain proc-1-a"),
    ],
)
def test_a_problem_says_what_to_do(found: Findings, finding: str, advice: str) -> None:
    (check,) = conspicuous(found)
    assert check.state == "problem"
    assert finding in check.finding
    assert advice in check.advice


def test_an_actor_that_failed_is_a_problem_with_its_reason() -> None:
    failed = actor(state="failed", note="crashed 6 times in 60 s")
    status = SystemStatus(pid=1, started=NOW, version="0", actors=(failed,), endpoints={})
    (check,) = conspicuous(findings(status=status))
    assert (check.subject, check.finding) == ("broker", "failed: crashed 6 times in 60 s")


def test_what_this_computer_cannot_tell_is_a_note_with_its_consequence() -> None:
    able = tuple(name for name in EVERYTHING if name != "open_files")
    told = conspicuous(findings(capabilities=able, limits=("WSL 2: Windows' processes cannot be seen from here",)))
    assert [check.state for check in told] == ["note", "note"]
    assert "session file" in told[0].finding
    assert "WSL 2" in told[1].finding


@pytest.mark.parametrize(("verdict", "state"), [("other", "problem"), ("gateway", "note"), ("unknown", "note")])
def test_an_agent_that_goes_elsewhere_is_a_problem_and_one_that_is_silent_a_note(verdict: Any, state: str) -> None:
    unverified = row(verdict="unverified", missing=("no request yet",), endpoint=Endpoint(verdict=verdict, source="config"))
    (check,) = conspicuous(findings(unverified, row(activity="gone", verdict="unverified")))
    assert (check.state, check.finding, check.subject) == (state, "no request yet", "proc-1-a")
