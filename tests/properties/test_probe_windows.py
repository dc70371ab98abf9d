"""Whatever bytes Windows, or a process on it, writes: they are read as what they are, or refused in our own words."""

from __future__ import annotations

import contextlib
import struct
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from actors.probe.windows import command_line
from actors.probe.windows.layout import NATIVE_32, NATIVE_64, LayoutError, Parameters, ParametersForm, Width, user_id, variables
from actors.probe.windows.tables import IPV4, End, find_owner, process_table
from actors.probe.windows.wsl import parse_distributions, parse_processes

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(exclude_characters="\0=", exclude_categories=["Cs"]), min_size=1, max_size=12)
PROGRAMS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8).map("C:\\{}.exe".format)
ENDS = st.builds(End, st.binary(min_size=4, max_size=4), st.binary(min_size=2, max_size=2))


@given(PROGRAMS, st.lists(WORDS.filter(lambda word: not set(word) & set("\n\r\v\f")), max_size=6))
def test_what_python_quotes_for_a_windows_program_comes_back_as_it_was(program: str, arguments: list[str]) -> None:
    assert command_line.split(subprocess.list2cmdline([program, *arguments])) == (program, *arguments)


@given(st.text(max_size=60))
def test_any_command_line_can_be_split(line: str) -> None:
    assert all(isinstance(word, str) for word in command_line.split(line))


@given(st.dictionaries(NAMES.filter(lambda name: name.upper().lower() == name.lower()), WORDS, max_size=8), st.data())
def test_a_variable_is_found_in_any_case_and_nothing_else_is_kept(environment: dict[str, str], data: st.DataObject) -> None:
    raw = "".join(f"{name}={value}\0" for name, value in environment.items()).encode("utf-16-le") + b"\0\0"
    wanted = data.draw(st.sets(st.sampled_from(sorted(environment)), max_size=3)) if environment else set()
    found = variables(raw, {name.upper() for name in wanted})
    assert set(found) <= {name.upper() for name in wanted}
    for name in wanted:
        first = next(value for other, value in environment.items() if other.upper() == name.upper())
        assert found[name.upper()] == first


@given(st.binary(max_size=400), st.sampled_from([NATIVE_64, NATIVE_32]))
def test_no_bytes_break_the_reading_of_a_process(raw: bytes, form: ParametersForm) -> None:
    for read in (lambda: Parameters.parse(raw.ljust(form.size, raw[:1] or b"\0"), form), lambda: user_id(raw)):
        with contextlib.suppress(LayoutError):
            read()
    assert variables(raw, {"A"}).keys() <= {"A"}


@given(st.binary(max_size=600), st.integers(0, 2**48), st.sampled_from([4, 8]))
def test_no_bytes_break_the_reading_of_the_process_table(raw: bytes, base: int, width: Width) -> None:
    with contextlib.suppress(LayoutError):
        assert all(entry.pid >= 0 for entry in process_table(raw, base, width))


@given(st.lists(st.tuples(ENDS, ENDS, st.integers(1, 2**32 - 1)), max_size=12), ENDS, ENDS)
def test_the_owner_is_that_of_the_first_row_with_these_ends(rows: list[tuple[End, End, int]], here: End, there: End) -> None:
    raw = struct.pack("<I", len(rows)) + b"".join(
        struct.pack("<I", 5) + a.address + a.port + b"\0\0" + b.address + b.port + b"\0\0" + struct.pack("<I", pid)
        for a, b, pid in rows
    )
    for source, destination in [(here, there), *((a, b) for a, b, _ in rows)]:
        expected = next((pid for a, b, pid in rows if (a, b) == (source, destination)), None)
        assert find_owner(raw, IPV4, source, destination) == expected


@given(st.binary(max_size=200))
def test_whatever_wsl_says_is_read(raw: bytes) -> None:
    assert all(name.isascii() for name in parse_distributions(raw))
    assert all(process.pid >= 0 for process in parse_processes("x", raw))
