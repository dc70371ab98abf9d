"""Where a request goes: who decides, which providers may stand in, and why each other one is not asked.

Theory of operation
-------------------
One wish decides (``wishes``). Alternatives exist only where they were configured. The wanted provider comes first; then,
unless the wish is a pin that says ``fail`` or ``ask``, the providers of its group in the order of the file, and last the
default provider with its group. A pin that says ``fail`` or ``ask`` means its provider and no other, not even one of its group.

A candidate is passed over *for good* when it is not configured, disabled, without a key, does not serve the dialect, does not
have the model, is stopped by a budget, or must not be sent what another account encrypted; and *for now* when its circuit is
open or its quota is used up. When all that could be asked are passed over for now, the first of them is asked all the same:
a breaker never ejects the last one.

Content that only one account can read (``Wanted.owner`` answered last) is left out for other accounts, or keeps the
conversation to that account, or refuses the request, as ``failover.encrypted_content`` says. An owner that is not known
restricts nothing. ``SEVERAL`` is the owner of a conversation that was stripped once: its older reasoning belongs to other
accounts than its newer, so all of it is left out from then on.

Most requests come to a gateway of which nothing of all this is true: no pin, no launch's wish, no budget, nobody unwell. Then a
decision depends on the dialect and the model alone, and a ``Table`` remembers it (``usual``).

Pure: the same arguments always give the same decision. Must not know requests, keys or sockets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.gateway.health import Health, standing
from actors.gateway.route_terms import SEVERAL, Asker, Choice, Decision, Listing, Table, Wanted
from actors.gateway.spending import GO_ON, Verdict
from actors.gateway.wishes import DEFAULT, Wish, pin_text, wish_of
from schemas.events import Candidate, Dialect, PinDecisionNeeded

_LINE: Final = 300
_WORD: Final = 64
_USUAL: Final = 256  # decisions that are remembered
_STANDS_IN: Final = "stands in if the one before it fails"
_UNTYPED: Final = ("openai.other", "unknown")


class _Case(Struct, frozen=True):
    """Everything that one decision is made from."""

    wish: Wish
    wanted: Wanted
    table: Table
    health: Health
    verdict: Verdict
    at: float


def route(  # noqa: PLR0917 - who asks, for what, and everything that has a say in it
    asker: Asker, wanted: Wanted, table: Table, health: Health, verdict: Verdict, now: float
) -> Decision:
    """Decide where a request goes; ``now`` is in seconds of the wall clock."""
    if table.index or verdict is not GO_ON or health.circuits or health.blocks or asker.launch is not None or wanted.bound:
        return _route(asker, wanted, table, health, verdict, now)
    key = (wanted.dialect, wanted.seen.model)
    decision = table.usual.get(key)
    if decision is None:
        decision = _route(asker, wanted, table, health, verdict, now)
        if len(table.usual) >= _USUAL:
            table.usual.clear()
        table.usual[key] = decision
    return decision


def _route(  # noqa: PLR0917 - as above
    asker: Asker, wanted: Wanted, table: Table, health: Health, verdict: Verdict, now: float
) -> Decision:
    if verdict.stop:
        # The code is none of OpenAI's own: for `budget_reached` Codex shows words of its own instead of the reason.
        return Decision((), (), verdict.stop[:_LINE], refusal=verdict.stop, code="budget_spent")
    wish, expired = wish_of(asker, table, verdict, now)
    case = _Case(wish, wanted, table, health, verdict, now)
    order = tuple(_order(case))
    looked = {name: _look(case, name) for name, _ in order}
    chosen = [name for name, (good, later) in looked.items() if not good and not later]
    preferred = order[0][0]
    if wish.on_failure == "ask" and preferred not in chosen:
        others = _others(case, preferred)
        if looked[preferred][0] or others:
            return _ask(asker, case, looked, others, expired)
    insisted = not chosen and next((name for name, (good, _) in looked.items() if not good), "")
    if insisted:
        chosen = [insisted]
    if not chosen:
        return _refused(case, looked, expired)
    reason = _reason(case, dict(order), looked, chosen[0], expired)
    candidates = tuple(_candidate(case, name, looked[name], chosen) for name, _ in order)
    return Decision(tuple(_choice(case, name) for name in chosen), candidates, reason[:_LINE], pin_text(wish.pin))


# ------------------------------------------------------------------------------------------------------------ who is asked


def _order(case: _Case) -> Iterator[tuple[str, str]]:
    """Go through the candidates in order, each with the reason why it is one; each comes once."""
    seen: set[str] = set()
    names = _keeping(case) if case.wanted.bound and case.table.failover.encrypted_content == "keep" else _wanted(case)
    for name, reason in names:
        if name not in seen:
            seen.add(name)
            yield name, reason
            instead = case.verdict.instead.get(name) if case.verdict.instead else None
            if instead is not None and instead not in seen and case.wish.on_failure == "fallback":
                seen.add(instead)
                yield instead, f"takes the place of {name}, whose budget is spent"


def _wanted(case: _Case) -> Iterator[tuple[str, str]]:
    wish, default = case.wish, case.table.default
    yield wish.provider, wish.reason
    if wish.on_failure != "fallback":
        return
    yield from _group(case.table, wish.provider)
    if wish.provider != default and not case.verdict.switch_to:
        yield default, DEFAULT
        yield from _group(case.table, default)


def _group(table: Table, name: str) -> Iterator[tuple[str, str]]:
    own = table.listings.get(name)
    if own is not None and own.group:
        for other, listing in table.listings.items():
            if listing.group == own.group and other != name:
                yield other, f"stands in for {name} (group {own.group})"


def _keeping(case: _Case) -> Iterator[tuple[str, str]]:
    """Put those first that can read what is in the request; a pin that allows no other provider stays alone."""
    wanted = tuple(_wanted(case))
    owner, listings = case.wanted.owner, case.table.listings
    if case.wish.on_failure == "fallback" and owner != SEVERAL:
        yield from (each for each in wanted if each[0] in listings and listings[each[0]].account == owner)
        for name, listing in listings.items():
            if listing.account == owner:
                yield name, f"only account {owner} can read what is encrypted in this conversation"
    yield from wanted


def _look(case: _Case, name: str) -> tuple[str, str]:
    """Return why a candidate is passed over for good, and why for now; empty where it is not."""
    listing = case.table.listings.get(name)
    if listing is None:
        return f"no provider {name!r} is configured", ""
    model = _model(case, name, listing)
    problem = listing.problem or _unable(case, listing, model)
    if not problem and case.verdict.providers:
        problem = case.verdict.providers.get(name, "")
    return problem, "" if problem else standing(case.health, name, model or "", case.at)


def _unable(case: _Case, listing: Listing, model: str | None) -> str:
    """Say why a provider cannot take this request, well as it may be."""
    dialect = case.wanted.dialect
    if not _serves(listing, dialect):
        return f"does not serve {dialect}"
    if model is not None and listing.models and model not in listing.models and dialect not in _UNTYPED:
        return f"does not have the model {model!r}"
    return _unreadable(case, listing) if case.wanted.bound else ""


def _serves(listing: Listing, dialect: Dialect) -> bool:
    """Tell whether a provider serves a dialect; paths of no known dialect are OpenAI's."""
    if dialect in listing.dialects:
        return True
    return dialect in _UNTYPED and any(each.startswith("openai.") for each in listing.dialects)


