"""The ledger as it is read: sums by one key, what they cost, and single responses with what each source told. Pure.

A provisional id that became a conversation is counted for the conversation; what was auxiliary stays with the id of its process
or launch, so that a conversation's sum is exactly that of its responses. A request that came from no known folder counts for
the folder that its session's file names.

Costs are those of the prices that come with the question. What a cell used is priced as a whole, since a price is the same for
every token of its kind; what has no price is counted, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from actors.registry import judgement
from actors.registry.ledger import BEFORE, Cell, Tokens, standing
from actors.registry.state import State
from actors.registry.usage import now
from schemas.config import Price
from schemas.events import Usage
from schemas.identity import SessionId
from schemas.prices import cost, price_of
from schemas.provider_rows import UsageRecord, UsageRow, UsageTable
from schemas.rows import AsOf

By = Literal["session", "provider", "model", "project", "day"]
Prices = Mapping[str, Mapping[str, Price]]
MOST_RECORDS: Final = 1_000
_TOTAL: Final = "total"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for: sums by ``by``, of the days from ``since`` on, of one session; and ``audit`` single responses."""

    by: By = "session"
    since: str = ""
    session: str = ""
    audit: int = 0


class _Sum:
    """One row in the making."""

    __slots__ = ("cell", "unpriced", "usd")

    def __init__(self) -> None:
        self.cell = Cell(("", "", "", "", "", False))
        self.usd: float | None = None
        self.unpriced = 0

    def add(self, cell: Cell, price: Price | None) -> None:
        """Add a cell."""
        self.cell.sum(cell)
        if price is not None:
            self.usd = (self.usd or 0.0) + cost(price, cell.input, cell.cached_input, cell.output)
        else:
            self.unpriced += cell.responses

    def row(self, key: str) -> UsageRow:
        """Return the row."""
        cell = self.cell
        return UsageRow(
            key=key,
            usage=Usage(
                input=cell.input,
                cached_input=cell.cached_input,
                output=cell.output,
                reasoning=cell.reasoning,
                total=cell.total,
            ),
            responses=cell.responses,
            requests=cell.requests,
            failures=cell.failures,
            cancellations=cell.cancellations,
            from_transcripts=cell.transcribed,
            differing=cell.differing,
            cost_usd=None if self.usd is None else round(self.usd, 6),
            unpriced=self.unpriced,
        )


def usage_table(state: State, question: Question, prices: Prices, at: AsOf, limit: int) -> UsageTable:
    """Return the sums, the costliest first, at most ``limit`` of them; ``question.session`` is a whole id."""
    sums: dict[str, _Sum] = {}
    total = _Sum()
    name = _NAMES[question.by]
    for cell in _asked_for(state, question):
        price = price_of(prices.get(cell.key[2], {}), cell.key[3])
        key = name(state, cell)
        if key not in sums:
            sums[key] = _Sum()
        sums[key].add(cell, price)
        total.add(cell, price)
    rows = sorted((held.row(key) for key, held in sums.items()), key=_order(question.by))
    return UsageTable(
        as_of=at,
        by=question.by,
        rows=tuple(rows[:limit]),
        total=total.row(_TOTAL),
        omitted=max(0, len(rows) - limit),
        before=state.ledger.before,
        records=_records(state, question) if question.audit else (),
    )


def _asked_for(state: State, question: Question) -> Iterator[Cell]:
    for cell in state.ledger.cells.values():
        day = cell.key[0]
        if question.since and (day == BEFORE or day < question.since):
            continue
        if question.session and question.session != _session(state, cell):
            continue
        yield cell


def _session(state: State, cell: Cell) -> str:
    name = SessionId(cell.key[1])
    return name if cell.key[5] else judgement.canonical(state, name)


def _project(state: State, cell: Cell) -> str:
    if cell.key[4] or not cell.key[1]:
        return cell.key[4]
    transcript = state.transcripts.get(judgement.canonical(state, SessionId(cell.key[1])))
    folders = [] if transcript is None else [file.cwd for file in transcript.files.values() if file.cwd]
    return folders[0] if folders else ""


_NAMES: Final[dict[By, Callable[[State, Cell], str]]] = {
    "session": _session,
    "provider": lambda _, cell: cell.key[2],
    "model": lambda _, cell: cell.key[3],
    "project": _project,
    "day": lambda _, cell: cell.key[0],
}


def _order(by: By) -> Callable[[UsageRow], tuple[float, float, str]]:
    """Sort days by time, the latest first; anything else by cost, then by tokens."""
    if by == "day":
        return lambda row: (float(row.key == BEFORE), -float("".join(filter(str.isdigit, row.key)) or 0), row.key)
    return lambda row: (-(row.cost_usd or 0.0), -float(row.usage.total), row.key)


def _records(state: State, question: Question) -> tuple[UsageRecord, ...]:
    """Return the last responses, those first of which two sources disagree."""
    differing: list[UsageRecord] = []
    others: list[UsageRecord] = []
    most = min(question.audit, MOST_RECORDS)
    for (_, name), known in reversed(state.responses.items()):
        cell = standing(known.cell)
        if question.since and (cell.key[0] == BEFORE or cell.key[0] < question.since):
            continue
        if question.session and question.session != _session(state, cell):
            continue
        apart = known.asked is not None and known.read is not None and known.asked != known.read
        found = differing if apart else others
        if len(found) < most:
            found.append(
                UsageRecord(
                    response=name.partition("\0")[0],
                    session=SessionId(_session(state, cell)),
                    day=cell.key[0],
                    provider=cell.key[2],
                    model=cell.key[3],
                    usage=_usage(now(known)),
                    request_usage=None if known.asked is None else _usage(known.asked),
                    transcript_usage=None if known.read is None else _usage(known.read),
                    differing=apart,
                )
            )
    return tuple((differing + others)[:most])


def _usage(tokens: Tokens) -> Usage:
    return Usage(input=tokens[0], cached_input=tokens[1], output=tokens[2], reasoning=tokens[3], total=tokens[4])
