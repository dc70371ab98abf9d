"""One bridge as the hub has it: its process, the lines both ways, its end.

Lines down wait in a bounded queue while the bridge does not read; when that is full, more are refused. Lines up are handed on
one by one, a few KiB at a time, so that a bridge that floods delays the others by no more than that. Must not know sessions.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import anyio
import anyio.lowlevel
import orjson
from anyio.abc import ByteReceiveStream, ByteSendStream, Process

from actors.bridge.contract import MAX_DOWN, MAX_UP, BridgeContractError, Down, Up, decode_up, encode_line
from actors.bridges.children import Children
from actors.runtime.logging import redact

COMMAND: Final = (sys.executable, "-I", "-m", "actors.bridge")
_AT_ONCE: Final = 16_384
_QUEUE_LINES: Final = 256
_LAST_WORDS: Final = 0.5
_LOG_LINE: Final = 2_000
_OWN: Final = ("actor", "agent", "event", "launch", "level", "time")
_LEVELS: Final = {"debug": logging.DEBUG, "warning": logging.WARNING, "error": logging.ERROR, "critical": logging.ERROR}


class BridgeProcess:
    """A bridge: started when ``running`` is entered, ended at the latest when it is left."""

    def __init__(self, children: Children, command: Sequence[str], took: Callable[[Up], None], log: Any) -> None:
        self._children = children
        self._command = command
        self._took = took
        self._log = log
        self._waiting = 0
        self._down, self._lines = anyio.create_memory_object_stream[bytes](_QUEUE_LINES)
        self._process: Process | None = None
        self._killed = False
        self.broken = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        """Start it; what it says is handed on from now on.

        Raises:
            OSError: it cannot be started.

        """
        async with self._children.started(self._command, environ=os.environ, listen=True) as process:
            self._process = process
            if self._killed:
                process.kill()
            with self._down, self._lines:
                yield process

    def write(self, line: Down) -> bool:
        """Put a line in its queue; False when there is no room, since it does not read.

        What is said to a bridge that has ended is lost, as is what it had not read: its end tells of both.

        Raises:
            BridgeContractError: the line is too long.

        """
        raw = encode_line(line)
        if self._waiting + len(raw) > 2 * MAX_DOWN:
            return False
        try:
            self._down.send_nowait(raw)
        except anyio.WouldBlock:
            return False
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return True
        self._waiting += len(raw)
        return True

    def end_input(self) -> None:
        """Tell it to stop, as its hub's death would: behind what it was told before, its stdin ends."""
        self._down.close()

    def kill(self) -> None:
        """End it, no matter what."""
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def listen(self, process: Process) -> int:
        """Hand on what it says until it has ended; return its exit code."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, process.stdin)
            heard = anyio.Event()
            tasks.start_soon(self._read, process.stdout, heard)
            tasks.start_soon(self._read_log, process.stderr)
            code = await process.wait()
            with anyio.move_on_after(_LAST_WORDS):  # what it had started may hold its pipes for longer
                await heard.wait()
            tasks.cancel_scope.cancel()
        return code

    # ------------------------------------------------------------------------------------------------ pipes

    async def _write(self, pipe: ByteSendStream | None) -> None:
        if pipe is None:
            return
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            async for raw in self._lines:
                self._waiting -= len(raw)
                await pipe.send(raw)
        await pipe.aclose()

    async def _read(self, pipe: ByteReceiveStream | None, heard: anyio.Event) -> None:
        pending = b""
        try:
            while pipe is not None:
                pending += await pipe.receive(_AT_ONCE)
                *lines, rest = pending.split(b"\n")
                for line in lines:
                    self._took(decode_up(line))
                pending = rest
                if len(pending) > MAX_UP:
                    self._break(f"a line of more than {MAX_UP} bytes")
                    return
                await anyio.lowlevel.checkpoint()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        except BridgeContractError as error:
            self._break(str(error))
        finally:
            heard.set()

    def _break(self, how: str) -> None:
        self.broken = f"the bridge broke its contract: {how}"
        self.kill()

    async def _read_log(self, pipe: ByteReceiveStream | None) -> None:
        """Put its log into ours, line by line; of longer lines the beginning."""
        pending = b""
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while pipe is not None:
                *lines, pending = (pending + await pipe.receive(_AT_ONCE)).split(b"\n")
                for line in lines:
                    self._log_line(line[:_LOG_LINE])
                pending = pending[:_LOG_LINE]

    def _log_line(self, line: bytes) -> None:
        """Log what a bridge logged; what is no line of its log, such as the last words of a crash, as the text that it is."""
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            entry = None
        if not isinstance(entry, dict):
            self._log.info("bridge", line=redact(line.decode(errors="replace")))
            return
        what = redact(str(entry.get("event", "")))
        rest = {name: value for name, value in entry.items() if name not in _OWN}
        self._log.log(_LEVELS.get(str(entry.get("level")), logging.INFO), "bridge", says=what, **{"more": rest} if rest else {})
