"""Who may call from where: a gateway beyond loopback and its tokens, and what keeps a key at its provider's own address.

The other computer is this one, called at an address that is not loopback's, in a network of the test's own.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.contract import Status
from tests.contract.gateway_scene import DEADLINE, Line, Request, Scene, says, scene
from tests.contract.network import ADDRESS, own_network

pytestmark = pytest.mark.e2e
OKAY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOKEN = "tok-canary-" + "0123456789abcdef" * 2
OTHER_TOKEN = "tok-second-" + "fedcba9876543210" * 2


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Scene]:
    """Give a scene in a network of its own."""
    with own_network(), scene(tmp_path) as subject:
        yield subject


def tokens_file(stage: Scene, text: str = f"{TOKEN}\n\n{OTHER_TOKEN}\n", mode: int = 0o600) -> Path:
    path = stage.place.home / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def widen(stage: Scene, path: Path | None = None, *, allow: bool = True, host: str = "0.0.0.0", **provider: Any) -> None:
    """Configure a gateway that others may call."""
    stage.configure(**provider)
    lines = [f'host = "{host}"', 'hosts = ["build.example"]', f'tokens = "file:{path or tokens_file(stage)}"']
    text = stage.place.paths.config_file.read_text()
    stage.place.configure(text.replace("[gateway]\n", "[gateway]\n" + "\n".join(lines) + "\n"))
    if allow:
        stage.place.settings["gateway"] = {"allow_remote": True}


def call(stage: Scene) -> Line:
    """Connect as another computer would."""
    line = Line(socket.create_connection((ADDRESS, stage.port), DEADLINE))
    stage.lines.append(line)
    return line


def post(stage: Scene, path: str = "/v1/responses", **fields: str) -> Line:
    line = call(stage)
    body = b'{"model":"asked"}'
    line.send(stage.head(path, body, **{"host": f"build.example:{stage.port}", **fields}) + body)
    return line


def serve(stage: Scene) -> list[Request]:
    """Answer one request, and keep what it was."""
    seen: list[Request] = []
    stage.provider.plays(says(OKAY, seen))
    return seen


def refused(line: Line) -> str:
    answer = line.rest()
    status = answer.split(b" ", 2)[1].decode()
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    code: str = error.get("reason", error.get("code", ""))
    return f"{status} {code}"


# ------------------------------------------------------------------------------------------------ from elsewhere


def test_a_caller_from_elsewhere_needs_a_token_in_a_header_or_in_its_path(apart: Scene) -> None:
    widen(apart)
    gateway = apart.start()
    for fields in ({}, {"x_tabwire_token": TOKEN[:-1]}, {"x_tabwire_token": ""}, {"authorization": f"Bearer {TOKEN}"}):
        assert refused(post(apart, **fields)) == "400 token_refused"
    assert refused(post(apart, "/t//v1/responses")) == "400 token_refused"
    assert refused(post(apart, "/health")) == "401 token_refused"
    assert refused(post(apart, "/hooks/claude")) == "401 token_refused"
    assert post(apart, "/v1/messages", anthropic_version="2023-06-01").answer()[0] == 424
    for path, fields in (
        ("/v1/responses", {"x_tabwire_token": TOKEN}),
        (f"/t/{TOKEN}/v1/responses", {}),
        (f"/t/{OTHER_TOKEN}/v1/responses", {"host": "build.example"}),
    ):
        seen = serve(apart)
        assert post(apart, path, **fields).answer()[0] == 200
        first, sent, _ = seen[0]
        assert first == "POST /api/responses HTTP/1.1"
        assert "x-tabwire-token" not in sent
        assert TOKEN not in str(sent)
    here = apart.call()
    here.send(f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{apart.port}\r\n\r\n".encode())
    assert json.loads(here.answer()[2])["connections"]["without_token"] == 8
    facts = apart.facts("request.completed", 3)
    received = [one.data for one in facts if one.type == "request.received"]
    assert {one.path for one in received} == {"/v1/responses"}
    assert {one.peer.rpartition(":")[0] for one in received} == {ADDRESS}
    assert [one.data.session for one in facts if one.type == "request.attributed"] == [None] * 3
    everything = (
        b"".join(path.read_bytes() for path in apart.place.paths.state.rglob("*") if path.is_file())
        + gateway.log_text().encode()
    )
    assert TOKEN.encode() not in everything
    assert OTHER_TOKEN.encode() not in everything


def test_hosts_and_web_pages_are_refused_from_elsewhere_too(apart: Scene) -> None:
    widen(apart)
    apart.start(bus=False)
    for fields in (
        {"host": f"rebound.example:{apart.port}"},
        {"host": f"127.0.0.1.evil.example:{apart.port}"},
        {"host": "build.example.evil"},
        {"origin": "https://build.example"},
        {"sec_fetch_site": "same-origin"},
    ):
        line = post(apart, x_tabwire_token=TOKEN, **fields)
        status, given, _ = line.answer()
        assert status == 403
        assert not [name for name in given if name.startswith("access-control")]
    line = call(apart)
    line.send(
        f"OPTIONS /v1/responses HTTP/1.1\r\nhost: build.example\r\norigin: https://x.example\r\n"
        f"access-control-request-method: POST\r\nx-tabwire-token: {TOKEN}\r\n\r\n".encode()
    )
    status, given, _ = line.answer()
    assert (status, [name for name in given if name.startswith("access-control")]) == (403, [])


def test_who_is_here_calls_a_wider_gateway_as_before(apart: Scene) -> None:
    widen(apart)
    apart.start()
    serve(apart)
    assert apart.post().answer()[0] == 200
    assert apart.fact("request.attributed").session is not None


def test_a_gateway_of_one_address_is_there_for_loopback_too(apart: Scene) -> None:
    widen(apart, host=ADDRESS)
    apart.start(bus=False)
    serve(apart)
    assert apart.post().answer()[0] == 200
    serve(apart)
    assert post(apart, host=f"{ADDRESS}:{apart.port}", x_tabwire_token=TOKEN).answer()[0] == 200


def test_callers_from_elsewhere_leave_half_of_the_connections_to_those_who_are_here(apart: Scene) -> None:
    widen(apart)
    text = apart.place.paths.config_file.read_text()
    apart.place.configure(text.replace("[gateway]\n", "[gateway]\nconnections = 8\nconnections_per_process = 8\n"))
    apart.start(bus=False)
    lines = [call(apart) for _ in range(4)]
    assert call(apart).answer()[0] == 503
    for line in [apart.call() for _ in range(4)]:
        line.send(f"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1:{apart.port}\r\n\r\n".encode())
        assert line.answer()[0] == 200
    lines[0].send(f"GET /health/live HTTP/1.1\r\nhost: build.example\r\nx-tabwire-token: {TOKEN}\r\n\r\n".encode())
    assert lines[0].answer()[0] == 200


# ------------------------------------------------------------------------------------------------ how it starts


def test_nobody_widens_the_gateway_by_its_configuration_alone(stage: Scene) -> None:
    widen(stage, allow=False)
    gateway = stage.place.start("gateway")
    assert gateway.exit_code() == 78
    last = gateway.lines()[-1]
    assert isinstance(last, Status)
    assert "gateway.host" in last.note
    assert "tabwire up --allow-remote" in last.note


def test_the_flag_alone_widens_nothing(apart: Scene) -> None:
    apart.place.settings["gateway"] = {"allow_remote": True}
    apart.start(bus=False)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ADDRESS, apart.port), DEADLINE)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (TOKEN, 0o640, "can be read or written by others"),
        ("tooshort\n", 0o600, "token 1 of"),
        (f"{TOKEN}\n{'a' * 40}/b\n", 0o600, "token 2 of"),
        ("\n", 0o600, "has 0 tokens"),
    ],
)
def test_tokens_that_are_none_are_78_and_never_shown(stage: Scene, text: str, mode: int, said: str) -> None:
    widen(stage, tokens_file(stage, text, mode))
    gateway = stage.place.start("gateway")
    assert gateway.exit_code() == 78
    last = gateway.lines()[-1]
    assert isinstance(last, Status)
    assert said in last.note
    assert "gateway.tokens" in last.note
    assert text.strip() not in last.note or not text.strip()
    assert TOKEN not in gateway.log_text()


def test_a_tokens_file_that_is_missing_is_78(stage: Scene) -> None:
    widen(stage, stage.place.home / "nothing")
    gateway = stage.place.start("gateway")
    assert gateway.exit_code() == 78
    last = gateway.lines()[-1]
    assert isinstance(last, Status)
    assert "cannot be read" in last.note


# ------------------------------------------------------------------------------------------------ where a key goes

KEY = "sk-canary-remote-0123456789"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_a_key_along(stage: Scene, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("OWN_KEY", KEY)
    stage.configure(auth="key", key="env:OWN_KEY")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        port = elsewhere.getsockname()[1]
        stage.start(bus=False)
        said = f"HTTP/1.1 {status} Moved\r\nlocation: http://127.0.0.1:{port}/steal\r\ncontent-length: 0\r\n\r\n"
        stage.provider.plays(says(said.encode()))
        answer = stage.post().answer()
        assert answer[0] in (400, 502)
        assert "location" not in answer[1]
        assert KEY not in str(answer)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        ("http://{elsewhere}/v1/responses", {}),
        ("https://{elsewhere}/v1/responses", {}),
        ("//{elsewhere}/v1/responses", {}),
        ("/v1/responses", {"host": "{elsewhere}"}),
        ("/v1/responses", {"host": "127.0.0.1:{port}@{elsewhere}"}),
        ("/v1/responses", {"host": "127.0.0.1:{port}, {elsewhere}"}),
        ("/v1/../../{elsewhere}", {}),
        ("/v1/%2e%2e/{elsewhere}", {}),
        ("/v1\\..\\{elsewhere}", {}),
    ],
)
def test_no_target_and_no_host_leads_elsewhere(
    stage: Scene, monkeypatch: pytest.MonkeyPatch, target: str, fields: dict[str, str]
) -> None:
    monkeypatch.setenv("OWN_KEY", KEY)
    stage.configure(auth="key", key="env:OWN_KEY")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.1)
        stage.start(bus=False)
        names = {"elsewhere": f"127.0.0.1:{elsewhere.getsockname()[1]}", "port": str(stage.port)}
        line = stage.post(target.format(**names), b"{}", **{name: value.format(**names) for name, value in fields.items()})
        status = line.answer()[0]
        assert status in (400, 403, 404)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


@pytest.mark.parametrize(
    ("path", "fields", "body"),
    [
        ("/v1/@evil.example/responses", {}, b"{}"),
        ("/v1/responses@evil.example", {}, b"{}"),
        ("/v1/responses?base_url=http://{elsewhere}/&api_base=http://{elsewhere}/", {}, b"{}"),
        (
            "/v1/responses",
            {"x_forwarded_host": "{elsewhere}", "x_forwarded_for": "10.0.0.1", "forwarded": "host={elsewhere}"},
            b"{}",
        ),
        (
            "/v1/responses",
            {"x_original_url": "http://{elsewhere}/", "x_rewrite_url": "/v1/x", "x_forwarded_proto": "https"},
            b"{}",
        ),
        ("/v1/responses", {"proxy_connection": "keep-alive", "proxy_authorization": "Basic eA=="}, b"{}"),
        (
            "/v1/responses",
            {"x_tabwire_provider": "{elsewhere}"},
            b'{"api_base":"http://{elsewhere}","base_url":"http://{elsewhere}"}',
        ),
    ],
)
def test_whatever_a_request_names_its_key_goes_to_the_configured_origin(
    stage: Scene, monkeypatch: pytest.MonkeyPatch, path: str, fields: dict[str, str], body: bytes
) -> None:
    monkeypatch.setenv("OWN_KEY", KEY)
    stage.configure(auth="key", key="env:OWN_KEY")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.1)
        name = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        stage.start(bus=False)
        seen = serve(stage)
        given = {each: value.replace("{elsewhere}", name) for each, value in fields.items()}
        line = stage.post(path.replace("{elsewhere}", name), body.replace(b"{elsewhere}", name.encode()), **given)
        assert line.answer()[0] == 200
        first, sent, _ = seen[0]
        assert first.startswith("POST /api/")
        assert sent["host"] == f"127.0.0.1:{stage.provider.port}"
        assert sent["authorization"] == f"Bearer {KEY}"
        assert not {one for one in sent if one.startswith(("proxy-", "x-tabwire-"))}
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_a_refused_preflight_names_no_origin(stage: Scene) -> None:
    stage.start(bus=False)
    line = stage.call()
    line.send(
        f"OPTIONS /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:{stage.port}\r\norigin: https://evil.example\r\n"
        "access-control-request-method: POST\r\naccess-control-request-private-network: true\r\n\r\n".encode()
    )
    status, given, _ = line.answer()
    assert (status, [name for name in given if name.startswith("access-control")]) == (403, [])
