"""Reads passwords from the system's keyring and ends: a program of its own, so that nobody else has to load one.

stdin: a JSON list of ``[service, user]``. stdout: a JSON list of answers in the same order, ``[value, problem, detail]``. What
a keyring does besides (asking somebody to unlock it, talking to D-Bus) ends with this process, by its own deadline if need be.
Must not know what the passwords are for.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Final, Literal, NamedTuple

import orjson

from actors.runtime.hardening import forbid_inspection

Problem = Literal["", "no_backend", "locked", "missing", "failed"]
DEADLINE: Final = 30.0  # whoever asked has given up long before: this is for one that was killed while it waited


class Answer(NamedTuple):
    """One password, or what is the matter; ``detail`` names the kind of keyring or of failure, in words of ours."""

    value: str = ""
    problem: Problem = ""
    detail: str = ""


def main() -> int:
    """Answer and end."""
    forbid_inspection()
    end = threading.Timer(DEADLINE, lambda: os._exit(1))
    end.daemon = True
    end.start()
    asked = orjson.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(orjson.dumps([tuple(one) for one in _answers(asked)]))
    return 0


def _answers(asked: list[tuple[str, str]]) -> list[Answer]:
    import keyring  # noqa: PLC0415 - choosing a keyring may fail, and that is an answer too
    from keyring.backends.fail import Keyring as NoKeyring  # noqa: PLC0415

    backend = keyring.get_keyring()
    if isinstance(backend, NoKeyring):
        return [Answer(problem="no_backend", detail="no Secret Service, KWallet or the like in this session")] * len(asked)
    return [_answer(backend, *one) for one in asked]


def _answer(backend: Any, service: str, user: str) -> Answer:
    from keyring.errors import InitError, KeyringLocked, NoKeyringError  # noqa: PLC0415

    kind = f"{type(backend).__module__.removeprefix('keyring.backends.')}.{type(backend).__qualname__}"
    try:
        value = backend.get_password(service, user)
    except KeyringLocked:
        return Answer(problem="locked", detail=kind)
    except (NoKeyringError, InitError) as error:
        return Answer(problem="no_backend", detail=f"{kind}: {type(error).__name__}")
    except Exception as error:  # noqa: BLE001 - backends raise what they like; its text may hold anything
        return Answer(problem="failed", detail=f"{kind}: {type(error).__name__}")
    return Answer(problem="missing", detail=kind) if value is None else Answer(value=value)


if __name__ == "__main__":
    raise SystemExit(main())
