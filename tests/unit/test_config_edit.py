"""Tabwire's edits of the configuration as files: modes, links, line ends, several writers, and what is not edited."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import filelock
import pytest
from msgspec.structs import replace

from actors.runtime import config_edit
from actors.runtime.config_edit import EditRefusedError
from actors.runtime.config_file import load_config
from actors.runtime.paths import Paths
from schemas.config import Config, ConfigError, Journal, Pin, Provider

PROVIDER = '[providers.a]\nbase_url = "http://a/v1"\nauth = "none"\n'
PIN = Pin(provider="a", session="codex-1")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "config.toml", tmp_path / "state")


def write(paths: Paths, text: str, mode: int = 0o600) -> None:
    paths.config_file.write_bytes(text.encode())
    paths.config_file.chmod(mode)


def refusal(act: object, *arguments: object, **named: object) -> EditRefusedError:
    assert callable(act)
    with pytest.raises(EditRefusedError) as caught:
        act(*arguments, **named)
    return caught.value


def test_a_first_edit_makes_the_file_and_its_folder_private(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "new" / "config.toml", tmp_path / "state")
    config_edit.add_provider(paths, "a", Provider(base_url="http://a/v1", auth="none"), ("why", "how"))
    assert paths.config_file.read_text() == '[providers.a]\n# why\n# how\nbase_url = "http://a/v1"\nauth = "none"\n'
    assert stat.S_IMODE(paths.config_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.config_file.parent.stat().st_mode) == 0o700


def test_a_pin_is_written_behind_the_others_and_changed_where_it_stands(paths: Paths) -> None:
    write(paths, f'{PROVIDER}\n[[pins]] # first\nterminal = "wt:1"\nprovider = "a" # why\n\n# the end\n[echo]\nport = 9000\n')
    expires = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
    config_edit.set_pin(paths, Pin(provider="a", project="/w", model="m", on_failure="ask", expires=expires))
    config_edit.set_pin(paths, Pin(provider="echo", terminal="wt:1", model="x"))
    assert paths.config_file.read_text() == (
        f'{PROVIDER}\n[[pins]] # first\nterminal = "wt:1"\nprovider = "echo" # why\nmodel = "x"\n'
        '\n[[pins]]\nproject = "/w"\nprovider = "a"\nmodel = "m"\non_failure = "ask"\nexpires = 2026-11-21T10:00:00Z\n'
        "\n# the end\n[echo]\nport = 9000\n"
    )
    config_edit.remove_pin(paths, "project", "/w")
    config_edit.set_pin(paths, Pin(provider="a", terminal="wt:1"))
    assert paths.config_file.read_text() == (
        f'{PROVIDER}\n[[pins]] # first\nterminal = "wt:1"\nprovider = "a" # why\n\n# the end\n[echo]\nport = 9000\n'
    )


def test_the_default_is_written_before_all_tables(paths: Paths) -> None:
    write(paths, f"# mine\n\n# of a\n{PROVIDER}")
    config_edit.set_default(paths, "echo")
    assert paths.config_file.read_text() == f'# mine\n\ndefault_provider = "echo"\n\n# of a\n{PROVIDER}'
    config_edit.set_default(paths, "a")
    assert 'default_provider = "a"\n' in paths.config_file.read_text()


def test_an_edit_that_changes_nothing_writes_nothing(paths: Paths) -> None:
    write(paths, f'{PROVIDER}[[pins]]\nsession = "codex-1"\nprovider = "a"\n')
    before = paths.config_file.stat()
    config_edit.set_pin(paths, PIN)
    config_edit.set_enabled(paths, "a", enabled=True)
    config_edit.prune_pins(paths, datetime(2026, 1, 1, tzinfo=UTC))
    assert paths.config_file.stat() == before


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no modes here")
def test_mode_link_and_line_ends_stay(paths: Paths, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "tabwire.toml"
    real.parent.mkdir()
    real.write_bytes(PROVIDER.replace("\n", "\r\n").encode())
    real.chmod(0o644)
    paths.config_file.symlink_to(real)
    mask = os.umask(0o077)
    try:
        config_edit.set_pin(paths, PIN)
    finally:
        os.umask(mask)
    assert paths.config_file.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o644
    assert real.read_bytes().count(b"\r\n") == real.read_bytes().count(b"\n") == 7
    assert load_config(paths).pins == (PIN,)
    assert [name for name in os.listdir(real.parent) if "lock" not in name] == ["tabwire.toml"]  # noqa: PTH208 - names


def test_what_is_written_in_other_ways_is_left_alone_and_says_so(paths: Paths) -> None:
    inline = 'pins = [{ session = "codex-1", provider = "a" }]\nproviders.a = { base_url = "http://a/v1", auth = "none" }\n'
    write(paths, inline)
    for act, arguments in (
        (config_edit.set_pin, (Pin(provider="a", session="codex-2"),)),
        (config_edit.set_pin, (Pin(provider="echo", session="codex-1"),)),
        (config_edit.remove_pin, ("session", "codex-1")),
    ):
        said = refusal(act, paths, *arguments)
        assert said.code == "not_plain"
        assert "by hand" in said.message
    assert refusal(config_edit.set_enabled, paths, "a", enabled=False).code == "not_plain"
    assert paths.config_file.read_text() == inline


def test_a_provider_that_is_needed_stays_unless_it_is_forced(paths: Paths) -> None:
    other = PROVIDER.replace("a]", "b]")
    write(paths, f'default_provider = "a"\n{PROVIDER}{other}[[pins]]\nsession = "codex-1"\nprovider = "b"\n')
    assert "is the default" in refusal(config_edit.remove_provider, paths, "a").message
    assert "pinned by session codex-1" in refusal(config_edit.remove_provider, paths, "b").message
    assert config_edit.remove_provider(paths, "a", force=True).default_provider == "b"
    assert config_edit.remove_provider(paths, "b", force=True).default_provider == "echo"
    assert load_config(paths).pins[0].provider == "b"
    assert config_edit.prune_pins(paths, datetime(2026, 1, 1, tzinfo=UTC)).pins == ()
    assert paths.config_file.read_text() == ""


def test_a_provider_that_a_budget_names_is_not_removed(paths: Paths) -> None:
    other = PROVIDER.replace("a]", "b]")
    budget = '[[budgets]]\nname = "x"\nprovider = "b"\ntokens = 5\n'
    write(paths, f"{PROVIDER}{other}{budget}")
    assert "budget" in refusal(config_edit.remove_provider, paths, "b", force=True).message


def test_a_broken_file_is_not_edited(paths: Paths) -> None:
    write(paths, "x = [")
    with pytest.raises(ConfigError, match="not TOML"):
        config_edit.set_pin(paths, PIN)
    assert paths.config_file.read_text() == "x = ["


def test_a_pin_that_breaks_a_rule_is_refused_by_its_key(paths: Paths) -> None:
    write(paths, PROVIDER)
    said = refusal(config_edit.set_pin, paths, Pin(provider="a", project="relative"))
    assert (said.code, "pins[1].project" in said.message) == ("invalid", True)


def test_a_lock_that_is_held_is_said_and_not_waited_for_for_ever(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    write(paths, PROVIDER)
    monkeypatch.setattr(config_edit, "LOCK_SECONDS", 0.05)
    with filelock.FileLock(paths.config_file.with_name(".config.toml.lock")):
        assert refusal(config_edit.set_pin, paths, PIN).code == "busy"


def test_what_an_editor_saves_meanwhile_is_kept(paths: Paths) -> None:
    write(paths, PROVIDER)
    read: list[str] = []

    def change(text: str, config: Config) -> tuple[str, Config]:
        read.append(text)
        if len(read) == 1:
            write(paths, f"{PROVIDER}# saved by hand\n")
        return f"{text}[journal]\nmax_age_days = 3\n", replace(config, journal=Journal(max_age_days=3))

    config_edit._edit(paths, change)
    assert len(read) == 2
    assert paths.config_file.read_text() == f"{PROVIDER}# saved by hand\n[journal]\nmax_age_days = 3\n"


def test_two_processes_editing_at_once_lose_nothing(paths: Paths) -> None:
    write(paths, f"# mine\n{PROVIDER}")
    script = (
        "import sys\nfrom pathlib import Path\nfrom actors.runtime import config_edit\nfrom actors.runtime.paths import Paths\n"
        "from schemas.config import Pin\npaths = Paths(Path(sys.argv[1]), Path(sys.argv[1]))\ninput()\n"
        "for number in range(12):\n"
        "    config_edit.set_pin(paths, Pin(provider='a', session=f'codex-{sys.argv[2]}-{number}'))\n"
        "    if number % 3 == 0:\n        config_edit.remove_pin(paths, 'session', f'codex-{sys.argv[2]}-{number}')\n"
    )
    root = Path(__file__).resolve().parents[2]
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(paths.config_file), name], stdin=subprocess.PIPE, cwd=root)
        for name in ("one", "two", "three")
    ]
    for writer in writers:  # all are let go before any is waited for
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    kept = {pin.target for pin in load_config(paths).pins}
    assert kept == {f"codex-{name}-{number}" for name in ("one", "two", "three") for number in range(12) if number % 3}
    assert paths.config_file.read_text().startswith(f"# mine\n{PROVIDER}")
