"""The rules of providers, pins, budgets and the bind: each names file, line, key, what is wrong and what to do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.config import Budget, ConfigError, Pin, Price
from schemas.config_lines import line_of, shown
from schemas.config_reader import parse_config

P = '[providers.a]\nbase_url = "http://a/v1"\nauth = "none"\n'


def broken(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "config.toml")
    error = raised.value
    assert error.advice, "every error says what to do"
    return error


def pin(*lines: str, first: str = 'session = "codex-1"') -> str:
    return f'{P}[[pins]]\n{first}\nprovider = "a"\n\n# the second\n[[pins]]\n' + "\n".join(lines)


def test_everything_at_once() -> None:
    config = parse_config(
        P
        + '[providers.b]\nbase_url = "https://b"\nkey = "keyring:tabwire/ada lovelace"\ndialects = ["openai.chat", "auggie"]\n'
        'base_urls = { auggie = "https://c/x" }\nmodels = ["m", "n"]\naliases = { x = "m", "y z" = "n" }\ngroup = "g"\n'
        '[providers.b.prices."m"]\ninput = 1\noutput = 2.5\n'
        '[[pins]]\nproject = "/home/ada/a b"\nprovider = "nobody"\nexpires = 2026-11-21T10:00:00+01:00\n'
        '[[budgets]]\nname = "all"\nusd = 5\non_reached = "switch"\nswitch_to = "a"\n'
        '[[budgets]]\nname = "each"\nsession = "*"\ntokens = 1000\n'
        '[gateway]\nhost = "0.0.0.0"\ntokens = "file:/etc/tokens"\nhosts = ["build.example.org"]\n',
        "config.toml",
    )
    assert config.providers["b"].prices == {"m": Price(input=1, output=2.5)}
    assert config.pins == (Pin(provider="nobody", project="/home/ada/a b", expires=datetime(2026, 11, 21, 9, tzinfo=UTC)),)
    assert (config.pins[0].kind, config.pins[0].target) == ("project", "/home/ada/a b")
    assert config.budgets[1] == Budget(name="each", session="*", tokens=1000)


@pytest.mark.parametrize(
    ("lines", "line", "key", "problem"),
    [
        (('session = "codex-2"',), 9, "pins[2].provider", "missing"),
        (('provider = "a"',), 9, "pins[2]", "pins nothing"),
        (('session = "codex-2"', 'terminal = "wt:1"', 'provider = "a"'), 9, "pins[2]", "has session and terminal"),
        (('provider = "a"', 'session = "codex-1"'), 11, "pins[2].session", "pins the same session as pins[1]"),
        (('provider = "a"', 'session = "codex"'), 11, "pins[2].session", "not a whole session id"),
        (('provider = "a"', 'terminal = "tty"'), 11, "pins[2].terminal", "not a terminal key"),
        (('provider = "a"', 'project = "src"'), 11, "pins[2].project", "not an absolute path"),
        (('provider = "a"', 'project = "/src/"'), 11, "pins[2].project", "not a plain path"),
        (('provider = "a"', 'project = "/src//x"'), 11, "pins[2].project", "not a plain path"),
        (('provider = "a"', 'project = "/src/../x"'), 11, "pins[2].project", "not a plain path"),
        (('terminal = "wt:1"', 'provider = "A B"'), 11, "pins[2].provider", "not a provider id"),
        (('terminal = "wt:1"', 'provider = "a"', 'on_failure = "panic"'), 12, "pins[2].on_failure", "invalid enum value"),
        (('terminal = "wt:1"', 'provider = "a"', "expires = 2026-11-21T10:00:00"), 12, "pins[2].expires", "has no offset"),
        (('terminal = "wt:1"', 'provider = "a"', "expires = 2026-11-21"), 12, "pins[2].expires", "expected datetime"),
        (('terminal = "wt:1"', 'provider = "a"', 'modle = "m"'), 12, "pins[2].modle", "unknown key"),
    ],
)
def test_a_pin_s_error_names_its_number_and_line(lines: tuple[str, ...], line: int, key: str, problem: str) -> None:
    error = broken(pin(*lines))
    assert (error.line, error.key) == (line, key)
    assert problem in error.problem


def test_projects_differ_by_segments_and_the_same_target_of_another_kind_is_another() -> None:
    text = pin('provider = "a"', 'project = "/src/shop2"', first='project = "/src/shop"')
    assert [one.target for one in parse_config(text, "c").pins] == ["/src/shop", "/src/shop2"]


@pytest.mark.parametrize(
    ("lines", "key", "problem"),
    [
        ('base_url = "no"\nauth = "none"', "providers.a.base_url", "not a base URL"),
        ('base_url = "http://x:port"\nauth = "none"', "providers.a.base_url", "not a base URL"),
        ('base_url = "http://a b/v1"\nauth = "none"', "providers.a.base_url", "has blanks"),
        ('base_url = "http://x"\nauth = "none"\ndialects = []', "providers.a.dialects", "names no dialect"),
        (
            'base_url = "http://x"\nauth = "none"\nbase_urls = { auggie = "http://y" }',
            "providers.a.base_urls.auggie",
            "not served",
        ),
        (
            'base_url = "http://x"\nauth = "none"\ndialects = ["auggie"]\nbase_urls = { auggie = "y" }',
            "providers.a.base_urls.auggie",
            "not a base URL",
        ),
        (
            'base_url = "http://x"\nauth = "none"\nheaders = { "a b" = "c" }',
            'providers.a.headers."a b"',
            "cannot be a header field",
        ),
        (
            'base_url = "http://x"\nauth = "none"\naliases = { x = "x" }',
            "providers.a.aliases.x",
            "leads back to itself: x to x",
        ),
        (
            'base_url = "http://x"\nauth = "none"\naliases = { x = "y", y = "z", z = "x" }',
            "providers.a.aliases.x",
            "leads back to itself: x to y to z to x",
        ),
        (
            'base_url = "http://x"\nauth = "none"\nmodels = ["m"]\naliases = { x = "n" }',
            "providers.a.aliases.x",
            "not one of its",
        ),
        (
            'base_url = "http://x"\nauth = "none"\nmodels = ["m"]\n[providers.a.prices."gpt-5.1"]\ninput = 1\noutput = 1',
            'providers.a.prices."gpt-5.1"',
            "not one of its models",
        ),
        (
            'base_url = "http://x"\nauth = "none"\n[providers.a.prices."gpt-5.1"]\ninput = -1\noutput = 1',
            'providers.a.prices."gpt-5.1".input',
            "expected float >= 0",
        ),
        ('base_url = "http://x"\nkey = "keyring:service"', "providers.a.key", "not a reference"),
        ('base_url = "http://x"\nkey = "sk-secret"', "providers.a.key", "not a reference"),
    ],
)
def test_a_provider_s_error_names_its_key(lines: str, key: str, problem: str) -> None:
    error = broken(f"[providers.a]\n{lines}\n")
    assert error.key == key
    assert error.line > 1
    assert problem in error.problem
    assert "sk-secret" not in str(error)


@pytest.mark.parametrize(
    ("lines", "key", "problem"),
    [
        ('name = "x"', "budgets[1]", "has no bound"),
        ('name = "x"\nusd = 1\ntokens = 1', "budgets[1]", "has two bounds"),
        ('name = " "\nusd = 1', "budgets[1].name", "not a name"),
        ('name = "x"\nusd = 1\nsession = "*"\nproject = "*"', "budgets[1]", "has session and project"),
        ('name = "x"\nusd = 1\nproject = "here"', "budgets[1].project", "not an absolute path"),
        ('name = "x"\nusd = 1\nprovider = "b"', "budgets[1].provider", "names no provider"),
        ('name = "x"\nusd = 1\non_reached = "switch"', "budgets[1].switch_to", "missing"),
        ('name = "x"\nusd = 1\non_reached = "switch"\nswitch_to = "b"', "budgets[1].switch_to", "names no provider"),
        ('name = "x"\nusd = 1\nswitch_to = "a"', "budgets[1].switch_to", "does nothing"),
        ('name = "x"\nusd = 1\n[[budgets]]\nname = "x"\nusd = 2', "budgets[2].name", "is the name of budgets[1] too"),
        ('name = "x"\nusd = 0', "budgets[1].usd", "expected float > 0"),
    ],
)
def test_a_budget_s_error_names_its_number(lines: str, key: str, problem: str) -> None:
    error = broken(f"{P}[[budgets]]\n{lines}\n")
    assert error.key == key
    assert problem in error.problem


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('[gateway]\nhost = "0.0.0.0"', "gateway.tokens", "can be reached from other computers"),
        ('[gateway]\nhost = "a b"', "gateway.host", "not an address"),
        ('[gateway]\ntokens = "secret"', "gateway.tokens", "not a reference"),
        ('[gateway]\ntokens = "file:tokens"', "gateway.tokens", "not an absolute path"),
        ('[gateway]\nhosts = ["http://x"]', "gateway.hosts", "not a host name"),
        ("[breaker]\nopen_seconds = 400", "breaker.longest_seconds", "is less than open_seconds"),
        ("[failover]\nattempts = 9", "failover.attempts", "expected int <= 5"),
        ("pins = 3", "pins", "expected tables, got int"),
        ("[pins]\nprovider = 'a'", "pins", "expected tables, got dict"),
        ("budgets = ['x']", "budgets[1]", "expected a table, got str"),
    ],
)
def test_other_sections(text: str, key: str, problem: str) -> None:
    error = broken(text)
    assert error.key == key
    assert problem in error.problem


def test_loopback_needs_no_tokens() -> None:
    for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"):
        assert parse_config(f'[gateway]\nhost = "{host}"', "c").gateway.host == host


def test_a_place_is_found_between_arrays_texts_and_quoted_keys() -> None:
    text = (
        '# [pins]\nx = """\n[[pins]]\nprovider = 1\n"""\n[[pins]]\nprovider = "a"\n[other]\n[[ "pins" ]]\n'
        "provider = 'b'\n[a.\"b.c\"]\nd.e = 1\n"
    )
    lines = text.split("\n")
    assert line_of(lines, ("pins", 1, "provider")) == 7
    assert line_of(lines, ("pins", 2, "provider")) == 10
    assert line_of(lines, ("pins", 2, "absent")) == 9
    assert line_of(lines, ("a", "b.c", "d", "e")) == 12
    assert line_of(lines, ("nowhere",)) == 0
    assert shown(("pins", 2, "a b")) == 'pins[2]."a b"'
