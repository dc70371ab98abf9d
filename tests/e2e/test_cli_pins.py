"""Pins with everything running: what is pinned goes elsewhere from its next request on, and nothing else does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.envelope import Recorded
from schemas.events import ProcessSeen
from schemas.identity import ProcessKey, process_session
from tests.e2e.named import Named, named, tab
from tests.e2e.system import System, running

pytestmark = pytest.mark.e2e

A, B, C = (f"{letter * 8}-1111-4111-8111-111111111111" for letter in "abc")


@pytest.fixture(scope="module")
def one() -> Iterator[Named]:
    with named("one") as server:
        yield server


@pytest.fixture(scope="module")
def system(one: Named, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with named("two") as two:
        config = f"""# my providers
default_provider = "one"
[providers.one]  # the usual one
base_url = "{one.base_url}"
auth = "none"
[providers.two]
base_url = "{two.base_url}"
auth = "none"
"""
        with running(tmp_path_factory.mktemp("pins") / "home", config) as system:
            yield system


@pytest.fixture(autouse=True)
def _nothing_pinned(system: System) -> Iterator[None]:
    yield
    for pin in system.json("pins", "list")["pins"]:
        system.tabwire("unpin", pin["target"], f"--{pin['kind']}")


def test_a_running_session_of_two_is_moved_and_the_other_stays(system: System) -> None:
    with tab(system, A) as first, tab(system, B) as second:
        assert [first.ask(), second.ask()] == ["one", "one"]
        session = second.session
        done = system.tabwire("pin", session, "two/m2")
        assert f"session {session} goes to two/m2" in done.stdout
        assert [first.ask(), second.ask()] == ["one", "two"]
        row = system.sessions()[session]
        assert (row["preferred_provider"], row["preferred_model"], row["routing_provider"]) == ("two", "m2", "two")
        assert system.sessions()[first.session]["preferred_provider"] is None
        assert "two/m2" in system.tabwire("sessions").stdout
        plan = system.json("route", "explain", session)
        assert (plan["provider"], plan["model"], plan["pin"]) == ("two", "m2", f"session:{session}")
        assert "would go to two/m2" in system.tabwire("route", "explain", session).stdout
        system.tabwire("unpin", session)
        assert [first.ask(), second.ask()] == ["one", "one"]
        assert system.sessions()[session]["preferred_provider"] is None
    assert "# my providers\n" in (system.home / "config.toml").read_text()


def test_a_stream_under_way_is_not_moved(system: System, one: Named) -> None:
    with tab(system, A) as agent:
        agent.ask()
        agent.begin("hold on")
        assert agent.hear() == "one"
        system.tabwire("pin", agent.session, "two")
        one.go_on.set()
        assert agent.hear() == "response.completed"
        assert agent.ask() == "two"
    one.go_on.clear()


def test_terminals_and_projects_can_be_pinned_before_anybody_is_there(system: System, tmp_path: Path) -> None:
    inside = tmp_path / "shop" / "api"
    inside.mkdir(parents=True)
    beside = tmp_path / "shop2"
    beside.mkdir()
    ahead = system.tabwire("pin", f"wt:{C}", "two")
    assert "no session has been seen in this terminal yet" in ahead.stderr
    system.tabwire("pin", ".", "two", "--project", cwd=tmp_path / "shop")
    assert system.json("route", "explain", "--cwd", str(inside))["pin"] == f"project:{tmp_path / 'shop'}"
    with tab(system, C) as terminal, tab(system, A, cwd=inside) as project, tab(system, B, cwd=beside) as other:
        assert [terminal.ask(), project.ask(), other.ask()] == ["two", "two", "one"]
        system.tabwire("pin", project.session, "one")
        assert project.ask() == "one"


def test_this_very_tab_is_a_target(system: System) -> None:
    environ = {"WT_SESSION": B}
    assert f"terminal wt:{B} goes to two" in system.tabwire("pin", ".", "two", environ=environ).stdout
    with tab(system, B) as agent:
        assert agent.ask() == "two"
    assert f"wt:{B} is not pinned any more" in system.tabwire("unpin", "this", environ=environ).stdout


def test_a_pin_ends_with_its_time(system: System) -> None:
    with tab(system, A) as agent:
        agent.ask()
        system.tabwire("pin", agent.terminal, "two", "--ttl", "3s")
        assert agent.ask() == "two"
        system.until_count("pin.removed", target=agent.terminal, reason="expired")
        assert agent.ask() == "one"
    (row,) = system.json("pins", "list")["pins"]
    assert "has expired" in row["problem"]
    assert "has expired" in system.tabwire("pins", "list").stdout
    pruned = system.tabwire("pins", "prune")
    assert (f"removed terminal wt:{A}" in pruned.stdout, "1 removed, 0 kept" in pruned.stderr) == (True, True)
    assert system.json("pins", "list") == {"config_file": str(system.home / "config.toml"), "live": True, "pins": []}


def test_a_pin_that_must_not_fail_over_refuses_and_says_why(system: System) -> None:
    with tab(system, A) as agent:
        agent.ask()
        system.tabwire("pin", agent.session, "two", "--on-failure", "fail")
        system.tabwire("providers", "disable", "two")
        assert "disabled" in agent.ask()
        assert "requests are refused" in system.json("pins", "list")["pins"][0]["problem"]
        system.tabwire("providers", "enable", "two")
        assert agent.ask() == "two"


def test_only_what_is_verified_and_unambiguous_is_pinned(system: System, tmp_path: Path) -> None:
    with tab(system, A) as first, tab(system, B) as second:
        first.ask()
        second.ask()
        ambiguous = system.tabwire("pin", "launch-", "two", code=2).stderr
        assert first.session in ambiguous
        assert second.session in ambiguous
    program = tmp_path / "codex"
    shutil.copy(Path(sys.executable).resolve(), program)
    environ = system.environ({"PYTHONHOME": sys.base_prefix, "WT_SESSION": C})
    with subprocess.Popen([str(program), "-c", "input()"], env=environ, stdin=subprocess.PIPE, cwd=tmp_path) as agent:
        found = system.until(lambda so_far: bool(_processes(so_far, agent.pid)))
        session = process_session(_processes(found, agent.pid)[0])
        system.until_count("session.seen", session=session)
        refused = system.tabwire("pin", session, "two", code=1).stderr
        assert "is unverified and cannot be pinned: " in refused
        assert f"tabwire pin wt:{C}" in refused
        assert agent.stdin is not None
        agent.stdin.close()
    for arguments, code, said in (
        (("pin", "nothing-like-it", "two"), 2, "is no session"),
        (("pin", f"wt:{A}", "nobody"), 2, "known here: echo, one, two"),
        (("pin", f"wt:{A}", "two", "--ttl", "soon"), 2, "expected a duration"),
        (("pin", f"wt:{A}", "two", "--on-failure", "panic"), 2, "fail, fallback, ask"),
        (("pin", f"wt:{A}", "two", "--session", "--project"), 2, "only one"),
        (("unpin", "wt:never"), 2, "is pinned (tabwire pins list)"),
    ):
        assert said in system.tabwire(*arguments, code=code).stderr
    assert system.json("pins", "list")["pins"] == []


def test_a_past_request_is_explained_from_the_journal(system: System) -> None:
    with tab(system, A) as agent:
        agent.ask()
        system.tabwire("pin", agent.session, "two/m2")
        agent.ask()
        session = agent.session
    done = system.until_count("request.completed", 1, session=session, provider="two")
    request = done[-1].envelope.data.request
    trace = system.json("route", "explain", request)
    assert (trace["request"], trace["session"], trace["status"]) == (request, session, 200)
    (attempt,) = trace["attempts"]
    assert (attempt["provider"], attempt["pin"], attempt["sent_model"]) == ("two", f"session:{session}", "m2")
    text = system.tabwire("route", "explain", request[:23]).stdout
    for said in ("attempt 1 → two", "asked for m, sent m2, served m2", "rank 1", "outcome: completed 200"):
        assert said in text
    assert "no request's id" in system.tabwire("route", "explain", "00000000-0000", code=2).stderr


def test_a_broken_edit_changes_nothing_and_the_status_says_so(system: System) -> None:
    file = system.home / "config.toml"
    good = file.read_text()
    with tab(system, A) as agent:
        file.write_text(good + "\n[provders.three]\n")
        system.until_count("config.refused", key="provders")
        while "provders: unknown key" not in (said := system.tabwire("status").stdout):  # the note follows the fact
            assert "gateway" in said
        assert agent.ask() == "one"
        assert "provders" in system.tabwire("pin", agent.terminal, "two", code=78).stderr
        file.write_text(good)
        assert agent.ask() == "one"


def test_without_a_gateway_a_pin_is_written_and_holds_once_it_runs(system: System, tmp_path: Path) -> None:
    system.tabwire("down")
    try:
        written = system.tabwire("pin", str(tmp_path), "two")
        assert "takes effect when it runs" in written.stderr
        listed = system.json("pins", "list")
        assert (listed["live"], [row["target"] for row in listed["pins"]]) == (False, [str(tmp_path)])
        assert "verified only the running system knows" in system.tabwire("pin", "codex-1", "two", code=1).stderr
        assert system.tabwire("route", "explain", "--cwd", str(tmp_path), code=3).stdout == ""
    finally:
        system.tabwire("up")
    with tab(system, A, cwd=tmp_path) as agent:
        assert agent.ask() == "two"


def _processes(so_far: list[Recorded], pid: int) -> list[ProcessKey]:
    """Return the processes with this pid that were seen."""
    seen = [event.envelope.data.process for event in so_far if isinstance(event.envelope.data, ProcessSeen)]
    return [process for process in seen if process.pid == pid]
