"""``tabwire run`` with the other real agents: brought to the gateway from wherever their own settings send them.

Each is configured for an address where nobody answers. An answer is proof that its requests came through the gateway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors.launch.codex_home import is_guarded
from actors.launch.gemini import DEFAULTS
from tests.e2e.agents import ALL, AUGGIE, GEMINI, OPENCODE, QWEN, Agent, Installed
from tests.e2e.claude import Claude, needs_claude
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.agents]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


def launched(system: System, agent: str, terminal: str) -> Any:
    """Wait for the launch in this tab to be over and return its session's row."""
    (started,) = system.until_count("launch.started", terminal=f"wt:{terminal}")
    launch = started.envelope.data.launch
    assert started.envelope.data.agent == agent

    def finished(row: dict[str, Any]) -> bool:
        return bool(row["launch"] == launch and row["requests"])

    system.until_count("request.attributed", terminal=f"wt:{terminal}", launch=launch)
    system.until_count("session.gone", session=next(name for name, row in system.sessions().items() if finished(row)))
    (row,) = [row for row in system.sessions().values() if finished(row)]
    return row


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def mislead(agent: Agent, home: Path) -> None:
    """Let an agent's own settings send its requests where nobody answers."""
    if agent is OPENCODE:
        file = home / ".config/opencode/opencode.json"
        settings = json.loads(file.read_text())
        settings["provider"]["mine"]["options"]["baseURL"] = f"{NOWHERE}/v1"
        write(file, settings)
    elif agent is QWEN:
        write(home / ".qwen/settings.json", {"security": {"auth": {"selectedType": "openai", "baseUrl": f"{NOWHERE}/v1"}}})
    elif agent is AUGGIE:
        login = {"accessToken": "a-token-of-its-own", "tenantURL": f"{NOWHERE}/", "scopes": ["email"]}
        write(home / ".augment/session.json", login)
    elif agent is GEMINI:
        (home / ".gemini/settings.json").unlink()  # no login chosen: one that starts without a terminal refuses itself
        (home / ".gemini/.env").write_text(f"GOOGLE_GEMINI_BASE_URL={NOWHERE}\n")


@pytest.mark.parametrize("agent", [agent.param() for agent in ALL])
def test_it_is_brought_from_where_its_settings_send_it(agent: Agent, system: System, tmp_path: Path) -> None:
    terminal = str(uuid4())
    installed = Installed(agent, tmp_path / "home", system)
    mislead(agent, installed.home)
    if agent is GEMINI and not is_guarded(DEFAULTS):
        done = system.tabwire(
            "run", "--", str(agent.binary), "-p", "hi", environ=installed.environ(pointed=False), cwd=installed.work, code=None
        )
        assert "others can write in a folder above it" in done.stderr
        return
    printed = installed.ask("brought here", terminal=terminal, prefix=tuple(system.command("run", "--")), pointed=False)
    assert "You said: brought here" in printed
    row = launched(system, agent.name, terminal)
    assert (row["verdict"], row["agent"], row["terminal"]) == ("verified", agent.name, f"wt:{terminal}")
    assert "a-token-of-its-own" not in printed
    if agent is AUGGIE:
        assert json.loads((installed.home / ".augment/session.json").read_text())["tenantURL"] == f"{NOWHERE}/"


@pytest.mark.parametrize("agent", [agent.param() for agent in (GEMINI, OPENCODE, QWEN)])
def test_it_is_told_its_model_as_it_wants_it(agent: Agent, system: System, tmp_path: Path) -> None:
    terminal = str(uuid4())
    prefix = tuple(system.command("run", "--model", "never-heard-of", "--"))
    Installed(agent, tmp_path / "home", system).ask("hi", terminal=terminal, prefix=prefix, pointed=False)
    row = launched(system, agent.name, terminal)
    system.until_count("request.completed", session=row["session"], requested_model="never-heard-of")


@pytest.mark.parametrize("agent", [QWEN.param()])
def test_without_any_key_a_placeholder_is_enough(agent: Agent, system: System, tmp_path: Path) -> None:
    installed = Installed(agent, tmp_path / "home", system)
    environ = {name: value for name, value in installed.environ(pointed=False).items() if name != "OPENAI_API_KEY"}
    assert agent.binary is not None
    done = system.tabwire("run", "--", agent.binary, *agent.prompt, "hi", environ=environ, cwd=installed.work)
    assert "placeholder" in done.stderr
    assert "You said: hi" in done.stdout


@needs_claude
@pytest.mark.claude
def test_claude_keeps_its_login_and_leaves_the_address_of_its_settings(system: System, tmp_path: Path) -> None:
    claude, terminal = Claude(tmp_path, system), str(uuid4())
    own = {"ANTHROPIC_BASE_URL": NOWHERE, "ANTHROPIC_AUTH_TOKEN": "its-own"}
    write(claude.folder / "settings.json", {"env": own})
    environ = claude.environ(terminal)
    del environ["ANTHROPIC_BASE_URL"], environ["ANTHROPIC_API_KEY"]
    words = ("run", "--model", "a-model", "--", claude.binary, "--settings", '{"cleanupPeriodDays": 9}', "-p")
    done = system.tabwire(*words, "brought here", environ=environ, cwd=claude.work)
    assert "You said: brought here" in done.stdout
    assert "placeholder" not in done.stderr
    row = launched(system, "claude", terminal)
    assert (row["verdict"], row["terminal"]) == ("verified", f"wt:{terminal}")
    system.until_count("request.completed", session=row["session"], requested_model="a-model")


@needs_claude
@pytest.mark.claude
def test_a_claude_that_nobody_logged_in_is_given_a_placeholder(system: System, tmp_path: Path) -> None:
    claude = Claude(tmp_path, system)
    environ = claude.environ()
    del environ["ANTHROPIC_BASE_URL"], environ["ANTHROPIC_API_KEY"]
    done = system.tabwire("run", "--", claude.binary, "-p", "hi", environ=environ, cwd=claude.work)
    assert "You said: hi" in done.stdout
    assert "placeholder" in done.stderr


@needs_claude
@pytest.mark.claude
def test_an_exit_code_comes_back_and_a_refusal_says_why(system: System, tmp_path: Path) -> None:
    claude = Claude(tmp_path, system)
    failing = ("run", "--", claude.binary, "-p", "[echo status=403]")
    assert system.tabwire(*failing, environ=claude.environ(), cwd=claude.work, code=None).returncode == 1
    bedrock = {**claude.environ(), "CLAUDE_CODE_USE_BEDROCK": "1"}
    refused = system.tabwire("run", "--", claude.binary, "-p", "hi", environ=bedrock, cwd=claude.work, code=None)
    assert refused.returncode != 0
    assert "Bedrock" in refused.stderr
