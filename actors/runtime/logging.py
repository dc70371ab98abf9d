"""Logs: one JSON object a line on stderr, with secrets taken out as the last thing that happens to a line.

Owns the form of a log line; ``redaction`` says what a secret is. Lines of the standard library's ``logging``, warnings and
stray prints take the same way. Must not know where stderr leads.
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, MutableMapping
from typing import Any, NoReturn, Protocol

import orjson

# structlog imports rich, when it is there, for a console output that actors never use: 110 ms and 8 MiB an actor.
_hidden = "rich" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python spells "this import fails"
import structlog  # noqa: E402

if _hidden:
    del sys.modules["rich"]

from actors.runtime.redaction import redact, register_secret  # noqa: E402 - as above

__all__ = ["Sink", "configure", "redact", "register_secret"]

_MAX_TEXT = 16_000


class Sink(Protocol):
    """Where finished lines go. ``write`` never waits for a reader; lines that it could not take are counted in ``dropped``."""

    dropped: int

    @property
    def idle(self) -> bool:
        """Tell whether everything written so far has left this process."""

    def write(self, line: bytes) -> bool:
        """Take a line, newline included; False when it was dropped."""


def configure(pipe: Sink, **fields: Any) -> structlog.typing.FilteringBoundLogger:
    """Send every log of this process to ``pipe`` and return a logger whose lines carry ``fields``."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _describe_exception,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _PipeLogger(pipe),
        cache_logger_on_first_use=True,
    )
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(**fields)
    root = logging.getLogger()
    root.handlers[:] = [_Forward(log)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")
    sys.stdout = _StrayText(log, "stdout")
    sys.stderr = _StrayText(log, "stderr")
    return log


class _PipeLogger:
    """What structlog hands a finished line to."""

    def __init__(self, pipe: Sink) -> None:
        self._pipe = pipe

    def msg(self, line: str) -> None:
        if self._pipe.dropped and self._pipe.idle:
            lost, self._pipe.dropped = self._pipe.dropped, 0
            notice = {"event": "log lines dropped: nobody read them", "level": "warning", "count": lost}
            self._pipe.write(orjson.dumps(notice) + b"\n")
        self._pipe.write(line.encode(errors="replace") + b"\n")

    debug = info = warning = warn = error = critical = exception = fatal = msg


class _Forward(logging.Handler):
    """Turns records of the standard library's ``logging`` into ours."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


class _StrayText(io.TextIOBase):
    """Stands in for ``sys.stdout`` and ``sys.stderr``: what anybody prints becomes log lines."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger, stream: str) -> None:
        super().__init__()
        self._log = log
        self._stream = stream
        self._line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        if len(self._line) > _MAX_TEXT:
            lines.append(self._line)
            self._line = ""
        for line in lines:
            if line.strip():
                self._log.warning("stray output", stream=self._stream, text=line)
        return len(text)

    def fileno(self) -> NoReturn:
        raise io.UnsupportedOperation("an actor's output has no descriptor: its stdout is the contract's, its stderr the log's")


def _describe_exception(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put a traceback into the line, without values of variables: they may hold what must not be told."""
    given = entry.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    if isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        text = "".join(traceback.format_exception(given))
        entry["exception"] = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT // 2]}\n…\n{text[-_MAX_TEXT // 2 :]}"
    return entry


def _render(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> str:
    """Write the line and redact it, last of all."""
    default: Callable[[Any], Any] = repr
    try:
        text = orjson.dumps(entry, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):  # lone surrogates, integers beyond 64 bit
        text = orjson.dumps({key: repr(value) for key, value in entry.items()}).decode()
    return redact(text)
