"""The shape of the tests: what they share stands in plain modules, and who runs beside whom is said of files that there are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests import conftest

TESTS = Path(__file__).resolve().parents[1]


def imported(file: Path) -> Iterator[str]:
    """Yield the dotted name of every module that a file may mean, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_is_imported_from_a_test() -> None:
    """What two tests need stands in a module of its own, so that a test that is moved or renamed breaks no other."""
    tests = {".".join(("tests", *file.relative_to(TESTS).with_suffix("").parts)) for file in TESTS.rglob("test_*.py")}
    wrong = [
        f"{file.relative_to(TESTS)} imports {name}"
        for file in sorted(TESTS.rglob("*.py"))
        for name in imported(file)
        if name in tests or name.rpartition(".")[0] in tests
    ]
    assert wrong == []


def test_what_sees_the_whole_computer_is_there() -> None:
    """A test that is moved must be named again, or it runs beside others that it sees (``tests/conftest.py``)."""
    files = [str(file.relative_to(TESTS)) for file in TESTS.rglob("test_*.py")]
    named = (*conftest.OF_THE_WHOLE_COMPUTER, *conftest.BY_THEMSELVES)
    assert [name for name in named if not any(file.startswith(name) for file in files)] == []
