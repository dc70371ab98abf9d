"""How the ledger is told to people: what the figures mean and what they do not say."""

from __future__ import annotations

from typing import Any

import pytest

from actors.cli.failures import CommandFailedError
from actors.cli.usage import notes, show_usage
from schemas.events import Usage
from schemas.provider_rows import UsageRow, UsageTable
from schemas.rows import AsOf

AS_OF = AsOf(epoch="e", position=7, time="2026-11-21T01:00:00Z")


def table(**total: Any) -> UsageTable:
    row = UsageRow(key="total", usage=Usage(), **total)
    return UsageTable(as_of=AS_OF, by="session", rows=(), total=row)


def test_what_has_no_price_or_is_told_differently_or_by_files_alone_is_said() -> None:
    said = notes(table(unpriced=1, from_transcripts=2, differing=1, cancellations=3))
    assert said == [
        '1 response without a price: set [providers.<id>.prices."<model>"] in config.toml',
        "2 responses known from the agents' own files alone (agent:…)",
        "1 response is told differently by request and file: see --audit",
        "3 requests cancelled; what was used until then is counted",
        "as of position 7; days are those of UTC on which a response was recorded",
    ]


def test_nothing_more_is_said_where_there_is_nothing_to_say() -> None:
    assert notes(table()) == ["as of position 7; days are those of UTC on which a response was recorded"]


@pytest.mark.parametrize(("by", "since", "said"), [("colour", None, "choose one of"), ("day", "21.11.2026", "is no day")])
def test_a_mistake_is_said_before_anything_is_asked(by: str, since: str | None, said: str) -> None:
    with pytest.raises(CommandFailedError, match=said) as failed:
        show_usage(by=by, since=since, session=None, audit=False, json=False)
    assert failed.value.code == 2
