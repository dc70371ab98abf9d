"""Which channel leads to an agent in the user's own terminal, and what is said where none does: playbooks and one property."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bridges.attaching import Evidence, NoChannelError, choose
from schemas.identity import ConversationKey, ProcessKey, SessionId, TerminalKey
from schemas.rows import SessionRow

PROCESS = ProcessKey("host", "boot", 77, 1)
HOME = {"HOME": "/home/ada"}
DAEMON = ("codex", "app-server", "--listen", "unix://", "--managed-daemon")


def row(**more: Any) -> SessionRow:
    given: dict[str, Any] = {
        "session": SessionId("codex-01a1"),
        "agent": "codex",
        "provisional": False,
        "verdict": "verified",
        "activity": "idle",
        "first_seen": "2026-11-21T10:00:00Z",
        "last_seen": "2026-11-21T10:00:00Z",
        "conversation": ConversationKey("codex:01a1"),
        "process": PROCESS,
        "process_kind": "daemon",
        **more,
    }
    return SessionRow(**given)


def evidence(argv: tuple[str, ...] = DAEMON, variables: dict[str, str] | None = None, **more: Any) -> Evidence:
    return Evidence(row=row(**more), argv=argv, variables=HOME if variables is None else variables)


def refused(known: Evidence) -> NoChannelError:
    with pytest.raises(NoChannelError) as caught:
        choose(known)
    return caught.value


@pytest.mark.parametrize(
    ("argv", "variables", "socket"),
    [
        (DAEMON, HOME, "/home/ada/.codex/app-server-control/app-server-control.sock"),
        (DAEMON, {**HOME, "CODEX_HOME": "/c/"}, "/c/app-server-control/app-server-control.sock"),
        (("codex", "app-server", "--listen", "unix:///run/x.sock"), {}, "/run/x.sock"),
        (("codex", "app-server", "--listen=unix:///run/x.sock"), HOME, "/run/x.sock"),
    ],
)
def test_an_app_server_is_joined_at_the_socket_that_it_listens_on(
    argv: tuple[str, ...], variables: dict[str, str], socket: str
) -> None:
    way = choose(evidence(argv, variables))
    assert (way.channel, way.process, way.socket) == ("app-server", PROCESS, socket)


PANE = TerminalKey("tmux:/tmp/tmux-0/default,19:%3")
CLAUDE: dict[str, Any] = {
    "session": SessionId("codex-01a1"),
    "agent": "claude",
    "conversation": ConversationKey("claude:01a1"),
    "process_kind": "tui",
    "terminal": PANE,
}
ROLLOUT = "/home/ada/.codex/sessions/rollout.jsonl"


def test_a_codex_without_the_daemon_is_reached_by_its_own_queue() -> None:
    known = Evidence(row=row(process_kind="tui", transcript=ROLLOUT), exe="/opt/codex", variables=HOME)
    way = choose(known)
    assert (way.channel, way.program, way.home, way.transcript) == ("queue", "/opt/codex", "/home/ada/.codex", ROLLOUT)


def test_claude_code_is_typed_to_in_a_pane_that_is_surely_its_own() -> None:
    way = choose(evidence(("claude",), **CLAUDE))
    assert (way.channel, way.socket, way.server, way.pane) == ("tmux", "/tmp/tmux-0/default", 19, "%3")
    assert way.home == "/home/ada/.claude"
    assert choose(evidence(("claude",), {**HOME, "CLAUDE_CONFIG_DIR": "/c"}, **CLAUDE)).home == "/c"


@pytest.mark.parametrize(
    ("known", "code", "words"),
    [
        (evidence(conversation=None), "not_identified", "first prompt"),
        (evidence(activity="gone"), "gone", "--agent codex --resume 01a1"),
        (evidence(process=None), "gone", "no process"),
        (evidence(declared=True), "unproven", "one request through the gateway"),
        (Evidence(row=row(), unseen="it is another user's"), "unseen", "another user's"),
        (evidence(("codex", "app-server")), "no_socket", "pipe of whoever started it"),
        (evidence(("codex", "app-server", "--listen", "ws://127.0.0.1:9")), "no_socket", "ws://127.0.0.1:9"),
        (evidence(("codex", "app-server", "--listen", "unix://x.sock")), "no_socket", "whole path"),
        (evidence(variables={}), "no_home", "home folder"),
        (evidence(variables={"CODEX_HOME": "relative"}), "no_home", "home folder"),
        (evidence(process_kind="exec"), "no_channel", "--resume 01a1"),
        (evidence(agent="opencode", process_kind="tui"), "no_channel", "opencode"),
        (evidence(process_kind="tui"), "too_early", "first prompt"),
        (evidence(process_kind="tui", transcript=ROLLOUT), "unseen", "queue"),
        (evidence(**{**CLAUDE, "terminal": TerminalKey("wt:1")}), "no_pane", "it runs in wt:1; run it in tmux"),
        (evidence(**{**CLAUDE, "terminal": None}, terminal_missing="no tty"), "no_pane", "not known (no tty)"),
        (evidence(**CLAUDE, verdict="unverified"), "unproven", "not proven"),
        (Evidence(row=row(**CLAUDE), variables=HOME, not_there="it runs something else"), "no_pane", "something else"),
        (evidence(variables={}, **CLAUDE), "no_home", "home folder"),
    ],
)
def test_a_refusal_says_what_is_missing(known: Evidence, code: str, words: str) -> None:
    error = refused(known)
    assert error.code == code
    assert words in error.reason
    assert error.reason.startswith("codex-01a1: ")


@given(
    argv=st.lists(st.one_of(st.text(), st.sampled_from(["--listen", "unix://", "unix:///x", "--", "app-server", "-c"]))),
    variables=st.dictionaries(st.sampled_from(["HOME", "CODEX_HOME"]), st.text()),
    transcript=st.sampled_from([None, ROLLOUT]),
    kind=st.sampled_from(["tui", "exec", "app_server", "daemon", "mcp", "wrapper", "other"]),
    agent=st.sampled_from(["codex", "claude", "gemini", "other"]),
    verdict=st.sampled_from(["verified", "unverified"]),
    declared=st.booleans(),
    activity=st.sampled_from(["active", "idle", "gone"]),
    terminal=st.sampled_from([None, "tmux:/s,1:%3", "tmux:/s,1", "tty:x", "wt:1"]),
)
def test_whatever_is_known_only_a_living_proven_process_is_joined(
    argv: list[str], variables: dict[str, str], kind: str, terminal: str | None, **more: Any
) -> None:
    key = None if terminal is None else TerminalKey(terminal)
    at = row(process_kind=kind, terminal=key, **more)
    known = Evidence(row=at, argv=tuple(argv), variables=variables, exe="/x")
    try:
        way = choose(known)
    except NoChannelError as error:
        said = (error.code, error.reason)
    else:
        assert way.process == PROCESS
        assert not more["declared"]
        assert more["activity"] != "gone"
        assert way.channel == "queue" or way.socket.startswith("/")
        assert way.channel != "tmux" or more["verdict"] == "verified"
        return
    assert all(said)
