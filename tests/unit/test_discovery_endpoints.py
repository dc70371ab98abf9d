"""Where agents send their requests, told from texts alone."""

from __future__ import annotations

import pytest

from actors.discovery.endpoints import config_files, find_endpoint
from actors.discovery.terms import Config
from actors.probe.agents import AgentFinding
from schemas.events import Endpoint, ProcessKind

PORT = 8129
GATEWAY = "http://127.0.0.1:8129"
SECRET = "s3cr3t-token"
HOME = "/home/ada"


def codex(arguments: str = "", *configs: str | Config, kind: ProcessKind = "tui") -> Endpoint:
    given = [Config(f"/c/{at}/config.toml", one) if isinstance(one, str) else one for at, one in enumerate(configs)]
    return find_endpoint(AgentFinding("codex", kind), arguments.split(), {}, given, PORT)


def claude(variables: dict[str, str] | None = None, *configs: Config, arguments: tuple[str, ...] = ()) -> Endpoint:
    return find_endpoint(AgentFinding("claude", "tui"), arguments, variables or {}, configs, PORT)


def test_without_any_configuration_codex_uses_its_own_provider() -> None:
    assert codex().verdict == "other"
    assert codex("", "", "model = 'x'").verdict == "other"


@pytest.mark.parametrize(
    "address",
    [
        f"{GATEWAY}/v1",
        f"{GATEWAY}/s/{SECRET}/v1",
        f"http://user:{SECRET}@localhost:8129/v1?key={SECRET}#x",
        "http://[::1]:8129/v1",
        "HTTP://LOCALHOST:8129",
    ],
)
def test_the_gateway_is_known_by_loopback_and_port_and_nothing_else_of_an_address_is_kept(address: str) -> None:
    one = codex("", f'openai_base_url = "{address}"')
    assert one.verdict == "gateway"
    assert SECRET not in repr(one)
    assert "user" not in repr(one)


@pytest.mark.parametrize(
    ("address", "verdict", "origin"),
    [
        ("http://127.0.0.1:8130/v1", "other", "http://127.0.0.1:8130"),
        ("https://api.test/v1", "other", "https://api.test"),
        ("http://10.0.0.1:8129/v1", "other", "http://10.0.0.1:8129"),
        ("ftp://127.0.0.1:8129", "unknown", ""),
        ("http://127.0.0.1:99999/v1", "unknown", ""),
        ("", "unknown", ""),
        ("127.0.0.1:8129", "unknown", ""),
    ],
)
def test_other_addresses_are_other_and_what_is_none_is_unknown(address: str, verdict: str, origin: str) -> None:
    one = codex("", f'openai_base_url = "{address}"')
    assert (one.verdict, one.origin) == (verdict, origin)


def test_the_last_override_wins_over_the_files_and_the_upper_file_over_the_lower() -> None:
    files = ('openai_base_url = "https://a.test"', 'openai_base_url = "https://b.test"')
    assert codex("", *files).origin == "https://b.test"
    assert codex('-c openai_base_url="https://c.test"', *files).origin == "https://c.test"
    both = '-c openai_base_url="https://c.test" exec -c openai_base_url=https://d.test'
    assert codex(both, *files, kind="exec").origin == "https://d.test"


def test_the_provider_decides_whose_address_counts() -> None:
    text = 'model_provider = "mine"\nopenai_base_url = "https://a.test"\n[model_providers.mine]\nbase_url = "http://127.0.0.1:8129/v1"'
    assert codex("", text).verdict == "gateway"
    assert codex("-c model_provider=openai", text).origin == "https://a.test"
    assert codex("-c model_provider=nobody", text).verdict == "unknown"
    assert codex("-c model_provider=ollama", text).verdict == "other"
    inline = """-c model_providers={"a.b"={base_url="https://e.test/v1"}}"""
    assert codex(f"{inline} -c model_provider=a.b", text).origin == "https://e.test"


def test_a_resumed_thread_and_the_daemon_are_known_only_when_every_provider_agrees() -> None:
    text = '[model_providers.mine]\nbase_url = "https://a.test/v1"'
    assert codex("resume x", text).verdict == "other"  # whichever it is, it is not the gateway
    assert codex("resume x", text).origin == ""
    assert codex("resume x", f'openai_base_url = "{GATEWAY}"\n{text}').verdict == "unknown"
    ours = f'-c openai_base_url="{GATEWAY}/v1" -c model_providers.mine.base_url="{GATEWAY}/v1"'
    assert codex(f"resume x {ours}", text).verdict == "gateway"
    assert codex("app-server --managed-daemon", f'openai_base_url = "{GATEWAY}"\n{text}', kind="daemon").verdict == "unknown"
    assert codex("app-server --managed-daemon", f'openai_base_url = "{GATEWAY}"', kind="daemon").verdict == "gateway"


