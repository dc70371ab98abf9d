"""Which terminal a process belongs to: a pure reading of its terminal variables, its tty and its session leader.

Theory of operation
-------------------
Terminals name their tabs and panes in environment variables, and environments are inherited: a variable names *ancestry*.
Everything started from a Windows Terminal tab carries its ``WT_SESSION``, a tmux pane carries the one of whichever tab
started the *server*. So the readings are tried in order of how close to the process they must be:

1. multiplexers (tmux, GNU screen, zellij) sit inside whatever window is named otherwise;
2. VS Code names none of its terminals, so everything else in its environment came from outside: only the tty is left;
3. terminal emulators, in a fixed order;
4. the controlling tty with its session leader, which the kernel says itself.

Two multiplexers at once, or one that names itself badly, leave only the tty: which of them is the inner one cannot be told
from an environment. Everything that was passed over is reported as rejected evidence.

Must not know how any of this is read, nor what a terminal is worth as evidence beyond its rank.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actors.probe.contract import SessionLeader
from schemas.evidence import Evidence, Rank
from schemas.identity import IdentityError, TerminalKey, terminal_key

Variables = Mapping[str, str]

_MAX_VALUE = 300
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_PANE = re.compile(r"%[0-9]{1,10}")
_GNOME_SCREEN = re.compile(r"/org/gnome/Terminal/screen/([0-9A-Fa-f_]{36})")
_KONSOLE_SESSION = re.compile(r"/Sessions/[0-9]{1,10}")
_HEX32 = re.compile(r"[0-9A-Fa-f]{32}")
_GHOSTTY_SURFACE = re.compile(r"0x[0-9A-Fa-f]{1,16}")


class _UnusableError(ValueError):
    """The variables of a terminal are set and do not name one; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class TerminalFinding:
    """The terminal, or why there is none in words for the user; ``used`` proves the key, ``rejected`` was passed over."""

    key: TerminalKey | None
    missing: str
    used: Evidence | None
    rejected: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class _Scheme:
    """One kind of terminal: the variable that shows it, the others that its name needs, and how the name is read."""

    name: str
    title: str
    variable: str
    read: Callable[[Variables], str]
    others: tuple[str, ...] = ()


def _need(variables: Variables, name: str, form: re.Pattern[str] | None = None) -> str:
    value = variables.get(name, "")
    if not value:
        raise _UnusableError(f"{name} is not set beside it")
    if form is not None and not form.fullmatch(value):
        raise _UnusableError(f"{name} does not have the form that this terminal gives it")
    return value


def _tmux(variables: Variables) -> str:
    socket, _, rest = variables["TMUX"].rpartition(",")[0].rpartition(",")
    if not socket or not _NUMBER.fullmatch(rest):
        raise _UnusableError("TMUX is not socket,pid,session")
    return f"{socket},{rest}:{_need(variables, 'TMUX_PANE', _PANE)}"


def _screen(variables: Variables) -> str:
    return f"{variables['STY']}:{_need(variables, 'WINDOW', _NUMBER)}"


def _zellij(variables: Variables) -> str:
    return f"{_need(variables, 'ZELLIJ_SESSION_NAME')}:{_need(variables, 'ZELLIJ_PANE_ID', _NUMBER)}"


def _ghostty(variables: Variables) -> str:
    return _need(variables, "GHOSTTY_SURFACE_ID", _GHOSTTY_SURFACE).lower()


def _warp(variables: Variables) -> str:
    return _need(variables, "WARP_TERMINAL_SESSION_UUID", _HEX32).lower()


def _iterm(variables: Variables) -> str:
    """Keep the UUID: the window, tab and pane numbers before it repeat."""
    return _uuid(variables["ITERM_SESSION_ID"].rpartition(":")[2], "ITERM_SESSION_ID")


