"""``tabwire up`` beside a system that runs: asks its supervisor to try failed actors again, and waits for what comes of it.

Must not know how a supervisor decides; it is asked by a file and answers in its status.
"""

from __future__ import annotations

import time
from typing import Final

from actors.cli.failures import CommandFailedError
from actors.cli.output import say
from actors.cli.system import START_DEADLINE, Settling, running_status
from actors.runtime.paths import Paths
from actors.runtime.retry import ask_for_retry
from schemas.rows import ActorRow, SystemStatus

TAKE_DEADLINE: Final = 5.0
_POLL: Final = 0.02
_DOWN: Final = ("failed", "backoff")


def try_again(paths: Paths, status: SystemStatus) -> SystemStatus:
    """Ask for every actor that is down, wait until all have come to rest, and return that account.

    An actor that crashes has come to rest when the supervisor gives it up; that takes some 15 seconds.

    Raises:
        CommandFailedError: the supervisor has ended, did not act, or it took too long.

    """
    down = {row.actor: row for row in status.actors if row.state in _DOWN}
    if down:
        for row in down.values():
            say(f"trying again: {row.actor}, which {_why(row)}")
        ask_for_retry(paths, tuple(down))
        _until_taken(paths)
    settling = Settling()
    asked = time.monotonic()
    while (waited := time.monotonic() - asked) < START_DEADLINE:
        status = _still_running(paths)
        idle = [row.actor for row in status.actors if _unchanged(row, down)]
        if not idle and settling.at_rest(status.actors):
            return status
        if idle and waited > TAKE_DEADLINE:
            raise _not_acted(paths, f"did nothing about {', '.join(idle)}")
        time.sleep(_POLL)
    late = ", ".join(f"{row.actor} {row.state}" for row in status.actors if row.state not in ("ready", "degraded"))
    raise CommandFailedError(
        f"not settled after {START_DEADLINE:.0f} s: {late}; it goes on trying (tabwire status; logs: {paths.logs})"
    )


def _why(row: ActorRow) -> str:
    if row.state == "backoff":
        return f"waits after: {row.last_exit or row.note}"
    return f"had failed: {row.note or row.last_exit}"


def _unchanged(row: ActorRow, down: dict[str, ActorRow]) -> bool:
    """Tell whether a row still says what it said before the supervisor was asked."""
    before = down.get(row.actor)
    return before is not None and row.restarts <= before.restarts and row.state == before.state


def _until_taken(paths: Paths) -> None:
    end = time.monotonic() + TAKE_DEADLINE
    while paths.retry_file.exists():
        _still_running(paths)
        if time.monotonic() >= end:
            paths.retry_file.unlink(missing_ok=True)
            raise _not_acted(paths, "did not take the request")
        time.sleep(_POLL)


def _not_acted(paths: Paths, what: str) -> CommandFailedError:
    return CommandFailedError(f"the supervisor {what} within {TAKE_DEADLINE:.0f} s; see {paths.logs}/supervisor.log")


def _still_running(paths: Paths) -> SystemStatus:
    status = running_status(paths, complain=False)
    if status is None:
        raise CommandFailedError(f"the supervisor has ended meanwhile; see {paths.logs}/supervisor.log")
    return status