def test_a_file_that_changed_after_the_start_proves_nothing_unless_the_command_line_settles_it() -> None:
    changed = Config("/c/config.toml", f'openai_base_url = "{GATEWAY}"', newer=True)
    one = codex("", changed)
    assert one.verdict == "unknown"
    assert "config.toml changed after it started" in one.source
    assert codex(f'-c openai_base_url="{GATEWAY}"', changed).verdict == "unknown"  # it may have named another provider
    settled = f'-c model_provider=openai -c openai_base_url="{GATEWAY}"'
    assert codex(settled, changed).verdict == "gateway"


def test_what_cannot_be_read_as_toml_is_unknown() -> None:
    assert codex("", "a = [").verdict == "unknown"
    assert codex("", 'model_providers = "x"').verdict == "other"


def test_ways_round_the_configuration_are_said() -> None:
    assert codex("--remote ws://127.0.0.1:9").verdict == "unknown"
    assert codex("--oss").verdict == "other"


def test_the_files_of_codex_are_those_of_its_home_and_profile() -> None:
    agent = AgentFinding("codex", "tui")
    assert config_files(agent, ["-p", "work"], {"HOME": HOME}, None) == (
        "/etc/codex/config.toml",
        f"{HOME}/.codex/config.toml",
        f"{HOME}/.codex/work.config.toml",
    )
    assert config_files(agent, [], {"HOME": HOME, "CODEX_HOME": "/x"}, None)[1:] == ("/x/config.toml",)
    assert config_files(agent, ["-p", "../x"], {}, None) == ("/etc/codex/config.toml",)


def settings(address: str, path: str = f"{HOME}/.claude/settings.json", *, newer: bool = False) -> Config:
    return Config(path, f'{{"env": {{"ANTHROPIC_BASE_URL": "{address}", "OTHER": 3}}}}', newer)


def test_claude_s_settings_override_its_environment_unless_a_host_manages_it() -> None:
    own = {"ANTHROPIC_BASE_URL": f"{GATEWAY}/s/{SECRET}/"}
    assert claude().origin == "https://api.anthropic.com"
    assert claude(own).verdict == "gateway"
    assert claude(own, settings("https://a.test")).origin == "https://a.test"
    assert claude({**own, "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "1"}, settings("https://a.test")).verdict == "gateway"
    assert claude(own, settings("https://a.test", newer=True)).verdict == "unknown"
    assert claude(own, Config("settings.json", "{")).verdict == "unknown"
    assert claude(own, Config("settings.json", '{"env": []}')).verdict == "gateway"


def test_claude_s_settings_on_the_command_line_lie_over_files_and_managed_ones_over_all() -> None:
    inline = ("--settings", '{"env": {"ANTHROPIC_BASE_URL": "https://b.test"}}')
    assert claude({}, settings("https://a.test"), arguments=inline).origin == "https://b.test"
    managed = settings("https://m.test", "/etc/claude-code/managed-settings.json")
    assert claude({}, settings("https://a.test"), managed, arguments=inline).origin == "https://m.test"
    agent = AgentFinding("claude", "tui")
    files = config_files(agent, ["--settings", "mine.json", "--", "--settings", "x"], {"CLAUDE_CONFIG_DIR": "/cc"}, "/shop")
    assert files == (
        "/cc/settings.json",
        "/shop/.claude/settings.json",
        "/shop/.claude/settings.local.json",
        "/shop/mine.json",
        "/etc/claude-code/managed-settings.json",
    )


def test_claude_in_a_cloud_is_other() -> None:
    assert claude({"CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_BASE_URL": GATEWAY}).verdict == "other"


def test_other_agents_are_known_by_their_variables_alone() -> None:
    gemini, qwen = AgentFinding("gemini", "tui"), AgentFinding("qwen", "tui")
    assert find_endpoint(gemini, (), {"GOOGLE_GEMINI_BASE_URL": GATEWAY}, (), PORT).verdict == "gateway"
    assert find_endpoint(gemini, (), {}, (), PORT).verdict == "unknown"
    assert find_endpoint(qwen, (), {"OPENAI_BASE_URL": GATEWAY}, (), PORT).verdict == "gateway"
    both = {"OPENAI_BASE_URL": GATEWAY, "ANTHROPIC_BASE_URL": "https://a.test"}
    assert find_endpoint(qwen, (), both, (), PORT).verdict == "unknown"
    assert find_endpoint(AgentFinding("opencode", "tui"), (), both, (), PORT).verdict == "unknown"
    assert config_files(gemini, (), {"HOME": HOME}, None) == ()
