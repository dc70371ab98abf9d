"""Which agent a process is, by the identity of its program and never by a command line that merely contains a word.

Theory of operation
-------------------
A native agent is the *file* that the kernel runs: its base name, or the place that its installer gives it. An agent written
for an interpreter is the *resolved script*: the package that owns the file, which is the one below the last ``node_modules``
of its path. Only when the agent is known that way are its arguments read, for the kind of its process: the first word that is
not an option or an option's value is the subcommand, so that a prompt never is one.

An npm package of a native agent is a small script that starts the native program as its child: that parent is a ``wrapper``
and sends no request. Codex's shared ``daemon`` sends the requests of *every* terminal that is attached to it, with the
environment of whichever terminal started it: that kind must never be asked for a tab.

A script that writes a title over its own command line (qwen-code can) hides its arguments and is ``other`` from then on.

Must not know how a program is read. Renaming a file is enough to look like an agent, so that this proves nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from schemas.events import ProcessKind

OTHER: Literal["other"] = "other"


@dataclass(frozen=True, slots=True)
class AgentFinding:
    """An agent's name (``other`` when it is no known agent) and the kind of its process."""

    agent: str
    kind: ProcessKind


@dataclass(frozen=True, slots=True)
class _Grammar:
    """How an agent's command line is read: options that take a value, and what subcommands and flags make of a process."""

    valued: frozenset[str] = frozenset()
    commands: Mapping[str, ProcessKind] = field(default_factory=dict)
    flags: Mapping[str, ProcessKind] = field(default_factory=dict)


_OTHER = AgentFinding(OTHER, OTHER)
_CODEX = "codex"
_INTERPRETERS = frozenset(("node", "nodejs", "bun"))
_INTERPRETER_VALUED = frozenset(("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"))
_INTERPRETER_CODE = frozenset(("-e", "--eval", "-p", "--print", "-pe", "-"))
_TARGET = r"-(?:x86_64|aarch64)-(?:unknown-linux-(?:musl|gnu)|apple-darwin|pc-windows-msvc)"
_NATIVE = re.compile(rf"(codex|claude|opencode)(?:{_TARGET})?(?:\.exe)?")
_ASKING = frozenset(("--version", "-V", "--help", "-h"))  # it answers and ends, whatever else is said
_CLAUDE_VERSION = re.compile(r"/claude/versions/[0-9]+\.[0-9]+\.[0-9]+[^/]*$")
_PACKAGES: Mapping[str, tuple[str, ProcessKind | None]] = {
    "@openai/codex": (_CODEX, "wrapper"),
    "@anthropic-ai/claude-code": ("claude", None),
    "@augmentcode/auggie": ("auggie", None),
    "@google/gemini-cli": ("gemini", None),
    "@qwen-code/qwen-code": ("qwen", None),
    "opencode-ai": ("opencode", "wrapper"),
}
_STARTER = ("qwen", "cli-entry.js")  # starts cli.js beside it, unless it only answers, or serves MCP
_APP_SERVER = _Grammar(
    valued=frozenset(
        """-c --config --enable --disable --startup-client-info --cloud-skills-snapshot --code-mode-host --listen --ws-auth
        --ws-token-file --ws-token-sha256 --ws-shared-secret-file --ws-issuer --ws-audience
        --ws-max-clock-skew-seconds""".split()  # noqa: SIM905
    ),
    commands={"daemon": "daemon"},
)
_GRAMMARS: Mapping[str, _Grammar] = {
    _CODEX: _Grammar(
        valued=frozenset(
            """-c --config --enable --disable --remote --remote-auth-token-env -i --image -m --model --local-provider
            -p --profile -s --sandbox -C --cd --add-dir -a --ask-for-approval""".split()  # noqa: SIM905 - a list to read
        ),
        commands={
            **dict.fromkeys(("exec", "e", "review"), "exec"),
            **dict.fromkeys(("resume", "fork", "agents"), "tui"),
            "app-server": "app_server",
            "mcp-server": "mcp",
            **dict.fromkeys(
                """login logout mcp plugin remote-control completion update doctor sandbox debug apply a queue archive delete
                migrate-rollouts migrate-nfs-db unarchive cloud exec-server features help proto execpolicy""".split(),  # noqa: SIM905
                OTHER,
            ),
        },
    ),
    "claude": _Grammar(
        valued=frozenset(
            """--model --settings --session-id --permission-mode --append-system-prompt --system-prompt --mcp-config
            --fallback-model --output-format --input-format --agents --add-dir --permission-prompt-tool""".split()  # noqa: SIM905
        ),
        commands={
            "mcp": "mcp",
            **dict.fromkeys("config doctor update install setup-token plugin agents auth".split(), OTHER),  # noqa: SIM905
        },
        flags={"-p": "exec", "--print": "exec"},
    ),
    "auggie": _Grammar(
        valued=frozenset(("-m", "--model", "--workspace-root", "-w", "--output-format", "--resume", "-r")),
        commands=dict.fromkeys(
            "login logout session token upgrade mcp model account context command tools".split(),  # noqa: SIM905
            OTHER,
        ),
        flags={"--acp": "app_server", "--mcp": "mcp", "-p": "exec", "--print": "exec"},
    ),
    "gemini": _Grammar(
        valued=frozenset(("-m", "--model", "--session-id", "-r", "--resume", "-o", "--output-format", "-i")),
        commands=dict.fromkeys(("mcp", "extensions"), OTHER),
        flags={"--acp": "app_server", "--experimental-acp": "app_server", "-p": "exec", "--prompt": "exec"},
    ),
    "qwen": _Grammar(
        valued=frozenset(("-m", "--model", "--auth-type", "--session-id", "-i")),
        commands=dict.fromkeys(("mcp", "extensions"), OTHER),
        flags={"--acp": "app_server", "--experimental-acp": "app_server", "-p": "exec", "--prompt": "exec"},
    ),
    "opencode": _Grammar(
        valued=frozenset(("-m", "--model", "-s", "--session", "--prompt", "--agent", "--port", "--hostname", "--log-level")),
        commands={
            "run": "exec",
            "acp": "app_server",
            **dict.fromkeys(("serve", "web"), "daemon"),
            "attach": "tui",
            **dict.fromkeys(
                """auth providers agent upgrade models stats export import github mcp uninstall completion debug session
                plugin plug db""".split(),  # noqa: SIM905
                OTHER,
            ),
        },
    ),
}


