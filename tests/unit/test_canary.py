"""The search for made-up keys finds what is there, wherever it stands in a file, and nothing that may be there."""

from __future__ import annotations

import os
from pathlib import Path

from tests import canary

MARK = b"a-mark-of-this-test"


def test_a_mark_is_found_wherever_it_stands(tmp_path: Path) -> None:
    places = [0, 1, 500, (1 << 20) - 1, (1 << 20) - len(MARK) + 1, 3 << 20]
    for place in places:
        (tmp_path / str(place)).write_bytes(b"x" * place + MARK + b"y")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "it").write_bytes(MARK)
    (tmp_path / "nothing").write_bytes(MARK[:-1])
    found = {path.name for path in canary.hits(tmp_path, [MARK])}
    assert found == {str(place) for place in places} | {"it"}


def test_what_may_hold_a_key_and_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    for name in ("own.key", "tokens", "auth.json"):
        (tmp_path / name).write_bytes(MARK)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "own.key")
    assert list(canary.hits(tmp_path, [MARK])) == []
