"""Processes to look at: small Python programs that say when they have come so far, and go when their stdin ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

WAIT = "\nimport sys; print('ready', flush=True); sys.stdin.readline()"


@contextmanager
def running(code: str = "", *arguments: str, cwd: str | None = None, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``code``, wait until it is through, and keep the process for the length of a block."""
    process = subprocess.Popen(
        [sys.executable, "-c", code + WAIT, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **variables},
    )
    try:
        assert first_line(process.stdout) == "ready"
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def first_line(pipe: IO[str] | None) -> str:
    """Read a line that the process says."""
    assert pipe is not None
    return pipe.readline().strip()
