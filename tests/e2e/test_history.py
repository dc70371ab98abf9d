"""Past sessions with the real Codex: listed from its own files without any system, shown, resumed and forked by a prefix."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, needs_codex]
RUN = (sys.executable, "-m", "actors.cli", "run")
SKIP = "--skip-git-repo-check"


def tabwire(codex: Codex, *arguments: str, code: int = 0) -> Any:
    """Run a command of ours with Codex's home in its environment."""
    environ = {"CODEX_HOME": str(codex.home), "HOME": str(codex.home)}
    return codex.system.tabwire(*arguments, code=code, environ=environ, cwd=Path.cwd())


def listed(codex: Codex, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(tabwire(codex, "history", "--json", *options).stdout)["sessions"]
    return rows


def run(codex: Codex, *words: str, code: int = 0) -> str:
    """Run ``tabwire run codex …`` from this repository, in the project's folder."""
    done = codex.system.tabwire(
        "run", codex.binary, *words, code=code, environ={"CODEX_HOME": str(codex.home), "HOME": str(codex.home)}
    )
    return done.stdout + done.stderr


def test_a_past_session_is_listed_shown_resumed_and_forked(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        codex = Codex(tmp_path, system)
        codex.exec("say one")
        (first,) = codex.rollouts()
        codex.exec("say two")
        second = next(thread for thread in codex.rollouts() if thread != first)
        assert [row["thread"] for row in listed(codex)] == [second, first]
        assert listed(codex, "--limit", "1")[0]["cwd"] == str(codex.work)
        prefix = next(first[:length] for length in range(8, 36) if not second.startswith(first[:length]))

        assert "again" in run(codex, "exec", "resume", SKIP, prefix, "say again")
        system.until_count("request.completed", 2, session=f"codex-{first}")
        detail = json.loads(tabwire(codex, "history", "show", prefix, "--json").stdout)
        assert (detail["turns"], detail["completed"], detail["row"]["thread"]) == (2, 2, first)
        assert detail["usage"]["input"] > 0
        row = system.sessions()[f"codex-{first}"]
        assert (row["verdict"], row["requests"]) == ("verified", 2)

        assert "elsewhere" in run(codex, "exec", "fork", SKIP, f"codex-{prefix}", "say elsewhere")
        fork = listed(codex)[0]
        assert fork["forked_from"] == f"codex:{first}"
        assert "no past session" in tabwire(codex, "history", "show", "ffff", code=1).stderr
        assert "names 3 sessions" in run(codex, "exec", "resume", SKIP, first[:4], "hi", code=2)
        shown = tabwire(codex, "history").stdout + tabwire(codex, "history", "show", first).stdout
        assert "say again" not in shown
        assert "say one" in tabwire(codex, "history", "--preview").stdout


def test_archived_and_compressed_sessions_are_history_too(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        codex = Codex(tmp_path, system)
        codex.exec("say one")
        (first,) = codex.rollouts()
        process = codex.start("archive", first)
        assert process.wait(60) == 0
        process.communicate()
        assert listed(codex) == []
        (row,) = listed(codex, "--archived")
        assert (row["thread"], row["archived"]) == (first, True)
        refused = run(codex, "exec", "resume", SKIP, first[:12], "hi", code=1)
        assert f"codex unarchive {first}" in refused
        archived = Path(row["path"])
        archived.with_name(f"{archived.name}.zst").write_bytes(zstandard.ZstdCompressor().compress(archived.read_bytes()))
        archived.unlink()
        detail = json.loads(tabwire(codex, "history", "show", first[:12], "--json").stdout)
        assert (detail["row"]["compressed"], detail["turns"]) == (True, 1)


def test_a_session_that_still_runs_is_not_resumed_and_the_registry_knows_old_names(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        codex = Codex(tmp_path, system)
        tab = "eeeeeeee-5555-4555-8555-555555555555"
        process = codex.start("exec", SKIP, '[echo say="done" wait=120s]', prefix=(*RUN, "--"), terminal=tab)
        launched = system.until_count("launch.started")[0].envelope.data
        attributed = system.until_count("request.attributed", launch=launched.launch)
        (thread,) = codex.rollouts()
        refused = run(codex, "exec", "resume", SKIP, thread, "hi", code=1)
        assert f"still open in process {attributed[0].envelope.data.process.pid} (exec in wt:{tab}" in refused
        process.terminate()
        process.communicate()
        system.until_count("session.gone", session=f"codex-{thread}")
        assert "again" in run(codex, "exec", "resume", SKIP, launched.launch, "say again")


def test_without_a_system_history_is_there_all_the_same(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    codex = Codex(tmp_path, system)
    assert "no session was found" in tabwire(codex, "history").stderr
    assert "no Codex session" in run(codex, "resume", "01a1", code=1)
