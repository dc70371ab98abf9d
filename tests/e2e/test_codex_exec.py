"""``codex exec``, the real one: attributed to its tab and conversation, its usage counted as the provider sent it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]

TAB_A = "wt:aaaaaaaa-1111-4111-8111-111111111111"
TAB_B = "wt:bbbbbbbb-2222-4222-8222-222222222222"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture
def codex(tmp_path: Path, system: System) -> Codex:
    return Codex(tmp_path, system)


def tab(terminal: str) -> str:
    return terminal.removeprefix("wt:")


def test_two_at_the_same_moment_in_one_directory_are_two_verified_sessions(codex: Codex, system: System) -> None:
    both = [
        codex.start("exec", "--skip-git-repo-check", f"say {word}", terminal=tab(terminal))
        for word, terminal in (("alpha", TAB_A), ("beta", TAB_B))
    ]
    for process in both:
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err

    rollouts = codex.rollouts()
    assert len(rollouts) == 2
    for thread in rollouts:
        system.until_count("request.completed", session=f"codex-{thread}")
        system.until_count("session.gone", session=f"codex-{thread}")
    rows = {thread: system.sessions()[f"codex-{thread}"] for thread in rollouts}

    assert {row["verdict"] for row in rows.values()} == {"verified"}
    assert {row["terminal"] for row in rows.values()} == {TAB_A, TAB_B}
    for thread, row in rows.items():
        assert row["conversation"] == f"codex:{thread}"
        assert row["agent"] == "codex"
        assert row["process_kind"] == "exec"
        prompts = "".join(map(str, rollouts[thread].lines))
        assert ("say alpha" in prompts) == (row["terminal"] == TAB_A)
        recorded = rollouts[thread].usage
        completed = system.until_count("request.completed", len(recorded), session=f"codex-{thread}")
        sent = {item.envelope.data.response: item.envelope.data.usage for item in completed}
        assert set(sent) == set(recorded)
        for response, usage in recorded.items():
            assert (sent[response].input, sent[response].output) == (usage["input_tokens"], usage["output_tokens"])
            assert sent[response].cached_input == usage["cached_input_tokens"]


def test_resumed_in_another_tab_it_is_the_same_session(codex: Codex, system: System) -> None:
    codex.exec("first", terminal=tab(TAB_A))
    (thread,) = codex.rollouts()
    codex.exec("again", "resume", thread, terminal=tab(TAB_B))
    system.until_count("request.completed", 2, session=f"codex-{thread}")

    assert list(codex.rollouts()) == [thread]
    row = system.sessions()[f"codex-{thread}"]
    assert row["requests"] == 2
    assert row["terminal"] == TAB_B
    assert set(row["terminals"]) == {TAB_A, TAB_B}


def test_launched_by_tabwire_it_is_identified_once_and_the_launch_stays_an_alias(codex: Codex, system: System) -> None:
    run = tuple(system.command("run", "--"))
    done = codex.exec("launched", terminal=tab(TAB_A), prefix=run)
    assert "launched" in done.stdout
    (thread,) = codex.rollouts()
    (launched,) = system.until_count("launch.started")
    launch = launched.envelope.data.launch
    (gone,) = system.until_count("session.gone", session=f"codex-{thread}")

    feed = system.until(lambda so_far: so_far[-1].position == gone.position)
    identified = [item.envelope.data for item in feed if item.envelope.type == "session.identified"]
    assert [one.session for one in identified if one.provisional == launch] == [f"codex-{thread}"]
    row = system.sessions()[f"codex-{thread}"]
    assert row["verdict"] == "verified"
    assert row["launch"] == launch
    assert launch in row["aliases"]
    assert codex.rollouts()[thread].meta["model_provider"] == "openai"
    by_alias = system.json("explain", launch[:14])
    assert by_alias["row"]["session"] == f"codex-{thread}"
    assert any(line["evidence"]["rank"] == 1 for line in by_alias["evidence"])


def test_an_exit_code_comes_back_through_run(codex: Codex, system: System) -> None:
    run = tuple(system.command("run", "--"))
    assert codex.exec("[echo status=400]", prefix=run, code=None).returncode == 1


def test_a_tool_turn_runs_its_command(codex: Codex, system: System) -> None:
    done = codex.exec('[echo tool="echo tool-was-here"]', "--sandbox", "danger-full-access", terminal=tab(TAB_A))
    assert "tool-was-here" in done.stdout + done.stderr
    (thread,) = codex.rollouts()
    system.until_count("request.completed", 2, session=f"codex-{thread}")


def test_a_provider_that_refuses_is_shown_to_the_user_in_its_own_words(codex: Codex, system: System) -> None:
    done = codex.exec("[echo status=400]", code=1)
    assert "400" in done.stdout + done.stderr
    (thread,) = codex.rollouts()
    (failed,) = system.until_count("request.failed", session=f"codex-{thread}")
    assert (failed.envelope.data.status, failed.envelope.data.upstream_status) == (400, 400)


def test_replay_prints_the_table_that_sessions_printed(codex: Codex, system: System) -> None:
    codex.exec("to be replayed", terminal=tab(TAB_A))
    (thread,) = codex.rollouts()
    system.until_count("session.gone", session=f"codex-{thread}")
    live = system.json("sessions", "--all")
    as_of = live["as_of"]
    replayed = system.json("replay", "--until", str(as_of["position"]), "--at", as_of["time"], "--all")
    assert replayed == live
