"""Which agent a program is. The Codex rows are what /proc showed of the real Codex 0.169.0 from npm."""

from __future__ import annotations

import pytest

from actors.probe.agents import AgentFinding, classify, script_argument
from schemas.events.values import ProcessKind

CODEX = "/opt/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
DAEMON = "/home/u/.codex/packages/app-server-daemon/releases/0.169.0-x86_64-unknown-linux-musl/bin/codex"
NODE = "/usr/bin/node"


@pytest.mark.parametrize(
    ("exe", "argv", "kind"),
    [
        (CODEX, (CODEX,), "tui"),
        (CODEX, (CODEX, "exec", "--skip-git-repo-check", "-c", 'openai_base_url="http://127.0.0.1:9/v1"', "hi"), "exec"),
        (DAEMON, (DAEMON, "app-server", "--listen", "unix://", "--analytics-default-enabled", "--managed-daemon"), "daemon"),
        (DAEMON, (DAEMON, "app-server", "daemon", "pid-update-loop"), "daemon"),
        (CODEX, ("codex", "app-server"), "app_server"),
        (CODEX, ("codex", "app-server", "--listen", "stdio://"), "app_server"),
        (CODEX, ("codex", "app-server", "--stdio"), "app_server"),
        (CODEX, ("codex", "app-server", "--listen=ws://127.0.0.1:4500"), "daemon"),
        (CODEX, ("codex", "-c", "a=1", "app-server", "-c", "b=2", "--listen", "unix:///run/x"), "daemon"),
        (CODEX, ("codex", "app-server", "-c", "daemon"), "app_server"),
        (CODEX, ("codex", "app-server", "generate-ts"), "other"),
        (CODEX, ("codex", "mcp-server"), "mcp"),
        (CODEX, ("codex", "-m", "exec", "e", "hi"), "exec"),
        (CODEX, ("codex", "-m", "exec"), "tui"),
        (CODEX, ("codex", "--model=exec", "resume", "--last"), "tui"),
        (CODEX, ("codex", "fork"), "tui"),
        (CODEX, ("codex", "review"), "exec"),
        (CODEX, ("codex", "--search", "explain exec to me"), "tui"),
        (CODEX, ("codex", "--", "exec"), "tui"),
        (CODEX, ("codex", "login"), "other"),
        (CODEX, ("codex", "--version"), "other"),
        (DAEMON, (DAEMON, "app-server", "--managed-daemon", "--help"), "other"),
        (CODEX, ("codex", "--", "--help"), "tui"),
        (CODEX, ("codex-linux-sandbox", "--", "ls"), "other"),
        (CODEX, ("apply_patch",), "other"),
        (CODEX, (), "tui"),
        ("/usr/local/bin/codex-x86_64-unknown-linux-musl", ("codex",), "tui"),
    ],
)
def test_codex_is_its_native_program_and_its_kind_its_subcommand(exe: str, argv: tuple[str, ...], kind: ProcessKind) -> None:
    assert classify(exe, argv, None) == AgentFinding("codex", kind)