def classify(exe: str, argv: Sequence[str], script: str | None) -> AgentFinding:
    """Name the agent behind ``ProcessFacts.exe``, ``.argv`` and ``.script``."""
    if script is not None:
        return _by_package(script, argv, exe)
    name = exe.rpartition("/")[2]
    if _CLAUDE_VERSION.search(exe):
        agent = "claude"
    elif match := _NATIVE.fullmatch(name):
        agent = match[1]
    else:
        return _OTHER
    if argv and argv[0].rpartition("/")[2] in ("codex-linux-sandbox", "apply_patch", "applypatch"):
        return AgentFinding(agent, OTHER)
    return AgentFinding(agent, kind_of(agent, argv[1:]))


def worth_a_look(program: str, name: str) -> bool:
    """Tell from ``Glimpse.program`` (and from ``.name`` when that is hidden) whether a process may be an agent.

    True for every interpreter: which script it runs takes a closer look.
    """
    base = (program or name).replace("\\", "/").rpartition("/")[2]
    if base.removesuffix(".exe") in _INTERPRETERS or _NATIVE.fullmatch(base):
        return True
    return bool(_CLAUDE_VERSION.search(program))


def script_argument(exe: str, argv: Sequence[str]) -> str | None:
    """Return the argument that names the file which an interpreter runs, as it was given; None for any other program."""
    at = _script_index(exe, argv)
    return None if at is None else argv[at]


def _script_index(exe: str, argv: Sequence[str]) -> int | None:
    if exe.rpartition("/")[2].removesuffix(".exe") not in _INTERPRETERS:
        return None
    at = 1
    while at < len(argv):
        word = argv[at]
        if word in _INTERPRETER_CODE:
            return None
        if word == "--":
            return at + 1 if at + 1 < len(argv) else None
        if not word.startswith("-"):
            return at
        at += 2 if word in _INTERPRETER_VALUED else 1
    return None


def _by_package(script: str, argv: Sequence[str], exe: str) -> AgentFinding:
    head, found, below = script.replace("\\", "/").rpartition("/node_modules/")
    if not found or not head:
        return _OTHER
    parts = below.split("/")
    package = "/".join(parts[: 2 if parts[0].startswith("@") else 1])
    if package not in _PACKAGES:
        return _OTHER
    agent, kind = _PACKAGES[package]
    if kind is None and "wrapper" in parts[-1]:
        kind = "wrapper"
    at = _script_index(exe, argv)
    own = kind or kind_of(agent, argv[at + 1 :] if at is not None else ())
    if (agent, parts[-1]) == _STARTER and own in ("tui", "exec", "app_server"):
        own = "wrapper"
    return AgentFinding(agent, own)


def kind_of(agent: str, arguments: Sequence[str]) -> ProcessKind:
    """Tell what a known agent's arguments make of its process; ``other`` when it answers and ends, or only administers."""
    grammar = _GRAMMARS[agent]
    if any(word in _ASKING for word in (arguments[: arguments.index("--")] if "--" in arguments else arguments)):
        return OTHER
    command, rest = _subcommand(grammar, arguments)
    kind = grammar.commands.get(command) if command is not None else None
    if command == "app-server":
        return _app_server(rest)
    if kind is not None:
        return kind
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return next((grammar.flags[word.partition("=")[0]] for word in options if word.partition("=")[0] in grammar.flags), "tui")


def _subcommand(grammar: _Grammar, arguments: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Return the first word that is neither an option nor an option's value, and what follows it."""
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            return word, arguments[at + 1 :]
        at += 2 if word in grammar.valued else 1
    return None, ()


def _app_server(arguments: Sequence[str]) -> ProcessKind:
    """Tell Codex's shared daemon from an app-server that serves the one client at its stdin."""
    command, _ = _subcommand(_APP_SERVER, arguments)
    if command is not None:
        return _APP_SERVER.commands.get(command, OTHER)
    if "--managed-daemon" in arguments:
        return "daemon"
    for at, word in enumerate(arguments):
        option, given, value = word.partition("=")
        if option == "--listen":
            target = value if given else next(iter(arguments[at + 1 :]), "")
            return "app_server" if target.startswith("stdio:") else "daemon"
    return "app_server"
