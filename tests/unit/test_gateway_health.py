"""The playbook of a circuit and of a block, and the book that keeps them over a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog import get_logger
from structlog.testing import capture_logs

from actors.gateway.health import Health, Outcome, chosen, observed, standing
from actors.gateway.health_book import OWNERS, HealthBook
from actors.runtime.http.fields import Fields
from schemas.config import Breaker
from schemas.events import ProviderQuotaObserved, ProviderStateChanged

RULES = Breaker(failures=3, open_seconds=30, longest_seconds=70)
NOON = 1_795_000_000.0
FAILED = Outcome("acme", "m1", "failed", "status 503")
OK = Outcome("acme", "m1", "ok")


def after(*outcomes: Outcome, at: float = NOON, health: Health | None = None) -> tuple[Health, list[Any]]:
    health, told = health or Health(), list[Any]()
    for outcome in outcomes:
        health, facts = observed(health, RULES, outcome, at)
        told += facts
    return health, told


def test_failures_in_a_row_open_a_circuit_and_it_is_said_until_when() -> None:
    health, told = after(FAILED, FAILED)
    assert (standing(health, "acme", "m1", NOON), told) == ("", [])
    health, told = after(FAILED, health=health)
    assert standing(health, "acme", "m1", NOON) == (
        "it failed 3 times in a row (status 503) and is passed over until 2026-11-18T11:07:10Z"
    )
    assert standing(health, "acme", "m2", NOON) == standing(health, "other", "m1", NOON) == ""
    (fact,) = told
    assert fact == ProviderStateChanged(
        provider="acme", state="open", model="m1", failures=3, until="2026-11-18T11:07:10Z", reason="status 503"
    )


def test_a_success_in_between_begins_the_count_anew() -> None:
    health, told = after(FAILED, FAILED, OK, FAILED, FAILED)
    assert (standing(health, "acme", "m1", NOON), told) == ("", [])


def test_what_concerns_the_whole_provider_stands_against_every_model() -> None:
    health, (fact,) = after(*[Outcome("acme", "", "failed", "refused")] * 3)
    assert fact.model == ""
    assert "3 times in a row (refused)" in standing(health, "acme", "whatever", NOON)


def test_one_probe_goes_out_and_its_success_closes_the_circuit() -> None:
    health, _ = after(*[FAILED] * 3)
    later = NOON + 30
    assert standing(health, "acme", "m1", later) == ""
    probed = chosen(health, "acme", "m1", later)
    assert standing(probed, "acme", "m1", later).endswith("and is being tried again")
    health, (fact,) = after(OK, health=probed, at=later + 1)
    assert (fact.state, health) == ("closed", Health())


def test_each_failed_probe_opens_it_for_longer_up_to_a_bound() -> None:
    health, _ = after(*[FAILED] * 3)
    at, waits = NOON, []
    for _ in range(3):
        at += 100
        health, (fact,) = after(FAILED, health=chosen(health, "acme", "m1", at), at=at)
        assert fact.state == "open"
        waits.append(health.circuits["acme/m1"].until - at)
    assert waits == [60, 70, 70]


def test_a_probe_that_was_the_callers_mistake_or_was_left_is_given_back() -> None:
    health, _ = after(*[FAILED] * 3)
    probed = chosen(health, "acme", "m1", NOON + 30)
    health, (fact,) = after(Outcome("acme", "m1", "neutral"), health=probed, at=NOON + 31)
    assert fact.state == "open"
    assert standing(health, "acme", "m1", NOON + 31) == ""


def test_a_probe_of_which_nothing_is_heard_does_not_hold_for_ever() -> None:
    health, _ = after(*[FAILED] * 3)
    probed = chosen(health, "acme", "m1", NOON + 30)
    assert standing(probed, "acme", "m1", NOON + 149)
    assert standing(probed, "acme", "m1", NOON + 151) == ""


def test_requests_that_began_before_change_nothing_of_an_open_circuit() -> None:
    health, _ = after(*[FAILED] * 3)
    again, told = after(FAILED, OK, FAILED, health=health, at=NOON + 5)
    assert (again, told) == (health, [])


def test_too_many_requests_are_no_failure_but_a_pause() -> None:
    health, told = after(*[Outcome("acme", "m1", "limited", "rate_limit_exceeded", NOON + 20)] * 9)
    assert told == []
    assert standing(health, "acme", "m1", NOON + 19) == "it asked for a pause until 2026-11-18T11:07:00Z (rate_limit_exceeded)"
    assert standing(health, "acme", "m2", NOON) == standing(health, "acme", "m1", NOON + 20) == ""
    health, _ = after(Outcome("acme", "m1", "limited", "rate_limit_exceeded"))
    assert health == Health()


def test_a_used_up_quota_is_told_once_and_ends_at_its_reset_or_with_an_answer_all_the_same() -> None:
    refused = Outcome("acme", "", "quota", "usage_limit_reached", NOON + 7200)
    health, told = after(refused, refused)
    assert told == [
        ProviderQuotaObserved(
            provider="acme", window="usage_limit_reached", source="refusal", resets_at="2026-11-18T13:06:40Z", exhausted=True
        )
    ]
    assert standing(health, "acme", "m9", NOON).startswith("its quota is used up until 2026-11-18T13:06:40Z")
    assert standing(health, "acme", "m9", NOON + 7200) == ""
    in_flight, _ = after(Outcome("acme", "m9", "ok"), health=health)
    assert standing(in_flight, "acme", "m9", NOON)
    answered, _ = after(Outcome("acme", "m9", "ok"), health=chosen(health, "acme", "m9", NOON + 5), at=NOON + 6)
    assert standing(answered, "acme", "m9", NOON + 6) == ""


def test_a_quota_without_a_time_is_asked_after_again() -> None:
    health, (fact,) = after(Outcome("acme", "", "quota", "insufficient_quota"))
    assert fact.resets_at == ""
    assert standing(health, "acme", "m", NOON + 599)
    assert standing(health, "acme", "m", NOON + 600) == ""


# ------------------------------------------------------------------------------------------------------------ the book


class Stage:
    """A book in a folder, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.told: list[tuple[str, Any]] = []
        self.book = HealthBook(folder, RULES, self._tell, get_logger())

    def _tell(self, subject: str, event: Any, id_: str | None) -> None:
        assert id_ is None
        self.told.append((subject, event))

    def save(self) -> None:
        """Run until what changed is on the disk."""

        async def run() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.book.run)
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

        anyio.run(run)


