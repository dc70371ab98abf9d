"""README's code blocks are run: its commands against a real system, its configuration by the real reader, its subscriber."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from schemas.config_reader import parse_config
from tests.e2e.system import System

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
KEY = {"OPENAI_API_KEY": "sk-readme-0001"}
STREAMS = ("--watch", "tail")


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return every command of the ``sh`` and ``console`` blocks as words, without comments."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    lines += [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def configuration() -> str:
    return next(block for block in blocks("toml") if block.startswith("# config.toml"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    providers = configuration().split("[gateway]")[0].replace('default_provider = "openai"', 'default_provider = "echo"')
    system = System(tmp_path_factory.mktemp("readme") / "home", providers)
    system.tabwire("up", environ=KEY)
    try:
        yield system
    finally:
        system.tabwire("down")


@pytest.fixture(scope="module")
def session(system: System) -> str:
    answer = httpx.post(f"{system.base_url}/responses", json={"model": "m", "input": "hello"}, trust_env=False)
    assert answer.status_code == 200
    name = answer.headers["x-tabwire-session"]
    system.until_count("request.completed", session=name)
    return str(name)


def test_its_configuration_is_one() -> None:
    config = parse_config(configuration(), "README.md")
    assert set(config.providers) == {"openai", "local"}
    for block in blocks("toml"):
        tomllib.loads(block)
        if "[terminals." in block:
            assert parse_config(block, "README.md").terminals["mybot"].questions


def test_the_two_commands_are_there() -> None:
    assert [words[0] for words in commands() if words[0].startswith("deploy/")] == ["deploy/up", "deploy/test"]
    for name in ("deploy/up", "deploy/test"):
        assert (ROOT / name).stat().st_mode & 0o111


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "tabwire"], ids=" ".join)
def test_its_commands_do_what_they_say(words: list[str], system: System, session: str) -> None:
    arguments = [re.sub(r"^codex-01a1\S*", session, word) for word in words[1:]]
    if "--" in arguments:
        arguments[arguments.index("--") + 1 :] = ["true"]  # any program is an agent; the real one has tests of its own
    process = subprocess.Popen(
        system.command(*arguments),
        env=system.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    if any(word in arguments for word in STREAMS):
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    if arguments == ["sessions"]:
        shown = next(line for line in README.splitlines() if line.startswith("session  "))
        assert out.split("\n")[0].split() == shown.split()
    if "tail" in arguments:
        assert "request.attributed" in said


def test_its_subscriber_subscribes(system: System) -> None:
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], env=system.environ(), capture_output=True, text=True, timeout=30, check=True
    )
    assert len(done.stdout.splitlines()) == 4


def test_every_command_of_the_table_exists(system: System) -> None:
    named = re.findall(r"^\| `tabwire (\w+)", README, re.MULTILINE)
    assert len(named) == 20
    for name in named:
        assert system.tabwire(name, "--help").stdout.startswith("Usage: tabwire")


def test_its_pictures_and_links_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
