"""The folder of launch records: how a launcher tells the gateway of a launch when no bus is up.

Owns the folder's format: one ``<launch>.json`` a launch, 0600, written whole. Must not know who believes a record.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from actors.runtime.atomic import write_atomic
from actors.runtime.paths import Paths
from bus.into_place import BINARY
from schemas.codec import InvalidMessageError, decode, encode
from schemas.identity import LaunchId
from schemas.launch import LaunchRecord

_NAME = re.compile(r"(launch-[A-Za-z0-9_-]{1,64})\.json")
_MAX_SIZE = 64 * 1024
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | BINARY  # neither a link nor a FIFO stops us


@dataclass(frozen=True, slots=True)
class BadLaunch:
    """A file in the folder that is no launch record, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Launches:
    """What the folder holds: the records, and the files that are none."""

    records: tuple[LaunchRecord, ...]
    bad: tuple[BadLaunch, ...]


def write_launch(paths: Paths, record: LaunchRecord) -> Path:
    """Write a record, durable when this returns.

    Raises:
        ValueError: the launch's id cannot be a file name.
        OSError: the folder is missing or the disk refused.

    """
    path = _path(paths, record.launch)
    write_atomic(path, encode(record))
    return path


def read_launches(paths: Paths) -> Launches:
    """Read every record; a bad file is reported and costs nobody else anything. A missing folder holds none."""
    records: list[LaunchRecord] = []
    bad: list[BadLaunch] = []
    try:
        names = sorted(entry.name for entry in os.scandir(paths.launches) if not entry.name.startswith("."))
    except FileNotFoundError:
        names = []
    for name in names:
        path = paths.launches / name
        try:
            record = _read(path)
        except FileNotFoundError:
            continue  # removed between the listing and now
        except (InvalidMessageError, OSError, ValueError) as error:
            bad.append(BadLaunch(path, str(error)))
        else:
            records.append(record)
    return Launches(tuple(records), tuple(bad))


def remove_launch(paths: Paths, launch: LaunchId) -> None:
    """Remove a record; one that is gone already is fine."""
    _path(paths, launch).unlink(missing_ok=True)


def _path(paths: Paths, launch: LaunchId) -> Path:
    name = f"{launch}.json"
    if not _NAME.fullmatch(name):
        raise ValueError(f"launch id {launch!r}: expected launch- and 1 to 64 of A-Z a-z 0-9 _ -")
    return paths.launches / name


def _read(path: Path) -> LaunchRecord:
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise ValueError("not the name of a launch record")
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | BINARY
    )  # neither a link nor a FIFO stops us
    with os.fdopen(os.open(path, flags), "rb") as file:
        raw = file.read(_MAX_SIZE + 1)
    if raw is None or len(raw) > _MAX_SIZE:
        raise ValueError(f"not a file of at most {_MAX_SIZE} bytes")
    record = decode(raw, LaunchRecord)
    if record.launch != named[1]:
        raise ValueError(f"says that it is {record.launch!r}")
    return record
