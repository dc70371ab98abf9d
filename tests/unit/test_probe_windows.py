"""What Windows writes, read without Windows: connection tables, the process table, parameters, environments, command lines."""

from __future__ import annotations

import socket
import struct

import pytest

from actors.probe.by_tuple import ends, plain
from actors.probe.contract import ProbeError
from actors.probe.windows import command_line
from actors.probe.windows.layout import (
    MAX_ENVIRONMENT,
    NATIVE_32,
    NATIVE_64,
    LayoutError,
    Parameters,
    ParametersForm,
    Span,
    text,
    user_id,
    variables,
)
from actors.probe.windows.tables import IPV4, IPV6, End, TableEntry, find_owner, process_table, wall_time_ns

LISTEN, ESTABLISHED, TIME_WAIT = 2, 5, 11


def end4(address: str, port: int) -> End:
    return End(socket.inet_aton(address), struct.pack("!H", port))


def end6(address: str, port: int) -> End:
    return End(socket.inet_pton(socket.AF_INET6, address), struct.pack("!H", port))


def row4(state: int, local: End, remote: End, pid: int) -> bytes:
    ports = (local.port + b"\xaa\xbb", remote.port + b"\xcc\xdd")  # the upper halves may hold anything
    return struct.pack("<I", state) + local.address + ports[0] + remote.address + ports[1] + struct.pack("<I", pid)


def row6(state: int, local: End, remote: End, pid: int) -> bytes:
    return b"".join(
        (
            local.address,
            struct.pack("<I", 1),
            local.port + b"\0\0",
            remote.address,
            struct.pack("<I", 1),
            remote.port + b"\0\0",
            struct.pack("<II", state, pid),
        )
    )


def table(*rows: bytes) -> bytes:
    return struct.pack("<I", len(rows)) + b"".join(rows) + b"\0" * 40


HERE, THERE, ELSEWHERE = end4("127.0.0.1", 8129), end4("127.0.0.1", 50100), end4("127.0.0.2", 50100)


def test_a_connection_is_found_by_all_four_of_its_numbers_and_from_its_own_side() -> None:
    known = table(
        row4(ESTABLISHED, THERE, ELSEWHERE, 1),
        row4(ESTABLISHED, HERE, THERE, 2),
        row4(ESTABLISHED, THERE, HERE, 3),
        row4(ESTABLISHED, ELSEWHERE, HERE, 4),
    )
    assert find_owner(known, IPV4, THERE, HERE) == 3
    assert find_owner(known, IPV4, HERE, THERE) == 2
    assert find_owner(known, IPV4, ELSEWHERE, THERE) is None


@pytest.mark.parametrize(("state", "pid"), [(LISTEN, 7), (TIME_WAIT, 7), (ESTABLISHED, 0)])
def test_what_listens_or_is_over_is_nobody_s_connection(state: int, pid: int) -> None:
    assert find_owner(table(row4(state, THERE, HERE, pid)), IPV4, THERE, HERE) is None


def test_a_row_that_is_over_does_not_hide_the_one_that_lives() -> None:
    assert find_owner(table(row4(TIME_WAIT, THERE, HERE, 0), row4(ESTABLISHED, THERE, HERE, 9)), IPV4, THERE, HERE) == 9


def test_connections_of_ipv6_are_found_too() -> None:
    here, there = end6("::1", 8129), end6("::1", 50100)
    assert find_owner(table(row6(ESTABLISHED, here, there, 5), row6(ESTABLISHED, there, here, 6)), IPV6, there, here) == 6


def test_a_table_that_claims_more_rows_than_it_holds_is_not_believed() -> None:
    with pytest.raises(LayoutError, match="claims 3 rows"):
        find_owner(struct.pack("<I", 3) + row4(ESTABLISHED, THERE, HERE, 3), IPV4, THERE, HERE)
    assert find_owner(b"", IPV4, THERE, HERE) is None


def entry(pid: int, parent: int, created: int, name: str, *, base: int, at: int, last: bool) -> bytes:
    raw = name.encode("utf-16-le")
    size = (104 + len(raw) + 7) & ~7
    body = bytearray(size)
    struct.pack_into("<I", body, 0, 0 if last else size)
    struct.pack_into("<q", body, 32, created)
    struct.pack_into("<HH4xQ", body, 56, len(raw), len(raw), base + at + 104 if raw else 0)
    struct.pack_into("<QQ", body, 80, pid, parent)
    struct.pack_into("<I", body, 100, 2)
    body[104 : 104 + len(raw)] = raw
    return bytes(body)


def test_the_process_table_is_read_to_its_end() -> None:
    base = 0x7FF0_0000_1000
    first = entry(0, 0, 0, "", base=base, at=0, last=False)
    second = entry(44, 4, 133, "Code é.exe", base=base, at=len(first), last=True)
    assert list(process_table(first + second + b"rest", base, 8)) == [
        TableEntry(pid=0, parent=0, created=0, name="", session=2),
        TableEntry(pid=44, parent=4, created=133, name="Code é.exe", session=2),
    ]


