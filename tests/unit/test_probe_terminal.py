"""Which terminal a process's variables name: every scheme, every order, every trap of inheritance."""

from __future__ import annotations

import pytest

from actors.probe.contract import SessionLeader
from actors.probe.terminal import VARIABLES, find_terminal
from schemas.evidence import Rank

LEADER = SessionLeader(4121, 145458)
WT = "1f2e3d4c-0a1b-2c3d-4e5f-60718293a4b5"
UUID = "C3D91F33-8E0B-4C52-A0C8-3B9F0A2B9C11"
TMUX = {"TMUX": "/tmp/tmux-1000/default,31337,4", "TMUX_PANE": "%3"}


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        (TMUX, "tmux:/tmp/tmux-1000/default,31337:%3"),
        ({"TMUX": "/tmp/odd,name,31337,4", "TMUX_PANE": "%12"}, "tmux:/tmp/odd,name,31337:%12"),
        ({"STY": "8812.work", "WINDOW": "2"}, "screen:8812.work:2"),
        ({"ZELLIJ": "0", "ZELLIJ_SESSION_NAME": "main", "ZELLIJ_PANE_ID": "7"}, "zellij:main:7"),
        ({"GHOSTTY_SURFACE_ID": "0x00AB12"}, "ghostty:0x00ab12"),
        ({"WARP_TERMINAL_SESSION_UUID": "0123456789abcdef0123456789ABCDEF"}, "warp:0123456789abcdef0123456789abcdef"),
        ({"ITERM_SESSION_ID": f"w0t1p0:{UUID}"}, f"iterm:{UUID.lower()}"),
        ({"KITTY_WINDOW_ID": "3", "KITTY_PID": "900"}, "kitty:900:3"),
        (
            {"WEZTERM_PANE": "4", "WEZTERM_UNIX_SOCKET": "/run/user/1000/wezterm/gui-sock-88"},
            "wezterm:/run/user/1000/wezterm/gui-sock-88:4",
        ),
        ({"KONSOLE_DBUS_SERVICE": ":1.52", "KONSOLE_DBUS_SESSION": "/Sessions/3"}, "konsole::1.52/Sessions/3"),
        (
            {"KONSOLE_DBUS_SERVICE": ":1.52", "KONSOLE_DBUS_SESSION": "/Sessions/3", "SHELL_SESSION_ID": "ab" * 16},
            f"konsole:{'ab' * 16}",
        ),
        ({"GNOME_TERMINAL_SCREEN": f"/org/gnome/Terminal/screen/{UUID.replace('-', '_')}"}, f"gnome:{UUID.lower()}"),
        ({"ALACRITTY_WINDOW_ID": "94371848"}, "alacritty:94371848"),
        ({"TERM_SESSION_ID": UUID, "TERM_PROGRAM": "Apple_Terminal"}, f"apple:{UUID.lower()}"),
        ({"WT_SESSION": WT.upper()}, f"wt:{WT}"),
        ({"WT_SESSION": "not-a-guid"}, "wt:not-a-guid"),
    ],
)
def test_each_terminal_is_named_in_its_own_scheme(variables: dict[str, str], key: str) -> None:
    finding = find_terminal(variables, "pts/3", LEADER)
    assert finding.key == key
    assert finding.missing == ""
    assert finding.rejected == ()
    assert finding.used is not None
    assert finding.used.rank == Rank.PROCESS_DECLARED
    assert finding.used.value == key
    assert finding.used.rejected == ""


def test_a_multiplexer_wins_over_the_tab_that_started_its_server() -> None:
    finding = find_terminal({**TMUX, "WT_SESSION": WT, "KITTY_WINDOW_ID": "1"}, "pts/3", LEADER)
    assert finding.key == "tmux:/tmp/tmux-1000/default,31337:%3"
    assert [(e.note, e.value, bool(e.rejected), e.rank) for e in finding.rejected] == [
        ("KITTY_WINDOW_ID", "1", True, Rank.PROCESS_DECLARED),
        ("WT_SESSION", f"wt:{WT}", True, Rank.PROCESS_DECLARED),
    ]
    assert not any(e.conflict for e in finding.rejected)


