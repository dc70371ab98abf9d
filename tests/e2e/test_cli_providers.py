"""Providers with everything running: added, tried, disabled and removed while requests go on; no key is ever shown."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.named import Named, named, tab
from tests.e2e.system import System, running
from tests.ports import free_port

pytestmark = pytest.mark.e2e

CANARY = "sk-canary-providers-0123456789"
A = "aaaaaaaa-2222-4222-8222-222222222222"


@pytest.fixture(scope="module")
def locked() -> Iterator[Named]:
    with named("locked", key=CANARY) as server:
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(
        tmp_path_factory.mktemp("providers") / "home", "# mine\n[failover] # rules\nattempts = 2 # enough\n"
    ) as system:
        yield system


def key_file(folder: Path, key: str = CANARY) -> str:
    file = folder / "provider.key"
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    return f"file:{file}"


def test_a_provider_is_added_tried_used_and_removed_while_everything_runs(
    system: System, locked: Named, tmp_path: Path
) -> None:
    reference = key_file(tmp_path)
    said = [
        system.tabwire(
            "providers", "add", "locked", "--base-url", locked.base_url, "--key", reference, "--model", "locked-model"
        ),
        system.tabwire("providers", "list"),
        system.tabwire("providers", "test", "locked"),
    ]
    rows = {row["provider"]: row for row in system.json("providers", "list")["providers"]}
    assert (rows["locked"]["key"], rows["locked"]["default"], rows["locked"]["problem"]) == (reference, True, "")
    assert ("lists 1 models" in said[2].stdout, "answers as locked-model" in said[2].stdout) == (True, True)
    with tab(system, A) as agent:
        assert "400" in agent.ask()  # the sample asks for a model that it does not have
        said.append(system.tabwire("pin", agent.session, "locked/locked-model"))
        assert agent.ask() == "locked"
        said.append(system.tabwire("providers", "default", "echo"))
        assert "is pinned by session" in system.tabwire("providers", "remove", "locked", code=1).stderr
        said.append(system.tabwire("providers", "disable", "locked"))
        assert agent.ask() == "response.created"  # which is echo's
        said.append(system.tabwire("providers", "enable", "locked"))
        assert agent.ask() == "locked"
        said.append(system.tabwire("providers", "remove", "locked", "--force"))
        assert "not configured" in system.json("pins", "list")["pins"][0]["problem"]
        said.append(system.tabwire("pins", "prune"))
    text = (system.home / "config.toml").read_text()
    assert "# mine\n[failover] # rules\nattempts = 2 # enough\n" in text
    assert "locked" not in text
    journal = system.tabwire("events", "export").stdout
    assert CANARY not in journal + "".join(done.stdout + done.stderr for done in said)
    assert CANARY not in "".join(log.read_text() for log in (system.home / "state" / "logs").iterdir())


def test_a_trial_says_per_step_what_fails_and_never_shows_the_key(system: System, locked: Named, tmp_path: Path) -> None:
    wrong = key_file(tmp_path, f"{CANARY}-wrong")
    for name, arguments, said in (
        ("refused", ("--base-url", f"http://127.0.0.1:{free_port()}/v1", "--auth", "none"), "refuses connections"),
        ("unknown", ("--base-url", "http://no-such-host.invalid/v1", "--auth", "none"), "name cannot be resolved"),
        ("wrong", ("--base-url", locked.base_url, "--key", wrong), "refuses the key (401"),
        ("none", ("--base-url", locked.base_url, "--key", "env:NO_SUCH_KEY"), "NO_SUCH_KEY is not set"),
        ("tls", ("--base-url", locked.base_url.replace("http:", "https:"), "--auth", "none"), "TLS fails"),
    ):
        system.tabwire("providers", "add", name, *arguments)
        done = system.tabwire("providers", "test", name, code=1)
        assert said in done.stdout, done.stdout
        assert "(" in done.stdout
        assert CANARY not in done.stdout + done.stderr
        checks = system.tabwire("providers", "test", name, "--json", code=1).stdout
        assert '"state":"problem"' in checks
        system.tabwire("providers", "remove", name, "--force")


def test_a_trial_tells_a_path_from_a_model_and_a_dialect(system: System, locked: Named, tmp_path: Path) -> None:
    reference = key_file(tmp_path)
    base = ("--base-url", locked.base_url, "--key", reference)
    for name, arguments, options, said in (
        ("path", ("--base-url", f"{locked.base_url}/x", "--key", reference, "--model", "m"), (), "does not speak this at this"),
        ("dialect", (*base, "--dialect", "openai.chat"), (), "does not speak this at this address (404"),
        ("model", base, ("--model", "nobody"), "does not list the model nobody"),
    ):
        system.tabwire("providers", "add", name, *arguments)
        assert said in system.tabwire("providers", "test", name, *options, code=1).stdout
        system.tabwire("providers", "remove", name, "--force")


def test_echo_answers_in_every_dialect_that_it_serves(system: System) -> None:
    done = system.tabwire("providers", "test", "echo", "--model", "echo", code=None)
    for dialect in ("openai.responses", "openai.chat", "anthropic.messages", "gemini.generate"):
        assert f"{dialect} at http://127.0.0.1:{system.echo_port}, one request: answers" in done.stdout, done.stdout


def test_what_cannot_be_done_says_what_to_do(system: System) -> None:
    before = (system.home / "config.toml").read_bytes()
    for arguments, code, said in (
        (("add", "x", "--base-url", "http://x/v1", "--key", CANARY), 2, "never the key itself"),
        (("add", "x", "--base-url", "ftp://x", "--auth", "none"), 2, "not a base URL"),
        (("add", "x"), 2, "--base-url is missing"),
        (("add", "X", "--base-url", "http://x/v1", "--auth", "none"), 2, "not a provider id"),
        (("add", "echo", "--base-url", "http://x/v1", "--auth", "none"), 1, "exists already"),
        (("add", "x", "--base-url", "http://x/v1", "--auth", "none", "--dialect", "latin"), 2, "there are: openai.responses"),
        (("add", "x", "--base-url", "http://x/v1", "--auth", "none", "--header", f"Authorization=Bearer {CANARY}"), 2, "--key"),
        (("disable", "echo"), 1, "built in"),
        (("disable", "nobody"), 2, "known here: echo"),
        (("remove", "nobody"), 2, "known here: echo"),
        (("default", "nobody"), 2, "known here: echo"),
        (("test", "nobody"), 2, "known here: echo"),
    ):
        done = system.tabwire("providers", *arguments, code=code)
        assert said in done.stderr
        assert CANARY not in done.stderr
    assert (system.home / "config.toml").read_bytes() == before


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: no certificate to test with")
def test_a_certificate_that_is_not_trusted_is_named(system: System, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "private.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with named("sealed") as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        base = server.base_url.replace("http://127.0.0.1", "https://localhost")
        system.tabwire("providers", "add", "sealed", "--base-url", base, "--auth", "none")
        assert "TLS fails: self-signed certificate" in system.tabwire("providers", "test", "sealed", code=1).stdout
        system.tabwire("providers", "remove", "sealed", "--force")
