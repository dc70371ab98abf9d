"""Every way in which a command can end badly, as one line for people and one exit code.

The one place that maps errors to messages and codes. Modules are imported only once there is an error to explain.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import Final

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
NOT_RUNNING: Final = 3
BAD_CONFIG: Final = 78
NOT_FOUND: Final = 127
INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141

EXIT_CODES: Final = "Exit codes: 0 ok, 1 failure, 2 usage or ambiguous, 3 not running, 78 bad config, 127 agent not found."


class CommandFailedError(Exception):
    """A command cannot do what was asked; the message says what is the matter and what to do."""

    def __init__(self, message: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code


def not_running(detail: str = "") -> CommandFailedError:
    """Return the failure of every command that needs the system while there is none."""
    return CommandFailedError(
        f"Tabwire is not running{f' ({detail})' if detail else ''}; start it with: tabwire up", NOT_RUNNING
    )


def explain_failure(error: BaseException) -> tuple[str, int]:
    """Return what to tell people about an error, and the exit code; an empty message says nothing.

    An error that no command expects is written to ``logs/cli.log``.
    """
    error = _one_of(error)
    if isinstance(error, CommandFailedError):
        return str(error), error.code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return "", CLOSED_PIPE
    known = _of_the_bus(error) or _of_files(error)
    return known if known is not None else (_unexpected(error), FAILURE)


def _one_of(error: BaseException) -> BaseException:
    """Take the first error out of a group: the others follow from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _of_the_bus(error: BaseException) -> tuple[str, int] | None:
    from bus.connection import ConnectionFileError  # noqa: PLC0415 - only once there is an error
    from bus.errors import BusUnavailableError, RefusedError  # noqa: PLC0415
    from schemas.codec import InvalidMessageError  # noqa: PLC0415

    if isinstance(error, ConnectionFileError):
        return f"the bus is not to be found: {error}", NOT_RUNNING
    if isinstance(error, BusUnavailableError):
        return f"the bus does not answer: {error} (tabwire status shows which actor is down)", NOT_RUNNING
    if isinstance(error, RefusedError):
        return _refused(error.code, error.message)
    if isinstance(error, InvalidMessageError):
        return f"not understood: {error}; is the same version of Tabwire running? (tabwire status)", FAILURE
    return None


def _refused(code: str, message: str) -> tuple[str, int]:
    if code == "no_such_actor":
        return f"the actor that knows this is down: {message} (tabwire status shows it)", NOT_RUNNING
    if code in ("ambiguous", "not_found"):
        return message, USAGE if code == "ambiguous" else FAILURE
    if code in ("timeout", "busy"):
        return f"no answer in time: {message} (tabwire status shows how the actors do)", FAILURE
    return f"refused: {message} ({code})", FAILURE


def _of_files(error: BaseException) -> tuple[str, int] | None:
    from actors.launch.plan import LaunchRefusedError  # noqa: PLC0415
    from actors.probe import ProbeError  # noqa: PLC0415
    from bus.journal import JournalError  # noqa: PLC0415
    from schemas.config import ConfigError  # noqa: PLC0415

    if isinstance(error, ConfigError):
        return str(error), BAD_CONFIG
    if isinstance(error, LaunchRefusedError):
        return f"not started: {error}", FAILURE
    if isinstance(error, JournalError | ProbeError):
        return str(error), FAILURE
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", FAILURE
    return None


def _unexpected(error: BaseException) -> str:
    """Write the whole story to the log and return one line."""
    line = f"unexpected error: {type(error).__name__}: {error}"
    try:
        from actors.runtime.paths import Paths  # noqa: PLC0415

        paths = Paths.default(os.environ)
        paths.create()
        log = paths.logs / "cli.log"
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {sys.argv[1:2]}\n")
            file.writelines(traceback.format_exception(error))
    except Exception as second:  # noqa: BLE001 - nothing may hide the first error
        return f"{line} (and the log cannot be written: {second})"
    return f"{line} (the whole story: {log})"
