"""What was spent, and what the budgets say of it: a pure fold of the gateway's own facts of requests.

Pure: times and days come in as arguments. Must not know files, the bus, or how a request is routed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Verdict(Struct, frozen=True):
    """What the budgets say of one request.

    ``stop``: the text that it is refused with, shown to people as it is; empty: it may go on. ``switch_to``: the provider that
    comes before every other wish from now on; empty: none. ``providers``: those to be passed over, each with the reason (their
    own budget is spent; that holds for the last one left too). ``instead``: for some of these, the provider that takes their
    place. ``reason``: everything that is to be said in the reason of the routing, warnings included; empty: nothing.
    """

    stop: str = ""
    switch_to: str = ""
    reason: str = ""
    providers: Mapping[str, str] = {}
    instead: Mapping[str, str] = {}


GO_ON: Final = Verdict()
