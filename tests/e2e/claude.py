"""The real Claude Code in a configuration folder of its own, and the transcripts it left there."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.system import System
from tests.e2e.terminal import Tmux

BINARY = os.environ.get("TABWIRE_CLAUDE") or shutil.which("claude")
needs_claude = pytest.mark.skipif(
    BINARY is None, reason="the real Claude Code is not installed (npm install -g @anthropic-ai/claude-code@2.1.329)"
)


PROMPT = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"


def prompt(tmux: Tmux, pane: str, text: str) -> None:
    """Type a prompt into its TUI."""
    tmux.wait_for(pane, PROMPT)
    tmux.type(pane, text)
    tmux.wait_for(pane, text)
    tmux.press(pane, "Enter")


class Claude:
    """A Claude Code whose requests go to a Tabwire."""

    def __init__(self, home: Path, system: System) -> None:
        assert BINARY is not None
        self.binary = BINARY
        self.system = system
        self.folder = home / "claude-config"
        self.work = home / "project"
        self.work.mkdir()

    def environ(self, terminal: str | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {
            "CLAUDE_CONFIG_DIR": str(self.folder),
            "HOME": str(self.folder),
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.system.gateway_port}",
            "ANTHROPIC_API_KEY": "a-key-that-nobody-checks",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        tab = {} if terminal is None else {"WT_SESSION": terminal}
        return self.system.environ({**own, **tab, **(extra or {})})

    def open(self, tmux: Tmux, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
        """Open its TUI in a pane, as one that has been here before: no welcome, no question whether to trust the folder."""
        self.folder.mkdir(exist_ok=True)
        here = {"projects": {str(self.work): {"hasTrustDialogAccepted": True}}}
        (self.folder / ".claude.json").write_text(json.dumps({"hasCompletedOnboarding": True, "theme": "dark", **here}))
        environ = {name: value for name, value in self.environ().items() if name != "ANTHROPIC_API_KEY"}
        login = {"ANTHROPIC_AUTH_TOKEN": "a-token-that-nobody-checks"}  # a key would be asked about, a token is not
        return tmux.open(shlex.join([*prefix, self.binary, *arguments]), {**environ, **login}, self.work)

    def start(self, prompt: str, *arguments: str, terminal: str | None = None) -> subprocess.Popen[str]:
        """Start ``claude -p`` without waiting for it."""
        return subprocess.Popen(
            [self.binary, "-p", "--output-format", "json", *arguments, "--", prompt],
            env=self.environ(terminal),
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, prompt: str, *arguments: str, terminal: str | None = None, code: int | None = 0) -> dict[str, Any]:
        """Run one prompt to its end and return the result that Claude Code prints."""
        return self.result(self.start(prompt, *arguments, terminal=terminal), code)

    def result(self, process: subprocess.Popen[str], code: int | None = 0) -> dict[str, Any]:
        """Wait for a started prompt and return the result that Claude Code prints."""
        out, err = process.communicate(timeout=90)
        assert code is None or process.returncode == code, f"claude: {process.returncode}\n{out}\n{err}"
        printed: dict[str, Any] = json.loads(out)
        return printed

    def transcripts(self) -> dict[str, list[dict[str, Any]]]:
        """Return the lines of every transcript by session id."""
        files = self.folder.glob("projects/*/*.jsonl")
        return {file.stem: [json.loads(line) for line in file.read_bytes().splitlines()] for file in files}
