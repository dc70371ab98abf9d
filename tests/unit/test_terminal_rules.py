"""Terminals as a configuration declares them: what is read, and what is refused with its line, key and advice."""

from __future__ import annotations

import pytest

from schemas.config import ConfigError
from schemas.config_reader import parse_config
from schemas.terminals import Opening, Question, Terminal

WHOLE = r"""
[terminals.mine]
program = "mine"
ready = '^>$'
busy = 'esc to stop'
environ = { BASE = "{openai}", OTHER = '{"json": 1}' }
model = ["-m", "{model}"]
window = "tmux"
socket = "/run/tmux"
interrupt = "Escape"

[[terminals.mine.openings]]
pattern = 'Trust\?'
keys = "Down Enter"

[[terminals.mine.questions]]
pattern = 'Run it\?'
yes = "y"
no = "C-c"
"""


def test_a_terminal_is_read() -> None:
    assert parse_config(WHOLE, "c.toml").terminals == {
        "mine": Terminal(
            program="mine",
            ready="^>$",
            busy="esc to stop",
            environ={"BASE": "{openai}", "OTHER": '{"json": 1}'},
            model=("-m", "{model}"),
            window="tmux",
            socket="/run/tmux",
            interrupt="Escape",
            openings=(Opening(pattern=r"Trust\?", keys="Down Enter"),),
            questions=(Question(pattern=r"Run it\?", yes="y", no="C-c"),),
        )
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[terminals.mine]", "[terminals.Mine]", "c.toml:2: terminals.Mine: not an agent's name"),
        ("terminals.mine", "terminals.codex", "terminals.codex: is the name of something that Tabwire knows itself"),
        ("ready =", "redy =", "did you mean 'ready'?"),
        ("ready = '^>$'", "", "terminals.mine.ready: missing"),
        ("'^>$'", "'('", "c.toml:4: terminals.mine.ready: not a regular expression"),
        ("'esc to stop'", "'.*'", "terminals.mine.busy: matches an empty row"),
        ('"mine"\nready', '""\nready', "terminals.mine.program: not a program"),
        ("{openai}", "{opnai}", "{opnai} means nothing (known here: {openai}, {anthropic}, {gemini}, {key})"),
        ("BASE =", '"B SE" =', "cannot be a variable"),
        ('"{model}"', '"model"', "terminals.mine.model: does not say where the model goes"),
        ('"/run/tmux"', '"run/tmux"', "terminals.mine.socket: is not an absolute path"),
        ('"tmux"', '"pty"', 'terminals.mine.socket: is for window = "tmux"'),
        ('"tmux"', '"screen"', "terminals.mine.window: invalid enum value 'screen'"),
        ('"Escape"', '"Esc"', "c.toml:10: terminals.mine.interrupt: 'Esc' is no key"),
        ('"Down Enter"', '"Down Entr"', "c.toml:14: terminals.mine.openings[1].keys: 'Entr' is no key"),
        ('no = "C-c"', "", "c.toml:16: terminals.mine.questions[1].no: missing"),
        ("yes =", "yess =", "terminals.mine.questions[1].yess: unknown key (did you mean 'yes'?)"),
        ("'Run it\\?'", "'x*'", "terminals.mine.questions[1].pattern: matches an empty row"),
    ],
)
def test_a_terminal_that_cannot_be_is_refused(old: str, new: str, said: str) -> None:
    assert old in WHOLE
    with pytest.raises(ConfigError) as refused:
        parse_config(WHOLE.replace(old, new), "c.toml")
    assert said in str(refused.value)


def test_terminals_are_tables() -> None:
    with pytest.raises(ConfigError, match=r"write \[terminals.<name>\]"):
        parse_config("terminals = 1", "c.toml")
