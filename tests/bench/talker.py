"""The agent of the bridges' benchmark: speaks ACP, needs no model, and writes when it wrote each word.

A file of its own that is started by its first line. A prompt of two numbers is answered by so many words, so many a second;
each word is the time (CLOCK_MONOTONIC, ns) at which it went into the pipe.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def say(**message: Any) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def talk(session: str, prompt: str) -> None:
    """Answer with words."""
    words, rate = (int(number) for number in prompt.split()[:2])
    begun = time.monotonic()
    for number in range(words):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        content = {"type": "text", "text": f"{time.monotonic_ns()} "}
        update = {"sessionUpdate": "agent_message_chunk", "content": content}
        say(method="session/update", params={"sessionId": session, "update": update})


def main() -> None:
    """Answer until nobody asks."""
    for line in sys.stdin:
        asked = json.loads(line)
        method, params = asked.get("method"), asked.get("params", {})
        if "id" not in asked:
            continue
        result: dict[str, Any] = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {}, "agentInfo": {"name": "talker", "version": "1.0"}}
        elif method == "session/new":
            result = {"sessionId": f"ses_{time.monotonic_ns()}"}
        elif method == "session/prompt":
            talk(params["sessionId"], params["prompt"][0]["text"])
            result = {"stopReason": "end_turn"}
        say(id=asked["id"], result=result)


if __name__ == "__main__":
    main()
