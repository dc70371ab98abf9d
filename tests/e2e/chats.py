"""Chats with driven sessions as people and programs have them: in a terminal, and through pipes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e import claude, codex
from tests.e2e.system import DEADLINE, System
from tests.e2e.terminal import Tmux


def counted(text: str) -> list[str]:
    """Return the numbered words of the reply; the prompt, which has them too, does not count."""
    return re.findall(r"\bw\d{3}\b", re.sub(r'say="[^"]*"', "", text))


class Chats:
    """A Tabwire whose agents are the real ones, each with a home that is nobody's."""

    def __init__(self, home: Path) -> None:
        self.system = System(home / "tabwire")
        self.work = home / "project"
        programs = home / "bin"
        for folder in (self.work, programs, home / "home"):
            folder.mkdir()
        for name, program in (("codex", codex.BINARY), ("claude", claude.BINARY)):
            if program is not None:
                (programs / name).symlink_to(program)
        (self.system.home / "codex").mkdir()
        (self.system.home / "codex/config.toml").write_text(
            'model = "gpt-5.1-codex"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n'
            f'[projects."{self.work}"]\ntrust_level = "trusted"\n'
        )
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.environ = self.system.environ({"HOME": str(home / "home"), "PATH": path, "TZ": "UTC"})

    def piped(self, *words: str, prompt: str | None = None, code: int | None = 0) -> subprocess.CompletedProcess[bytes]:
        """Run ``tabwire chat`` as a program does."""
        done = subprocess.run(
            self.system.command("chat", *words),
            env=self.environ,
            cwd=self.work,
            input=b"" if prompt is None else prompt.encode(),
            capture_output=True,
            timeout=90,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr
        assert code is None or done.returncode == code, f"{done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
        return done

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run any other command."""
        return self.system.tabwire(*words, code=code, environ=self.environ, cwd=self.work)

    def bridges(self) -> dict[str, dict[str, Any]]:
        rows = json.loads(self.run("bridges", "--json").stdout)["bridges"]
        return {row["launch"]: row for row in rows}

    def kill(self, actor: str) -> None:
        """Kill one of Tabwire's actors."""
        rows = json.loads(self.run("status", "--json").stdout)["actors"]
        os.kill(next(row["pid"] for row in rows if row["actor"] == actor), signal.SIGKILL)

    def open(self, tmux: Tmux, *words: str, environ: Mapping[str, str] | None = None) -> Pane:
        """Chat in a pane of tmux; when it ends the pane stays and shows its exit code."""
        command = shlex.join(self.system.command("chat", *words))
        script = f"sh -c {shlex.quote(f'trap : INT; {command}; echo code $?; read -r _')}"
        return Pane(tmux, tmux.open(script, {**self.environ, **(environ or {})}, self.work))


class Pane:
    """A pane with a chat in it."""

    def __init__(self, tmux: Tmux, name: str) -> None:
        self._tmux = tmux
        self._name = name

    def enter(self, text: str) -> None:
        self._tmux.type(self._name, text)
        self._tmux.press(self._name, "Enter")

    def press(self, *keys: str) -> None:
        self._tmux.press(self._name, *keys)

    def type(self, text: str) -> None:
        self._tmux.type(self._name, text)

    def wait_for(self, text: str) -> str:
        return self._tmux.wait_for(self._name, text, DEADLINE)

    def wait_for_words(self, count: int) -> None:
        """Wait until so many of the numbered words of a reply are there."""
        end = time.monotonic() + DEADLINE
        while len(counted(self.text)) < count:
            assert time.monotonic() < end, self.text
            time.sleep(0.05)  # a screen can only be polled

    @property
    def text(self) -> str:
        """All that it ever showed, long lines whole."""
        return self._tmux._run("capture-pane", "-p", "-J", "-S", "-", "-t", self._name)
