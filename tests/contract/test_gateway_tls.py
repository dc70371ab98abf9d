"""The gateway toward a provider that speaks TLS, as real ones do: a real handshake, a real certificate, a real refusal."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.gateway_scene import COMPLETED, SSE, Line, Scene, chunk, event, scene

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: no certificate to test with")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "home") as found:
        yield found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *made, *name], check=True, capture_output=True, timeout=60)
    return certificate, key


def secured(line: Line, certificate: tuple[Path, Path]) -> Line:
    """Answer the handshake of a connection."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    line.socket = context.wrap_socket(line.socket, server_side=True)
    return line


def test_a_stream_passes_through_tls(stage: Scene, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    stage.configure(base_url=f"https://localhost:{stage.provider.port}/api")
    stage.start()
    delta = event(type="response.output_text.delta", delta="hi")
    seen: list[tuple[str, str]] = []

    def part(line: Line) -> None:
        secured(line, certificate)
        first, fields, _ = line.request()
        seen.append((first, fields["host"]))
        line.send(SSE + chunk(delta) + chunk(COMPLETED) + b"0\r\n\r\n")

    stage.provider.plays(part)
    status, _, body = stage.post().answer()
    assert (status, body) == (200, delta + COMPLETED)
    assert seen == [("POST /api/responses HTTP/1.1", f"localhost:{stage.provider.port}")]
    assert stage.facts("request.completed")[-1].data.usage.total == 11


def test_a_certificate_that_nobody_vouches_for_is_refused_before_a_byte_is_sent(
    stage: Scene, certificate: tuple[Path, Path]
) -> None:
    stage.configure(base_url=f"https://localhost:{stage.provider.port}/api")
    stage.start()
    refused: list[ssl.SSLError] = []

    def part(line: Line) -> None:
        try:
            secured(line, certificate).request()
        except ssl.SSLError as error:
            refused.append(error)

    played = stage.provider.plays(part)
    status, _, body = stage.post().answer()
    assert status == 502
    assert b'"upstream_tls"' in body
    assert played.wait(20)
    assert len(refused) == 1  # an alert or just the end: the handshake was never finished
