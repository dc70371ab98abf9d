"""The rows of providers and pins, made from a configuration and from what else is known of it. Pure.

The gateway adds what only it knows (keys, breakers); the command line makes the same rows without, while there is no gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from schemas.config import ECHO, Config, Pin, Provider
from schemas.provider_rows import BreakerRow, PinRow, PinTable, ProviderRow, ProviderTable

_DISABLED = "is disabled (enabled = false)"


def provider_table(
    config: Config,
    file: str,
    *,
    live: bool,
    problems: Mapping[str, str] | None = None,
    breakers: Mapping[str, Sequence[BreakerRow]] | None = None,
) -> ProviderTable:
    """Return every provider, the default one first, the others in the order of the file."""
    names = dict.fromkeys((config.default_provider, *config.providers, ECHO))
    rows = []
    for name in names:
        provider = config.provider(name)
        if provider is not None:
            problem = _problem(provider) if problems is None else problems.get(name, "")
            rows.append(_row(name, provider, config, problem, (breakers or {}).get(name, ())))
    return ProviderTable(config_file=file, live=live, providers=tuple(rows))


def pin_table(config: Config, file: str, now: datetime, *, live: bool, problems: Mapping[str, str] | None = None) -> PinTable:
    """Return every pin in the order of the file; one that does nothing, or not what it says, says why."""
    rows = tuple(_pin_row(pin, _pin_problem(pin, config, now, problems)) for pin in config.pins)
    return PinTable(config_file=file, live=live, pins=rows)


def origin_of(url: str) -> str:
    """Return scheme, host and port of a base URL, without anybody's name and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def rfc3339(moment: datetime) -> str:
    """Write a time as facts and rows do."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _row(name: str, provider: Provider, config: Config, problem: str, breakers: Iterable[BreakerRow]) -> ProviderRow:
    return ProviderRow(
        provider=name,
        origin=origin_of(provider.base_url),
        dialects=provider.dialects,
        auth=provider.auth,
        enabled=provider.enabled,
        default=name == config.default_provider,
        name=provider.name,
        key=provider.key,
        models=provider.models,
        aliases=dict(provider.aliases),
        group=provider.group,
        problem=problem,
        breakers=tuple(breakers),
    )


def _problem(provider: Provider) -> str:
    return "" if provider.enabled else _DISABLED


def _pin_row(pin: Pin, problem: str) -> PinRow:
    return PinRow(
        kind=pin.kind,
        target=pin.target,
        provider=pin.provider,
        model=pin.model,
        on_failure=pin.on_failure,
        expires="" if pin.expires is None else rfc3339(pin.expires),
        problem=problem,
    )


def _pin_problem(pin: Pin, config: Config, now: datetime, problems: Mapping[str, str] | None) -> str:
    if pin.expires is not None and pin.expires <= now:
        return "has expired: it does nothing (tabwire pins prune)"
    provider = config.provider(pin.provider)
    if provider is None:
        problem = "is not configured"
    else:
        problem = _problem(provider) if problems is None else problems.get(pin.provider, "")
        if not problem and pin.model and provider.models and pin.model not in {*provider.models, *provider.aliases}:
            problem = f"does not have the model {pin.model}"
    if not problem:
        return ""
    instead = {
        "fallback": f"requests go to {config.default_provider}, the default",
        "fail": "requests are refused",
        "ask": "requests are refused until you choose",
    }[pin.on_failure]
    return f"{pin.provider} {problem}: {instead}"
