"""Checkpoints: what is saved comes back, and what cannot be read costs nothing but time."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from actors.runtime.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from actors.runtime.paths import Paths

log = structlog.get_logger()


@dataclass(frozen=True)
class File:
    name: str
    offset: int


FILES = {"a": File("a", 1), "b": File("b", 1 << 50)}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths.default({"TABWIRE_HOME": str(tmp_path)})
    made.create()
    return made


def save(paths: Paths, version: int = 1) -> None:
    save_checkpoint(paths, "rollout", Checkpoint(epoch="e", position=7, body=FILES), version=version)


def load(paths: Paths, version: int = 1) -> Checkpoint[dict[str, File]] | None:
    return load_checkpoint(paths, "rollout", dict[str, File], version=version, log=log)


def test_what_was_saved_is_loaded_and_is_private(paths: Paths) -> None:
    assert load(paths) is None
    save(paths)
    loaded = load(paths)
    assert loaded is not None
    assert (loaded.epoch, loaded.position, loaded.body) == ("e", 7, FILES)
    (file,) = paths.checkpoints.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.checkpoints.stat().st_mode) == 0o700


def test_a_missing_folder_is_made_again(paths: Paths) -> None:
    paths.checkpoints.rmdir()
    save(paths)
    assert load(paths) is not None


def test_another_version_is_not_used(paths: Paths) -> None:
    save(paths, version=1)
    assert load(paths, version=2) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"version":1}', b'{"version":1,"epoch":"e","position":1,"body":{"a":1}}', b"[" * 100_000],
)
def test_a_damaged_file_is_as_good_as_none(paths: Paths, content: bytes) -> None:
    save(paths)
    (file,) = paths.checkpoints.iterdir()
    file.write_bytes(content)
    assert load(paths) is None
    save(paths)
    assert load(paths) is not None


def test_a_folder_in_its_place_is_no_reason_to_die(paths: Paths) -> None:
    (paths.checkpoints / "rollout.json").mkdir()
    assert load(paths) is None
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        save(paths)


def test_an_actor_sees_its_own_checkpoint_only(paths: Paths) -> None:
    save(paths)
    assert load_checkpoint(paths, "discovery", dict[str, File], version=1, log=log) is None
