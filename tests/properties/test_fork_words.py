"""What a fork server is asked, answers, and what a child is told, for any words that a system can hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.supervisor.fork_words import (
    LENGTH,
    MAX_PACKET,
    decode_answer,
    decode_command,
    decode_surroundings,
    encode_command,
    encode_pid,
    encode_refusal,
    encode_surroundings,
)

WORDS = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b""))
NAMES = WORDS.map(lambda raw: raw.replace(b"=", b"")).filter(bool)


@given(st.lists(WORDS, min_size=1))
def test_a_command_is_read_as_it_was_written(command: list[bytes]) -> None:
    assert decode_command(encode_command(command)) == command


@given(WORDS, st.dictionaries(NAMES, WORDS))
def test_surroundings_are_read_as_they_were_written_and_say_how_long_they_are(
    folder: bytes, environ: dict[bytes, bytes]
) -> None:
    written = encode_surroundings(folder, environ)
    length, body = written[:LENGTH], written[LENGTH:]
    assert int.from_bytes(length, "big") == len(body)
    assert decode_surroundings(body) == (folder, environ)


@given(st.integers(1, 2**22))
def test_a_pid_is_one(pid: int) -> None:
    assert decode_answer(encode_pid(pid)) == pid


@given(st.text(max_size=200))
def test_a_refusal_is_never_taken_for_a_pid(reason: str) -> None:
    answer = decode_answer(encode_refusal(reason))
    assert isinstance(answer, str)
    assert answer == reason.encode(errors="replace").decode()


def test_a_refusal_fits_into_its_packet() -> None:
    assert len(encode_refusal("ä" * MAX_PACKET)) == MAX_PACKET
