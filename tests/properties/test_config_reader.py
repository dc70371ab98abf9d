"""Reading a configuration: whatever a file holds, it is read or refused with a place, and never anything else happens."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from schemas.config import Config, ConfigError
from schemas.config_lines import line_of
from schemas.config_reader import parse_config

WHOLE = """default_provider = "a"
[providers.a]
base_url = "https://a/v1"
key = "file:/k"
aliases = { x = "y" }
prices = { y = { input = 1, output = 2 } }
[gateway]
hosts = ["h"]
tokens = "file:/t"
[[pins]]
project = "/w"
provider = "a"
expires = 2026-11-21T10:00:00Z
[[budgets]]
name = "b"
usd = 3
"""
PIECES = st.sampled_from(
    [
        *WHOLE.split("\n"),
        "[",
        "]",
        "[[",
        '"',
        "'''",
        "=",
        "{",
        "\\u0000",
        "\x00",
        "1e400",
        "-1",
        "nan",
        "inf",
        "[]",
        "{}",
        ".",
        "9" * 5000,
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Put pieces of other lines into a good file, or take some out."""
    text = WHOLE
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 12)))
        text = text[:at] + draw(PIECES) + text[end:]
    return text


def reading(text: str) -> Config | ConfigError:
    try:
        return parse_config(text, "config.toml")
    except ConfigError as error:
        return error


@given(text=st.one_of(damaged(), st.text(max_size=200)))
@example(text='d.efault_provider = "a"\n')
@example(text="[d.efault_provider]\n")
@example(text="x = " + "[" * 100_000)
@example(text='[providers.a]\nbase_url = "http://a"\nkey = "file:/a\\u0000b"\n')
@example(text="[gateway]\nport = " + "1" * 5000)
@example(text="[breaker]\nopen_seconds = nan\n")
@example(text='[providers.a]\nbase_url = "http://[::1"\nauth = "none"\n')
def test_a_file_is_read_or_refused_with_a_place(text: str) -> None:
    read = reading(text)
    if isinstance(read, Config):
        assert read.provider(read.default_provider) is not None
        assert all("\x00" not in one.key for one in read.providers.values())
        return
    assert read.file == "config.toml"
    assert 0 <= read.line <= text.count("\n") + 1
    assert read.problem
    assert read.line or not read.key or read.key.startswith("gateway")


@given(lines=st.lists(st.text(max_size=20), max_size=12), names=st.lists(st.text(max_size=5), min_size=1, max_size=3))
def test_a_place_is_looked_for_in_any_text(lines: list[str], names: list[str]) -> None:
    assert 0 <= line_of(lines, tuple(names)) <= len(lines)
