"""An agent whose prompts are what it shall do: well-behaved by default, as hostile as a test wants it.

A prompt is lines of ``word rest``; its arguments are done before the greeting in the same way. Uses the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

waiting: list[dict[str, Any]] = []


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def read() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    message: dict[str, Any] = json.loads(line)
    return message


def wait_for(what: str) -> dict[str, Any]:
    """Wait for a message; others are kept for later, an interrupt ends the turn."""
    while True:
        message = read()
        if message["do"] == what:
            return message
        if message["do"] == "interrupt":
            raise InterruptedError
        waiting.append(message)


def descendant(rest: str) -> None:
    """Leave a process behind that sleeps: a child, one of a session of its own, or one whose parent is gone."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    words = [sys.executable, "-I", "-c", code]
    if rest == "orphan":
        apart = "start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
        again = f"import subprocess; print(subprocess.Popen({words!r}, {apart}).pid, flush=True)"
        child = subprocess.run([sys.executable, "-I", "-c", again], check=True, capture_output=True, text=True)
        pid = int(child.stdout)
    else:
        pid = subprocess.Popen(words, start_new_session=rest == "apart").pid
    say(say="text", text=f"pid {pid}\n")


def flood(size: str) -> None:
    block = b"x" * 1_048_576
    for _ in range(int(size) // len(block)):
        os.write(2, block)
    os.write(2, b"\nthe very last words\n")
    say(say="text", text="flooded")


def lines(rest: str) -> None:
    count, length = map(int, rest.split())
    for _ in range(count):
        say(say="text", text="y" * length)


def obey(script: str) -> None:  # noqa: C901, PLR0912 - a list of behaviours
    for line in script.splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "echo":
                say(say="text", text=rest)
            case "say":
                say(**json.loads(rest))
            case "raw":
                os.write(1, rest.encode() + b"\n")
            case "ask":
                say(say="ask", approval=rest)
                say(say="text", text=f"told {wait_for('decide')['option']}")
            case "await":
                wait_for(rest)
            case "huge":
                os.write(1, b'{"say": "text", "text": "' + b"z" * int(rest) + b'"}\n')
            case "lines":
                lines(rest)
            case "stderr":
                flood(rest)
            case "complain":
                sys.stderr.write(rest + "\n")
                sys.stderr.flush()
            case "leave":
                descendant(rest)
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "hang":
                while True:  # the end of stdin is not noticed either
                    time.sleep(600)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.exit(int(rest))
            case "env":
                say(say="text", text=str(os.environ.get(rest)))
            case _:
                say(say="text", text=f"? {word}")


def main() -> None:
    obey("\n".join(sys.argv[1:]))
    number = 0
    while True:
        message = waiting.pop(0) if waiting else read()
        match message["do"]:
            case "greet":
                say(say="greeted")
                say(say="identified", id=f"c{number}")
            case "prompt":
                try:
                    if message["text"].startswith("digest"):
                        say(say="text", text=hashlib.sha256(message["text"].encode()).hexdigest())
                    else:
                        obey(message["text"])
                    say(say="ended", outcome="completed")
                except InterruptedError:
                    say(say="ended", outcome="interrupted")
            case "change":
                refused = "no such model" if message["model"] == "wrong" else ""
                say(say="changed", refused=refused)
            case "clear":
                number += 1
                say(say="identified", id=f"c{number}", cleared=True)
                say(say="changed")


if __name__ == "__main__":
    main()
