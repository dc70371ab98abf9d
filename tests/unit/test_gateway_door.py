"""Who is let through a wider door, by what its rules say of a head."""

from __future__ import annotations

from hashlib import sha256

import pytest

from actors.gateway.admission import Door, Kernel, check_head, check_host, check_passage
from actors.gateway.door import beyond_loopback
from actors.gateway.head import Head, part_passage, read_head
from actors.runtime.http.fields import Fields

TOKEN = "t" * 32
WIDE = Door(
    8129, frozenset({"build.example", "build.example:8129"}), (sha256(b"another").digest(), sha256(TOKEN.encode()).digest())
)
HERE = Door(8129)


def head(target: str = "/v1/responses", **fields: str) -> Head:
    given = {"host": "127.0.0.1:8129", **{name.replace("_", "-"): value for name, value in fields.items()}}
    return read_head("POST", target, Fields.of(given))


@pytest.mark.parametrize(
    ("door", "passage", "fields", "let_in"),
    [
        (WIDE, TOKEN, {}, True),
        (WIDE, "", {"x_tabwire_token": TOKEN}, True),
        (WIDE, "another", {}, True),
        (WIDE, "", {}, False),
        (WIDE, "", {"x_tabwire_token": ""}, False),
        (WIDE, TOKEN + "t", {}, False),
        (WIDE, TOKEN[:-1], {"x_tabwire_token": TOKEN}, False),  # the path is what counts when it holds one
        (WIDE, "", {"authorization": f"Bearer {TOKEN}"}, False),
        (WIDE, "", {"x_tabwire_token": "\udcff"}, False),
        (HERE, TOKEN, {}, False),
        (HERE, "", {}, False),
    ],
)
def test_a_token_is_asked_for(door: Door, passage: str, fields: dict[str, str], let_in: bool) -> None:  # noqa: FBT001 - a case
    assert (check_passage(door, head(**fields), passage) is None) is let_in


def test_the_refusal_has_the_status_that_stops_who_asked_and_never_the_token() -> None:
    statuses = {}
    for target in ("/v1/responses", "/v1/messages", "/health"):
        refusal = check_passage(WIDE, head(target, x_tabwire_token="wrong-but-secret"), "")
        assert refusal is not None
        assert refusal.close
        assert "wrong-but-secret" not in refusal.message
        statuses[target] = refusal.status
    assert statuses == {"/v1/responses": 400, "/v1/messages": 424, "/health": 401}


def test_hosts_of_a_wider_door_are_beside_the_usual_ones() -> None:
    for host in ("127.0.0.1:8129", "localhost:8129", "[::1]:8129", "build.example", "BUILD.example:8129"):
        assert check_host(WIDE, head(host=host)) is None
    for host in ("", "127.0.0.1", "build.example:80", "x.build.example", "build.example.", "evil.example:8129"):
        refusal = check_host(WIDE, head(host=host))
        assert refusal is not None
        assert refusal.code == "host_refused"
    assert check_host(HERE, head(host="build.example")) is not None


def test_who_is_elsewhere_needs_no_word_of_the_kernel_and_who_is_here_does() -> None:
    assert check_head(WIDE, head(), Kernel(None, "elsewhere", remote=True)) is None
    for door in (WIDE, HERE):
        refusal = check_head(door, head(), Kernel(None, "not found"))
        assert refusal is not None
        assert refusal.code == "caller_unproven"


@pytest.mark.parametrize(
    ("address", "beyond"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("192.0.2.1", True),
        ("fe80::1%eth0", True),
        ("nonsense", True),
    ],
)
def test_what_is_not_loopback_s_is_beyond_it(address: str, beyond: bool) -> None:  # noqa: FBT001 - a case
    assert beyond_loopback(address) is beyond


@pytest.mark.parametrize(
    ("raw", "passage", "target"),
    [
        ("/t/abc/v1/responses?x=1", "abc", "/v1/responses?x=1"),
        ("/t/abc/s/def/v1/responses", "abc", "/s/def/v1/responses"),
        ("/t/abc", "abc", "/"),
        ("/t//v1/x", "", "/v1/x"),
        ("/v1/t/abc/x", "", "/v1/t/abc/x"),
        ("/tt/abc", "", "/tt/abc"),
    ],
)
def test_a_token_stands_before_the_target(raw: str, passage: str, target: str) -> None:
    assert part_passage(raw) == (passage, target)