@pytest.mark.parametrize(
    ("exe", "argv", "script", "agent", "kind"),
    [
        (
            NODE,
            ("node", "/opt/node_modules/.bin/codex", "exec", "hi"),
            "/opt/node_modules/@openai/codex/bin/codex.js",
            "codex",
            "wrapper",
        ),
        (NODE, ("node", "/x/gemini"), "/x/node_modules/@google/gemini-cli/bundle/gemini.js", "gemini", "tui"),
        (
            NODE,
            ("node", "--no-warnings=DEP0040", "g", "--acp"),
            "/x/node_modules/@google/gemini-cli/bundle/gemini.js",
            "gemini",
            "app_server",
        ),
        (NODE, ("node", "g", "-p", "hi"), "/x/node_modules/@google/gemini-cli/bundle/gemini.js", "gemini", "exec"),
        (NODE, ("node", "q", "--prompt=hi"), "/x/node_modules/@qwen-code/qwen-code/cli-entry.js", "qwen", "wrapper"),
        (NODE, ("node", "q", "mcp"), "/x/node_modules/@qwen-code/qwen-code/cli-entry.js", "qwen", "other"),
        (NODE, ("node", "--expose-gc", "q", "--prompt=hi"), "/x/node_modules/@qwen-code/qwen-code/cli.js", "qwen", "exec"),
        (NODE, ("node", "a", "--print", "hi"), "/x/node_modules/@augmentcode/auggie/augment.mjs", "auggie", "exec"),
        (NODE, ("node", "a", "--acp"), "/x/node_modules/@augmentcode/auggie/augment.mjs", "auggie", "app_server"),
        (NODE, ("node", "c"), "/x/node_modules/@anthropic-ai/claude-code/cli.js", "claude", "tui"),
        (NODE, ("node", "c"), "/x/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs", "claude", "wrapper"),
        (NODE, ("node", "o"), "/x/node_modules/opencode-ai/bin/opencode", "opencode", "wrapper"),
        (
            NODE,
            ("node", "x"),
            "/x/node_modules/.pnpm/@openai+codex@0.169.0/node_modules/@openai/codex/bin/codex.js",
            "codex",
            "wrapper",
        ),
        ("/x/node_modules/@anthropic-ai/claude-code/bin/claude.exe", ("claude", "-p", "hi"), None, "claude", "exec"),
        ("/home/u/.local/share/claude/versions/2.1.329", ("claude",), None, "claude", "tui"),
        ("/x/claude-code-linux-x64/claude", ("claude", "mcp", "serve"), None, "claude", "mcp"),
        ("/x/opencode-linux-x64/bin/opencode", ("opencode", "run", "hi"), None, "opencode", "exec"),
        ("/x/opencode-linux-x64/bin/opencode", ("opencode", "serve"), None, "opencode", "daemon"),
        ("/x/opencode-linux-x64/bin/opencode", ("opencode", "acp"), None, "opencode", "app_server"),
        ("/x/opencode-ai/bin/opencode.exe", ("opencode", "-m", "run", "session", "list"), None, "opencode", "other"),
        (NODE, ("node", "a", "account"), "/x/node_modules/@augmentcode/auggie/augment.mjs", "auggie", "other"),
    ],
)
def test_other_agents_are_their_package_or_program(
    exe: str, argv: tuple[str, ...], script: str | None, agent: str, kind: ProcessKind
) -> None:
    assert classify(exe, argv, script) == AgentFinding(agent, kind)


@pytest.mark.parametrize(
    ("exe", "argv", "script"),
    [
        ("/usr/bin/bash", ("bash", "-c", "codex exec hi"), None),
        ("/usr/bin/vim", ("vim", "/home/u/codex"), None),
        ("/usr/bin/tail", ("codex", "app-server"), None),
        ("/usr/bin/codexify", ("codex",), None),
        ("/opt/codex/bin/python3", ("codex",), None),
        ("/opt/claude/versions/2.1.329/python3", ("claude",), None),
        (NODE, ("node", "/home/u/codex.js"), "/home/u/codex.js"),
        (NODE, ("node", "x"), "/x/node_modules/@google/gemini-cli/node_modules/left-pad/index.js"),
        (NODE, ("node", "x"), "/x/node_modules/codex/index.js"),
        (NODE, ("node", "x"), "/x/node_modules/@openai/codex-sdk/index.js"),
        (NODE, ("node", "x"), "/x/node_modules/@openai"),
        (NODE, ("node", "-e", "codex"), None),
        ("", (), None),
    ],
)
def test_a_word_in_a_path_or_a_command_line_is_no_agent(exe: str, argv: tuple[str, ...], script: str | None) -> None:
    assert classify(exe, argv, script) == AgentFinding("other", "other")


@pytest.mark.parametrize(
    ("exe", "argv", "script"),
    [
        (NODE, ("node", "a.js", "b.js"), "a.js"),
        (NODE, ("node", "--no-warnings", "--import", "tsx", "a.js"), "a.js"),
        (NODE, ("node", "--", "a.js"), "a.js"),
        (NODE, ("node", "-e", "1", "a.js"), None),
        (NODE, ("node",), None),
        (NODE, ("node", "--"), None),
        ("/usr/bin/python3", ("python3", "a.js"), None),
    ],
)
def test_the_script_of_an_interpreter_is_its_first_word_that_is_no_option(
    exe: str, argv: tuple[str, ...], script: str | None
) -> None:
    assert script_argument(exe, argv) == script
