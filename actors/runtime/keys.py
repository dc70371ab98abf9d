"""Provider keys: read once from where the configuration points, and held in a type that cannot be printed.

Theory of operation
-------------------
A reference is ``env:NAME``, ``file:/path`` or ``keyring:SERVICE/USER``. A keyring is asked by a short child
(``actors.runtime.keyring_read``), all references in one, so that neither its packages nor its sessions of D-Bus live in the
process that reads. The child gets an environment with nothing in it but what a keyring needs, names come to it on its stdin,
values go back through a pipe; it is not waited for longer than ``KEYRING_SECONDS``, since a locked keyring asks somebody who
may not be there. Where it is read, a key is worth its header field to its own provider and nothing else.

Must not know providers or requests.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson

from actors.runtime.keyring_read import Answer, Problem

KEYRING_SECONDS: Final = 8.0
_HIDDEN: Final = "[secret]"
_HAS_MODES = hasattr(os, "getuid")  # Windows has access lists instead, and a user's folders are closed to others by theirs
_MAX_KEY: Final = 16 * 1024
_COMMAND: Final = (sys.executable, "-I", "-m", "actors.runtime.keyring_read")
_NEEDED: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY")
_NEEDED_ON_WINDOWS: Final = ("SYSTEMROOT", "WINDIR", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP")
_NEEDED_BEGINNINGS: Final = ("XDG_", "LC_", "KEYRING_PROPERTY_", "PYTHON_KEYRING_", "GNOME_KEYRING_", "KDE_", "TABWIRE_OWNER")
_WHY: Final[Mapping[Problem, str]] = {
    "no_backend": "is not to be found here ({detail}); use env:NAME or file:/path",
    "locked": "is locked ({detail}); unlock it, then try again",
    "missing": "has no password of user {user!r} for {service!r} ({detail}); store it with: keyring set {service} {user}",
    "failed": "failed ({detail})",
}


class KeyMissingError(Exception):
    """A key reference that yields no key; the message names the reference, never what it holds."""


class Secret:
    """A value that is told to ``reveal()`` alone: not to print, log, format, pickle, compare or hash."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value; call it only where it is put on the wire."""
        return self.__value

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a secret has no {name!r}")


def read_key(reference: str, environ: Mapping[str, str]) -> Secret:
    """Read the key that one reference leads to.

    Raises:
        KeyMissingError: as ``read_keys`` says.

    """
    found = read_keys([reference], environ)[reference]
    if isinstance(found, KeyMissingError):
        raise found
    return found


def read_keys(references: Iterable[str], environ: Mapping[str, str]) -> dict[str, Secret | KeyMissingError]:
    """Read the keys that references lead to; what yields none has the error that says why.

    The variable is unset or empty; the file is absent, open to others, empty or not one line; the keyring is not there,
    locked, or has no such password. Takes time: call it where nobody waits.
    """
    wanted = dict.fromkeys(references)
    from_keyring = _ask_keyring([one[8:] for one in wanted if one.startswith("keyring:")], environ)
    found: dict[str, Secret | KeyMissingError] = {}
    for reference in wanted:
        try:
            found[reference] = _checked(reference, _value(reference, environ, from_keyring))
        except KeyMissingError as error:
            found[reference] = error
    return found


def _value(reference: str, environ: Mapping[str, str], from_keyring: Mapping[str, str | KeyMissingError]) -> str:
    scheme, _, where = reference.partition(":")
    if scheme == "env":
        value = environ.get(where, "").strip()
        if not value:
            raise KeyMissingError(f"environment variable {where} is not set; set it where `tabwire up` is started")
        return value
    if scheme == "file":
        return _read_file(Path(where))
    if scheme == "keyring":
        told = from_keyring[where]
        if isinstance(told, KeyMissingError):
            raise told
        return told.strip()
    raise KeyMissingError(f"key reference of kind {scheme!r} is not known; use env:NAME, keyring:SERVICE/USER or file:/path")


def _checked(reference: str, value: str) -> Secret:
    if not value.isascii() or not value.isprintable() or " " in value or not 0 < len(value) <= _MAX_KEY:
        raise KeyMissingError(f"what {reference} holds is not a key: expected one line of printable characters")
    return Secret(value)


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if _HAS_MODES and mode & 0o077:
                raise KeyMissingError(f"key file {path} is open to others (mode {mode:04o}); run: chmod 600 {path}")
            raw = file.read(_MAX_KEY + 1)
    except OSError as error:
        raise KeyMissingError(f"key file {path} cannot be read: {error.strerror}") from None
    text = raw.decode("utf-8", "replace").strip()
    if not text or len(raw) > _MAX_KEY:
        raise KeyMissingError(f"key file {path} holds no key")
    return text


# ---------------------------------------------------------------------------------------------------- the keyring


def _ask_keyring(names: list[str], environ: Mapping[str, str]) -> dict[str, str | KeyMissingError]:
    """Ask a child for all of them; where there is no answer, that is the answer for each."""
    if not names:
        return {}
    asked = [tuple(name.split("/", 1)) for name in names]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            _COMMAND,
            input=orjson.dumps(asked),
            capture_output=True,
            timeout=KEYRING_SECONDS,
            env=_keyring_environment(environ),
            check=True,
        )
        answers = [Answer(*one) for one in orjson.loads(done.stdout)]
    except subprocess.TimeoutExpired:
        problem = f"gave no answer within {KEYRING_SECONDS:.0f} s; is it locked, with nobody to unlock it?"
        return {name: KeyMissingError(f"the keyring {problem}") for name in names}
    except (OSError, subprocess.CalledProcessError, ValueError, TypeError) as error:
        return {name: KeyMissingError(f"the keyring cannot be asked: {type(error).__name__}") for name in names}
    return {
        name: answer.value if not answer.problem else _keyring_error(answer, *pair)
        for name, pair, answer in zip(names, asked, answers, strict=True)
    }


def _keyring_error(answer: Answer, service: str, user: str) -> KeyMissingError:
    why = _WHY.get(answer.problem or "failed", _WHY["failed"])
    return KeyMissingError(f"the keyring {why.format(detail=answer.detail, service=service, user=user)}")


def _keyring_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a keyring is found by; above all not the variables that hold other keys."""
    return {
        name: value
        for name, value in environ.items()
        if name in _NEEDED or name.upper() in _NEEDED_ON_WINDOWS or name.startswith(_NEEDED_BEGINNINGS)
    }
