"""The configuration: what is accepted, and how what is not says where it is, what is wrong and what to do."""

from __future__ import annotations

import pytest

from schemas.config import Config, ConfigError
from schemas.config_reader import parse_config

GOOD = """
default_provider = "openai"

[providers.openai]
base_url = "https://api.openai.com/v1"
key = "env:OPENAI_API_KEY"

[providers.local]
base_url = "http://127.0.0.1:9000/v1"
auth = "none"
enabled = false
headers = { x = "y" }

[gateway]
port = 8200
"""


def test_an_empty_configuration_is_the_echo_provider() -> None:
    config = parse_config("", "config.toml")
    assert config == Config()
    provider = config.provider(config.default_provider)
    assert provider is not None
    assert (provider.base_url, provider.auth) == ("http://127.0.0.1:8131/v1", "none")


def test_a_whole_configuration() -> None:
    config = parse_config(GOOD, "config.toml")
    assert (config.default_provider, config.gateway.port, sorted(config.providers)) == ("openai", 8200, ["local", "openai"])
    assert config.provider("nobody") is None


def test_the_first_provider_is_the_default() -> None:
    text = '[providers.b]\nbase_url = "http://x/v1"\nauth = "none"\n[providers.a]\nbase_url = "http://x/v1"\nauth = "none"\n'
    assert parse_config(text, "c").default_provider == "b"


@pytest.mark.parametrize(
    ("text", "line", "key", "problem", "advice"),
    [
        ("a = [", 1, "", "not TOML", ""),
        ("gatway = 1", 1, "gatway", "unknown key", "did you mean 'gateway'?"),
        ("\n[gateway]\nprot = 1\n", 3, "gateway.prot", "unknown key", "did you mean 'port'?"),
        ("\n[gateway]\nzzz = 1\n", 3, "gateway.zzz", "unknown key", "known here: connections"),
        ("[gateway]\n\nport = 'x'", 3, "gateway.port", "expected int, got str", ""),
        ("[gateway]\nport = 0", 2, "gateway.port", "expected int >= 1", ""),
        ("gateway = 7", 1, "gateway", "expected a table, got int", "write [gateway]"),
        ("providers = 7", 1, "providers", "expected tables", "write [providers.<id>]"),
        ("[journal]\nmax_size_mib = 3", 2, "journal.max_size_mib", "expected int >= 16", ""),
        (
            'default_provider = "opnai"\n' + GOOD.split("\n", 2)[2],
            1,
            "default_provider",
            "names no provider",
            "did you mean 'openai'?",
        ),
        ("[providers.x]\nauth = 'none'", 1, "providers.x.base_url", "missing", "this key is required"),
        ("[providers.x]\nbase_url = 'http://x/v1'", 1, "providers.x.key", "missing", 'auth = "none"'),
        ("[providers.x]\nbase_url = 'ftp://x'\nauth = 'none'", 2, "providers.x.base_url", "not a base URL", "such as"),
        ("[providers.x]\nbase_url = 'http://x?q=1'\nauth = 'none'", 2, "providers.x.base_url", "not a base URL", ""),
        (
            "[providers.x]\nbase_url = 'http://x'\nkey = 'sk-secret'",
            3,
            "providers.x.key",
            "not a reference",
            "never the key itself",
        ),
        ("[providers.x]\nbase_url = 'http://x'\nkey = 'file:k'", 3, "providers.x.key", "not an absolute path", ""),
        ("[providers.X]\nbase_url = 'http://x'", 1, "providers.X", "not a provider id", ""),
        ("[providers.echo]\nbase_url = 'http://x'", 1, "providers.echo", "is built in", "[echo] sets its port"),
        ("[providers.x]\nbase_url = 'http://x'\nauth = 'maybe'", 3, "providers.x.auth", "invalid enum value", ""),
    ],
)
def test_an_error_says_where_what_and_what_to_do(text: str, line: int, key: str, problem: str, advice: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "config.toml")
    error = raised.value
    assert (error.file, error.line, error.key) == ("config.toml", line, key)
    assert problem in error.problem
    assert advice in error.advice
    assert str(error).startswith(f"config.toml:{line}: ")
    assert "sk-secret" not in str(error)
