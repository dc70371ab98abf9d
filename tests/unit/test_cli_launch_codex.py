"""How Codex commands are pointed at the gateway; tests/e2e/test_cli_codex.py runs such command lines with the real Codex."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.launch.codex import CodexHome, plan_codex
from actors.launch.codex_home import read_codex_home
from actors.launch.plan import Door, LaunchRefusedError

DOOR = Door("http://127.0.0.1:8129", "TOKEN")
URL = '"http://127.0.0.1:8129/s/TOKEN/v1"'
OPENAI = ("-c", f"openai_base_url={URL}")
STUB = ("-c", f"model_providers.stub.base_url={URL}")
CONFIG = """
model = "gpt-5.1-codex"
openai_base_url = "http://127.0.0.1:1/orig/v1"
[model_providers.stub]
name = "stub"
base_url = "http://127.0.0.1:1/stub/v1"
[model_providers."do.tted"]
name = "dotted"
base_url = "http://127.0.0.1:1/dotted/v1"
"""
DOTTED = ("-c", f'model_providers={{"do.tted"={{base_url={URL}}}}}')
USES_STUB = 'model_provider = "stub"\n' + CONFIG


def home(*texts: str, pinned: str | None = None) -> CodexHome:
    return CodexHome(layers=tuple((f"layer {n}", text) for n, text in enumerate(texts)), thread_provider=pinned)


PLAIN = home(CONFIG)


@dataclass(frozen=True)
class Case:
    """``given`` behind ``codex`` becomes ``expected``; ``{openai}`` and so on stand for the overrides."""

    given: tuple[str, ...]
    expected: tuple[str, ...]
    home: CodexHome = PLAIN
    model: str | None = None


PLANNED = {
    "the built-in provider keeps its id": Case(("exec", "hi"), ("exec", "hi", *OPENAI)),
    "no configuration at all": Case(("exec", "hi"), ("exec", "hi", *OPENAI), home()),
    "a custom provider keeps its id": Case(("exec", "hi"), ("exec", "hi", *STUB), home(USES_STUB)),
    "an id with a dot goes into an inline table": Case(
        ("exec", "hi", "-c", "model_provider=do.tted"), ("exec", "hi", "-c", "model_provider=do.tted", *DOTTED)
    ),
    "-c chooses the provider": Case(
        ("exec", "-c", 'model_provider="stub"', "hi"), ("exec", "-c", 'model_provider="stub"', "hi", *STUB)
    ),
    "-c at the root, glued": Case(("-cmodel_provider=stub", "exec", "hi"), ("-cmodel_provider=stub", "exec", "hi", *STUB)),
    "--config=": Case(("--config=model_provider=stub", "e", "hi"), ("--config=model_provider=stub", "e", "hi", *STUB)),
    "a provider defined by -c alone": Case(
        ("exec", "-c", 'model_providers.stub={name="n",base_url="http://x/v1"}', "-c", "model_provider=stub", "hi"),
        ("exec", "-c", 'model_providers.stub={name="n",base_url="http://x/v1"}', "-c", "model_provider=stub", "hi", *STUB),
        home(),
    ),
    "a profile chooses the provider": Case(
        ("exec", "-p", "alt", "hi"), ("exec", "-p", "alt", "hi", *STUB), home(CONFIG, 'model_provider = "stub"')
    ),
    "-c is stronger than a profile": Case(
        ("exec", "-p", "alt", "-c", "model_provider=openai", "hi"),
        ("exec", "-p", "alt", "-c", "model_provider=openai", "hi", *OPENAI),
        home(CONFIG, 'model_provider = "stub"'),
    ),
    "options go before a lone --": Case(("exec", "--", "-c"), ("exec", *OPENAI, "--", "-c")),
    "a prompt may stand before the subcommand": Case(("hello", "exec", "hi"), ("hello", "exec", "hi", *OPENAI)),
    "images take every word up to the next option": Case(
        ("exec", "-i", "a.png", "b.png", "-s", "read-only", "hi"),
        ("exec", "-i", "a.png", "b.png", "-s", "read-only", "hi", *OPENAI),
    ),
    "the TUI can open any thread, so every provider is pointed at us": Case((), (*OPENAI, *STUB, *DOTTED)),
    "a subcommand's name taken by -i is an image, so this is the TUI": Case(
        ("-i", "a.png", "exec", "hi"), ("-i", "a.png", "exec", "hi", *OPENAI, *STUB, *DOTTED)
    ),
    "a prompt behind -- is no subcommand": Case(("--", "exec"), (*OPENAI, *STUB, *DOTTED, "--", "exec")),
    "the TUI under a custom provider": Case((), (*STUB, *OPENAI, *DOTTED), home(USES_STUB)),
    "the TUI resumes a thread of another provider": Case(
        ("resume", "T"), ("resume", "T", *STUB, *OPENAI, *DOTTED), home(CONFIG, pinned="stub")
    ),
    "a fork moves to the current provider": Case(("exec", "fork", "T", "hi"), ("exec", "fork", "T", "hi", *OPENAI)),
    "exec resume of a thread of the current provider": Case(
        ("exec", "resume", "T", "hi"), ("exec", "resume", "T", "hi", *OPENAI), home(CONFIG, pinned="openai")
    ),
    "exec resume of a thread of another provider names it": Case(
        ("exec", "resume", "T", "hi"),
        ("exec", "resume", "T", "hi", "-c", 'model_provider="stub"', *STUB),
        home(CONFIG, pinned="stub"),
    ),
    "exec resume --last looks among the current provider's threads": Case(
        ("exec", "resume", "--last", "hi"), ("exec", "resume", "--last", "hi", *OPENAI)
    ),
    "review": Case(("review", "--uncommitted"), ("review", "--uncommitted", *OPENAI)),
    "exec review": Case(("exec", "review", "--base", "main"), ("exec", "review", "--base", "main", *OPENAI)),
    "a model": Case(("exec", "hi"), ("exec", "hi", *OPENAI, "-m", "gpt-6"), model="gpt-6"),
    "a model where there is no -m": Case(("review",), ("review", *OPENAI, "-c", 'model="gpt-6"'), model="gpt-6"),
    "an app-server can open any thread": Case(("app-server",), ("app-server", *OPENAI), home()),
}

UNCHANGED = [
    ("--version",),
    ("exec", "--help"),
    ("-hV",),
    ("help", "exec"),
    ("login", "--with-api-key"),
    ("mcp", "list"),
    ("app-server", "generate-ts"),
    ("sandbox", "--", "ls"),
    ("queue", "--thread", "x", "--message", "exec"),
    ("a",),
    ("completion", "bash"),
]

REFUSED = {
    "bedrock": (("-c", "model_provider=amazon-bedrock", "exec", "hi"), home(CONFIG), "AWS credentials"),
    "a built-in local provider": (("exec", "hi"), home('model_provider = "ollama"'), "built in"),
    "--oss": (("--oss", "exec", "hi"), home(CONFIG), "--oss"),
    "--remote": (("--remote", "ws://127.0.0.1:1"), home(CONFIG), "--remote"),
    "--remote=": (("resume", "--remote=unix://"), home(CONFIG), "--remote"),
    "an unknown provider": (("exec", "-c", "model_provider=nope", "hi"), home(CONFIG), "known: do.tted, openai, stub"),
    "a pin to a provider that is gone": (("exec", "resume", "T"), home(CONFIG, pinned="old"), "pinned to provider 'old'"),
    "a pin to a provider that is gone, in the TUI": (("resume", "T"), home(CONFIG, pinned="old"), "pinned to provider 'old'"),
    "a pin against the command line": (
        ("exec", "resume", "T", "-c", "model_provider=openai"),
        home(CONFIG, pinned="stub"),
        "leave -c model_provider out",
    ),
    "an address of the user's own": (("exec", "-c", 'openai_base_url="http://x/v1"', "hi"), home(CONFIG), "openai_base_url"),
    "another address of the user's own": (
        ("exec", "-c", "model_providers.stub.base_url=http://x/v1", "hi"),
        home(USES_STUB),
        "model_providers.stub.base_url",
    ),
    "a provider that signs with AWS": (
        ("exec", "hi"),
        home('model_provider = "mine"\n[model_providers.mine]\nname = "m"\naws = {profile = "p"}'),
        "AWS",
    ),
    "the shared daemon": (("app-server", "daemon", "start"), home(CONFIG), "belong to no terminal"),
    "remote control": (("remote-control",), home(CONFIG), "belong to no terminal"),
    "a file that is not TOML": (("exec", "hi"), home("model = ["), "layer 0 is not TOML"),
    "providers that are no table": (("exec", "hi"), home("model_providers = 3"), "not a table"),
}


@pytest.mark.parametrize("case", PLANNED.values(), ids=PLANNED)
def test_pointed_at_the_gateway(case: Case) -> None:
    plan = plan_codex(("codex", *case.given), case.home, DOOR, case.model)
    assert plan.argv == ("codex", *case.expected)
    assert plan.launched
    assert plan.agent == "codex"


@pytest.mark.parametrize("given", UNCHANGED, ids=" ".join)
def test_what_makes_no_request_is_left_alone(given: tuple[str, ...]) -> None:
    plan = plan_codex(("codex", *given), home(USES_STUB), DOOR)
    assert plan.argv == ("codex", *given)
    assert not plan.launched


@pytest.mark.parametrize(("given", "files", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused_with_a_reason(given: tuple[str, ...], files: CodexHome, reason: str) -> None:
    with pytest.raises(LaunchRefusedError, match="(?s)" + reason.replace(".", r"\.")) as caught:
        plan_codex(("codex", *given), files, DOOR)
    assert "TOKEN" not in str(caught.value)
    assert caught.value.advice


def test_a_model_named_twice_is_refused() -> None:
    with pytest.raises(LaunchRefusedError, match="twice"):
        plan_codex(("codex", "exec", "-mx", "hi"), home(), DOOR, "gpt-6")


@pytest.fixture
def codex_home(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text("a = 1")
    (tmp_path / "alt.config.toml").write_text("b = 2")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("exec",), ["s = 0", "a = 1"]),
        (("exec", "-p", "alt"), ["s = 0", "a = 1", "b = 2"]),
        (("exec", "--profile=alt"), ["s = 0", "a = 1", "b = 2"]),
        (("exec", "--profile", "none"), ["s = 0", "a = 1"]),
        (("exec", "-p", "../alt"), ["s = 0", "a = 1"]),
        (("exec", "-p", "alt", "--ignore-user-config"), ["s = 0"]),
        (("login",), []),
    ],
)
def test_the_layers_that_count(codex_home: Path, arguments: tuple[str, ...], texts: list[str]) -> None:
    system = codex_home / "system.toml"
    system.write_text("s = 0")
    found = read_codex_home(("codex", *arguments), {"CODEX_HOME": str(codex_home)}, system)
    assert [text for _, text in found.layers] == texts


def test_without_codex_home_it_is_below_home(codex_home: Path) -> None:
    (codex_home / ".codex").symlink_to(codex_home)
    found = read_codex_home(("codex", "exec"), {"HOME": str(codex_home)}, codex_home / "none")
    assert [text for _, text in found.layers] == ["a = 1"]


def test_a_file_that_cannot_be_read_is_a_refusal(codex_home: Path) -> None:
    (codex_home / "config.toml").write_bytes(b"\xff")
    with pytest.raises(LaunchRefusedError, match="cannot be read"):
        read_codex_home(("codex", "exec"), {"CODEX_HOME": str(codex_home)})
