"""The other real agents: how each is started, in a home of its own, with nothing of this machine's.

Codex and Claude Code have modules of their own (``codex``, ``claude``); here are those that only take prompts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.config import ServedDialect
from tests.e2e.system import System

MODEL: Final = "a-model"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent: its program, how it is told a prompt, where its requests go, and what it must find in its home.

    ``path`` ends those of its requests that ask a model; ``conversation`` says whether these name their conversation.
    A prompt is ``piped`` where the program would change one that is an argument.
    """

    name: str
    package: str
    prompt: tuple[str, ...]
    address: Callable[[str], Mapping[str, str]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    model: str = MODEL
    path: str
    dialect: ServedDialect
    conversation: bool = False
    piped: bool = False

    @property
    def binary(self) -> str | None:
        return os.environ.get(f"TABWIRE_{self.name.upper()}") or shutil.which(self.name)

    @property
    def needed(self) -> pytest.MarkDecorator:
        return pytest.mark.skipif(
            self.binary is None, reason=f"the real {self.name} is not installed (npm install -g {self.package})"
        )

    def param(self) -> Any:
        """Return it as a test's parameter, skipped by name where it is not installed."""
        return pytest.param(self, id=self.name, marks=self.needed)


def _tenant(origin: str) -> Mapping[str, str]:
    login = {"accessToken": "a-token-that-nobody-checks", "tenantURL": f"{origin}/auggie/", "scopes": ["email"]}
    return {"AUGMENT_SESSION_AUTH": json.dumps(login)}


GEMINI = Agent(
    name="gemini",
    package="@google/gemini-cli@0.61.0",
    prompt=("--skip-trust", "--approval-mode", "yolo", "-p"),
    address=lambda origin: {"GOOGLE_GEMINI_BASE_URL": origin},
    settings={".gemini/settings.json": {"security": {"auth": {"selectedType": "gemini-api-key"}}}},
    variables={"GEMINI_API_KEY": "a-key-that-nobody-checks"},
    model="gemini-2.5-flash",
    path="enerateContent",
    dialect="gemini.generate",
)
OPENCODE = Agent(
    name="opencode",
    package="opencode-ai@1.18.33",
    prompt=("run",),
    address=lambda origin: {
        "OPENCODE_CONFIG_CONTENT": json.dumps({"provider": {"mine": {"options": {"baseURL": f"{origin}/v1"}}}})
    },
    settings={
        ".config/opencode/opencode.json": {
            "model": f"mine/{MODEL}",
            "provider": {"mine": {"npm": "@ai-sdk/openai-compatible", "options": {"apiKey": "k"}, "models": {MODEL: {}}}},
        }
    },
    variables={"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
    model=f"mine/{MODEL}",
    path="/chat/completions",
    dialect="openai.chat",
    conversation=True,
    piped=True,
)
QWEN = Agent(
    name="qwen",
    package="@qwen-code/qwen-code@0.24.4",
    prompt=("--auth-type", "openai", "--approval-mode", "yolo", "-p"),
    address=lambda origin: {"OPENAI_BASE_URL": f"{origin}/v1"},
    variables={"OPENAI_API_KEY": "a-key-that-nobody-checks", "OPENAI_MODEL": MODEL, "QWEN_SANDBOX": "false"},
    path="/chat/completions",
    dialect="openai.chat",
)
AUGGIE = Agent(
    name="auggie",
    package="@augmentcode/auggie@0.36.0",
    prompt=("--print",),
    address=_tenant,
    variables={"AUGMENT_DISABLE_AUTO_UPDATE": "1"},
    path="/chat-stream",
    dialect="auggie",
)
ALL: Final = (GEMINI, OPENCODE, QWEN, AUGGIE)


@dataclass
class Installed:
    """An agent in a home of its own, whose requests go to a Tabwire."""

    agent: Agent
    home: Path
    system: System
    work: Path = field(init=False)

    def __post_init__(self) -> None:
        self.work = self.home / "project"
        self.work.mkdir(parents=True)
        for name, content in self.agent.settings.items():
            file = self.home / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content))

    def environ(self, terminal: str | None = None, *, pointed: bool = True) -> dict[str, str]:
        """Return what it is started with; not ``pointed`` it knows no gateway, as one behind ``tabwire run`` need not."""
        tab = {} if terminal is None else {"WT_SESSION": terminal}
        address = self.agent.address(f"http://127.0.0.1:{self.system.gateway_port}") if pointed else {}
        return self.system.environ({"HOME": str(self.home), **self.agent.variables, **address, **tab})

    def ask(
        self,
        prompt: str,
        *,
        terminal: str | None = None,
        prefix: tuple[str, ...] = (),
        pointed: bool = True,
        code: int | None = 0,
    ) -> str:
        """Let it answer one prompt and end; return what it printed."""
        assert self.agent.binary is not None
        done = subprocess.run(
            [*prefix, self.agent.binary, *self.agent.prompt, *([] if self.agent.piped else [prompt])],
            env=self.environ(terminal, pointed=pointed),
            cwd=self.work,
            input=prompt if self.agent.piped else "",
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{self.agent.name}: {done.returncode}\n{printed}"
        return printed
