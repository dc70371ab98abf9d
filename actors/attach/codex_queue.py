"""Gives a message to a running Codex by Codex's own queue: ``codex queue``.

Facts, all tried with Codex 0.169.0: a TUI without a daemon takes a queued message at once when it is idle (within about two
seconds), else behind its turn; text arrives as it is, control characters too. It needs the conversation on disk, that is a
first prompt. With nobody running the message would wait for the next one to come: whoever asks looks whether the process lives.
It starts no daemon. The text is an argument, there is no other way: for the tenth
of a second that the command takes, other users of the computer can see it. A turn cannot be stopped by it, nor a question
answered. Must not know transcripts, nor the bridge.
"""

from __future__ import annotations

import os
import subprocess
from typing import Final

from actors.attach.contract import NotGivenError
from schemas.attachment import Attachment

QUEUE_SECONDS: Final = 20.0
MAX_BYTES: Final = 120_000
"""Of one argument Linux takes 131,072."""


class Queue:
    """The queue of one conversation."""

    def __init__(self, attach: Attachment, conversation: str) -> None:
        self._attach = attach
        self._conversation = conversation

    def give(self, text: str) -> None:
        """Queue a text.

        Raises:
            NotGivenError: it is too long, or Codex did not take it.

        """
        if len(text.encode("utf-8", "replace")) > MAX_BYTES:
            raise NotGivenError(f"Codex's queue takes messages of at most {MAX_BYTES} bytes")
        command = [self._attach.program, "queue", "--thread", self._conversation, f"--message={text}"]
        environ = {**os.environ, "CODEX_HOME": self._attach.home}
        try:
            done = subprocess.run(  # noqa: S603 - the user's own Codex
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=QUEUE_SECONDS,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            said = "it did not answer in time" if isinstance(error, subprocess.TimeoutExpired) else error
            raise NotGivenError(f"codex queue cannot be run: {said}") from error
        if done.returncode != 0:
            words = [line for line in done.stderr.splitlines() if line.startswith("Error")]
            raise NotGivenError(f"codex queue: {words[0][:300] if words else f'ended with {done.returncode}'}")

    def stop(self) -> None:
        """Stop its turn.

        Raises:
            NotGivenError: always.

        """
        raise NotGivenError("a Codex that is reached by its queue cannot be stopped from here: press Escape in its terminal")

    def idle(self) -> bool | None:
        """Tell nothing: Codex says of itself only what its transcript says."""
        return None
