"""A process record of macOS, read without a Mac."""

from __future__ import annotations

import struct

import pytest

from actors.probe.macos.records import SIZE, Record, parse


def record(*, status: int = 2, device: int = 0x1000_0003, name: bytes = b"codex-aarch64-apple-darwin") -> bytes:
    raw = bytearray(SIZE)
    struct.pack_into("=6I", raw, 0, 0x4004, status, 0, 812, 700, 501)
    struct.pack_into("=16s32s", raw, 48, b"codex-aarch64-ap", name)
    struct.pack_into("=I", raw, 108, device)
    struct.pack_into("=QQ", raw, 120, 1_763_700_000, 123_456)
    return bytes(raw)


def test_a_record_is_read() -> None:
    assert parse(record()) == Record(
        pid=812,
        parent=700,
        user=501,
        name="codex-aarch64-apple-darwin",
        started=1_763_700_000_123_456,
        exited=False,
        has_terminal=True,
    )


def test_a_zombie_a_daemon_and_a_short_name_are_told() -> None:
    assert parse(record(status=5)).exited
    assert not parse(record(device=0xFFFF_FFFF)).has_terminal
    assert parse(record(name=b"")).name == "codex-aarch64-ap"


def test_a_record_of_another_size_is_not_believed() -> None:
    with pytest.raises(ValueError, match="135 bytes"):
        parse(record()[:-1])
