"""Where a request goes: preferences in order of weight, each candidate with the reason why it was skipped or chosen.

Pure: (preferences, providers) → decision. A preference is what a launch or, later, a pin asks for; the global default is
the last of them. Must not know requests, keys or sockets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from schemas.events import Candidate

_LINE: Final = 300


class Preference(Struct, frozen=True):
    """One wish for a provider, and whose it is: ``asked for by launch-…``, ``the default provider``."""

    provider: str
    reason: str


class Standing(Struct, frozen=True):
    """Whether a provider can take requests now; ``problem`` is empty when it can, else says what is wrong and what to do."""

    problem: str = ""


class Decision(Struct, frozen=True):
    """The provider that was chosen (None: there is none), why, and every candidate that was looked at."""

    provider: str | None
    reason: str
    candidates: tuple[Candidate, ...]


def route(preferences: Sequence[Preference], providers: Mapping[str, Standing]) -> Decision:
    """Choose the first wanted provider that can take requests; passing one over is said in the reason."""
    candidates: list[Candidate] = []
    seen: set[str] = set()
    for preference in preferences:
        name = preference.provider
        if name in seen:
            continue
        seen.add(name)
        standing = providers.get(name)
        problem = f"no provider {name!r} is configured" if standing is None else standing.problem
        if not problem:
            passed = f"; passed over {candidates[-1].provider}: {candidates[-1].skipped}" if candidates else ""
            candidates.append(Candidate(provider=name[:64]))
            return Decision(name, (preference.reason + passed)[:_LINE], tuple(candidates))
        candidates.append(Candidate(provider=name[:64], skipped=problem[:_LINE]))
    told = "; ".join(f"{candidate.provider}: {candidate.skipped}" for candidate in candidates)
    return Decision(None, f"no provider can take this request ({told})"[:_LINE], tuple(candidates))
