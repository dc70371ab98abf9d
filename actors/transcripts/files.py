"""Opening and reading transcripts without being led astray, and finding them.

A file is opened from its root downwards, folder by folder without following a symlink, non-blocking, and is looked at after
it is open: only a regular file on the root's device is read. So nothing outside a root is ever opened, a FIFO blocks
nobody, and what a path leads to cannot be exchanged between check and use. Where the OS cannot open relative to a folder
(Windows), the resolved path is compared instead.

Must not know what lines say.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import zstandard

from actors.transcripts.tree import MAX_DEPTH, Found, Mark, Name, Root, name_below

_FILE_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_FOLDER_FLAGS: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_RELATIVE: Final = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_MAX_WINDOW: Final = 8 * 1024 * 1024
_STEP: Final = 256 * 1024


class UnsafeFileError(OSError):
    """A path leads to what is not a regular file below its root."""


def mark_of(facts: os.stat_result) -> Mark:
    """Keep of a stat result what tells two states of a file apart."""
    return Mark(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)


@contextlib.contextmanager
def opened(root: Root, path: str) -> Iterator[int]:
    """Open a file below a root for reading and give its descriptor.

    Raises:
        UnsafeFileError: a symlink on the way, another device, not a regular file, or not below the root at all.
        OSError: it is not there, or cannot be read.

    """
    descriptor = _open(root.folder, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(folder: str, path: str) -> int:
    parts = parts_below(folder, path)
    if parts is None or len(parts) > MAX_DEPTH or any(part in ("", ".", "..") for part in parts):
        raise UnsafeFileError(f"{path}: does not lie below {folder}")
    if not _RELATIVE:
        return _open_resolved(folder, path)
    above = os.open(folder, _FOLDER_FLAGS)
    try:
        device = os.fstat(above).st_dev
        for part in parts[:-1]:
            below = os.open(part, _FOLDER_FLAGS, dir_fd=above)
            os.close(above)
            above = below
        descriptor = os.open(parts[-1], _FILE_FLAGS, dir_fd=above)
    finally:
        os.close(above)
    return _checked(descriptor, device, path)


def _open_resolved(folder: str, path: str) -> int:
    straight = Path(folder).resolve().joinpath(*parts_below(folder, path) or ())
    if Path(path).resolve() != straight:
        raise UnsafeFileError(f"{path}: a link on the way")
    return _checked(os.open(path, _FILE_FLAGS), None, path)


def _checked(descriptor: int, device: int | None, path: str) -> int:
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and device in (None, facts.st_dev):
        return descriptor
    os.close(descriptor)
    raise UnsafeFileError(f"{path}: not a regular file on its root's device")


def parts_below(folder: str, path: str) -> list[str] | None:
    """Return the parts of a path below a folder; None when it does not lie there."""
    prefix = folder if folder.endswith(os.sep) else folder + os.sep
    return path[len(prefix) :].split(os.sep) if path.startswith(prefix) else None  # noqa: PTH206 - called for each of thousands of names


def named(root: Root, path: str) -> Name | None:
    """Return what a path below a root says of its file; None when it is no transcript's."""
    parts = parts_below(root.folder, path)
    return name_below(root, parts) if parts else None


def find(root: Root, unread: list[OSError] | None = None) -> Iterator[Found]:
    """Yield the transcripts below a root in no order; symlinks and everything else are passed over.

    A folder that is not there, or vanishes meanwhile, holds nothing. Why one could not be read is added to ``unread``.

    Raises:
        OSError: a folder cannot be read, and there is no ``unread`` to say so.

    """
    pending = [root.folder]
    while pending:
        here = pending.pop()
        depth = len(parts_below(root.folder, here) or ())
        try:
            entries = os.scandir(here)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if unread is None:
                raise
            unread.append(error)
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if depth + 1 < MAX_DEPTH:
                        pending.append(entry.path)
                elif found := _found(root, entry):
                    yield found


def _found(root: Root, entry: os.DirEntry[str]) -> Found | None:
    name = named(root, entry.path)
    if name is None:
        return None
    try:
        facts = entry.stat(follow_symlinks=False) if os.name == "posix" else os.lstat(entry.path)
    except FileNotFoundError:
        return None
    return Found(root, entry.path, name, mark_of(facts)) if stat.S_ISREG(facts.st_mode) else None


def read_span(descriptor: int, first: int, end: int) -> bytes:
    """Read a range of a plain file; less when it ends before."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, end - first, first)
    os.lseek(descriptor, first, os.SEEK_SET)
    return os.read(descriptor, end - first)


class Unpacked:
    """A compressed transcript as the stream that it holds: read forward, in bounded memory."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb")
        packer = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._stream = packer.stream_reader(self._file, read_across_frames=True)
        self._kept = bytearray()
        self._first = 0

    def read_span(self, first: int, end: int) -> bytes:
        """Read a range that begins where an earlier one did or later; less when the stream ends before.

        Raises:
            OSError: what is there is not Zstandard, is cut off, or wants more memory than is given.

        """
        if first < self._first:
            raise UnsafeFileError("a compressed file is read forward only")
        try:
            while self._first + len(self._kept) < end:
                self._forget(first)
                chunk = self._stream.read(_STEP)
                if not chunk:
                    break
                self._kept += chunk
        except zstandard.ZstdError as error:
            raise UnsafeFileError(f"cannot be unpacked: {error}") from error
        self._forget(first)
        return bytes(self._kept[: end - first]) if self._first == first else b""

    def _forget(self, before: int) -> None:
        """Drop what lies before an offset."""
        dropped = min(before - self._first, len(self._kept))
        del self._kept[:dropped]
        self._first += dropped

    def close(self) -> None:
        """Close the file."""
        self._stream.close()  # type: ignore[no-untyped-call]
        self._file.close()
