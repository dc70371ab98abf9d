"""``codex exec``, the real one: many at once, forks, reviews, sub-agents, folders that are missing or may not be written."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cases import own_codex, rows_when
from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import System, running


def may_mount() -> bool:
    """Tell whether this user may make a mount namespace of its own."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, timeout=10, check=False).returncode == 0


pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]

MANY = 20
HOMES = (
    "test_a_fork_is_a_session_of_its_own_that_says_what_it_forks",
    "test_a_sub_agent_counts_for_the_conversation_that_started_it",
    "test_a_review_counts_for_the_conversation_that_it_reviews",
    "test_a_home_that_may_not_be_written_is_watched_all_the_same",
    "created-later",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases")


@pytest.fixture(scope="module")
def system(place: Path) -> Iterator[System]:
    """Run a system that is told of the homes before there are any."""
    homes = [str(place / name / "codex-home") for name in HOMES]
    with running(place / "home", f"[rollout]\ncodex_homes = {homes}\n") as system:
        yield system


@pytest.fixture
def codex(place: Path, system: System, request: pytest.FixtureRequest) -> Codex:
    return own_codex(place / request.node.name, system)


def test_twenty_at_the_same_moment_in_one_directory_are_twenty_sessions(codex: Codex, system: System) -> None:
    words = [f"word-{number:02d}" for number in range(MANY)]
    started = {word: codex.start("exec", "--skip-git-repo-check", f"say {word}", terminal=f"tab-of-{word}") for word in words}
    for process in started.values():
        _, err = process.communicate(timeout=110)
        assert process.returncode == 0, err
    rollouts = codex.rollouts()
    assert len(rollouts) == MANY
    mine = {f"codex-{thread}" for thread in rollouts}
    rows = rows_when(system, lambda rows: mine <= set(rows) and all(rows[one].verdict == "verified" for one in mine))
    for thread, rollout in rollouts.items():
        (word,) = set(re.findall(r"say (word-\d\d)", "".join(map(str, rollout.lines))))
        row = rows[f"codex-{thread}"]
        assert row.terminal == f"wt:tab-of-{word}"
        assert row.conflicts == 0
        assert row.requests == 1
    assert len({row.process for row in rows.values() if row.session in mine}) == MANY
    # No row is left over for a process whose conversation is known.
    rows = rows_when(system, lambda rows: all(rows[one].activity == "gone" for one in mine))
    aliases = [alias for one in mine for alias in rows[one].aliases]
    assert len(aliases) == len(set(aliases))
    assert not [row for row in rows.values() if row.provisional and row.cwd == str(codex.work)]


def test_a_fork_is_a_session_of_its_own_that_says_what_it_forks(codex: Codex, system: System) -> None:
    codex.exec("the parent", terminal="tab-parent")
    (parent,) = codex.rollouts()
    codex.exec("the child", "fork", parent, terminal="tab-child")
    (child,) = set(codex.rollouts()) - {parent}
    rows = rows_when(
        system,
        lambda rows: {f"codex-{parent}", f"codex-{child}"} <= set(rows) and rows[f"codex-{child}"].relation is not None,
    )
    row = rows[f"codex-{child}"]
    assert (row.relation, row.parent) == ("forks", f"codex-{parent}")
    assert (row.verdict, row.terminal, row.requests) == ("verified", "wt:tab-child", 1)
    assert rows[f"codex-{parent}"].terminal == "wt:tab-parent"
    assert rows[f"codex-{parent}"].requests == 1


def test_a_sub_agent_counts_for_the_conversation_that_started_it(codex: Codex, system: System) -> None:
    spawn = r'[echo call=spawn_agent namespace=multi_agent_v1 arguments="{\"message\":\"a child task\"}"]'
    codex.exec(spawn + '[echo wait=1s say="all done"]', terminal="tab-root")
    rollouts = codex.rollouts()
    (root,) = (thread for thread, rollout in rollouts.items() if rollout.meta.get("parent_thread_id") is None)
    assert len(rollouts) == 2
    session = f"codex-{root}"
    rows = rows_when(system, lambda rows: session in rows and rows[session].requests >= 3 and rows[session].threads == 1)
    assert rows[session].verdict == "verified"
    assert rows[session].terminal == "wt:tab-root"
    assert not {f"codex-{thread}" for thread in rollouts if thread != root} & set(rows)
    kinds = {item.envelope.data.thread_kind for item in system.until_count("request.attributed", 3, session=session)}
    assert kinds == {"main", "subagent"}


def test_a_review_counts_for_the_conversation_that_it_reviews(codex: Codex, system: System) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", "-C", codex.work, *identity, *arguments], check=True, capture_output=True, timeout=30)

    git("init", "-q")
    (codex.work / "a.txt").write_text("before\n")
    git("add", ".")
    git("commit", "-q", "-m", "before")
    (codex.work / "a.txt").write_text("after\n")
    process = codex.start("exec", "review", "--uncommitted", terminal="tab-review")
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    rollouts = codex.rollouts()
    reviews = {thread for thread, rollout in rollouts.items() if rollout.meta.get("source") == {"subagent": "review"}}
    (root,) = set(rollouts) - reviews
    session = f"codex-{root}"
    rows = rows_when(system, lambda rows: (row := rows.get(session)) and row.verdict == "verified" and row.git_branch)
    assert rows[session].terminal == "wt:tab-review"
    assert not {f"codex-{thread}" for thread in reviews} & set(rows)
    assert rows[session].git_branch


def test_a_home_that_is_created_later_is_seen(system: System, place: Path) -> None:
    """The watcher was told of it when there was none; what it then says comes from the file alone: the model, the folder."""
    assert not (place / "created-later").exists()
    codex = own_codex(place / "created-later", system)
    codex.exec("from a new home", terminal="tab-later")
    (thread,) = codex.rollouts()
    (seen,) = system.until_count("transcript.seen", thread=thread)
    assert seen.envelope.data.path == str(codex.rollouts()[thread].file)
    session = f"codex-{thread}"
    row = rows_when(system, lambda rows: rows[session].verdict == "verified" and rows[session].transcript)[session]
    assert row.terminal == "wt:tab-later"


def test_without_a_home_at_all_nothing_is_invented(system: System, tmp_path: Path) -> None:
    """Codex refuses to start then; it is not a session, and nobody fails."""
    codex = own_codex(tmp_path / "codex", system)
    codex.home = tmp_path / "nowhere"
    done = codex.exec("hello", code=None, terminal="tab-nowhere")
    assert done.returncode != 0
    rows = rows_when(
        system, lambda rows: all(row.terminal != "wt:tab-nowhere" or row.activity == "gone" for row in rows.values())
    )
    assert not [row for row in rows.values() if row.terminal == "wt:tab-nowhere" and not row.provisional]
    assert {actor["state"] for actor in system.json("status")["actors"]} == {"ready"}


@pytest.mark.skipif(not may_mount(), reason="a folder cannot be made read-only without a mount namespace")
def test_a_home_that_may_not_be_written_is_watched_all_the_same(codex: Codex, system: System) -> None:
    codex.exec("while it could be written", terminal="tab-before")
    (thread,) = codex.rollouts()
    session = f"codex-{thread}"
    before = rows_when(system, lambda rows: session in rows and rows[session].activity == "gone")[session]
    frozen = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    codex.exec("now it cannot", code=None, terminal="tab-after", prefix=("unshare", "-m", "sh", "-c", frozen, str(codex.home)))
    rows = rows_when(
        system, lambda rows: all(row.activity == "gone" for row in rows.values() if row.terminal == "wt:tab-after")
    )
    assert (rows[session].verdict, rows[session].terminal) == ("verified", before.terminal)
    assert {actor["state"] for actor in system.json("status")["actors"]} == {"ready"}
