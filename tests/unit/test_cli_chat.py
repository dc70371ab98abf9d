"""What the words and options of ``tabwire chat`` mean, what a new session gets of this shell, what is said of histories."""

from __future__ import annotations

import pytest

from actors.cli.chat import Start, read_words
from actors.cli.chat_deeds import footer, heading
from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.variables import own_variables
from schemas.bridge_rows import BridgeRow, History, Turn
from schemas.identity import LaunchId, SessionId

WHEN = "2026-11-21T12:00:00Z"


@pytest.mark.parametrize(
    ("words", "start", "meant"),
    [
        ((), Start(), ("", "")),
        (("codex-01a1",), Start(), ("codex-01a1", "")),
        (("codex-01a1", "say hi"), Start(), ("codex-01a1", "say hi")),
        (("say hi",), Start(agent="claude"), ("", "say hi")),
        (("say hi",), Start(cwd="/work"), ("", "say hi")),
        ((), Start(model="gpt-6"), ("", "")),
    ],
)
def test_a_word_is_a_session_unless_a_new_one_is_wanted(words: tuple[str, ...], start: Start, meant: tuple[str, str]) -> None:
    assert read_words(words, start) == meant


@pytest.mark.parametrize(("words", "start"), [(("a", "b", "c"), Start()), (("say", "hi"), Start(agent="claude"))])
def test_more_words_are_a_mistake(words: tuple[str, ...], start: Start) -> None:
    with pytest.raises(CommandFailedError, match="quote") as caught:
        read_words(words, start)
    assert caught.value.code == USAGE


def test_a_new_session_gets_no_key_of_this_shell() -> None:
    here = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "XDG_CONFIG_HOME": "/c", "OPENAI_API_KEY": "sk-1", "TMUX": "x"}
    own = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "XDG_CONFIG_HOME": "/c"}
    assert own_variables(here, ()) == own
    assert own_variables(here, ("TMUX", "A=b=c", "PATH=/mine")) == {**own, "TMUX": "x", "A": "b=c", "PATH": "/mine"}
    with pytest.raises(CommandFailedError, match="--env NONE: it is not set here"):
        own_variables(here, ("NONE",))


def test_a_history_says_where_it_is_from() -> None:
    session, turn = SessionId("codex-1"), Turn(turn="t", started=WHEN, pieces=())
    assert footer(History(session=session, source="none", turns=(), note="it never began")) == "no past turns: it never began"
    told = History(session=session, source="bridge", turns=(turn,), before="t")
    assert footer(told) == "from what was seen since it was started; there are earlier ones (/history N)"
    assert footer(History(session=session, source="transcript", turns=(turn,))) == "from the agent's own transcript"


def test_a_session_is_introduced_without_what_controls_a_terminal() -> None:
    row = BridgeRow(
        launch=LaunchId("launch-1"),
        session=SessionId("codex-1"),
        agent="codex",
        cwd="/w\x1b[2J",
        status="idle",
        status_since=WHEN,
        created=WHEN,
        last_used=WHEN,
        model="gpt-6",
    )
    assert heading(row) == "codex-1: codex, model gpt-6, in /w\\x1b[2J (/help, /quit)"
