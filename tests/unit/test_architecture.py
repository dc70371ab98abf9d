"""The shape of the repository, asserted from its text: what may import what, who touches which package, what is pure."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("schemas", "bus", "actors")
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "schemas", "bus", "actors", "tests", "deploy"}

SHARED_ACTORS = {"runtime", "probe", "transcripts", "launch"}
EXCEPTIONS = {
    # The CLI replays a journal without a registry, and names the demo's cast.
    # The hub speaks the bridge's contract, and asks each adapter what it can do.
    "bridges": {"actors.bridge.adapter", "actors.bridge.adapters", "actors.bridge.contract", "actors.bridge.terminal.declared"},
    # A bridge speaks the contracts of the terminals that it starts, and of the followers that stand for an agent.
    "bridge": {"actors.attach.contract", "actors.terminal.contract"},
    "cli": {"actors.registry.fold", "actors.registry.rows", "actors.registry.replay", "actors.demo.cast"},
}

# Which modules may import a third-party package; a name ending in a dot allows everything below it.
THIRD_PARTY = {
    "anyio": ("bus.", "actors."),
    "filelock": ("actors.supervisor.lock", "actors.cli.system", "actors.runtime.config_edit"),
    "pyte": ("actors.terminal.screen",),
    "httptools": ("actors.runtime.http.intake", "actors.gateway.answers"),
    "httpx": ("actors.demo.agent", "actors.cli."),
    "msgspec": (
        "schemas.",
        "bus.",
        *(f"actors.{name}." for name in ("bridge", "bridges", "discovery", "gateway", "rollout", "transcripts")),
        *(f"actors.runtime.{name}" for name in ("checkpoint", "config_edit", "config_text", "tagged_lines")),
        "actors.attach.contract",
        "actors.cli.chat_view",
        "actors.registry.state",
    ),
    "orjson": ("schemas.", "actors."),
    "platformdirs": ("actors.runtime.paths",),
    "psutil": (
        "actors.runtime.orphans",
        "actors.supervisor.leftovers",
        "actors.supervisor.lock",
        "actors.cli.system",
        "actors.probe.",
    ),
    "rich": ("actors.cli.",),
    "sseclient": ("actors.gateway.usage",),
    "structlog": ("actors.runtime.", "actors.supervisor.shell"),
    "keyring": ("actors.runtime.keyring_read",),
    "tomlkit": ("actors.runtime.config_text",),
    "typer": ("actors.cli.",),
    "watchdog": ("actors.rollout.",),
    "zmq": ("bus.sockets",),
    "zstandard": ("actors.gateway.", "actors.echo.", "actors.transcripts.files"),
}

PURE = (
    *(f"schemas.{name}" for name in ("bridge_rows", "content")),
    *(f"schemas.commands.{name}" for name in ("bridges", "gateway", "register", "registry")),
    *(f"schemas.{name}" for name in ("codec", "config", "envelope", "evidence", "identity", "ids")),
    *(f"schemas.{name}" for name in ("config_lines", "config_reader", "config_rules")),
    *(f"schemas.{name}" for name in ("launch", "prices", "provider_rows", "rows", "upcast")),
    "actors.gateway.spending",
    *(
        f"actors.bridges.{name}"
        for name in ("course", "frame_queue", "hearing", "parts", "review", "rows", "session", "terms", "turns")
    ),
    *(f"actors.bridge.{name}" for name in ("adapter", "agent_says", "approvals", "contract", "conversation", "hub_asks")),
    *(f"actors.bridge.{name}" for name in ("pieces", "progress", "state", "turns")),
    *(f"actors.bridge.acp.{part}" for part in ("protocol", "opening", "reading", "state", "turns")),
    *(f"actors.bridge.adapters.{name}" for name in ("claude", "codex")),
    "actors.bridges.attaching",
    "actors.bridge.codex.joined",
    *(
        f"actors.{name}"
        for name in ("attach.contract", "attach.input_line", "bridge.followed.adapter", "bridge.followed.reading")
    ),
    "schemas.attachment",
    *(f"actors.bridge.claude.{part}" for part in ("agreed", "asks", "ends", "lines", "state", "turn")),
    *(f"actors.bridge.terminal.{part}" for part in ("page", "patterns", "protocol", "state", "words")),
    "actors.terminal.contract",
    "actors.terminal.sieve",
    *(f"actors.bridge.codex.{part}" for part in ("answers", "asks", "items", "state", "told", "wire")),
    *(
        f"schemas.events.{name}"
        for name in ("actors", "bridges", "processes", "providers", "requests", "sessions", "transcripts", "values")
    ),
    *(f"bus.{name}" for name in ("cursor", "errors", "frames", "protocol", "sequencer", "stream_queue", "subscriptions")),
    *(f"actors.registry.{name}" for name in ("announced", "claims", "contests", "conversations", "effects", "files", "fold")),
    "actors.registry.bridges",
    *(f"actors.registry.{name}" for name in ("forgetting", "identity", "judgement", "lifetimes", "limits", "links", "missing")),
    *(f"actors.registry.{name}" for name in ("replay", "requests", "rows", "sentences", "state", "statements", "status")),
    *(
        f"actors.registry.{name}"
        for name in ("ledger", "ledger_rows", "preferences", "quotas", "tables", "transcripts", "usage")
    ),
    *(
        f"actors.gateway.{name}"
        for name in ("attribution", "claims", "dialect", "exchange", "hook_report", "route_terms", "routing", "usage", "wishes")
    ),
    *(f"actors.gateway.{name}" for name in ("attempts", "keeping", "moves", "outcomes", "state")),
    "actors.gateway.differences",
    *(f"actors.gateway.{name}" for name in ("forwarding", "head", "models", "peek", "readings", "rewriting")),
    *(f"actors.gateway.{name}" for name in ("admission", "crowd", "throttle", "waits")),
    *(f"actors.gateway.{name}" for name in ("failure_table", "fault_reading", "faults", "health", "quota")),
    *(f"actors.probe.{name}" for name in ("agents", "codex_words", "terminal", "variables")),
    *(f"actors.discovery.{name}" for name in ("account", "codex_daemon", "endpoints", "holdings", "portrait", "terms")),
    *(f"actors.runtime.{name}" for name in ("websocket", "http.bounds", "http.fields", "http.framing", "http.replying")),
    *(f"actors.transcripts.{name}" for name in ("claude", "claude_messages", "codex", "codex_limits", "codex_meta", "facts")),
    *(f"actors.transcripts.{name}" for name in ("lines", "story", "tree")),
    *(f"actors.transcripts.{name}" for name in ("claude_turns", "codex_turns", "gathering", "pieces")),
    *(f"actors.rollout.{name}" for name in ("announcing", "looking", "tracking", "waiting")),
    *(f"actors.probe.windows.{name}" for name in ("command_line", "layout", "tables")),
    *(f"actors.probe.{name}" for name in ("always_survey", "by_tuple", "linux.places", "macos.records")),
    *(f"actors.runtime.{name}" for name in ("config_rows", "config_text", "contract", "tagged_lines")),
    *(f"actors.supervisor.{name}" for name in ("fork_words", "owner", "supervision")),
    *(f"actors.cli.chat_{name}" for name in ("desk", "join", "line", "pieces", "text", "view")),
)
IMPURE = {"time", "random", "secrets", "os", "logging", "structlog", "anyio", "asyncio", "socket", "threading", "subprocess"}


def modules() -> dict[str, Path]:
    """Find every module of the product by its dotted name."""
    found = {}
    for layer in LAYERS:
        for file in sorted((ROOT / layer).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, wherever in it."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(file: Path) -> set[str]:
    """Return the product's own modules that a file imports."""
    known = modules()
    return {name for name in imports(file) if name in known}