def _model(case: _Case, name: str, listing: Listing) -> str | None:
    """Return the model that a provider would be sent."""
    asked = case.wanted.seen.model
    if name == case.wish.provider and case.wish.model and case.wanted.dialect not in _UNTYPED:
        return case.wish.model
    return None if asked is None else listing.aliases.get(asked, asked)


def _foreign(case: _Case, listing: Listing) -> bool:
    return case.wanted.bound and listing.account != case.wanted.owner


def _unreadable(case: _Case, listing: Listing) -> str:
    """Say what of another account stands in the way, by the rule for encrypted content."""
    if not _foreign(case, listing) or case.wanted.owner == SEVERAL:
        return ""
    seen, rule = case.wanted.seen, case.table.failover.encrypted_content
    whose = f"account {case.wanted.owner} alone can read what is encrypted in this conversation"
    if rule != "strip":
        return f"{whose} (failover.encrypted_content = {rule!r})"
    if seen.compaction or seen.previous_response:
        what = "a compacted past" if seen.compaction else "a past that is kept there (previous_response_id)"
        return f"{whose}, and {what} cannot be left out"
    return ""


def _choice(case: _Case, name: str) -> Choice:
    listing = case.table.listings[name]
    model = _model(case, name, listing)
    strip = case.wanted.seen.encrypted > 0 and _foreign(case, listing) and case.table.failover.encrypted_content == "strip"
    return Choice(name, None if model == case.wanted.seen.model else model, strip)


