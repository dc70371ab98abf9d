"""Redaction, and pipes that nobody reads."""

from __future__ import annotations

import os

import pytest

from actors.runtime.logging import redact, register_secret
from actors.runtime.pipe import LinePipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer …"),
        ("key sk-proj-0123456789abcdef here", "key sk-… here"),
        ("/s/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/v1/responses", "/s/…/v1/responses"),
        ('{"api_key":"0123456789"}', '{"api_key":"…"}'),
        ("nothing secret, task-force, /s/short/", "nothing secret, task-force, /s/short/"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_registered_secret_is_taken_out_in_every_spelling() -> None:
    register_secret('quo"ted\\secret')
    assert redact('a quo"ted\\secret, and in JSON: "quo\\"ted\\\\secret"') == 'a …, and in JSON: "…"'


def test_a_short_secret_is_refused_because_it_would_blot_out_words() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        register_secret("abc")


def test_a_full_pipe_makes_nobody_wait_and_the_newest_lines_are_dropped() -> None:
    reading, writing = os.pipe()
    pipe = LinePipe(writing, capacity=1000)
    line = b"x" * 99 + b"\n"
    written = 0
    while pipe.write(line):
        written += 1
    assert pipe.dropped == 1
    received = os.read(reading, 1 << 20)
    pipe.flush()
    received += os.read(reading, 1 << 20)
    assert received == line * written
    assert pipe.idle
    os.close(reading)
    assert pipe.write(line)  # its reader is gone, which it notices now
    assert not pipe.write(line)
    os.close(writing)