def _kitty(variables: Variables) -> str:
    """Add the process, as windows are counted anew in each."""
    return f"{_need(variables, 'KITTY_PID', _NUMBER)}:{_need(variables, 'KITTY_WINDOW_ID', _NUMBER)}"


def _wezterm(variables: Variables) -> str:
    return f"{_need(variables, 'WEZTERM_UNIX_SOCKET')}:{_need(variables, 'WEZTERM_PANE', _NUMBER)}"


def _konsole(variables: Variables) -> str:
    """Prefer the random id: D-Bus names repeat after each login."""
    if _HEX32.fullmatch(variables.get("SHELL_SESSION_ID", "")):
        return variables["SHELL_SESSION_ID"].lower()
    return f"{_need(variables, 'KONSOLE_DBUS_SERVICE')}{_need(variables, 'KONSOLE_DBUS_SESSION', _KONSOLE_SESSION)}"


def _gnome(variables: Variables) -> str:
    match = _GNOME_SCREEN.fullmatch(variables["GNOME_TERMINAL_SCREEN"])
    if match is None:
        raise _UnusableError("GNOME_TERMINAL_SCREEN is not a screen of GNOME Terminal")
    return _uuid(match[1].replace("_", "-"), "GNOME_TERMINAL_SCREEN")


def _alacritty(variables: Variables) -> str:
    return _need(variables, "ALACRITTY_WINDOW_ID", _NUMBER)


def _apple(variables: Variables) -> str:
    return _uuid(variables["TERM_SESSION_ID"], "TERM_SESSION_ID")


def _windows(variables: Variables) -> str:
    """Write a GUID in lower case, and take other names as they are: the form is documented nowhere."""
    value = variables["WT_SESSION"]
    return value.lower() if _UUID.fullmatch(value) else value


def _uuid(value: str, variable: str) -> str:
    if not _UUID.fullmatch(value):
        raise _UnusableError(f"{variable} holds no UUID")
    return value.lower()


_MULTIPLEXERS = (
    _Scheme("tmux", "tmux", "TMUX", _tmux, ("TMUX_PANE",)),
    _Scheme("screen", "GNU screen", "STY", _screen, ("WINDOW",)),
    _Scheme("zellij", "zellij", "ZELLIJ", _zellij, ("ZELLIJ_SESSION_NAME", "ZELLIJ_PANE_ID")),
)
_EMULATORS = (
    _Scheme("ghostty", "Ghostty", "GHOSTTY_SURFACE_ID", _ghostty),
    _Scheme("warp", "Warp", "WARP_TERMINAL_SESSION_UUID", _warp),
    _Scheme("iterm", "iTerm2", "ITERM_SESSION_ID", _iterm),
    _Scheme("kitty", "kitty", "KITTY_WINDOW_ID", _kitty, ("KITTY_PID",)),
    _Scheme("wezterm", "WezTerm", "WEZTERM_PANE", _wezterm, ("WEZTERM_UNIX_SOCKET",)),
    _Scheme("konsole", "Konsole", "KONSOLE_DBUS_SESSION", _konsole, ("KONSOLE_DBUS_SERVICE", "SHELL_SESSION_ID")),
    _Scheme("gnome", "GNOME Terminal", "GNOME_TERMINAL_SCREEN", _gnome),
    _Scheme("alacritty", "Alacritty", "ALACRITTY_WINDOW_ID", _alacritty),
    _Scheme("apple", "macOS Terminal", "TERM_SESSION_ID", _apple),
    _Scheme("wt", "Windows Terminal", "WT_SESSION", _windows),
)
_PROGRAM = "TERM_PROGRAM"
_VSCODE = "vscode"

VARIABLES = frozenset(
    name for scheme in (*_MULTIPLEXERS, *_EMULATORS) for name in (scheme.variable, *scheme.others)
) | frozenset((_PROGRAM,))


