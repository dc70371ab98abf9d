"""The gateway's small parts: keys that cannot be shown, fields that pass, providers as configured, lean imports."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
import subprocess
import sys
import zlib
from pathlib import Path

import orjson
import pytest
import zstandard

from actors.gateway import limits
from actors.gateway.dialect import dialect_of, error_body, stream_error
from actors.gateway.forwarding import answer_fields, request_fields
from actors.gateway.peek import Inflated, inflate, look
from actors.gateway.providers import build_providers
from actors.gateway.usage import BodyMeter, NoMeter, Reading, StreamMeter, meter_for
from actors.runtime.http.fields import Fields
from actors.runtime.keys import KeyMissingError, Secret, read_key
from schemas import config_rules
from schemas.config import Config, ConfigError, Provider
from schemas.config_reader import parse_config
from schemas.events import Usage

KEY = "sk-canary-0123456789"


# ------------------------------------------------------------------------------------------------ keys


def test_a_secret_shows_itself_to_nobody_who_does_not_ask() -> None:
    secret = Secret(KEY)
    assert secret.reveal() == KEY
    for text in (repr(secret), str(secret), f"{secret}", f"{secret:>40}", "%s" % secret, repr([secret]), repr({"k": secret})):  # noqa: UP031
        assert KEY not in text
    for way in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, orjson.dumps):
        with pytest.raises(TypeError):
            way(secret)
    assert not hasattr(secret, "__dict__")
    assert Secret(KEY) != Secret(KEY)


def test_keys_come_from_the_environment_or_from_a_private_file(tmp_path: Path) -> None:
    assert read_key("env:OWN", {"OWN": f" {KEY}\n"}).reveal() == KEY
    file = tmp_path / "own.key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    assert read_key(f"file:{file}", {}).reveal() == KEY
    file.chmod(0o640)
    with pytest.raises(KeyMissingError, match="chmod 600"):
        read_key(f"file:{file}", {})


@pytest.mark.parametrize("held", ["", "   ", "two words", "line\nline", "k\u00e4y", "a\x00b"])
def test_what_cannot_be_a_key_is_refused_without_being_quoted(held: str) -> None:
    with pytest.raises(KeyMissingError) as caught:
        read_key("env:OWN", {"OWN": held})
    assert "OWN" in str(caught.value)
    assert not held.strip() or held.strip() not in str(caught.value)


def test_other_references_are_refused() -> None:
    with pytest.raises(KeyMissingError, match="env:NAME, keyring:SERVICE/USER or file:/path"):
        read_key("vault:x", {})
    with pytest.raises(KeyMissingError, match="cannot be read"):
        read_key("file:/no/such/file", {})


# ------------------------------------------------------------------------------------------------ providers


def configured(text: str) -> Config:
    return parse_config(text, "config.toml")


def test_a_key_goes_into_the_field_that_the_dialect_wants(tmp_path: Path) -> None:
    config = configured('[providers.own]\nbase_url = "https://u:p@api.example/v1/"\nkey = "env:OWN"\n')
    providers = build_providers(config, {"OWN": KEY}, tmp_path / "config.toml")
    own = providers.upstreams["own"]
    assert own.credentials("openai.responses") == (("authorization", f"Bearer {KEY}"),)
    assert own.credentials("anthropic.messages") == (("x-api-key", KEY),)
    assert own.shown == "api.example"
    assert KEY not in repr(providers)
    assert providers.upstreams["echo"].credentials("openai.chat") == ()


def test_a_provider_without_its_key_is_passed_over_unless_it_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    text = (
        '[providers.a]\nbase_url = "http://a/v1"\nauth = "none"\n\n[providers.b]\nbase_url = "http://b/v1"\nkey = "env:NONE"\n'
    )
    providers = build_providers(configured(text), {}, file)
    assert "NONE is not set" in providers.standings["b"].problem
    assert "provider b" in providers.problems()
    file.write_text('default_provider = "b"\n' + text)
    with pytest.raises(ConfigError) as caught:
        build_providers(configured(file.read_text()), {}, file)
    assert (caught.value.line, caught.value.key) == (8, "providers.b.key")


def test_a_disabled_provider_says_so(tmp_path: Path) -> None:
    text = '[providers.a]\nbase_url = "http://a/v1"\nauth = "none"\nenabled = false\n'
    assert "disabled" in build_providers(configured(text), {}, tmp_path / "c").standings["a"].problem


@pytest.mark.parametrize("headers", [{"a b": "c"}, {"a": "b\r\nc: d"}, {"": "x"}])
def test_fields_that_could_not_be_sent_break_a_rule(headers: dict[str, str]) -> None:
    broken = config_rules.provider(Provider(base_url="http://a/v1", auth="none", headers=headers))
    assert broken is not None
    assert "cannot be a header field" in broken.problem


# ------------------------------------------------------------------------------------------------ fields


def test_hop_by_hop_fields_and_credentials_stop_here_and_the_rest_keeps_its_order() -> None:
    fields = Fields.of(
        [
            ("X-Unknown", "1"),
            ("Connection", "close, X-Named"),
            ("X-Named", "1"),
            ("TE", "trailers"),
            ("Upgrade", "x"),
            ("Proxy-Authorization", "x"),
            ("Keep-Alive", "x"),
            ("Transfer-Encoding", "chunked"),
            ("Authorization", "x"),
            ("X-Api-Key", "x"),
            ("Cookie", "x"),
            ("ChatGPT-Account-Id", "x"),
            ("Host", "x"),
            ("Content-Length", "1"),
            ("Accept-Encoding", "br"),
            ("X-Tabwire-Anything", "x"),
            ("content-encoding", "zstd"),
            ("X-Unknown", "2"),
        ]
    )
    assert request_fields(fields, passthrough=False) == [("X-Unknown", "1"), ("content-encoding", "zstd"), ("X-Unknown", "2")]
    names = [name for name, _ in request_fields(fields, passthrough=True)]
    assert {"Authorization", "X-Api-Key", "Cookie", "ChatGPT-Account-Id"} <= set(names)
    assert not {"Host", "Connection", "TE", "Proxy-Authorization", "X-Tabwire-Anything"} & set(names)


def test_answers_lose_cookies_and_their_connection() -> None:
    fields = Fields.of(
        [("Set-Cookie", "a"), ("Connection", "close"), ("Content-Length", "3"), ("X-Codex-Primary-Used-Percent", "7")]
    )
    assert answer_fields(fields, passthrough=False) == [("Content-Length", "3"), ("X-Codex-Primary-Used-Percent", "7")]
    assert ("Set-Cookie", "a") in answer_fields(fields, passthrough=True)


# ------------------------------------------------------------------------------------------------ dialects


@pytest.mark.parametrize(
    ("rest", "anthropic", "expected"),
    [
        ("/responses?gw=1", False, "openai.responses"),
        ("/responses/compact", False, "openai.responses"),
        ("/responsesX", False, "openai.other"),
        ("/chat/completions", False, "openai.chat"),
        ("/messages/count_tokens?beta=true", False, "anthropic.messages"),
        ("/models", True, "anthropic.messages"),
        ("/models", False, "openai.other"),
    ],
)
def test_the_dialect_of_a_path(rest: str, expected: str, *, anthropic: bool) -> None:
    assert dialect_of(rest, anthropic=anthropic) == expected


def test_errors_are_written_as_each_api_writes_them() -> None:
    openai = orjson.loads(error_body("openai.chat", 502, "upstream_refused", "text"))
    assert openai == {"error": {"message": "text", "type": "server_error", "param": None, "code": "upstream_refused"}}
    claude = orjson.loads(error_body("anthropic.messages", 503, "busy", "text", "r-1"))
    assert claude == {"type": "error", "error": {"type": "overloaded_error", "message": "text"}, "request_id": "r-1"}
    assert stream_error("openai.other", "c", "m", None) == b""


# ------------------------------------------------------------------------------------------------ bodies and answers


def test_a_bomb_is_inflated_no_further_than_its_bound() -> None:
    bomb = b"\0" * (limits.PEEK_INFLATED * 4)
    for encoding, packed in (
        ("zstd", zstandard.compress(bomb)),
        ("gzip", gzip.compress(bomb, mtime=0)),
        ("deflate", zlib.compress(bomb)),
    ):
        with pytest.raises(Inflated, match="beyond"):
            inflate(packed, encoding)
        assert look(packed, encoding, "unknown", "").model is None


def test_how_an_answer_is_looked_at_depends_on_its_head() -> None:
    assert isinstance(meter_for("openai.responses", "text/event-stream; charset=utf-8", ""), StreamMeter)
    assert isinstance(meter_for("openai.chat", "application/json", "identity"), BodyMeter)
    for args in (
        ("openai.responses", "text/event-stream", "gzip"),
        ("unknown", "application/json", ""),
        ("openai.chat", "", ""),
    ):
        assert isinstance(meter_for(*args), NoMeter)


def test_anthropic_counts_cached_input_beside_the_input() -> None:
    meter = StreamMeter("anthropic.messages")
    start = {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5, "output_tokens": 1}
    meter.feed(
        b"data: " + orjson.dumps({"type": "message_start", "message": {"id": "m", "model": "c", "usage": start}}) + b"\n\n"
    )
    meter.feed(b"data: " + orjson.dumps({"type": "message_delta", "usage": {"output_tokens": 42}}) + b"\n\n")
    meter.feed(b'data: {"type":"message_stop"}\n\n')
    usage = Usage(input=115, cached_input=100, output=42, total=157)
    assert meter.reading() == Reading(usage, "m", "c", "completed")


@pytest.mark.parametrize(
    "tokens", [{"input_tokens": -1}, {"input_tokens": 1 << 70}, {"input_tokens": "9"}, {"input_tokens": 1.5}, {}]
)
def test_counts_that_nobody_could_mean_are_none(tokens: dict[str, object]) -> None:
    meter = BodyMeter("openai.chat")
    meter.feed(
        orjson.dumps({"id": "r", "usage": tokens})
        if tokens.get("input_tokens") != 1 << 70
        else b'{"id":"r","usage":{"input_tokens":1180591620717411303424}}'
    )
    assert meter.reading().usage is None


def test_what_is_too_large_is_passed_over_and_the_next_event_is_read() -> None:
    meter = StreamMeter("openai.responses")
    meter.feed(b'data: {"type":"response.created","pad":"')
    for _ in range(limits.EVENT // 65536 + 2):
        meter.feed(b"x" * 65536)
    meter.feed(b'"}\n\ndata: {"type":"response.completed","response":{"id":"r"}}\n\n')
    assert meter.reading().ending == "completed"
    body = BodyMeter("openai.responses")
    for _ in range(limits.JSON_ANSWER // 65536 + 2):
        body.feed(b" " * 65536)
    assert body.reading() == Reading()


# ------------------------------------------------------------------------------------------------ the process


def test_the_gateway_loads_nothing_that_it_does_not_need() -> None:
    code = "import sys, actors.gateway.actor, actors.runtime.actor; print(' '.join(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split())
    unwanted = {
        "httpx",
        "typer",
        "rich",
        "keyring",
        "click",
        "watchdog",
        "psutil",
        "platformdirs",
        "sqlite3",
    }
    assert not unwanted & loaded