def test_a_name_or_an_entry_outside_the_process_table_is_not_believed() -> None:
    raw = entry(44, 4, 133, "x.exe", base=1000, at=0, last=True)
    with pytest.raises(LayoutError, match="a name"):
        list(process_table(raw, 1000 + len(raw), 8))
    with pytest.raises(LayoutError, match="an entry"):
        list(process_table(raw[:100], 1000, 8))


def test_times_count_from_1601() -> None:
    assert wall_time_ns(116_444_736_000_000_000) == 0
    assert wall_time_ns(133_801_632_000_000_001) == 1_735_689_600_000_000_100


def parameters(form: ParametersForm, size: int) -> bytes:
    raw = bytearray(form.size)
    pointer = "<I" if form.width == 4 else "<Q"
    for at, (address, length) in ((form.folder, (0x1000, 12)), (form.command_line, (0x2000, 34))):
        struct.pack_into("<HH", raw, at, length, length + 2)
        struct.pack_into(pointer, raw, at + form.width, address)
    struct.pack_into(pointer, raw, form.environment, 0x3000)
    struct.pack_into(pointer, raw, form.environment_size, size)
    return bytes(raw)


@pytest.mark.parametrize("form", [NATIVE_64, NATIVE_32], ids=["64 bit", "32 bit"])
def test_parameters_are_read_in_both_widths(form: ParametersForm) -> None:
    assert Parameters.parse(parameters(form, 4096), form) == Parameters(
        folder=Span(0x1000, 12), command_line=Span(0x2000, 34), environment=Span(0x3000, 4096)
    )
    with pytest.raises(LayoutError, match="at most"):
        Parameters.parse(parameters(form, MAX_ENVIRONMENT + 2), form)
    with pytest.raises(LayoutError, match="end before"):
        Parameters.parse(parameters(form, 2)[: form.environment_size], form)


def block(*entries: str) -> bytes:
    return "".join(f"{entry}\0" for entry in entries).encode("utf-16-le") + b"\0\0"


def test_of_an_environment_only_what_was_asked_for_is_kept_whatever_its_case() -> None:
    environment = block("=C:=C:\\work", "Path=C:\\bin", "wt_session=one", "WT_SESSION=two", "KEY=secret", "Codex_Home=C:\\c")
    assert variables(environment, {"WT_SESSION", "CODEX_HOME", "TMUX"}) == {"WT_SESSION": "one", "CODEX_HOME": "C:\\c"}


def test_an_environment_ends_at_its_first_empty_entry_and_survives_text_that_is_none() -> None:
    assert variables(block("A=1") + block("B=2"), {"A", "B"}) == {"A": "1"}
    lone = "A=".encode("utf-16-le") + b"\x00\xd8" + "\0\0".encode("utf-16-le")
    assert variables(lone, {"A"}) == {"A": "\\x00\\xd8"}
    assert variables(b"", {"A"}) == {}
    assert text("é".encode("utf-16-le") + b"\x41") == "é\\x41"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ()),
        ("codex.exe", ("codex.exe",)),
        ("codex  resume\t1 ", ("codex", "resume", "1")),
        (r'"C:\Program Files\codex.exe" exec "say hi"', (r"C:\Program Files\codex.exe", "exec", "say hi")),
        (r'"C:\a\"b c', ("C:\\a\\", "b", "c")),
        (r'x "a \"quoted\" word" \\server\share "ends in \\"', ("x", 'a "quoted" word', "\\\\server\\share", "ends in \\")),
        (r'x ""', ("x", "")),
        (r'x "a""b" c', ("x", 'a"b', "c")),
        (r"x a\\\"b", ("x", r"a\"b")),
        (r'x -c model="m"', ("x", "-c", "model=m")),
    ],
)
def test_a_command_line_is_split_as_programs_split_it(line: str, words: tuple[str, ...]) -> None:
    assert command_line.split(line) == words


def test_a_user_is_written_as_windows_writes_it() -> None:
    sid = bytes((1, 5)) + (5).to_bytes(6, "big") + struct.pack("<5I", 21, 1, 2, 3, 1001)
    assert user_id(sid) == "S-1-5-21-1-2-3-1001"
    assert user_id(bytes((1, 1)) + (5).to_bytes(6, "big") + struct.pack("<I", 18)) == "S-1-5-18"
    with pytest.raises(LayoutError, match="cut short"):
        user_id(sid[:-1])


def test_the_ends_of_a_connection_are_written_in_one_way() -> None:
    assert plain(("::ffff:127.0.0.1", 1)) == ("127.0.0.1", 1)
    assert plain(("fe80::1%3", 2)) == ("fe80::1", 2)
    assert ends(("::ffff:127.0.0.1", 1), ("127.0.0.1", 2)) == (("127.0.0.1", 1), ("127.0.0.1", 2))
    with pytest.raises(ProbeError, match="one address family"):
        ends(("::1", 1), ("127.0.0.1", 2))
    with pytest.raises(ProbeError, match="not the end"):
        ends(("localhost", 1), ("127.0.0.1", 2))
