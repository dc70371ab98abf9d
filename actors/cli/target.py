"""What a person means by the target of a pin: a session, a terminal, this very tab, or a folder.

Never a guess: what could be several things is listed. Must not know how a pin is placed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.tail import names_of, rows_of
from schemas.config import PinKind

if TYPE_CHECKING:
    from schemas.provider_rows import PinRow
    from schemas.rows import SessionRow, SessionTable

THIS: Final = (".", "this")
_TERMINAL: Final = re.compile(r"[a-z][a-z0-9_]{1,15}:.+")
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Target:
    """What is meant; ``note`` is what should be said of it, ``row`` the session."""

    kind: PinKind
    key: str
    note: str = ""
    row: SessionRow | None = None


def find_target(text: str, kind: PinKind | None, table: SessionTable | None) -> Target:
    """Find what is meant; ``kind`` if the person said so, ``table`` if the registry answers.

    Raises:
        CommandFailedError: nothing, or several things.

    """
    if not text:
        raise CommandFailedError("nothing is meant by an empty target", USAGE)
    if kind == "project":
        return _folder(text)
    if kind == "terminal" or (kind is None and text in THIS):
        return this_terminal() if text in THIS else _terminal(text, table)
    if kind == "session":
        return _session(text, _sessions(text, table), table)
    if _TERMINAL.fullmatch(text) and not Path(text).exists():
        return _terminal(text, table)
    rows = _sessions(text, table)
    if Path(text).is_absolute() or Path(text).is_dir():
        if rows and not Path(text).is_absolute():
            raise _ambiguous(text, [f"the folder {_real(text)} (--project)", *(f"{row.session} (--session)" for row in rows)])
        return _folder(text)
    return _session(text, rows, table)


def this_terminal() -> Target:
    """Find the terminal that this command runs in.

    Raises:
        CommandFailedError: there is none, or it cannot be told.

    """
    from actors.probe import choose_probe, find_terminal  # noqa: PLC0415 - only where this tab is meant

    me = choose_probe().process(os.getpid())
    found = find_terminal(me.variables, me.tty, me.leader)
    if found.key is None:
        raise CommandFailedError(
            f"this terminal cannot be told: {found.missing or 'nothing names it'}; pin a session or a folder"
        )
    return Target("terminal", found.key)


def find_pinned(text: str, kind: PinKind | None, pins: Sequence[PinRow], table: SessionTable | None) -> Target:
    """Find which pin is meant: by its target or the beginning of it, or by whatever names that target.

    Raises:
        CommandFailedError: none, or several.

    """
    own = [pin for pin in pins if kind in (None, pin.kind)]
    names = {text, *([_real(text)] if kind in (None, "project") and text not in THIS else [])}
    if text in THIS and kind != "project":
        names = {this_terminal().key}
    elif text in THIS:
        names = {_real(text)}
    exact = [pin for pin in own if pin.target in names]
    known = {name for row in (rows_of(text, table) if table is not None else []) for name in names_of(row)}
    begun = [pin for pin in own if pin.target.startswith(text) or pin.target.partition("-")[2].startswith(text)]
    found = exact or [pin for pin in own if pin.target in known] or ([] if text in THIS else begun)
    if not found:
        raise CommandFailedError(f"nothing that begins with {text!r} is pinned (tabwire pins list)", USAGE)
    if len(found) > 1:
        raise _ambiguous(text, [f"{pin.kind} {pin.target}" for pin in found])
    return Target(found[0].kind, found[0].target)


def _folder(text: str) -> Target:
    real = _real(text)
    return Target("project", real, "" if Path(real).is_dir() else "there is no such folder yet")


def _real(text: str) -> str:
    """Return a folder as the kernel names it: agents' working directories are told without links."""
    return os.path.realpath(Path(text).expanduser())


def _terminal(text: str, table: SessionTable | None) -> Target:
    known = {key for row in (table.sessions if table is not None else ()) for key in (*row.terminals, row.terminal) if key}
    if text in known:
        return Target("terminal", text)
    begun = sorted(key for key in known if key.startswith(text))
    if len(begun) > 1:
        raise _ambiguous(text, begun)
    if begun:
        return Target("terminal", begun[0])
    if not _TERMINAL.fullmatch(text):
        raise CommandFailedError(f"{text!r} is no terminal key (such as wt:… or tmux:…, see tabwire sessions)", USAGE)
    return Target("terminal", text, "no session has been seen in this terminal yet")


def _sessions(text: str, table: SessionTable | None) -> list[SessionRow]:
    return rows_of(text, table) if table is not None else []


def _session(text: str, rows: Sequence[SessionRow], table: SessionTable | None) -> Target:
    if table is None:
        raise CommandFailedError(
            f"{text!r} may be a session, and whether it is verified only the running system knows (tabwire up); "
            "terminals and folders can be pinned at any time",
        )
    if not rows:
        raise CommandFailedError(
            f"{text!r} is no session (tabwire sessions --all), no terminal key, and no folder that exists", USAGE
        )
    if len(rows) > 1:
        raise _ambiguous(text, [row.session for row in rows])
    row = rows[0]
    if row.verdict != "verified":
        raise CommandFailedError(_unverified(row))
    return Target("session", row.session, row=row)


def _unverified(row: SessionRow) -> str:
    why = "; ".join(row.missing) or "nothing proves it"
    others = [f"its terminal (tabwire pin {row.terminal} …)"] if row.terminal else []
    others += [f"its folder (tabwire pin {row.cwd} …)"] if row.cwd else []
    instead = f"; pin {' or '.join(others)} instead" if others else ""
    return f"{row.session} is unverified and cannot be pinned: {why}{instead}"


def _ambiguous(text: str, candidates: Iterable[str]) -> CommandFailedError:
    found = list(candidates)
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return CommandFailedError(f"{text!r} can mean {len(found)} things: {', '.join(found[:_SHOWN])}{rest}", USAGE)
