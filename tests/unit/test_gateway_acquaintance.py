"""What a connection's requests have in common is joined once, and anew as soon as one of its accounts is another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.acquaintance import Acquaintance
from actors.gateway.admission import Kernel
from actors.gateway.attribution import NO_LAUNCH, Caller, Standing, attribute, caller_of
from actors.gateway.claims import NO_CLAIMS, Claims
from actors.gateway.state import milliseconds
from schemas.identity import ConversationKey, ProcessKey

PROCESS = ProcessKey(host="host", boot="boot", pid=7, started=70)
CALLERS = (caller_of(PROCESS, "codex", "exec"), caller_of(PROCESS, "codex", "tui"), Caller(missing="gone"))
STANDINGS = (NO_LAUNCH, Standing("ended"))
CLAIMS = (
    NO_CLAIMS,
    Claims("codex", ConversationKey("codex:a"), thread="a", thread_kind="main", header="session-id"),
    Claims("codex", ConversationKey("codex:b"), thread="b", thread_kind="main", header="session-id"),
)


@given(st.lists(st.tuples(st.sampled_from(CALLERS), st.sampled_from(STANDINGS), st.sampled_from(CLAIMS)), max_size=12))
def test_every_request_is_attributed_as_if_it_were_the_first(requests: list[tuple[Caller, Standing, Claims]]) -> None:
    acquaintance = Acquaintance(None, Kernel(None, "nobody"))
    for request in requests:
        assert acquaintance.attribute(*request) == attribute(*request)


def test_the_same_accounts_are_joined_once() -> None:
    acquaintance = Acquaintance(None, Kernel(None, "nobody"))
    first = acquaintance.attribute(CALLERS[0], NO_LAUNCH, CLAIMS[1])
    assert (
        acquaintance.attribute(CALLERS[0], Standing(), Claims(*(getattr(CLAIMS[1], f) for f in Claims.__struct_fields__)))
        is first
    )
    assert acquaintance.attribute(CALLERS[0], NO_LAUNCH, CLAIMS[2]) is not first


@given(st.floats(-10, 1e6))
def test_facts_tell_milliseconds_to_the_microsecond(seconds: float) -> None:
    told = milliseconds(seconds)
    assert told >= 0
    assert abs(told - max(0.0, seconds * 1000)) <= 0.0005 + 1e-6
    assert told == round(told, 3)
