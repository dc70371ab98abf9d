"""A pinned conversation of the real Codex: it goes on with its new provider and model, and its own view never changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]

TAB = "cccccccc-4444-4444-8444-444444444444"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("codex-pins") / "home") as system:
        base = f"{system.echo_url}/v1"
        added = system.tabwire("providers", "add", "second", "--base-url", base, "--auth", "none", "--account", "echo")
        assert "the default provider from now on" in added.stderr  # as the first one is
        system.tabwire("providers", "default", "echo")
        yield system


def test_a_pinned_conversation_goes_on_elsewhere_and_codex_sees_nothing_of_it(system: System, tmp_path: Path) -> None:
    codex = Codex(tmp_path, system)
    codex.exec("first", terminal=TAB)
    (thread,) = codex.rollouts()
    session = f"codex-{thread}"
    system.until_count("request.completed", session=session, provider="echo")
    assert system.json("providers", "list")["providers"][0]["provider"] == "echo"

    done = system.tabwire("pin", thread[:13], "second/echo-other")
    assert f"session {session} goes to second/echo-other" in done.stdout
    codex.exec("again", "resume", thread, terminal=TAB)
    moved = system.until_count("request.completed", session=session, provider="second")
    assert {item.envelope.data.sent_model for item in moved} == {"echo-other"}
    (rollout,) = codex.rollouts().values()
    assert "echo-other" not in {line["payload"].get("model") for line in rollout.lines}
    row = system.sessions()[session]
    assert (row["preferred_provider"], row["preferred_model"], row["verdict"]) == ("second", "echo-other", "verified")

    system.tabwire("unpin", thread[:13])
    codex.exec("once more", "resume", thread, terminal=TAB)
    system.until_count("request.completed", 2, session=session, provider="echo")
