"""Paths, the configuration file, launch records, and how small files are written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from actors.runtime.atomic import write_atomic
from actors.runtime.config_file import load_config
from actors.runtime.launches import read_launches, remove_launch, write_launch
from actors.runtime.paths import Paths
from schemas.config import Config, ConfigError
from schemas.identity import LaunchId, ProcessKey
from schemas.launch import LaunchRecord


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths.default({"TABWIRE_HOME": str(tmp_path)})
    made.create()
    return made


def launch(number: int = 1) -> LaunchRecord:
    return LaunchRecord(
        launch=LaunchId(f"launch-{number:012x}"),
        agent="codex",
        token_sha256="0" * 64,
        process=ProcessKey("h", "b", 1, 2, 3),
        created="2026-01-01T00:00:00Z",
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_lies_below_home_and_is_private(paths: Paths, tmp_path: Path) -> None:
    assert paths.config_file == tmp_path / "config.toml"
    folders = [paths.state, paths.journal, paths.run, paths.launches, paths.logs, paths.keys]
    assert [mode(folder) for folder in folders] == [0o700] * len(folders)
    assert {paths.connection_file.parent, paths.status_file.parent, paths.lock_file.parent} == {paths.run}
    paths.create()  # a second time changes nothing


def test_without_home_the_platform_says_where() -> None:
    paths = Paths.default({})
    assert paths.config_file.name == "config.toml"
    assert "tabwire" in str(paths.config_file)
    assert "tabwire" in str(paths.state)


def test_a_relative_home_is_refused() -> None:
    with pytest.raises(ConfigError, match="not an absolute path"):
        Paths.default({"TABWIRE_HOME": "here"})


def test_a_state_folder_that_is_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o755)
    with pytest.raises(ConfigError, match=r"open to others \(mode 755\) \(chmod 700"):
        Paths.default({"TABWIRE_HOME": str(tmp_path)}).create()


def test_a_state_folder_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symlink"):
        Paths.default({"TABWIRE_HOME": str(tmp_path)}).create()


def test_a_missing_configuration_means_defaults(paths: Paths) -> None:
    assert load_config(paths) == Config()


def test_a_configuration_that_others_can_write_is_refused(paths: Paths) -> None:
    paths.config_file.write_text("")
    paths.config_file.chmod(0o622)
    with pytest.raises(ConfigError, match=r"can be written by others \(mode 622\)"):
        load_config(paths)


def test_what_is_no_text_names_its_line(paths: Paths) -> None:
    paths.config_file.write_bytes(b"[gateway]\nport = 1\n# \xff\n")
    paths.config_file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"config\.toml:3: not UTF-8 text"):
        load_config(paths)


def test_a_configuration_that_is_a_folder_is_an_error_and_no_traceback(paths: Paths) -> None:
    paths.config_file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(paths)


def test_an_atomic_write_is_private_from_birth_and_leaves_nothing_beside(paths: Paths) -> None:
    target = paths.run / "file"
    for content in (b"one", b"two"):
        write_atomic(target, content)
        assert target.read_bytes() == content
        assert mode(target) == 0o600
    assert list(paths.run.iterdir()) == [target]


def test_an_atomic_write_that_fails_leaves_the_old_file(paths: Paths) -> None:
    target = paths.run / "file"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(target, b"new")
    assert list(paths.run.iterdir()) == [target]


def test_launches_are_written_read_and_removed(paths: Paths) -> None:
    for number in (2, 1):
        path = write_launch(paths, launch(number))
        assert mode(path) == 0o600
    assert read_launches(paths).records == (launch(1), launch(2))
    remove_launch(paths, launch(1).launch)
    remove_launch(paths, launch(1).launch)
    assert read_launches(paths).records == (launch(2),)


def test_bad_launch_files_are_reported_and_cost_the_others_nothing(paths: Paths) -> None:
    write_launch(paths, launch(1))
    (paths.launches / "launch-bad.json").write_text('{"launch": 7}')
    (paths.launches / "launch-other.json").write_bytes((paths.launches / "launch-000000000001.json").read_bytes())
    (paths.launches / "notes.txt").write_text("")
    os.mkfifo(paths.launches / "launch-fifo.json")
    (paths.launches / "launch-link.json").symlink_to(paths.launches / "launch-000000000001.json")
    found = read_launches(paths)
    assert found.records == (launch(1),)
    reasons = {bad.path.name: bad.reason for bad in found.bad}
    assert set(reasons) == {"launch-bad.json", "launch-other.json", "notes.txt", "launch-fifo.json", "launch-link.json"}
    assert "launch" in reasons["launch-bad.json"]
    assert "says that it is" in reasons["launch-other.json"]


def test_a_launch_id_that_leads_elsewhere_is_refused(paths: Paths) -> None:
    with pytest.raises(ValueError, match="launch id"):
        remove_launch(paths, LaunchId("../../etc/passwd"))


def test_no_folder_holds_no_launches(tmp_path: Path) -> None:
    assert read_launches(Paths(tmp_path / "c", tmp_path / "none")).records == ()
