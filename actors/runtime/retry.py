"""The request to start failed actors again: a small file, because the supervisor needs no bus and every system has files.

``tabwire`` writes it, the supervisor looks for it a few times a second, acts and removes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.runtime.atomic import write_atomic
from actors.runtime.paths import Paths
from schemas.codec import decode, encode


def ask_for_retry(paths: Paths, actors: Sequence[str]) -> None:
    """Ask the supervisor to start these actors again, with new counters; those that run are left alone."""
    write_atomic(paths.retry_file, encode(list(actors)), durable=False)


def take_retries(paths: Paths) -> tuple[str, ...]:
    """Take the request, if there is one, out of the folder and return its actors.

    Raises:
        InvalidMessageError: the file is not a list of names; it is gone all the same.

    """
    try:
        raw = paths.retry_file.read_bytes()
    except FileNotFoundError:
        return ()
    paths.retry_file.unlink()
    return decode(raw, tuple[str, ...])
