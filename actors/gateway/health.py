"""How the providers do, as far as their answers told: circuit breakers, used-up quotas and pauses that were asked for.

Theory of operation
-------------------
Everything is kept for a provider and a model; the model ``""`` is the whole provider. What concerns nobody but the provider
(it cannot be reached, its key is refused) is observed with that empty model; the rest, with the model that was sent. Whoever
asks ``standing`` is told of both.

A *circuit* is closed as long as nothing is kept of it, or only failures that are too few. After ``Breaker.failures`` in a row
it is open for ``open_seconds``, the second time in a row for twice as long, up to ``longest_seconds``. Behind that time it is
half open: ``chosen`` sends one probe out, and while that is out nobody else is let through. Its success closes the circuit and
forgets all; its failure opens it anew. A probe of which nothing is heard is given up after ``PROBE`` seconds. While a circuit
is open, outcomes of requests that began before change nothing.

A *block* is no failure: the provider is well and said until when it wants no requests (Retry-After, a quota's reset). It ends
with its time, and a quota's also with an answer to a request that was sent in spite of it.

The caller's own mistakes are neutral: they only give a probe back.

Times are seconds of the wall clock, since they are kept over restarts and told to people. A clock that was put back is not
believed: an opening or a block that seems to begin in the future has ended.

Pure; every change is a new value. Must not know requests, files, or who is preferred.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from schemas.config import Breaker
from schemas.events import ProviderQuotaObserved, ProviderStateChanged

KEPT: Final = 1024  # circuits, and as many blocks
PROBE: Final = 120.0
QUOTA_RECHECK: Final = 600.0  # a quota that is used up, nobody knows until when, is asked after again this much later
LONGEST_BLOCK: Final = (
    32 * 86_400.0
)  # no window of any provider is longer than a month; a later time is a mistake of its sender
_STEP_BACK: Final = 5.0  # a clock that is put right by so little was not put back
_LINE: Final = 300

Fact = ProviderStateChanged | ProviderQuotaObserved


class Outcome(Struct, frozen=True):
    """What came of one attempt. ``until`` is when the provider wants requests again, as far as it said so.

    ``ok``: it answered well. ``failed``: the provider's fault. ``limited``: too many requests for now. ``quota``: its quota is
    used up. ``neutral``: says nothing about the provider (the caller's mistake, or the caller left).
    """

    provider: str
    model: str
    kind: Literal["ok", "failed", "limited", "quota", "neutral"]
    reason: str = ""
    until: float | None = None


class Circuit(Struct, frozen=True, gc=False):
    """Failures in a row, and how often they opened it; ``until`` 0 is closed, ``probe`` is when one was sent out."""

    failures: int = 0
    opened: int = 0
    since: float = 0.0
    until: float = 0.0
    probe: float = 0.0
    reason: str = ""


_CLOSED: Final = Circuit()


class Block(Struct, frozen=True, gc=False):
    """No requests are wanted ``until`` then; ``tried``: one was sent all the same."""

    kind: Literal["rate", "quota"]
    since: float
    until: float
    reason: str = ""
    tried: bool = False


class Health(Struct, frozen=True):
    """All of it at one moment, by ``provider/model``; not to be changed in place."""

    circuits: dict[str, Circuit] = {}
    blocks: dict[str, Block] = {}


def standing(health: Health, provider: str, model: str, at: float) -> str:
    """Return "" when a provider may be asked for a model, else why not, and until when."""
    if not health.circuits and not health.blocks:
        return ""
    for key in _keys(provider, model):
        if (block := health.blocks.get(key)) is not None and _holds(block.since, block.until, at):
            what = "its quota is used up" if block.kind == "quota" else "it asked for a pause"
            return f"{what} until {shown_time(block.until)}{_because(block.reason)}"[:_LINE]
        circuit = health.circuits.get(key)
        if circuit is None or not circuit.until:
            continue
        times = "once" if circuit.failures == 1 else f"{circuit.failures} times in a row"
        failed = f"it failed {times}{_because(circuit.reason)}"
        if _holds(circuit.since, circuit.until, at):
            return f"{failed} and is passed over until {shown_time(circuit.until)}"[:_LINE]
        if _probing(circuit, at):
            return f"{failed} and is being tried again"[:_LINE]
    return ""


def chosen(health: Health, provider: str, model: str, at: float) -> Health:
    """Note that a request goes to a provider: a circuit that is not closed has its probe out then."""
    if not health.circuits and not health.blocks:
        return health
    for key in _keys(provider, model):
        circuit, block = health.circuits.get(key), health.blocks.get(key)
        if circuit is not None and circuit.until and not _probing(circuit, at):
            health = _with_circuit(health, key, replace(circuit, probe=at))
        if block is not None and not block.tried:
            health = _with_block(health, key, replace(block, tried=True), at)
    return health


def observed(health: Health, rules: Breaker, outcome: Outcome, at: float) -> tuple[Health, tuple[Fact, ...]]:
    """Take the outcome of an attempt; return what is known now, and the facts of what changed."""
    if outcome.kind == "ok" and not health.circuits and not health.blocks:
        return health, ()
    before, own = health, _key(outcome.provider, outcome.model)
    for key in _keys(outcome.provider, outcome.model):
        if outcome.kind == "ok":
            health = _succeeded(health, key, at)
        elif outcome.kind == "failed" and key == own:
            health = _failed(health, rules, key, outcome.reason, at)
        elif outcome.kind == "failed" and key == _key(outcome.provider, "") and _probed(health, key, at):
            health = _without_circuit(health, key)  # that a model fails is an answer of its provider
        else:
            health = _unprobed(health, key)
    facts = transitions(before, health, outcome.provider, outcome.model)
    if outcome.kind in ("limited", "quota"):
        health, fact = _blocked(health, own, outcome, at)
        facts += fact
    return health, facts


def transitions(before: Health, after: Health, provider: str, model: str) -> tuple[Fact, ...]:
    """Say which circuits of a provider and a model are in another state than before."""
    if before is after:
        return ()
    facts: list[Fact] = []
    for key in _keys(provider, model):
        old, new = before.circuits.get(key, _CLOSED), after.circuits.get(key, _CLOSED)
        state = _state(new)
        if state == _state(old) and new.opened == old.opened:
            continue
        facts.append(
            ProviderStateChanged(
                provider=provider[:64],
                state=state,
                model=key.partition("/")[2][:_LINE],
                failures=new.failures,
                until=shown_time(new.until) if state == "open" else "",
                reason=new.reason,
            )
        )
    return tuple(facts)


def revived(health: Health) -> Health:
    """Return what a new process knows from what the one before had saved: nothing comes of its probes."""
    return Health({key: replace(each, probe=0.0) for key, each in health.circuits.items()}, health.blocks)


def shown_time(at: float) -> str:
    """Write a time of the wall clock, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ------------------------------------------------------------------------------------------------------------ circuits


def _succeeded(health: Health, key: str, at: float) -> Health:
    circuit, block = health.circuits.get(key), health.blocks.get(key)
    if circuit is not None and (not circuit.until or circuit.probe or not _holds(circuit.since, circuit.until, at)):
        health = _without_circuit(health, key)
    if block is not None and ((block.kind == "quota" and block.tried) or not _holds(block.since, block.until, at)):
        health = Health(health.circuits, {name: each for name, each in health.blocks.items() if name != key})
    return health


def _failed(health: Health, rules: Breaker, key: str, reason: str, at: float) -> Health:
    circuit = health.circuits.get(key, Circuit())
    if circuit.until and not circuit.probe and _holds(circuit.since, circuit.until, at):
        return health
    failures = circuit.failures + 1
    if not circuit.until and failures < rules.failures:
        return _with_circuit(health, key, replace(circuit, failures=failures, reason=reason[:_LINE]))
    opened = circuit.opened + 1
    until = at + min(rules.open_seconds * opened, rules.longest_seconds)
    return _with_circuit(health, key, Circuit(failures, opened, since=at, until=until, reason=reason[:_LINE]))


def _unprobed(health: Health, key: str) -> Health:
    circuit = health.circuits.get(key)
    return health if circuit is None or not circuit.probe else _with_circuit(health, key, replace(circuit, probe=0.0))


def _probed(health: Health, key: str, at: float) -> bool:
    circuit = health.circuits.get(key)
    return circuit is not None and bool(circuit.until) and _probing(circuit, at)


def _probing(circuit: Circuit, at: float) -> bool:
    return bool(circuit.probe) and _holds(circuit.probe, circuit.probe + PROBE, at)


def _state(circuit: Circuit) -> Literal["closed", "open", "half_open"]:
    if not circuit.until:
        return "closed"
    return "half_open" if circuit.probe else "open"


def _with_circuit(health: Health, key: str, circuit: Circuit) -> Health:
    circuits = {name: each for name, each in health.circuits.items() if name != key}
    if len(circuits) >= KEPT:
        closed = (name for name, each in circuits.items() if not each.until)
        del circuits[next(closed, next(iter(circuits)))]
    circuits[key] = circuit
    return Health(circuits, health.blocks)


def _without_circuit(health: Health, key: str) -> Health:
    return Health({name: each for name, each in health.circuits.items() if name != key}, health.blocks)


# ------------------------------------------------------------------------------------------------------------ blocks


def _blocked(health: Health, key: str, outcome: Outcome, at: float) -> tuple[Health, tuple[Fact, ...]]:
    quota = outcome.kind == "quota"
    until = outcome.until
    if until is None:
        if not quota:
            return health, ()  # too many requests, and nobody said for how long: the next one may find out
        until = at + QUOTA_RECHECK
    until = min(until, at + LONGEST_BLOCK)
    known = health.blocks.get(key)
    if until <= at or (known is not None and _holds(known.since, known.until, at) and known.until > until and not quota):
        return health, ()
    block = Block("quota" if quota else "rate", at, until, outcome.reason[:_LINE])
    health = _with_block(health, key, block, at)
    if not quota or (known is not None and known.kind == "quota" and abs(known.until - until) < QUOTA_RECHECK):
        return health, ()
    fact = ProviderQuotaObserved(
        provider=outcome.provider[:64],
        window=(outcome.reason.partition(" ")[0] or "quota")[:64],
        source="refusal",
        resets_at="" if outcome.until is None else shown_time(until),
        exhausted=True,
    )
    return health, (fact,)


def _with_block(health: Health, key: str, block: Block, at: float) -> Health:
    blocks = {name: each for name, each in health.blocks.items() if name != key and _holds(each.since, each.until, at)}
    if len(blocks) >= KEPT:
        del blocks[min(blocks, key=lambda name: blocks[name].until)]
    blocks[key] = block
    return Health(health.circuits, blocks)


# ------------------------------------------------------------------------------------------------------------ parts


def _holds(since: float, until: float, at: float) -> bool:
    return since - _STEP_BACK <= at < until


def _key(provider: str, model: str) -> str:
    return f"{provider}/{model}"


def _keys(provider: str, model: str) -> tuple[str, ...]:
    return (f"{provider}/", f"{provider}/{model}") if model else (f"{provider}/",)


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""
