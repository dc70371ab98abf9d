"""What a shell offers while a command about providers and pins is typed, and how these commands are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.testing

from actors.cli import complete
from actors.cli.app import app
from actors.cli.failures import CommandFailedError


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABWIRE_HOME", str(tmp_path))
    file = tmp_path / "config.toml"
    file.write_text(
        '[providers.alpha]\nbase_url = "http://a/v1"\nauth = "none"\nenabled = false\n'
        '[[pins]]\nterminal = "wt:1"\nprovider = "alpha"\n[[pins]]\nproject = "/w"\nprovider = "alpha"\n'
    )
    file.chmod(0o600)


def test_what_exists_is_offered() -> None:
    assert complete.any_provider("") == ["alpha", "echo"]
    assert complete.providers("") == ["echo"]
    assert complete.pinned("w") == ["wt:1"]
    assert complete.policies("f") == ["fallback", "fail"]
    assert complete.dialects("openai") == ["openai.responses", "openai.chat"]


def test_what_cannot_be_found_out_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("x = [")
    assert [complete.any_provider(""), complete.pinned(""), complete.targets("")] == [[], [], []]


@pytest.mark.parametrize(
    "arguments",
    [
        ["pin", "--help"],
        ["unpin", "--help"],
        *(["pins", name, "--help"] for name in ("list", "prune")),
        *(["providers", name, "--help"] for name in ("list", "add", "test", "enable", "disable", "remove", "default")),
        ["route", "explain", "--help"],
    ],
)
def test_every_command_explains_itself(arguments: list[str]) -> None:
    shown = typer.testing.CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    assert "Exit codes: 0 ok" in " ".join(shown.stdout.split())


def test_route_explain_needs_something_to_explain() -> None:
    result = typer.testing.CliRunner().invoke(app, ["route", "explain"])
    assert isinstance(result.exception, CommandFailedError)
    assert result.exception.code == 2
