"""opencode and Auggie as an editor drives them (ACP), the real ones: two conversations in one process are two sessions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.agents import AUGGIE, OPENCODE, Agent, Installed
from tests.e2e.system import running

pytestmark = [pytest.mark.e2e, pytest.mark.agents]
WORDS = {"opencode": "acp", "auggie": "--acp"}


class Editor:
    """The least of an editor: it asks, permits whatever it is asked, and reads until it has its answer."""

    def __init__(self, installed: Installed, terminal: str) -> None:
        assert installed.agent.binary is not None
        self.cwd = str(installed.work)
        self.process = subprocess.Popen(
            [installed.agent.binary, WORDS[installed.agent.name]],
            env=installed.environ(terminal),
            cwd=self.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.asked = 0

    def _send(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> Any:
        self.asked += 1
        self._send(id=self.asked, method=method, params=params)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if told.get("method") == "session/request_permission":
                chosen = told["params"]["options"][-1]["optionId"]
                self._send(id=told["id"], result={"outcome": {"outcome": "selected", "optionId": chosen}})
            elif "method" not in told and told.get("id") == self.asked:
                return told["result"]
        raise AssertionError(f"the agent ended: {self.process.wait(timeout=10)}")

    def talk(self, text: str) -> str:
        """Open a conversation, say something in it and return its id."""
        session: str = self.ask("session/new", cwd=self.cwd, mcpServers=[])["sessionId"]
        said = self.ask("session/prompt", sessionId=session, prompt=[{"type": "text", "text": text}])
        assert said["stopReason"] == "end_turn"
        return session

    def end(self) -> None:
        try:
            self.process.communicate(timeout=20)
        finally:
            self.process.kill()


@pytest.mark.parametrize("agent", [agent.param() for agent in (OPENCODE, AUGGIE)])
def test_two_conversations_of_one_process_are_two_verified_sessions(agent: Agent, tmp_path: Path) -> None:
    with running(tmp_path / "tabwire") as system:
        terminal = str(uuid4())
        editor = Editor(Installed(agent, tmp_path / "home", system), terminal)
        try:
            editor.ask("initialize", protocolVersion=1, clientCapabilities={})
            sessions = [f"{agent.name}-{editor.talk(text)}" for text in ("one", "two")]
            for session in sessions:
                system.until_count("session.verified", session=session)
            rows = system.sessions()
            assert {rows[session]["terminal"] for session in sessions} == {f"wt:{terminal}"}
            assert {rows[session]["process"]["pid"] for session in sessions} == {editor.process.pid}
            assert {rows[session]["process_kind"] for session in sessions} == {"app_server"}
        finally:
            editor.end()
