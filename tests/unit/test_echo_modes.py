"""The grammar of echo directives and control requests, case by case."""

from __future__ import annotations

import re

import pytest

from actors.echo.control import parse_next
from actors.echo.directive import mode_of_request, obey_directives, parse_mode, read_directives
from actors.echo.exchanges import Waiting
from actors.echo.mode import ECHO, Fault, Mode, ModeError, show_mode
from actors.echo.plan import Asked

GOOD = {
    "status=503 retry-after=2": Mode(status=503, headers=(("retry-after", "2"),)),
    'tool="echo hi"': Mode(tool="echo hi"),
    r'call=spawn namespace=many arguments="{\"a\": 1}"': Mode(call="spawn", namespace="many", arguments='{"a": 1}'),
    "cut=3 pace=50ms words=200": Mode(fault=Fault("cut", 3), pace=0.05, words=200),
    "cut=head": Mode(fault=Fault("cut", None)),
    "reset=head wait=1.5s": Mode(fault=Fault("reset", None), wait=1.5),
    "silence=0": Mode(fault=Fault("silence", 0)),
    "end=2 join": Mode(fault=Fault("end", 2), join=True),
    "garbage=1 split=7": Mode(fault=Fault("garbage", 1), split=7),
    'failed=server_error message="try again in 2.5s"': Mode(failed="server_error", message="try again in 2.5s"),
    r'say="a \"b\" ]\n\\c"': Mode(say='a "b" ]\n\\c'),
    'say=""': Mode(say=""),
    'header="x-a: 1" header="x-b:2"': Mode(headers=(("x-a", "1"), ("x-b", "2"))),
    "input=10 cached=4 output=2 reasoning=1": Mode(input=10, cached=4, output=2, reasoning=1),
    "usage=no": Mode(usage=False),
    "wait=1m": Mode(wait=60.0),
    "": ECHO,
}

BAD = {
    "stauts=503": "unknown name 'stauts'; known: arguments, body, bytes",
    "status=5": "status: expected a whole number from 200 to 599",
    "status=abc": "status: expected a whole number",
    "words=1 bytes=2": "words and bytes exclude each other",
    "cut=1 silence=2": "cut and silence exclude each other",
    "status=500 failed=x": "status and failed exclude each other",
    "pace=fast": "pace: expected a duration",
    "wait=2h": "wait: expected a duration",
    "wait=61m": "wait: expected a duration up to 3600 s",
    "cut=never": "cut: expected a whole number",
    'header="no colon"': "header: expected 'name: value'",
    'header="Content-Length: 3"': "not about framing",
    'header="a: b\\nc: d"': "header: expected 'name: value'",
    "say=": 'say= has no value; write say=""',
    'say="x': "a quoted value is not closed",
    "join=maybe": "join: expected nothing, yes or no",
    "words=2 words=3": "words: given twice",
    "deltas=9 bytes=3": "deltas: 9 pieces cannot be made of 3 bytes",
    "=3": "expected a name before '='",
    '"quoted"': "expected a name",
    "say=a]": "must be quoted",
}


@pytest.mark.parametrize(("text", "mode"), GOOD.items())
def test_a_mode_is_read(text: str, mode: Mode) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize(("text", "problem"), BAD.items())
def test_a_mode_that_cannot_be_played_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ModeError, match=re.escape(problem)):
        parse_mode(text)


def test_directives_are_taken_out_of_the_text() -> None:
    text, modes = read_directives("say [echo words=3] hello [echo]")
    assert text == "say hello"
    assert modes == (Mode(words=3), ECHO)


@pytest.mark.parametrize("text", ["[echoes]", "[ECHO status=500]", "[echo-status]", "echo status=503", "[ref:1]"])
def test_what_is_no_directive_stays(text: str) -> None:
    assert read_directives(text) == (text, ())


def test_an_unclosed_directive_is_refused() -> None:
    with pytest.raises(ModeError, match="not closed with"):
        read_directives("hello [echo words=3")


def test_the_error_quotes_the_directive() -> None:
    with pytest.raises(ModeError, match=r"\[echo wrods=3\]: unknown name 'wrods'"):
        read_directives("hello [echo wrods=3] there")


def test_directives_are_for_the_requests_of_a_turn_in_order() -> None:
    _, modes = read_directives('[echo tool="a"][echo cut=2 tool="b"]')
    assert [mode_of_request(modes, n).tool for n in range(4)] == ["a", "b", None, None]
    assert mode_of_request(modes, 3).fault == Fault("cut", 2)
    assert mode_of_request((), 0) == ECHO


def test_a_title_request_does_not_obey_the_prompt_it_repeats() -> None:
    asked, modes = obey_directives(Asked(model="m", stream=True, kind="title", text="fix it [echo status=500]"))
    assert (asked.text, modes) == ("fix it", ())
    asked, modes = obey_directives(Asked(model="m", stream=True, kind="title", text="fix it [echo nonsense]"))
    assert (asked.text, modes) == ("fix it [echo nonsense]", ())


def test_control_takes_objects_texts_and_lists() -> None:
    body = b"""[{"mode": {"status": 503, "header": ["a: 1", "b: 2"], "wait": 0.5}},
                {"mode": "cut=head", "session": "s", "count": 2}]"""
    assert parse_next(body) == (
        Waiting(mode=Mode(status=503, headers=(("a", "1"), ("b", "2")), wait=0.5)),
        Waiting(mode=Mode(fault=Fault("cut", None)), session="s", count=2),
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "not JSON"),
        (b"3", "expected {"),
        (b'{"mode": 3}', "mode: expected a text"),
        (b'{"mode": "", "sesion": ""}', "unknown field 'sesion'; known: mode, session, kind, count"),
        (b'{"mode": "", "kind": "chat"}', "kind: expected one of turn, title, compaction, auxiliary, any"),
        (b'{"mode": "", "count": 0}', "count: expected a whole number"),
        (b'{"mode": "", "count": true}', "count: expected a whole number"),
        (b'{"mode": "", "session": 3}', "session: expected a text"),
        (b'{"mode": {"status": {}}}', "status: expected a text or a number"),
        (b'{"mode": {"usage": "perhaps"}}', "usage: expected nothing, yes or no"),
    ],
)
def test_control_refuses_with_the_reason(body: bytes, problem: str) -> None:
    with pytest.raises(ModeError, match=problem):
        parse_next(body)


def test_shown_modes_hold_no_text() -> None:
    mode = parse_mode('say="secret words" cut=3 message="more secrets" failed=x')
    assert show_mode(mode) == {
        "say": "(12 characters)",
        "cut": 3,
        "message": "(12 characters)",
        "failed": "x",
    }
    assert show_mode(ECHO) == {}