def find_terminal(variables: Variables, tty: str | None, leader: SessionLeader | None) -> TerminalFinding:
    """Name the terminal of a process from ``ProcessFacts.variables``, ``.tty`` and ``.leader``."""
    shown = [scheme for scheme in (*_MULTIPLEXERS, *_EMULATORS) if variables.get(scheme.variable)]
    multiplexers = [scheme for scheme in shown if scheme in _MULTIPLEXERS]
    rejected: list[Evidence] = []
    if len(multiplexers) > 1:
        reason = f"inside {' and '.join(scheme.title for scheme in multiplexers)}; which is the inner one cannot be told"
        rejected = [_passed_over(scheme, variables, reason) for scheme in shown]
    elif not multiplexers and variables.get(_PROGRAM) == _VSCODE:
        reason = "VS Code names none of its terminals; this was inherited from where it was started"
        rejected = [_passed_over(scheme, variables, reason) for scheme in shown]
    else:
        candidates = multiplexers or shown
        for scheme in candidates:
            try:
                key = terminal_key(scheme.name, scheme.read(variables))
            except (_UnusableError, IdentityError) as error:
                rejected.append(_unusable(scheme, variables, str(error)))
                continue
            used = Evidence(
                rank=Rank.PROCESS_DECLARED, kind="environment", proves="terminal", value=_clean(key), note=scheme.variable
            )
            reason = f"{scheme.title} is nearer to the process"
            others = [other for other in shown if other not in candidates[: candidates.index(scheme) + 1]]
            rejected += [_passed_over(other, variables, reason) for other in others if not _is_echo(scheme, other, variables)]
            return TerminalFinding(key, "", used, tuple(rejected))
        if multiplexers:
            reason = f"inside {multiplexers[0].title}, so it names where that was started"
            rejected += [_passed_over(scheme, variables, reason) for scheme in shown if scheme not in multiplexers]
    return _by_tty(tty, leader, tuple(rejected))


def _by_tty(tty: str | None, leader: SessionLeader | None, rejected: tuple[Evidence, ...]) -> TerminalFinding:
    because = "no terminal variable names its tab"
    if rejected:
        because = f"its terminal variables do not tell its tab ({', '.join(evidence.note for evidence in rejected)})"
    if tty is None:
        return TerminalFinding(None, _clean(f"{because}, and it runs without a terminal (no controlling tty)"), None, rejected)
    if leader is None:
        return TerminalFinding(None, _clean(f"{because}, and the shell that opened its tty {tty} is gone"), None, rejected)
    key = terminal_key("tty", f"{tty}:{leader.pid}:{leader.started}")
    used = Evidence(rank=Rank.KERNEL, kind="controlling tty", proves="terminal", value=key, note="tty and session leader")
    return TerminalFinding(key, "", used, rejected)


def _is_echo(chosen: _Scheme, other: _Scheme, variables: Variables) -> bool:
    """Tell whether a variable says the same again, as iTerm2 sets ``TERM_SESSION_ID`` too."""
    return variables[chosen.variable] == variables[other.variable]


def _passed_over(scheme: _Scheme, variables: Variables, reason: str) -> Evidence:
    try:
        value = f"{scheme.name}:{scheme.read(variables)}"
    except _UnusableError as error:
        return _unusable(scheme, variables, str(error))
    return _rejected(scheme, value, reason)


def _unusable(scheme: _Scheme, variables: Variables, reason: str) -> Evidence:
    return _rejected(scheme, variables[scheme.variable], f"{scheme.title}: {reason}")


def _rejected(scheme: _Scheme, value: str, reason: str) -> Evidence:
    return Evidence(
        rank=Rank.PROCESS_DECLARED,
        kind="environment",
        proves="terminal",
        value=_clean(value),
        note=scheme.variable,
        rejected=_clean(reason),
    )


def _clean(text: str) -> str:
    """Make foreign text fit for a line on a screen: no control characters, bounded."""
    line = text
    if not text.isprintable():
        line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return line if len(line) <= _MAX_VALUE else f"{line[: _MAX_VALUE - 1]}…"
