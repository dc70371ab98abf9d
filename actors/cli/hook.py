"""``tabwire hook codex|claude``: what an agent runs as a hook; passes its metadata on to the gateway and never fails the agent.

Theory of operation
-------------------
An agent waits for its hooks, reads what they print as instructions, and takes their exit code for a verdict. So this prints
nothing on stdout, always ends with 0, and ends within ``DEADLINE`` whatever happens: the work is done in a thread, and the
process does not wait for it any longer. Without a running Tabwire it ends at once.

Of the hook's JSON only the fields of ``FIELDS`` leave this process: no prompt, no tool input, no answer. Who reports is not
said at all; the gateway asks the kernel, which is why the report is sent by this process and not left somewhere.

Must not load what it does not need: it runs before every step of an agent.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

AGENTS: Final = ("codex", "claude")
DEADLINE: Final = 0.9
FIELDS: Final = (
    "hook_event_name",
    "session_id",
    "turn_id",
    "cwd",
    "transcript_path",
    "notification_type",
    "permission_type",
    "source",
    "reason",
    "status",
)
_LARGEST: Final = 16 << 20
_CHUNK: Final = 1 << 16
_OK: Final = "200"


def hook(words: Sequence[str]) -> int:
    """Report one hook; the exit code is always 0, and what went wrong is said on stderr."""
    try:
        if list(words[1:]) or words[0] not in AGENTS:
            _complain(f"expected one of {', '.join(AGENTS)} behind `tabwire hook`, not {' '.join(words)[:80]!r}")
            return 0
        work = threading.Thread(target=_report, args=(words[0], os.environ, time.monotonic() + DEADLINE), daemon=True)
        work.start()
        work.join(DEADLINE)
        if work.is_alive():
            _complain(f"the hook was not reported within {DEADLINE:g} s")
            _leave()
    except BaseException as error:  # noqa: BLE001 - an agent shall not suffer from its hook
        _complain(f"the hook was not reported: {type(error).__name__}: {error}")
    return 0


def metadata(raw: bytes) -> bytes | None:
    """Return the JSON of the fields that may leave; None when there is no object to take them from."""
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    return json.dumps({name: said[name] for name in FIELDS if name in said}).encode()


def _report(agent: str, environ: Mapping[str, str], end: float) -> None:
    try:
        gateway = _gateway(environ)
        if gateway is None:
            return  # Tabwire is not running, which is nothing that an agent must know
        if (body := metadata(_stdin())) is None:
            _complain("what stands on stdin is not the JSON object of a hook")
            return
        status, said = _post(gateway, agent, body, end)
        if status != _OK:
            _complain(f"the gateway refused the hook ({status}): {said}")
    except ConnectionRefusedError:
        return  # it was not stopped in order, and is down all the same
    except Exception as error:  # noqa: BLE001 - said, and nothing else
        _complain(f"the hook was not reported: {type(error).__name__}: {error}")


def _gateway(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where the gateway is by the supervisor's own account, or None when none runs."""
    from actors.runtime.paths import Paths  # noqa: PLC0415 - within the deadline, like everything else

    try:
        status = json.loads(Paths.default(environ).status_file.read_bytes())
        place = urlsplit(status["endpoints"]["gateway"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (place.hostname, place.port) if place.hostname and place.port else None


def _stdin() -> bytes:
    """Read stdin to its end, from the descriptor: a buffered file would hold this process up when it ends."""
    chunks: list[bytes] = []
    size = 0
    while (chunk := os.read(0, _CHUNK)) and size <= _LARGEST:
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _post(gateway: tuple[str, int], agent: str, body: bytes, end: float) -> tuple[str, str]:
    """Send the report and return the status and what was said of a refusal."""
    host, port = gateway
    head = (
        f"POST /hooks/{agent} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    with socket.create_connection(gateway, max(0.01, end - time.monotonic())) as line:
        line.sendall(head.encode() + body)
        answer = b""
        while chunk := line.recv(_CHUNK):
            answer += chunk
    head_text, _, content = answer.partition(b"\r\n\r\n")
    _, _, rest = head_text.decode(errors="replace").partition(" ")
    return rest[:3], _message(content)


def _message(content: bytes) -> str:
    try:
        said: Any = json.loads(content)
        return str(said["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _complain(message: str) -> None:
    try:
        from actors.cli.text import printable  # noqa: PLC0415

        os.write(2, f"tabwire: {printable(message)}\n".encode(errors="replace"))
    except OSError:
        return  # nobody listens


def _leave() -> None:
    """End now, with a thread still at work."""
    sys.stdout.flush()
    os._exit(0)
