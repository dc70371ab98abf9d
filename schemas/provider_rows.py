"""Rows about providers, as commands answer them: what they are and what is left of them, where requests go, what they cost.

Fields are only ever added. Must not know how a row is computed (``actors.registry``, ``actors.gateway``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from schemas.events import Candidate, Usage
from schemas.evidence import Evidence
from schemas.identity import SessionId, TerminalKey
from schemas.rows import AsOf


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRow:
    """One quota window of a provider as it was last told; ``source`` is ``header``, ``refusal`` or ``transcript``.

    ``reset``: the time of its reset has passed since it was told, so that nothing is known to be used of it.
    """

    provider: str
    window: str
    observed: str
    source: str
    used_percent: float | None = None
    limit: int | None = None
    remaining: int | None = None
    minutes: int | None = None
    resets_at: str = ""
    exhausted: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaTable:
    """Every quota window that is known, exhausted ones first, then by provider."""

    as_of: AsOf
    quotas: tuple[QuotaRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow:
    """A circuit breaker that is not simply closed; ``model`` is empty for the whole provider."""

    state: Literal["closed", "open", "half_open"]
    model: str = ""
    failures: int = 0
    until: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """A provider: what is configured (``key`` is the reference), whether it can take requests, and what its breakers say.

    ``origin`` is scheme, host and port. ``problem`` is empty when requests can go there; without a running gateway it is what
    the configuration alone tells.
    """

    provider: str
    origin: str
    dialects: tuple[str, ...]
    auth: str
    enabled: bool
    default: bool = False
    name: str = ""
    key: str = ""
    models: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    group: str = ""
    problem: str = ""
    breakers: tuple[BreakerRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTable:
    """Every provider, the default one first; ``live`` says whether the gateway itself answered."""

    config_file: str
    live: bool
    providers: tuple[ProviderRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRow:
    """A pin; ``problem`` says why it does nothing now, or what it would do instead (empty when it is in force)."""

    kind: Literal["session", "terminal", "project"]
    target: str
    provider: str
    model: str = ""
    on_failure: Literal["fallback", "fail", "ask"] = "fallback"
    expires: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinTable:
    """Every pin in the order of the file."""

    config_file: str
    live: bool
    pins: tuple[PinRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePlan:
    """Where a request would go now, and why; ``candidates`` in the order in which they would be tried or were passed over."""

    provider: str | None
    reason: str
    model: str | None = None
    pin: str = ""
    candidates: tuple[Candidate, ...] = ()
    budgets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What one session, provider, model, project or day used: every response once.

    ``from_transcripts`` of the responses were told by an agent's own file alone; of ``differing`` ones the file and the request
    told different figures, and the higher ones count. ``cost_usd`` is the sum over those with a configured price; ``unpriced``
    counts the others. ``failures`` counts attempts, so a request that was retried can have several.
    """

    key: str
    usage: Usage
    responses: int = 0
    requests: int = 0
    failures: int = 0
    cancellations: int = 0
    from_transcripts: int = 0
    cost_usd: float | None = None
    unpriced: int = 0
    differing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """One response in the ledger: what counts of it, and what its request and its transcript told each."""

    response: str
    session: SessionId
    day: str
    provider: str
    model: str
    usage: Usage
    request_usage: Usage | None = None
    transcript_usage: Usage | None = None
    differing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTable:
    """The ledger at one point of the journal, the costliest first; ``omitted`` rows did not fit into the answer.

    ``before``: days through this one are kept as one sum, without session and project (empty: none are). ``records`` are the
    last responses, disagreements first, where they were asked for; ``prices`` says why costs may be out of date.
    """

    as_of: AsOf
    by: Literal["session", "provider", "model", "project", "day"]
    rows: tuple[UsageRow, ...]
    total: UsageRow
    omitted: int = 0
    before: str = ""
    records: tuple[UsageRecord, ...] = ()
    prices: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One try of a past request: where it was sent and why, who else was looked at, what was changed, what came of it."""

    attempt: int
    time: str
    position: int
    provider: str
    reason: str
    pin: str = ""
    sent_model: str | None = None
    candidates: tuple[Candidate, ...] = ()
    changes: tuple[str, ...] = ()
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTrace:
    """The whole way of one past request, from the journal; ``evidence`` is who sent it, every statement used or not."""

    request: str
    received: str
    method: str = ""
    path: str = ""
    dialect: str = ""
    session: SessionId | None = None
    terminal: TerminalKey | None = None
    cwd: str | None = None
    agent: str = ""
    evidence: tuple[Evidence, ...] = ()
    requested_model: str | None = None
    served_model: str | None = None
    attempts: tuple[AttemptRow, ...] = ()
    outcome: str = "in flight"
    status: int | None = None
