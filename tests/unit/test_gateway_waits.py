"""How long a provider is waited for, as a playbook: for its head, then between the pieces of its answer."""

from __future__ import annotations

from actors.gateway.providers import Upstream
from actors.gateway.waits import Waits

UPSTREAM = Upstream(
    name="own",
    base="http://127.0.0.1:1/v1",
    shown="http://127.0.0.1:1",
    passthrough=False,
    key=None,
    fields=(),
    connect_timeout=1.0,
    first_byte_timeout=20.0,
    idle_timeout=60.0,
)


def test_a_head_has_its_seconds_and_not_one_more() -> None:
    waits = Waits()
    assert waits.expired(1000.0, UPSTREAM, paused=False) is None
    waits.head = 1000.0
    assert waits.expired(1020.0, UPSTREAM, paused=False) is None
    assert waits.expired(1020.5, UPSTREAM, paused=False) == ("first_byte_timeout", 20.0)
    waits.end()
    assert waits.expired(9000.0, UPSTREAM, paused=False) is None


def test_a_silence_begins_anew_with_whatever_comes() -> None:
    waits = Waits()
    waits.more = 1000.0
    waits.stirred = True
    assert waits.expired(1059.0, UPSTREAM, paused=False) is None
    assert (waits.more, waits.stirred) == (1059.0, False)
    assert waits.expired(1119.0, UPSTREAM, paused=False) is None
    assert waits.expired(1119.5, UPSTREAM, paused=False) == ("idle_timeout", 60.0)


def test_while_the_caller_takes_nothing_the_provider_is_not_silent() -> None:
    waits = Waits()
    waits.more = 1000.0
    assert waits.expired(5000.0, UPSTREAM, paused=True) is None
    assert waits.expired(5060.0, UPSTREAM, paused=False) is None
    assert waits.expired(5060.5, UPSTREAM, paused=False) == ("idle_timeout", 60.0)
