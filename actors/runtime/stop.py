"""The request to stop: a file, for systems on which no signal asks a process to end.

``tabwire down`` writes it there; a supervisor, on any system, looks for it a few times a second.
"""

from __future__ import annotations

from actors.runtime.atomic import write_atomic
from actors.runtime.paths import Paths


def ask_to_stop(paths: Paths) -> None:
    """Ask the supervisor to stop everything, in order, and end."""
    write_atomic(paths.stop_file, b"", durable=False)


def take_stop(paths: Paths) -> bool:
    """Take the request, if there is one, out of the folder."""
    try:
        paths.stop_file.unlink()
    except FileNotFoundError:
        return False
    return True