def test_imports_go_down_only() -> None:
    wrong = []
    for name, file in modules().items():
        layer = LAYERS.index(name.split(".", maxsplit=1)[0])
        wrong += [
            f"{name} imports {other}"
            for other in imports(file)
            if (top := other.split(".", maxsplit=1)[0]) in (*LAYERS, "tests") and (top == "tests" or LAYERS.index(top) > layer)
        ]
    assert wrong == []


def test_actors_never_import_each_other() -> None:
    wrong = []
    for name, file in modules().items():
        parts = name.split(".")
        if parts[0] != "actors" or len(parts) == 1:
            continue
        for other in imported_modules(file):
            theirs = other.split(".")
            if theirs[0] != "actors" or len(theirs) == 1 or theirs[1] in {parts[1], *SHARED_ACTORS}:
                continue
            allowed = EXCEPTIONS.get(parts[1], set())
            if other not in allowed and not any(one.startswith(f"{other}.") for one in allowed):
                wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_shared_actors_know_no_other_actor() -> None:
    """Save that the launch of an agent looks at processes and files as every actor does."""
    wrong = [
        f"{name} imports {other}"
        for name, file in modules().items()
        if name.split(".")[:2] in [["actors", shared] for shared in SHARED_ACTORS]
        for other in imported_modules(file)
        if other.startswith("actors.") and other.split(".")[1] != name.split(".")[1]
        if not (name.startswith("actors.launch.") and other.split(".")[1] in {"runtime", "probe"})
    ]
    assert wrong == []


def test_third_party_packages_are_known_to_few_modules() -> None:
    wrong = []
    for name, file in modules().items():
        for top in {other.split(".", maxsplit=1)[0] for other in imports(file)}:
            if top in sys.stdlib_module_names or top in LAYERS:
                continue
            allowed = THIRD_PARTY.get(top, ())
            if not any(name == one or (one.endswith(".") and f"{name}.".startswith(one)) for one in allowed):
                wrong.append(f"{name} imports {top}")
    assert wrong == []


def test_sockets_are_awaited_by_our_own_wrapper_only() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, file in modules().items()
        for other in imports(file)
        if other.startswith(("zmq.asyncio", "zmq.eventloop", "zmq.green", "zmq.auth"))
    ]
    assert wrong == []


def test_nothing_is_pickled() -> None:
    assert [name for name, file in modules().items() if {"pickle", "marshal", "shelve"} & set(imports(file))] == []


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_know_no_clock_chance_or_environment(name: str) -> None:
    file = modules()[name]
    assert {other.split(".", maxsplit=1)[0] for other in imports(file)} & IMPURE == set()
    assert not [node for node in ast.walk(tree(file)) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    named = {node.attr for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)}
    assert named & {"now", "utcnow", "today", "environ", "getenv", "urandom"} == set()


def test_every_pure_module_of_the_registry_stands_in_the_list() -> None:
    shells = {"actors.registry", "actors.registry.__main__", "actors.registry.actor", "actors.registry.prices"}
    assert {name for name in modules() if name.startswith("actors.registry")} - shells <= set(PURE)


def test_every_module_says_what_it_is() -> None:
    files = [*modules().values(), *sorted((ROOT / "tests").rglob("*.py"))]  # an empty __init__ has nothing to say
    assert [str(file.relative_to(ROOT)) for file in files if file.stat().st_size and not ast.get_docstring(tree(file))] == []


def test_the_top_level_is_the_agreed_one() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and its checkout")
    listed = subprocess.run([git, "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    top = {name.split("/", maxsplit=1)[0] for name in listed}
    assert {name for name in top if not name.startswith(".")} - TOP_LEVEL == set()


def test_tests_are_not_packaged() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'packages = ["schemas", "bus", "actors"]' in text
