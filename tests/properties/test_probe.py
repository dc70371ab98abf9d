"""Whatever a process declares, the pure parts of the probe neither fail nor claim more than was said."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.probe.agents import AgentFinding, classify, script_argument
from actors.probe.contract import SessionLeader
from actors.probe.terminal import find_terminal
from actors.probe.variables import VARIABLES
from schemas.codec import decode, encode
from schemas.evidence import Evidence, Rank

MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")
LEADERS = st.none() | st.builds(SessionLeader, pid=st.integers(1, 4 << 20), started=st.integers(0))
PLAUSIBLE = st.sampled_from(
    [
        "",
        "0",
        "3",
        "%3",
        "/tmp/t,12,0",
        "8812.work",
        "0xab",
        "ab" * 16,
        "/Sessions/3",
        "vscode",
        "1f2e3d4c-0a1b-2c3d-4e5f-60718293a4b5",
    ]
)
VALUES = st.dictionaries(st.sampled_from(sorted(VARIABLES)), PLAUSIBLE | st.text(st.characters(exclude_characters="\0")))
TTYS = st.none() | st.sampled_from(["pts/0", "tty1", "char/5:1"])
WORDS = st.lists(
    st.sampled_from(["codex", "exec", "-c", "app-server", "--listen", "--", "daemon", "node", "-p", "serve"]) | st.text()
)


@given(VALUES, TTYS, LEADERS)
def test_a_terminal_is_named_or_its_absence_explained(
    variables: dict[str, str], tty: str | None, leader: SessionLeader | None
) -> None:
    finding = find_terminal(variables, tty, leader)
    assert (finding.key is None) == bool(finding.missing)
    assert (finding.key is None) == (finding.used is None)
    for evidence in (*finding.rejected, *((finding.used,) if finding.used else ())):
        assert decode(encode(evidence), Evidence) == evidence
        assert evidence.value.isprintable()
    assert all(evidence.rejected for evidence in finding.rejected)
    assert len(finding.missing) <= 300


@given(VALUES, TTYS, LEADERS)
def test_what_was_set_is_used_or_rejected_or_said_twice(
    variables: dict[str, str], tty: str | None, leader: SessionLeader | None
) -> None:
    finding = find_terminal(variables, tty, leader)
    named = {evidence.note for evidence in finding.rejected} | ({finding.used.note} if finding.used else set())
    for name in ("TMUX", "STY", "ZELLIJ", "KITTY_WINDOW_ID", "WT_SESSION"):
        assert not variables.get(name) or name in named or variables[name] in (variables.get(other) for other in named)


@given(VALUES, TTYS, LEADERS, st.sampled_from(MULTIPLEXERS), st.text(min_size=1))
def test_inside_a_multiplexer_no_window_is_ever_claimed(
    variables: dict[str, str], tty: str | None, leader: SessionLeader | None, multiplexer: str, value: str
) -> None:
    finding = find_terminal({**variables, multiplexer: value}, tty, leader)
    assert finding.key is None or finding.key.partition(":")[0] in ("tmux", "screen", "zellij", "tty")


@given(VALUES, TTYS, LEADERS)
def test_only_the_kernel_names_a_terminal_of_vs_code(
    variables: dict[str, str], tty: str | None, leader: SessionLeader | None
) -> None:
    outside = {name: value for name, value in variables.items() if name not in MULTIPLEXERS}
    finding = find_terminal({**outside, "TERM_PROGRAM": "vscode"}, tty, leader)
    assert finding.used is None or finding.used.rank == Rank.KERNEL


@given(st.text(), WORDS, st.none() | st.text())
def test_any_program_is_classified(exe: str, argv: list[str], script: str | None) -> None:
    classify(exe, argv, script)
    classify("/usr/bin/codex", argv, None)
    classify("/usr/bin/node", argv, f"/x/node_modules/@openai/codex/{script}")
    named = script_argument("/usr/bin/node", argv)
    assert named is None or named in argv


@given(st.sampled_from(["bash", "python3.11", "vim", "grep"]), WORDS)
def test_arguments_alone_never_make_an_agent(name: str, argv: list[str]) -> None:
    assert classify(f"/usr/bin/{name}", argv, None) == AgentFinding("other", "other")


@given(WORDS.filter(lambda words: "--" not in words))
def test_the_managed_daemon_is_never_taken_for_an_app_server_of_one_client(options: list[str]) -> None:
    words = [word for word in options if word.startswith("--")]
    finding = classify("/usr/bin/codex", ["codex", "app-server", *words, "--managed-daemon"], None)
    assert finding.kind not in ("app_server", "tui", "exec")


@pytest.mark.skipif(sys.platform != "linux", reason="the format of an environment block is Linux's")
@given(st.dictionaries(st.text("ABTMUX_PNEW", min_size=1), st.binary().map(lambda raw: raw.replace(b"\0", b""))))
def test_nothing_but_the_variables_that_count_leaves_an_environment_block(environment: dict[str, bytes]) -> None:
    from actors.probe.linux.procfs import parse_variables  # noqa: PLC0415 - exists on Linux only

    block = b"".join(name.encode() + b"=" + value + b"\0" for name, value in environment.items())
    expected = {name: value.decode("utf-8", "backslashreplace") for name, value in environment.items() if name in VARIABLES}
    assert parse_variables(block) == expected
