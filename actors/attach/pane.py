"""Types into an agent's own pane of tmux, as its user would: only when it is surely the right one, and waits for a prompt.

Theory of operation
-------------------
Before each text: the tmux server is the one that was meant, the pane's process is the agent or above it, nobody scrolls in the
pane, the agent says of itself that it is idle, its input line is there and empty. Then the text is pasted (from a buffer of
tmux, in brackets, so that nothing of it is a key), looked at, and sent by an Enter of its own. What does not look as it should
is left as it is, with no Enter, and said. Facts, all tried with Claude Code 2.1.329 and tmux 3.3a:

* ``sessions/<pid>.json`` in Claude Code's folder says ``status`` ``idle``, ``busy`` or ``waiting`` (``waitingFor``:
  ``permission prompt``), and which conversation the process has: another one after ``/clear``.
* A text that begins with ``!`` runs in a shell, also when it is pasted; one with ``/`` is a command. Tabs become blanks. Such
  texts are refused (``actors.bridge.followed``). A long one is taken whole, inside ``<pasted_content>``.
* Escape stops a turn. In an idle pane it would do other things, so it is pressed only while the agent is busy. Of a turn that
  is stopped before it has answered anything the transcript tells no end, and its prompt stands in the input line again: what
  we had typed there, we take away.

Must not know transcripts, nor the bridge.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from actors.attach.contract import NotGivenError
from actors.attach.input_line import holds, input_line
from actors.probe import Probe, ProbeError
from schemas.attachment import Attachment

TMUX_SECONDS: Final = 5.0
SETTLE_SECONDS: Final = 0.15
LOOKS: Final = 12
_FORM: Final = "#{pid} #{pane_pid} #{pane_in_mode} #{pane_dead}"


class Pane:
    """One pane, with one conversation of Claude Code in it."""

    def __init__(self, attach: Attachment, conversation: str, probe: Probe) -> None:
        self._attach = attach
        self._conversation = conversation
        self._probe = probe
        self._given = ""

    def give(self, text: str) -> None:
        """Type a text and send it.

        Raises:
            NotGivenError: it is not surely right to.

        """
        self._check("idle")
        line = input_line(self._screen())
        if line is None:
            raise NotGivenError("its pane shows no input line: it asks something, or a menu is open; look there first")
        if line:
            raise NotGivenError("something is typed in its input line already; send or remove that first")
        buffer = f"tabwire-{secrets.token_hex(4)}"
        self._tmux("load-buffer", "-b", buffer, "-", given=text)
        self._tmux("paste-buffer", "-p", "-r", "-d", "-b", buffer, "-t", self._attach.pane)
        for _ in range(LOOKS):
            time.sleep(SETTLE_SECONDS)  # a screen can only be looked at; and Enter in the same burst would be part of the paste
            if holds(input_line(self._screen()), text):
                self._tmux("send-keys", "-t", self._attach.pane, "Enter")
                self._given = text
                return
        raise NotGivenError("its input line does not show what was typed; it was not sent, and stands there: look at the pane")

    def stop(self) -> None:
        """Stop its turn.

        Raises:
            NotGivenError: none runs, or it is not surely right to.

        """
        for _ in range(LOOKS):
            if self._status()[0] != "idle":
                break
            time.sleep(SETTLE_SECONDS)  # it says a moment late that it works
        self._check("busy", "waiting")
        self._tmux("send-keys", "-t", self._attach.pane, "Escape")
        for _ in range(LOOKS):
            time.sleep(SETTLE_SECONDS)  # as above
            if self._status()[0] == "idle":
                break
        self._take_away()

    def _take_away(self) -> None:
        """Empty the input line of what we typed and nobody has changed."""
        for _ in range(self._given.count("\n") + 1):
            line = input_line(self._screen())
            if not line or not holds(line, self._given):
                return
            self._tmux("send-keys", "-t", self._attach.pane, "C-u")
            time.sleep(SETTLE_SECONDS)  # as above

    def idle(self) -> bool | None:
        """Tell whether it says of itself that nothing runs; None when it does not say.

        Raises:
            NotGivenError: it has another conversation by now.

        """
        status = self._status()[0]
        return None if not status else status == "idle"

    def _check(self, *wanted: str) -> None:
        attach = self._attach
        told = self._tmux("display-message", "-p", "-t", attach.pane, _FORM).split()
        if len(told) != len(_FORM.split()) or told[0] != str(attach.server) or told[3] != "0":
            raise NotGivenError("its pane is gone")  # of one that is not there tmux tells nothing, and no error
        _, shell, mode, _ = told
        try:
            key = self._probe.identify(int(shell))
            inside = key == attach.process or self._probe.is_descendant(attach.process, key)
        except ProbeError as error:
            raise NotGivenError(f"who runs in its pane cannot be told: {error}") from error
        if not inside:
            raise NotGivenError("another program runs in its pane")
        if mode != "0":
            raise NotGivenError("its pane is being scrolled in (tmux's copy mode); leave that first")
        status, waits = self._status()
        if status == "waiting" and status not in wanted:
            raise NotGivenError(
                f"it waits for an answer in its own terminal ({waits or 'it asks something'}); answer there first"
            )
        if status and status not in wanted:
            raise NotGivenError("it is at work; wait for that" if status == "busy" else f"it is {status} now")

    def _status(self) -> tuple[str, str]:
        file = Path(self._attach.home) / "sessions" / f"{self._attach.process.pid}.json"
        try:
            said: Any = json.loads(file.read_text())
        except (OSError, ValueError):
            return "", ""
        if not isinstance(said, dict):
            return "", ""
        if said.get("sessionId") not in (None, self._conversation):
            raise NotGivenError("it has begun another conversation (as /clear does)")
        return str(said.get("status") or ""), str(said.get("waitingFor") or "")[:100]

    def _screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-e", "-t", self._attach.pane)

    def _tmux(self, *arguments: str, given: str | None = None) -> str:
        command = ["tmux", "-S", self._attach.socket, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - tmux
                command, input=given, capture_output=True, text=True, encoding="utf-8", timeout=TMUX_SECONDS, check=True
            )
        except subprocess.CalledProcessError as error:
            words = (error.stderr or "").strip().splitlines()
            raise NotGivenError(f"tmux says: {words[0][:200] if words else error.returncode}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotGivenError(f"tmux cannot be asked: {error}") from error
        return done.stdout
