"""What the echo server remembers and how it forgets; how request bodies are decoded."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from actors.echo.coding import CodingError, decode_body
from actors.echo.exchanges import MAX_CACHE_KEYS, MAX_EXCHANGES, MAX_WAITING, Exchanges, Waiting, safe_headers
from actors.echo.mode import Mode, ModeError
from actors.echo.plan import Asked

TURN = Asked(model="m", stream=True, session="s1")
SLOW = Mode(wait=1.0)


def begin(exchanges: Exchanges) -> int:
    return exchanges.begin(received=0.0, method="POST", path="/v1/responses", query="", headers=())


def test_the_oldest_exchange_is_forgotten() -> None:
    exchanges = Exchanges()
    numbers = [begin(exchanges) for _ in range(MAX_EXCHANGES + 3)]
    assert [exchange.number for exchange in exchanges.after(0)] == numbers[3:]
    exchanges.note(numbers[0], status=200)
    exchanges.note(numbers[-1], status=200, state="completed")
    assert [exchange.number for exchange in exchanges.after(0, finished=True)] == numbers[-1:]
    exchanges.clear()
    assert exchanges.after(0) == ()
    assert begin(exchanges) == numbers[-1] + 1


def test_modes_wait_for_the_request_they_match() -> None:
    exchanges = Exchanges()
    exchanges.add(
        [Waiting(mode=SLOW, session="s2"), Waiting(mode=Mode(words=1), count=2), Waiting(mode=Mode(words=2), kind="title")]
    )
    assert exchanges.waiting == 4
    assert [exchanges.take(TURN) for _ in range(3)] == [Mode(words=1), Mode(words=1), None]
    assert exchanges.take(Asked(model="m", stream=True, kind="title")) == Mode(words=2)
    assert exchanges.take(Asked(model="m", stream=True, session="s2")) == SLOW
    assert exchanges.waiting == 0


def test_a_full_queue_refuses_whole_requests() -> None:
    exchanges = Exchanges()
    exchanges.add([Waiting(mode=SLOW)] * (MAX_WAITING - 1))
    with pytest.raises(ModeError, match="at most 1000 modes can wait, 999 do"):
        exchanges.add([Waiting(mode=SLOW)] * 2)
    assert exchanges.waiting == MAX_WAITING - 1


def test_cache_keys_are_bounded_and_the_least_recent_is_forgotten() -> None:
    exchanges = Exchanges()
    for number in range(MAX_CACHE_KEYS + 1):
        exchanges.remember_input(f"k{number}", number)
    exchanges.remember_input("", 5)
    assert exchanges.cached_input("k0") == 0
    assert exchanges.cached_input("k1") == 1
    assert exchanges.cached_input("") == 0


def test_credentials_are_kept_as_a_digest_only() -> None:
    shown = safe_headers([("Authorization", "Bearer sk-1"), ("X-Api-Key", "sk-1"), ("Session-Id", "s")])
    assert shown[2] == ("session-id", "s")
    assert shown[0][0] == "authorization"
    assert all("sk-1" not in value and value.startswith("sha256:") for _, value in shown[:2])
    assert shown[0][1] != shown[1][1]


def test_bodies_are_decoded() -> None:
    content = b"x" * 100_000
    assert decode_body(content, "") == decode_body(content, "identity") == content
    assert decode_body(gzip.compress(content), "gzip") == content
    assert decode_body(zstandard.compress(content), "ZSTD") == content


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_and_a_broken_body_are_refused(coding: str) -> None:
    packed = gzip.compress(b"x" * 100_000) if coding == "gzip" else zstandard.compress(b"x" * 100_000)
    with pytest.raises(CodingError, match="grows beyond 1000 bytes") as bomb:
        decode_body(packed, coding, limit=1000)
    assert bomb.value.too_large
    with pytest.raises(CodingError, match=f"not {coding}"):
        decode_body(b"plain text", coding)
    with pytest.raises(CodingError):
        decode_body(packed[:-4], coding)


def test_an_unknown_coding_is_named() -> None:
    with pytest.raises(CodingError, match="'br' is not supported") as refused:
        decode_body(b"", "br")
    assert refused.value.unsupported