# ------------------------------------------------------------------------------------------------------------ what is said


def _reason(case: _Case, why: Mapping[str, str], looked: Mapping[str, tuple[str, str]], name: str, expired: str) -> str:
    text = why[name]
    if looked[name][1]:
        text += f"; asked all the same, as nothing else is left: {looked[name][1]}"
    else:
        for other, (good, later) in looked.items():
            if other == name:
                break
            text += f"; passed over {other}: {good or later}"
    if case.verdict.reason:
        text += f"; {case.verdict.reason}"
    return text + expired


def _candidate(case: _Case, name: str, look: tuple[str, str], chosen: list[str]) -> Candidate:
    good, later = look
    skipped = "" if chosen[0] == name else _STANDS_IN if name in chosen else good or later
    listing = case.table.listings.get(name)
    model = None if listing is None or good else _model(case, name, listing)
    return Candidate(provider=name[:_WORD], skipped=skipped[:_LINE], model=(model or "")[:_LINE])


def _refused(case: _Case, looked: Mapping[str, tuple[str, str]], expired: str) -> Decision:
    candidates = tuple(_candidate(case, name, look, [""]) for name, look in looked.items())
    wish, dialect = case.wish, case.wanted.dialect
    told = "; ".join(f"{name}: {good}" for name, (good, _) in looked.items())
    code = "no_provider"
    if all(good == f"does not serve {dialect}" for good, _ in looked.values()):
        code, told = "dialect_not_served", f"{told}; {_would_serve(case)}"
    if wish.pin is not None and wish.on_failure == "fail":
        text = f"{pin_text(wish.pin)} is pinned to {wish.provider}, which cannot take this request ({told})"
        text += "; change or remove the pin (tabwire pin, tabwire unpin), or let it fall back (--on-failure fallback)"
        code = "pin_failed"
    else:
        text = f"no provider can take this request ({told})"
    reason = f"{text}{expired}"[:_LINE]
    return Decision((), candidates, reason, pin_text(wish.pin), text + expired, code)


def _would_serve(case: _Case) -> str:
    able = [name for name, one in case.table.listings.items() if not one.problem and _serves(one, case.wanted.dialect)]
    if able:
        return f"{' and '.join(able[:3])} would: pin this session to it with `tabwire pin`, or set default_provider"
    return f"no configured provider does: add {case.wanted.dialect!r} to the dialects of one that speaks it"


def _others(case: _Case, preferred: str) -> tuple[str, ...]:
    """Name those that could take the request if the pin allowed it."""
    open_case = replace(case, wish=replace(case.wish, on_failure="fallback"))
    names = (name for name, _ in _order(open_case) if name != preferred)
    return tuple(name[:_WORD] for name in names if _look(open_case, name) == ("", ""))


def _ask(asker: Asker, case: _Case, looked: Mapping[str, tuple[str, str]], others: tuple[str, ...], expired: str) -> Decision:
    wish, pin = case.wish, case.wish.pin
    assert pin is not None  # noqa: S101 - only pins ask
    name, (good, later) = next(iter(looked.items()))
    why = good or later
    text = f"{pin_text(pin)} is pinned to {wish.provider}, which cannot take this request ({why}), and you are to decide: "
    choices = "".join(f"`tabwire pin {pin.target} {other}`, " for other in others[:3])
    text += f"{choices}`tabwire unpin {pin.target}`, or wait for {wish.provider}"
    needed = PinDecisionNeeded(
        kind=pin.kind,
        target=pin.target,
        provider=wish.provider[:_WORD],
        reason=why[:_LINE],
        session=asker.session,
        alternatives=others,
    )
    candidates = (_candidate(case, name, (good, later), [""]),)
    reason = f"{text}{expired}"[:_LINE]
    return Decision((), candidates, reason, pin_text(pin), text + expired, "pin_undecided", needed)
