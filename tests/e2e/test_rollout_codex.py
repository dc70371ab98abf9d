"""What the watcher says of the real Codex's rollouts: exec, resume, fork, archive; usage by response, as the files say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.codex import Codex, Rollout, needs_codex
from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]


@pytest.fixture(scope="module")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Codex]:
    home = tmp_path_factory.mktemp("tabwire")
    system = System(home / "home")
    codex = Codex(home, system)
    system.tabwire("up", environ={"CODEX_HOME": str(codex.home)})
    try:
        yield codex
    finally:
        system.tabwire("down")


def facts(system: System, type_: str, count: int, **fields: Any) -> list[Any]:
    return [one.envelope.data for one in system.until_count(f"transcript.{type_}", count, **fields)]


def only(rollouts: dict[str, Rollout]) -> Rollout:
    (one,) = rollouts.values()
    return one


def run(codex: Codex, *arguments: str) -> str:
    done = subprocess.run(
        [codex.binary, *arguments],
        env=codex.environ(),
        cwd=codex.work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_exec_resume_fork_and_archive(codex: Codex) -> None:
    system = codex.system
    codex.exec("say rutabaga")
    rollout = only(codex.rollouts())
    thread = rollout.meta["id"]
    session = f"codex-{thread}"
    (seen,) = facts(system, "seen", 1, session=session)
    assert (seen.path, seen.thread, seen.thread_kind) == (str(rollout.file), thread, "main")
    assert (seen.cwd, seen.origin, seen.originator) == (str(codex.work), "exec", "codex_exec")
    assert (seen.agent_version, seen.agent_provider) == (rollout.meta["cli_version"], "openai")

    run(codex, "exec", "--skip-git-repo-check", "resume", thread, "say parsnip")
    rollout = only(codex.rollouts())
    facts(system, "turn_ended", 2, session=session, outcome="completed")
    assert len(rollout.usage) >= 2
    used = facts(system, "usage_recorded", len(rollout.usage), session=session)
    assert {one.response: one.usage.total for one in used} == {
        response: counts["total_tokens"] for response, counts in rollout.usage.items()
    }
    completed = system.until_count("request.completed", len(rollout.usage), session=session)
    sent = {one.envelope.data.response: one.envelope.data.usage for one in completed}
    assert {one.response: one.usage for one in used} == sent  # the same numbers by both ways

    run(codex, "exec", "--skip-git-repo-check", "fork", thread, "say turnip")
    (fork,) = [one for one in codex.rollouts().values() if one.meta["id"] != thread]
    forked = f"codex-{fork.meta['id']}"
    (seen,) = facts(system, "seen", 1, session=forked)
    assert seen.forked_from == f"codex:{thread}"
    used = facts(system, "usage_recorded", len(fork.usage), session=forked)
    assert {one.response for one in used} == set(fork.usage)

    run(codex, "archive", thread)
    away = codex.home / "archived_sessions" / rollout.file.name
    assert away.exists()
    (moved,) = facts(system, "moved", 1, session=session)
    assert (moved.path, moved.archived) == (str(away), True)
    run(codex, "unarchive", thread)
    facts(system, "moved", 1, session=session, path=str(rollout.file), archived=False)

    journal = b"".join(file.read_bytes() for file in Path(system.home / "state/journal").iterdir())
    for secret in (b"rutabaga", b"parsnip", b"turnip"):
        assert secret in rollout.file.read_bytes() + fork.file.read_bytes()
        assert secret not in journal