def test_a_multiplexer_that_does_not_name_its_pane_leaves_only_the_tty() -> None:
    finding = find_terminal({"TMUX": TMUX["TMUX"], "WT_SESSION": WT}, "pts/3", LEADER)
    assert finding.key == "tty:pts/3:4121:145458"
    assert "TMUX_PANE is not set" in finding.rejected[0].rejected
    assert finding.rejected[1].note == "WT_SESSION"


def test_two_multiplexers_leave_only_the_tty_as_the_inner_one_cannot_be_told() -> None:
    finding = find_terminal({**TMUX, "STY": "8812.work", "WINDOW": "2", "WT_SESSION": WT}, "pts/3", LEADER)
    assert finding.key == "tty:pts/3:4121:145458"
    assert [e.value for e in finding.rejected] == ["tmux:/tmp/tmux-1000/default,31337:%3", "screen:8812.work:2", f"wt:{WT}"]
    assert all("cannot be told" in e.rejected for e in finding.rejected)


def test_vs_code_names_no_terminal_so_the_tty_does() -> None:
    finding = find_terminal({"TERM_PROGRAM": "vscode", "WT_SESSION": WT}, "pts/9", LEADER)
    assert finding.key == "tty:pts/9:4121:145458"
    assert finding.used is not None
    assert finding.used.rank == Rank.KERNEL
    assert "VS Code" in finding.rejected[0].rejected


def test_tmux_inside_vs_code_is_tmux() -> None:
    assert find_terminal({**TMUX, "TERM_PROGRAM": "vscode"}, None, None).key == "tmux:/tmp/tmux-1000/default,31337:%3"


def test_iterm_repeating_its_id_under_apples_name_is_no_contradiction() -> None:
    value = f"w0t1p0:{UUID}"
    finding = find_terminal({"ITERM_SESSION_ID": value, "TERM_SESSION_ID": value}, None, None)
    assert finding.key == f"iterm:{UUID.lower()}"
    assert finding.rejected == ()


def test_the_nearer_emulator_wins_and_the_other_is_reported() -> None:
    finding = find_terminal({"KITTY_WINDOW_ID": "3", "KITTY_PID": "900", "WT_SESSION": WT}, None, None)
    assert finding.key == "kitty:900:3"
    assert [(e.value, e.rejected) for e in finding.rejected] == [(f"wt:{WT}", "kitty is nearer to the process")]


def test_a_name_that_repeats_without_its_other_half_is_passed_over() -> None:
    finding = find_terminal({"KITTY_WINDOW_ID": "3", "WT_SESSION": WT}, None, None)
    assert finding.key == f"wt:{WT}"
    assert finding.rejected[0].rejected == "kitty: KITTY_PID is not set beside it"


@pytest.mark.parametrize(
    ("variables", "tty", "leader", "words"),
    [
        ({}, None, LEADER, ("no terminal variable", "no controlling tty")),
        ({}, "pts/3", None, ("no terminal variable", "shell that opened its tty pts/3 is gone")),
        ({"TERM_PROGRAM": "vscode", "WT_SESSION": WT}, None, None, ("WT_SESSION", "no controlling tty")),
    ],
)
def test_no_terminal_is_said_in_words(
    variables: dict[str, str], tty: str | None, leader: SessionLeader | None, words: tuple[str, ...]
) -> None:
    finding = find_terminal(variables, tty, leader)
    assert finding.key is None
    assert finding.used is None
    assert all(word in finding.missing for word in words)


@pytest.mark.parametrize("value", ["\x1b[31mred", "a\nb", "x" * 5000, "\u202eevil"])
def test_a_hostile_value_is_neither_a_key_nor_fit_to_drive_a_screen(value: str) -> None:
    finding = find_terminal({"WT_SESSION": value}, None, None)
    assert finding.key is None
    assert finding.rejected[0].value.isprintable()
    assert len(finding.rejected[0].value) <= 300


def test_an_empty_variable_counts_as_not_set() -> None:
    assert find_terminal({"TMUX": "", "TMUX_PANE": "%1", "WT_SESSION": WT}, None, None).key == f"wt:{WT}"


def test_only_names_of_terminals_are_ever_read() -> None:
    assert {"TMUX_PANE", "WT_SESSION", "TERM_PROGRAM", "SHELL_SESSION_ID"} <= VARIABLES
    assert not any("KEY" in name or "TOKEN" in name or "SECRET" in name for name in VARIABLES)
