"""Records what the real app-server says, for tests without it: ``python -m tests.e2e.codex_recording``, TABWIRE_CODEX set.

Writes ``tests/unit/recorded/codex-*.jsonl``: the adapter's inputs in order, folders renamed, the list of models shortened.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from actors.bridge.adapter import Change, Changed, Clear, Decide, Interrupt, Say
from schemas.content import Identified, TextAdded, ToolStarted
from tests.e2e.codex_driver import Driven, driven
from tests.e2e.system import running

FOLDER = Path(__file__).parents[1] / "unit/recorded"
PATCH = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch\nEOF"


def record() -> None:
    """Play two sessions and write them down."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "tabwire") as system:
        home = Path(folder) / "ada"
        home.mkdir()
        with driven(home, system, mode="ask") as codex:
            thread = _session(codex)
            _write("codex-session.jsonl", codex, folder)
        with driven(home, system, resume=thread) as again:
            again.ready()
            again.prompt("turn-resumed", "what was it")
            again.ended()
            _write("codex-resumed.jsonl", again, folder)


def _session(codex: Driven) -> str:
    codex.ready()
    codex.prompt("turn-text", "remember the kumquat")
    codex.ended()
    codex.prompt("turn-allowed", '[echo tool="touch allowed; echo here"] [echo say=done]')
    codex.give(Decide(approval=codex.asked().approval, option="accept"))
    codex.ended()
    codex.prompt("turn-denied", '[echo tool="touch denied"] [echo say="as you wish"]')
    codex.give(Decide(approval=codex.asked().approval, option="decline"))
    codex.ended()
    codex.give(Change(mode="read-only"))
    codex.until(lambda output: isinstance(output, Changed))
    codex.prompt("turn-patch", f"[echo tool={json.dumps(PATCH)}] [echo say=done]")
    codex.give(Decide(approval=codex.asked().approval, option="accept"))
    codex.ended()
    codex.give(Change(model="gpt-5.5", mode="full-access"))
    codex.until(lambda output: isinstance(output, Changed))
    codex.prompt("turn-stopped", '[echo tool="sleep 3210"] [echo say=done]')
    codex.says(ToolStarted)
    codex.give(Interrupt())
    codex.ended()
    codex.prompt("turn-failed", "[echo status=400 message=nonsense]")
    codex.ended()
    codex.prompt("turn-cut", "[echo words=200 pace=20ms]")
    codex.says(TextAdded)
    codex.give(Interrupt())
    codex.ended()
    thread = next(one.piece.conversation for one in codex.said if isinstance(one, Say) and isinstance(one.piece, Identified))
    codex.give(Clear())
    codex.until(lambda output: isinstance(output, Changed))
    codex.prompt("turn-cleared", "hello again")
    codex.ended()
    return thread


def _write(name: str, codex: Driven, folder: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    rows = [json.dumps(_shortened(row)).replace(f"{folder}/ada", "/home/ada") for row in codex.record]
    (FOLDER / name).write_text("\n".join(rows) + "\n")


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    result = row.get("line", {}).get("result", {})
    if isinstance(result.get("data"), list):
        result["data"] = [
            {"id": model["id"], "model": model["model"]} if "model" in model else model for model in result["data"]
        ]
    return row


if __name__ == "__main__":
    record()
