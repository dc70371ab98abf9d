"""What is told of a changed configuration: names of keys, never values, and what needs a restart."""

from __future__ import annotations

import pytest

from actors.gateway.differences import MOST, after_restart, changed
from schemas.config_reader import parse_config

A = '[providers.a]\nbase_url = "http://a/v1"\nkey = "env:A"\n'
B = '[providers."b"]\nbase_url = "http://b/v1"\nauth = "none"\n'


@pytest.mark.parametrize(
    ("before", "after", "names", "restart"),
    [
        (A, A, (), ()),
        (A, f"{A}# a comment\n", (), ()),
        (A, A.replace("env:A", "env:B"), ("providers.a.key",), ()),
        (A, A + B, ("providers.b added",), ()),
        (A + B, A, ("providers.b removed",), ()),
        (A + B, f'default_provider = "a"\n{B}{A}', ("the order of providers",), ()),
        (A + B, f'default_provider = "b"\n{A}{B}', ("default_provider",), ()),
        (A, f"{A}models = ['m']\nheaders = {{ x = 'secret' }}\n", ("providers.a.headers", "providers.a.models"), ()),
        (A, f"{A}[failover]\nattempts = 1\n", ("failover.attempts",), ()),
        (A, f"{A}[gateway]\nsession_requests = 5\n", ("gateway.session_requests",), ()),
        (A, f"{A}[gateway]\nport = 5\nconnections = 9\n", ("gateway.port", "gateway.connections"), None),
        (A, f"{A}[echo]\nport = 5\n[journal]\nmax_age_days = 3\n", ("echo.port", "journal.max_age_days"), None),
        (A, f'{A}[[pins]]\nsession = "codex-1"\nprovider = "a"\n', ("pins",), ()),
        (A, f'{A}[[budgets]]\nname = "x"\nusd = 1\n', ("budgets",), ()),
        (A, "", ("default_provider", "providers.a removed"), ("echo (if it was not started)",)),
    ],
)
def test_changes_are_named(before: str, after: str, names: tuple[str, ...], restart: tuple[str, ...] | None) -> None:
    old, new = parse_config(before, "c"), parse_config(after, "c")
    assert set(changed(old, new)) == set(names)
    assert set(after_restart(old, new)) == set(names if restart is None else restart)
    assert "secret" not in repr(changed(old, new))


def test_a_key_that_is_another_behind_the_same_reference_is_named_once() -> None:
    old = parse_config(A, "c")
    assert changed(old, old, ("a",)) == ("providers.a.key",)
    assert changed(old, parse_config(A.replace("env:A", "env:B"), "c"), ("a",)) == ("providers.a.key",)


def test_many_changes_are_bounded() -> None:
    many = "".join(f'[providers.p{number}]\nbase_url = "http://a"\nauth = "none"\n' for number in range(100))
    told = changed(parse_config(A, "c"), parse_config(A + many, "c"))
    assert len(told) == MOST + 1
    assert told[-1] == f"and {100 - MOST} more"
