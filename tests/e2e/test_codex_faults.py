"""What the user of a real Codex sees, and what is recorded, when something between Codex and the model is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import System, running
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


def once(system: System) -> str:
    """Return a Codex configuration that points at Tabwire through a provider of the user's own, and tries only once."""
    retries = "request_max_retries = 0\nstream_max_retries = 0"
    return f'model_provider = "mine"\n[model_providers.mine]\nname = "mine"\nbase_url = "{system.base_url}"\n{retries}\n'


def test_codex_waits_for_a_gateway_that_is_away_and_recovers_by_itself(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    codex = Codex(tmp_path, system)
    waiting = codex.start("exec", "--skip-git-repo-check", "patience", terminal="tab-patience")
    assert waiting.stderr is not None
    while "Reconnecting" not in waiting.stderr.readline():
        assert waiting.poll() is None
    system.tabwire("up")
    try:
        out, err = waiting.communicate(timeout=90)
        assert waiting.returncode == 0, err
        assert "patience" in out
        (thread,) = codex.rollouts()
        system.until_count("session.verified", session=f"codex-{thread}")
        assert system.sessions()[f"codex-{thread}"]["terminal"] == "wt:tab-patience"
    finally:
        system.tabwire("down")


def test_a_provider_that_is_down_is_named_with_what_to_do(tmp_path: Path) -> None:
    down = f'[providers.nowhere]\nbase_url = "http://127.0.0.1:{free_port()}/v1"\nauth = "none"\n'
    with running(tmp_path / "home", down) as system:
        codex = Codex(tmp_path, system, once(system))
        done = codex.exec("anyone there?", code=1)
        assert "provider 'nowhere' refused the connection" in done.stdout + done.stderr
        (thread,) = codex.rollouts()
        (failed,) = system.until_count("request.failed", session=f"codex-{thread}")
        assert (failed.envelope.data.code, failed.envelope.data.status) == ("upstream_refused", 502)


def test_a_stream_that_the_provider_cuts_is_shown_as_cut_and_never_as_complete(tmp_path: Path, system: System) -> None:
    codex = Codex(tmp_path, system, once(system))
    done = codex.exec("[echo cut=4 words=40]", code=1)
    assert "provider 'echo'" in done.stdout + done.stderr
    (thread,) = codex.rollouts()
    (failed,) = system.until_count("request.failed", session=f"codex-{thread}")
    assert failed.envelope.data.phase == "stream"
    row = system.sessions()[f"codex-{thread}"]
    assert (row["verdict"], row["failures"]) == ("verified", 1)


def test_an_unknown_launch_token_is_refused_in_words_that_codex_shows(tmp_path: Path, system: System) -> None:
    url = system.base_url.replace("/v1", f"/s/{'x' * 43}/v1")
    codex = Codex(tmp_path, system, f'openai_base_url = "{url}"\n')
    done = codex.exec("let me in", code=1)
    assert "this launch token is not known here; start the agent again with `tabwire run`" in done.stdout + done.stderr
    assert "x" * 43 not in system.tabwire("events", "export").stdout


def test_a_forged_claim_on_a_conversation_changes_nothing_there(tmp_path: Path, system: System) -> None:
    codex = Codex(tmp_path, system)
    codex.exec("mine", terminal="tab-mine")
    (thread,) = codex.rollouts()
    system.until_count("session.gone", session=f"codex-{thread}")
    before = system.sessions()[f"codex-{thread}"]
    forged = {"session-id": thread, "thread-id": thread, "originator": "codex_exec", "user-agent": "codex_exec/0.169.0"}
    answer = httpx.post(
        f"{system.base_url}/responses", json={"model": "m", "input": "mine too"}, headers=forged, trust_env=False
    )
    assert answer.status_code == 200
    (conflict,) = system.until_count("session.conflicted")

    assert conflict.envelope.data.session.startswith("proc-")
    assert answer.headers["x-tabwire-session"] == conflict.envelope.data.session
    after = system.sessions()
    assert after[f"codex-{thread}"] == before
    assert after[conflict.envelope.data.session]["agent"] == "other"
    assert after[conflict.envelope.data.session]["conversation"] is None
