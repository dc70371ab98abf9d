"""A real Gemini CLI that goes on and on is stopped by the gateway, and says why."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.agents import GEMINI, Agent, Installed
from tests.e2e.system import running

pytestmark = [pytest.mark.e2e, pytest.mark.agents]


@pytest.mark.parametrize("agent", [GEMINI.param()])
def test_one_that_asks_too_often_is_refused_and_another_is_not(agent: Agent, tmp_path: Path) -> None:
    with running(tmp_path / "tabwire", gateway="session_requests = 4\nsession_window = 60") as system:
        loop = " ".join(f'[echo tool="echo {number} >> rounds"]' for number in range(12))
        looping = Installed(agent, tmp_path / "looping", system)
        looping.ask(loop, terminal=str(uuid4()), code=None)
        (throttled,) = system.until_count("request.throttled")
        assert throttled.envelope.data.limit == 4
        session = throttled.envelope.data.session
        assert len((looping.work / "rounds").read_text().splitlines()) <= 4
        assert len(system.until_count("request.completed", 4, session=session)) == 4
        printed = Installed(agent, tmp_path / "calm", system).ask("and I?", terminal=str(uuid4()))
        assert "You said: and I?" in printed