def test_an_open_breaker_and_the_owners_survive_a_restart(tmp_path: Path) -> None:
    first = Stage(tmp_path / "gateway")
    for _ in range(3):
        first.book.observed(FAILED)
    first.book.owned("codex-1", "openai")
    assert [subject for subject, _ in first.told] == ["provider/acme"]
    first.save()
    assert (tmp_path / "gateway/health.json").stat().st_mode & 0o777 == 0o600

    second = Stage(tmp_path / "gateway")
    assert second.book.now == first.book.now
    assert "acme/m1" in second.book.now.circuits
    assert (second.book.owner("codex-1"), second.book.owner("codex-2")) == ("openai", "")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"version":99,"health":{},"owners":[]}', b'{"version":1,"health":7}', b"\xff"]
)
def test_a_damaged_file_is_said_and_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "health.json").write_bytes(content)
    with capture_logs() as logs:
        stage = Stage(tmp_path)
    assert stage.book.now == Health()
    assert [line["log_level"] for line in logs] == ["warning"]
    stage.book.owned("codex-1", "openai")
    stage.save()
    assert Stage(tmp_path).book.owner("codex-1") == "openai"


def test_a_folder_that_cannot_be_written_is_said_and_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with capture_logs() as logs:
        stage = Stage(tmp_path / "file")
        stage.book.owned("codex-1", "openai")
        stage.save()
    assert {line["event"] for line in logs} >= {"the providers' health is not saved"}


def test_the_owners_are_bounded_and_the_oldest_is_forgotten(tmp_path: Path) -> None:
    book = Stage(tmp_path).book
    for number in range(OWNERS):
        book.owned(f"codex-{number}", "a")
    book.owned("codex-0", "a")
    book.owned("codex-new", "b")
    assert (book.owner("codex-0"), book.owner("codex-1"), book.owner("codex-new")) == ("a", "", "b")


def test_a_probe_is_told_and_an_answers_quota_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for _ in range(3):
        stage.book.observed(FAILED)
    stage.book.chosen("acme", "m1")
    assert [event.state for _, event in stage.told] == ["open", "half_open"]
    fields = Fields([("x-codex-primary-used-percent", "12"), ("x-codex-primary-window-minutes", "300")])
    for _ in range(3):
        stage.book.answered("acme", fields, None)
        stage.book.answered("acme", Fields([]), None)
    assert [(event.window, event.used_percent) for _, event in stage.told[2:]] == [("primary", 12.0)]
