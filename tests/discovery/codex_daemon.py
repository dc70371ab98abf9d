"""The shared daemon of Codex as discovery asks it: what it answers about the threads that it has."""

from __future__ import annotations

from typing import Any

FIRST, SECOND, TITLE = (
    "01a1fc76-dcb4-75b1-aa93-831e59ae2099",
    "01a1fc76-dd5b-7633-b8fb-d373a323c066",
    "01a1fc7a-0887-73e1-8183-5",
)


class Daemon:
    """Answers as Codex 0.169 was seen to answer."""

    def __init__(self, origins: dict[str, str | None], **changes: Any) -> None:
        self.origins = origins
        self.changes = changes
        self.asked: list[str] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        parameters = request["params"]
        thread = parameters.get("threadId")
        self.asked.append(request["method"])
        results: dict[str, Any] = {
            "initialize": {"userAgent": "codex-tui/0.169.0", "codexHome": "/h", "platformFamily": "unix"},
            "thread/loaded/list": {"data": list(self.origins), "nextCursor": None},
            "thread/read": {"thread": {"id": thread, "sessionId": thread, "status": {"type": "idle"}}, "readState": None},
            "mcpServerStatus/list": {"data": self._servers(thread), "nextCursor": None},
        }
        return {"id": request["id"], "result": results[request["method"]], **self.changes.get(request["method"], {})}

    def _servers(self, thread: str | None) -> list[dict[str, Any]]:
        origin = self.origins.get(thread or "")
        return (
            [] if origin is None else [{"name": "codex_tui", "httpOrigin": origin, "runtimeStatus": "connected", "tools": {}}]
        )
