"""Providers of a test's own: a second echo server, and model servers whose reasoning no other account can read."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """Run an echo server of its own; give its address."""
    process = subprocess.Popen([sys.executable, "-m", "actors.echo", "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=10)


class Sealer(ThreadingHTTPServer):
    """Answers the Responses API with reasoning that only itself can read, and refuses what another sealed, as OpenAI does."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.name = name
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def turns(self) -> list[dict[str, Any]]:
        """Return the bodies of turns, without those of titles."""
        with self.lock:
            return [body for body in self.bodies if not _asks_for_title(body)]

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes]:
        with self.lock:
            self.bodies.append(body)
            number = len(self.bodies)
        sealed = [item["encrypted_content"] for item in body["input"] if item.get("encrypted_content")]
        if any(not each.startswith(f"sealed by {self.name}") for each in sealed):
            error = {
                "code": "invalid_encrypted_content",
                "message": "it could not be verified",
                "type": "invalid_request_error",
            }
            return 400, json.dumps({"error": error}).encode()
        thought = {"type": "reasoning", "id": f"rs_{self.name}_{number}", "summary": []}
        thought["encrypted_content"] = f"sealed by {self.name}, {number}"
        text = {"type": "output_text", "text": f"{self.name} answers {number}", "annotations": []}
        said = {
            "type": "message",
            "id": f"msg_{self.name}_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [text],
        }
        events: list[dict[str, Any]] = [
            {"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate((thought, said))
        ]
        usage = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
        events.append({"type": "response.completed", "response": {"id": f"resp_{self.name}_{number}", "usage": usage}})
        return 200, b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def _asks_for_title(body: dict[str, Any]) -> bool:
    return "title" in json.dumps(body.get("text", {}))


class _Request(BaseHTTPRequestHandler):
    server: Sealer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "zstd":
            raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
        status, content = self.server.answer(json.loads(raw))
        self.send_response(status)
        self.send_header("content-type", "text/event-stream" if status == 200 else "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def sealer(name: str) -> Iterator[Sealer]:
    """Run a model server that seals its reasoning."""
    with Sealer(name) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(timeout=10)
