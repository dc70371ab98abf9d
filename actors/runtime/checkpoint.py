"""A cache of what an actor has folded of its own acknowledged facts: one small file, read at a start.

Theory of operation
-------------------
An actor whose state is a fold of facts that it published itself owes that state to the journal alone. Reading the journal
from its first event at every start would do, but takes time; so the actor now and then saves where it stands: ``body``, the
state, as of ``position`` in the journal ``epoch``. At a start it loads the file, reads its own facts after ``position``
(``bus.client.Client.read``), folds them and goes on; without a file, or when the epoch is another one or the broker calls
the position ``ahead``, it reads from 0.

So the one rule: *never save what is not acknowledged yet*. A file that is too old, damaged or gone costs time, never truth,
and for that reason it is not synced to the disk and no error in it is fatal.

Must not know what the states are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from actors.runtime.atomic import write_atomic
from actors.runtime.paths import Paths

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_T = TypeVar("_T")
_MAX_SIZE = 256 * 1024 * 1024


class Checkpoint(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """The state ``body`` as of ``position`` in the journal ``epoch``."""

    epoch: str
    position: int
    body: _T


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on the disk; the body is read only when its version is known."""

    version: int
    epoch: str
    position: int
    body: msgspec.Raw


def load_checkpoint(
    paths: Paths, actor: str, type_: type[_T], *, version: int, log: FilteringBoundLogger
) -> Checkpoint[_T] | None:
    """Read the actor's checkpoint; None when there is none, when it is of another version, or when it cannot be read.

    ``version`` counts the shapes of the body: raise it with every change of its meaning. ``type_`` is whatever msgspec
    can convert to: a Struct, a dataclass, a dict of them. What is damaged is logged and stays until the next save.
    """
    path = _path(paths, actor)
    try:
        with path.open("rb") as file:
            told = msgspec.json.decode(file.read(_MAX_SIZE), type=_File)  # a larger one is cut, and so as good as damaged
        if told.version != version:
            log.info("a checkpoint of another version is not used", file=str(path), version=told.version, known=version)
            return None
        return Checkpoint(epoch=told.epoch, position=told.position, body=msgspec.json.decode(told.body, type=type_))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:  # msgspec's and Unicode's errors are ValueErrors
        log.warning("a checkpoint cannot be read; the journal is read from its start", file=str(path), reason=str(error))
        return None


def save_checkpoint(paths: Paths, actor: str, checkpoint: Checkpoint[Any], *, version: int) -> None:
    """Replace the actor's checkpoint, whole or not at all, private from birth.

    Raises:
        OSError: the disk refused; the old checkpoint is untouched, and still true.

    """
    raw = msgspec.json.encode(
        {"version": version, "epoch": checkpoint.epoch, "position": checkpoint.position, "body": checkpoint.body}
    )
    paths.checkpoints.mkdir(mode=0o700, exist_ok=True)
    write_atomic(_path(paths, actor), raw, durable=False)


def _path(paths: Paths, actor: str) -> Path:
    return paths.checkpoints / f"{actor}.json"
